/** The least that a disk can be: one buffer, copied from at once. What any stack is measured against. */
import { randomFillSync } from "node:crypto"
import type { BlockDevice, Unlock } from "../../../core/block/device.ts"

const readOnly = async (): Promise<void> => {
  throw new Error("the bare buffer is only read")
}

export class BareBuffer implements BlockDevice {
  readonly id = "bare"
  readonly sizeBytes: number
  readonly logicalBlockBytes = 512
  readonly physicalBlockBytes = 4096
  readonly optimalIoBytes = 65_536
  readonly features = { byteGranular: true, writable: false, durable: false, trim: false, fastZero: false }
  readonly #bytes: Buffer

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes
    this.#bytes = Buffer.alloc(sizeBytes)
    for (let at = 0; at < sizeBytes; at += 2 ** 24) randomFillSync(this.#bytes, at, Math.min(2 ** 24, sizeBytes - at))
  }

  readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    this.#bytes.copy(into, at, offset, offset + length)
    return true
  }
  async read(into: Uint8Array, at: number, offset: number, length: number): Promise<void> {
    this.readSync(into, at, offset, length)
  }
  writeSync = (): boolean => false
  write = readOnly
  zeroSync = (): boolean => false
  zero = readOnly
  trim = readOnly
  async flush(): Promise<void> {}
  async extents(offset: number, length: number) {
    return [{ offset, length, kind: "data" as const }]
  }
  async prefetch(): Promise<void> {}
  async lock(): Promise<Unlock> {
    return () => {}
  }
  onChange(): () => void {
    return () => {}
  }
  async close(): Promise<void> {}
}
