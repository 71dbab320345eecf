/**
 * Makes small qcow2 files in memory, of every feature that is read, and knows what their disk reads as.
 *
 *     cluster 0 header │ 1 refcount table (zeros: a reader needs none) │ L1 │ L2 tables │ clusters, packed ones end to end
 *
 * Written by the specification, apart from the plugin's own codec, so that one mistake does not hide the other.
 */
import { deflateRawSync, zstdCompressSync } from "node:zlib"

export type UnitState = "absent" | "zero" | "data"

export interface Qcow2Plan {
  readonly version?: 2 | 3
  readonly clusterBits: number
  /** Content of the disk, where it is data. */
  readonly content: Uint8Array
  /** State of a cluster, or of a subcluster with `extended`. */
  readonly state: (unit: number) => UnitState
  /** Clusters that are compressed, all of them data. */
  readonly packed?: (cluster: number) => boolean
  readonly extended?: boolean
  readonly compression?: "zlib" | "zstd"
  readonly backing?: { readonly name: string; readonly format?: string; readonly content?: Uint8Array }
  readonly dataFile?: string
}

export interface BuiltQcow2 {
  readonly image: Uint8Array
  /** The external data file. */
  readonly data: Uint8Array | undefined
  readonly guest: Uint8Array
  readonly l1Offset: number
  readonly l1Entries: number
  readonly l2Offsets: ReadonlyArray<number>
}

const roundUp = (n: number, unit: number) => Math.ceil(n / unit) * unit

export const buildQcow2 = (plan: Qcow2Plan): BuiltQcow2 => {
  const { version = 3, clusterBits, content, extended = false, dataFile } = plan
  const clusterBytes = 2 ** clusterBits
  const entryBytes = extended ? 16 : 8
  const perTable = clusterBytes / entryBytes
  const clusters = Math.ceil(content.length / clusterBytes)
  const l1Entries = Math.ceil(clusters / perTable)
  const l1Offset = 2 * clusterBytes
  const l2Start = l1Offset + roundUp(l1Entries * 8, clusterBytes)
  const l2Offsets = Array.from({ length: l1Entries }, (_, i) => l2Start + i * clusterBytes)
  const bytes = new Growing(l2Start + l1Entries * clusterBytes)
  for (const [i, offset] of l2Offsets.entries()) bytes.u64(l1Offset + i * 8, (1n << 63n) | BigInt(offset))

  const data = dataFile === undefined ? undefined : new Uint8Array(content.length)
  for (let cluster = 0; cluster < clusters; cluster++) {
    const entry = l2Offsets[Math.floor(cluster / perTable)]! + (cluster % perTable) * entryBytes
    if (plan.packed?.(cluster)) packCluster(bytes, plan, cluster, entry)
    else placeCluster(bytes, plan, cluster, entry, data)
  }
  const image = bytes.take()
  image.set(header(plan, version, l1Offset, l1Entries), 0)
  return { image, data, guest: guestOf(plan), l1Offset, l1Entries, l2Offsets }
}

const clusterOf = ({ content, clusterBits }: Qcow2Plan, cluster: number): Uint8Array => {
  const whole = new Uint8Array(2 ** clusterBits)
  whole.set(content.subarray(cluster * whole.length, (cluster + 1) * whole.length))
  return whole
}

const packCluster = (bytes: Growing, plan: Qcow2Plan, cluster: number, entry: number): void => {
  const pack = plan.compression === "zstd" ? zstdCompressSync : deflateRawSync
  const packed = pack(clusterOf(plan, cluster))
  const host = bytes.length
  bytes.put(host, packed)
  const sectors = Math.floor((host + packed.length - 1) / 512) - Math.floor(host / 512)
  const x = BigInt(62 - (plan.clusterBits - 8))
  bytes.u64(entry, (1n << 62n) | (BigInt(sectors) << x) | BigInt(host))
}

