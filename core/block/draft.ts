/**
 * A disk that is not an image yet: every request goes to its one file, until it is sealed.
 *
 * **Details** Bytes are in the file when a write is acknowledged, and on the disk after a flush or with FUA. Making a range zero punches
 * it out where the host can, and writes zeros where it cannot. What reads as zeros already is left: a hole stays a hole when a whole disk
 * is zeroed before it is copied to.
 *
 * **Gotchas** Several peers may write at once; overlapping writes leave what the file system leaves, block by block.
 */
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import type { WritableVolume } from "../storage/volume.ts"
import { type BlockDevice, type BlockFeatures, type Extent, FAST_ONLY, FUA, MAY_UNMAP, type Unlock } from "./device.ts"
import { clipExtents } from "./extents.ts"
import { InFlight } from "./in-flight.ts"
import { RangeLock } from "./range-lock.ts"

const features: BlockFeatures = { byteGranular: true, writable: true, durable: true, trim: true, fastZero: false }
const nothing = () => {}
const zeros = new Uint8Array(limits.scanBytes)

/** Opens a draft over its file. Closing it flushes and closes the file. */
export const openDraft = (id: string, volume: WritableVolume): BlockDevice => new Draft(id, volume)

class Draft implements BlockDevice {
  readonly id: string
  readonly sizeBytes: number
  readonly logicalBlockBytes = limits.logicalBlockBytes
  readonly physicalBlockBytes = limits.physicalBlockBytes
  readonly optimalIoBytes = limits.clusterBytes
  readonly features = features
  readonly #volume: WritableVolume
  readonly #inFlight = new InFlight()
  readonly #locks = new RangeLock()
  #closed = false
  #closing: Promise<void> | undefined = undefined

  constructor(id: string, volume: WritableVolume) {
    this.id = id
    this.sizeBytes = volume.sizeBytes
    this.#volume = volume
  }

  /** The page cache may not have the bytes, and waiting for a device would stop everybody. */
  readSync(): boolean {
    if (this.#closed) throw this.#gone()
    return false
  }

  read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    return this.#counted(() => this.#volume.read(into, at, offset, length, signal))
  }

  writeSync(from: Uint8Array, at: number, offset: number, length: number, flags: number): boolean {
    if (this.#closed) throw this.#gone()
    return (flags & FUA) === 0 && this.#volume.writeSync(from, at, offset, length)
  }

  write(
    from: Uint8Array,
    at: number,
    offset: number,
    length: number,
    flags: number,
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#counted(async () => {
      await this.#volume.write(from, at, offset, length, signal)
      if ((flags & FUA) !== 0) await this.#volume.flush()
    })
  }

  zeroSync(): boolean {
    if (this.#closed) throw this.#gone()
    return false
  }

  zero(offset: number, length: number, flags: number): Promise<void> {
    return this.#counted(async () => {
      const punched = (flags & MAY_UNMAP) !== 0 && (await this.#volume.punch(offset, length))
      if (!punched && (flags & FAST_ONLY) !== 0) throw fail("NOT_SUPPORTED", { offset, length, what: "a fast zero" })
      if (!punched) await this.#writeZeros(offset, length)
      if ((flags & FUA) !== 0) await this.#volume.flush()
    })
  }

  trim(offset: number, length: number, flags: number): Promise<void> {
    return this.zero(offset, length, (flags & FUA) | MAY_UNMAP)
  }

  flush(): Promise<void> {
    return this.#counted(() => this.#volume.flush())
  }

  extents(offset: number, length: number, max: number): Promise<ReadonlyArray<Extent>> {
    return this.#counted(async () => {
      const found = await this.#volume.extents?.(offset, length, max)
      return found === undefined ? [{ offset, length, kind: "data" }] : clipExtents(found, offset, length)
    })
  }

  async prefetch(): Promise<void> {}

  lock(offset: number, length: number, signal?: AbortSignal): Promise<Unlock> {
    return this.#locks.lock(offset, length, signal)
  }

  onChange(): () => void {
    return nothing
  }

  close(): Promise<void> {
    this.#closed = true
    this.#closing ??= this.#inFlight
      .idle()
      .then(() => this.#volume.flush())
      .finally(() => this.#volume.close())
    return this.#closing
  }

  async #writeZeros(offset: number, length: number): Promise<void> {
    const now = Buffer.allocUnsafe(Math.min(zeros.length, length))
    for (let at = offset; at < offset + length; at += zeros.length) {
      const count = Math.min(zeros.length, offset + length - at)
      await this.#volume.read(now, 0, at, count)
      if (now.compare(zeros, 0, count, 0, count) !== 0) await this.#volume.write(zeros, 0, at, count)
    }
  }

  async #counted<A>(request: () => Promise<A>): Promise<A> {
    if (this.#closed) throw this.#gone()
    this.#inFlight.enter()
    try {
      return await request()
    } finally {
      this.#inFlight.leave()
    }
  }

  #gone() {
    return fail("CLOSED", { what: `the disk ${this.id}` })
  }
}
