/**
 * The header of a qcow2 file (qcow2 specification, "Header" and "Additional fields").
 *
 *      0  magic "QFI\xfb"           4  version, 2 or 3
 *      8  backing name offset      16  backing name length     20  cluster bits
 *     24  disk size                32  encryption              36  L1 entries
 *     40  L1 offset                48  refcount table offset   56  refcount table clusters
 *     60  snapshots                64  snapshot table offset
 *     72  incompatible features    80  compatible features     88  autoclear features     (from here on: version 3)
 *     96  refcount order          100  header length          104  compression type
 *
 * **Details** Only what reading needs is judged. Refcounts are for writers, so a dirty bit and lazy refcounts mean nothing here; internal
 * snapshots have L1 tables of their own, and the one in the header is the active state.
 */
import { limits } from "imagelink/plugin"
import { u32, u64 } from "./bytes.ts"
import type { Refusals } from "./refusals.ts"

export const MAGIC = 0x5146_49fb
const V2_BYTES = 72
const V3_BYTES_MIN = 104
/** A table of subclusters needs clusters of 16 KiB (specification, "Header", cluster_bits). */
const EXTENDED_CLUSTER_BITS_MIN = 14

export type Compression = "zlib" | "zstd"

export interface Header {
  readonly version: 2 | 3
  readonly headerBytes: number
  readonly clusterBits: number
  readonly sizeBytes: number
  readonly backingName: { readonly offset: number; readonly bytes: number } | undefined
  readonly l1: { readonly offset: number; readonly entries: number }
  readonly refcountTableOffset: number
  /** Bits 0 to 63 of the incompatible features that are set. */
  readonly incompatible: ReadonlyArray<number>
  readonly encryption: number
  readonly compressionType: number
}

/** Bits of the incompatible features. */
export const feature = { dirty: 0, corrupt: 1, externalData: 2, compressionType: 3, extendedL2: 4 } as const

/** Reads the fields; `head` is the first bytes of the file. @throws IMAGE_DAMAGED IMAGE_FORMAT_UNSUPPORTED */
export const decodeHeader = (head: Uint8Array, refuse: Refusals): Header => {
  if (head.length < V2_BYTES) throw refuse.damaged("its header is cut short")
  if (u32(head, 0) !== MAGIC) throw refuse.damaged("it does not begin as a qcow2 file does")
  const version = u32(head, 4)
  if (version !== 2 && version !== 3) throw refuse.unsupported(`it is of version ${version}; versions 2 and 3 are read`)
  if (version === 3 && head.length < V3_BYTES_MIN) throw refuse.damaged("its header is cut short")
  const headerBytes = version === 2 ? V2_BYTES : u32(head, 100)
  if (headerBytes < (version === 2 ? V2_BYTES : V3_BYTES_MIN) || headerBytes % 8 !== 0 || headerBytes > head.length)
    throw refuse.damaged(`its header cannot be ${headerBytes} bytes long`)
  const nameOffset = u64(head, 8)
  return {
    version,
    headerBytes,
    clusterBits: u32(head, 20),
    sizeBytes: u64(head, 24),
    backingName: nameOffset === 0 ? undefined : { offset: nameOffset, bytes: u32(head, 16) },
    l1: { offset: u64(head, 40), entries: u32(head, 36) },
    refcountTableOffset: u64(head, 48),
    incompatible: version === 2 ? [] : bitsOf(head, 72),
    encryption: u32(head, 32),
    compressionType: headerBytes > V3_BYTES_MIN ? head[V3_BYTES_MIN]! : 0,
  }
}

const bitsOf = (head: Uint8Array, at: number): ReadonlyArray<number> => {
  const bits: Array<number> = []
  for (let bit = 0; bit < 64; bit++) if ((head[at + 7 - (bit >> 3)]! >> (bit & 7)) & 1) bits.push(bit)
  return bits
}

/** Refuses features by name; `names` are those that the file itself gives. @throws IMAGE_DAMAGED IMAGE_FORMAT_UNSUPPORTED */
export const judgeFeatures = (header: Header, names: ReadonlyMap<number, string>, refuse: Refusals): void => {
  const known: ReadonlyArray<number> = Object.values(feature)
  const unknown = header.incompatible.filter((bit) => !known.includes(bit))
  if (unknown.length > 0) {
    const list = unknown.map((bit) => names.get(bit) ?? `number ${bit}`).join(", ")
    throw refuse.unsupported(`it needs features that are not known here: ${list}`)
  }
  if (header.incompatible.includes(feature.corrupt))
    throw refuse.damaged("it is marked corrupt: whatever wrote to it last found its tables contradict each other")
  if (header.encryption !== 0) {
    const method = ["", "AES", "LUKS"][header.encryption] ?? `method ${header.encryption}`
    throw refuse.unsupported(`it is encrypted (${method})`)
  }
}

/** Refuses numbers that cannot be. @throws IMAGE_DAMAGED IMAGE_FORMAT_UNSUPPORTED */
export const judgeHeader = (header: Header, fileBytes: number, refuse: Refusals): void => {
  const { clusterBits, incompatible, l1 } = header
  if (clusterBits < limits.qcow2ClusterBitsMin || clusterBits > limits.qcow2ClusterBitsMax)
    throw refuse.damaged(`its clusters cannot be 2^${clusterBits} bytes`)
  const clusterBytes = 2 ** clusterBits
  if (incompatible.includes(feature.extendedL2) && clusterBits < EXTENDED_CLUSTER_BITS_MIN)
    throw refuse.damaged(`clusters of ${clusterBytes} bytes are too small for subclusters`)
  if (header.headerBytes > clusterBytes) throw refuse.damaged("its header is longer than a cluster")
  for (const [what, offset] of [
    ["L1 table", l1.offset],
    ["refcount table", header.refcountTableOffset],
  ] as const)
    if (offset % clusterBytes !== 0 || offset > fileBytes)
      throw refuse.damaged(`its ${what} begins at ${offset}, outside the file or between two clusters`)
}

/** @throws IMAGE_DAMAGED IMAGE_FORMAT_UNSUPPORTED */
export const compressionOf = ({ compressionType, incompatible }: Header, refuse: Refusals): Compression => {
  if (incompatible.includes(feature.compressionType) !== (compressionType !== 0))
    throw refuse.damaged("its compression type and the feature bit for it contradict each other")
  if (compressionType > 1)
    throw refuse.unsupported(`its compression is of type ${compressionType}; zlib and zstd are read`)
  return compressionType === 1 ? "zstd" : "zlib"
}