const placeCluster = (bytes: Growing, plan: Qcow2Plan, cluster: number, entry: number, data?: Uint8Array): void => {
  const { extended = false, clusterBits, state } = plan
  const clusterBytes = 2 ** clusterBits
  const units = extended ? 32 : 1
  const states = Array.from({ length: units }, (_, i) => state(cluster * units + i))
  const any = states.includes("data")
  const host = data === undefined ? roundUp(bytes.length, clusterBytes) : cluster * clusterBytes
  const content = clusterOf(plan, cluster)
  if (any && data === undefined) bytes.put(host, content)
  if (any && data !== undefined) data.set(content.subarray(0, data.length - host), host)
  const descriptor = any ? (1n << 63n) | BigInt(host) : 0n
  const mask = (kind: UnitState) => states.reduce((m, s, i) => (s === kind ? m | (1n << BigInt(i)) : m), 0n)
  bytes.u64(entry, !extended && states[0] === "zero" ? 1n : descriptor)
  if (extended) bytes.u64(entry + 8, (mask("zero") << 32n) | mask("data"))
}

const guestOf = (plan: Qcow2Plan): Uint8Array => {
  const { content, clusterBits, extended = false, backing, packed } = plan
  const clusterBytes = 2 ** clusterBits
  const unitBytes = extended ? clusterBytes / 32 : clusterBytes
  const guest = new Uint8Array(content.length)
  guest.set((backing?.content ?? new Uint8Array(0)).subarray(0, guest.length))
  for (let at = 0, unit = 0; at < guest.length; at += unitBytes, unit++) {
    const state = packed?.(Math.floor(at / clusterBytes)) ? "data" : plan.state(unit)
    if (state === "data") guest.set(content.subarray(at, at + unitBytes), at)
    if (state === "zero") guest.fill(0, at, at + unitBytes)
  }
  return guest
}

const header = (plan: Qcow2Plan, version: number, l1Offset: number, l1Entries: number): Uint8Array => {
  const { backing, dataFile, extended, compression, clusterBits, content } = plan
  const zstd = compression === "zstd"
  const fixed = Buffer.alloc(version === 2 ? 72 : 112)
  const extensions = Buffer.concat([
    ...(backing?.format === undefined ? [] : [extensionOf(0xe279_2aca, backing.format)]),
    ...(dataFile === undefined ? [] : [extensionOf(0x4441_5441, dataFile)]),
    extensionOf(0, ""),
  ])
  fixed.write("QFI\xfb", "latin1")
  fixed.writeUInt32BE(version, 4)
  if (backing !== undefined) fixed.writeUInt32BE(fixed.length + extensions.length, 12)
  fixed.writeUInt32BE(Buffer.byteLength(backing?.name ?? ""), 16)
  fixed.writeUInt32BE(clusterBits, 20)
  fixed.writeBigUInt64BE(BigInt(content.length), 24)
  fixed.writeUInt32BE(l1Entries, 36)
  fixed.writeBigUInt64BE(BigInt(l1Offset), 40)
  fixed.writeBigUInt64BE(BigInt(2 ** clusterBits), 48)
  fixed.writeUInt32BE(1, 56)
  if (version === 3) {
    fixed.writeUInt32BE((dataFile === undefined ? 0 : 4) | (zstd ? 8 : 0) | (extended ? 16 : 0), 76)
    fixed.writeUInt32BE(4, 96)
    fixed.writeUInt32BE(112, 100)
    fixed[104] = zstd ? 1 : 0
  }
  return Buffer.concat([fixed, extensions, Buffer.from(backing?.name ?? "")])
}

const extensionOf = (type: number, text: string): Buffer => {
  const bytes = Buffer.alloc(8 + roundUp(Buffer.byteLength(text), 8))
  bytes.writeUInt32BE(type, 0)
  bytes.writeUInt32BE(Buffer.byteLength(text), 4)
  bytes.write(text, 8)
  return bytes
}

/** A file that grows as it is written. */
class Growing {
  #bytes: Buffer
  length: number
  constructor(length: number) {
    this.#bytes = Buffer.alloc(length)
    this.length = length
  }
  put(offset: number, bytes: Uint8Array): void {
    const end = offset + bytes.length
    if (end > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(end)])
    this.#bytes.set(bytes, offset)
    this.length = Math.max(this.length, end)
  }
  u64(offset: number, value: bigint): void {
    this.#bytes.writeBigUInt64BE(value, offset)
  }
  take(): Uint8Array {
    return Uint8Array.from(this.#bytes.subarray(0, this.length))
  }
}
