/**
 * Checksums of a version: CRC-32C of each aligned 64 KiB of guest content, and the sidecar file that keeps them.
 *
 *     offset  bytes  field
 *          0      8  magic "ILCRC32C"
 *          8      4  format version, 1
 *         12      4  incompatible features: a reader that does not know a set bit refuses the file
 *         16      4  compatible features: may be ignored
 *         20      4  autoclear features: may be ignored; a writer that does not know a bit clears it
 *         24     36  image id, ASCII
 *         60      4  image version
 *         64      4  cluster bytes
 *         68      8  size of the guest disk in bytes
 *         76      8  count: number of clusters
 *         84      4  CRC-32C of bytes 0 to 83
 *         88 4×count  CRC-32C of each cluster; the last cluster is padded with zeros to its full length
 *        end      4  CRC-32C of the table
 *
 * All numbers are big-endian. The checksum is of guest content, so it holds whatever format or tier the bytes lie in.
 */
import assert from "node:assert"
import { crc32c, readU32, readU64, writeU32, writeU64 } from "../bytes.ts"
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import type { Volume } from "../storage/volume.ts"

const CLUSTER = limits.clusterBytes
const HEADER_BYTES = 88
const MAGIC = "ILCRC32C"
const ID_BYTES = 36

export interface Checksums {
  readonly imageId: string
  readonly version: number
  readonly sizeBytes: number
  /** One CRC-32C for each cluster. */
  readonly table: Uint32Array
}

export type DecodedChecksums =
  | { readonly ok: true; readonly checksums: Checksums }
  | { readonly ok: false; readonly why: string }

/** The sidecar file of `checksums`. */
export const encodeChecksums = ({ imageId, version, sizeBytes, table }: Checksums): Uint8Array => {
  assert(/^[\x21-\x7e]{36}$/u.test(imageId), "an image id is a UUID")
  assert.equal(table.length, clustersOf(sizeBytes), "one checksum for each cluster")
  const bytes = Buffer.alloc(HEADER_BYTES + 4 * table.length + 4)
  bytes.write(MAGIC, 0, "latin1")
  writeU32(bytes, 8, 1)
  bytes.write(imageId, 24, "latin1")
  writeU32(bytes, 60, version)
  writeU32(bytes, 64, CLUSTER)
  writeU64(bytes, 68, sizeBytes)
  writeU64(bytes, 76, table.length)
  writeU32(bytes, 84, crc32c(bytes.subarray(0, 84)))
  for (let i = 0; i < table.length; i++) writeU32(bytes, HEADER_BYTES + 4 * i, table[i]!)
  writeU32(bytes, bytes.length - 4, crc32c(bytes.subarray(HEADER_BYTES, bytes.length - 4)))
  return bytes
}

/** Reads a sidecar file; every field is checked before one entry is believed. */
export const decodeChecksums = (bytes: Uint8Array): DecodedChecksums => {
  const no = (why: string): DecodedChecksums => ({ ok: false, why })
  if (bytes.length < HEADER_BYTES + 4) return no(`it is ${bytes.length} bytes long, shorter than its header`)
  if (latin1(bytes, 0, 8) !== MAGIC) return no("it is not a checksum file")
  if (readU32(bytes, 84) !== crc32c(bytes.subarray(0, 84))) return no("its header does not match its checksum")
  if (readU32(bytes, 8) !== 1) return no(`its format version is ${readU32(bytes, 8)}; only 1 is known`)
  if (readU32(bytes, 12) !== 0) return no("it needs features of a newer Imagelink")
  if (readU32(bytes, 64) !== CLUSTER) return no(`its clusters are ${readU32(bytes, 64)} bytes, not ${CLUSTER}`)
  const sizeBytes = readU64(bytes, 68)
  const count = readU64(bytes, 76)
  if (!(sizeBytes <= limits.imageBytesMax) || count !== clustersOf(sizeBytes)) {
    return no("its count does not fit its disk size")
  }
  const end = HEADER_BYTES + 4 * count
  if (bytes.length !== end + 4) return no(`it is ${bytes.length} bytes long where ${end + 4} are needed`)
  if (readU32(bytes, end) !== crc32c(bytes.subarray(HEADER_BYTES, end)))
    return no("its table does not match its checksum")
  const table = new Uint32Array(count)
  for (let i = 0; i < count; i++) table[i] = readU32(bytes, HEADER_BYTES + 4 * i)
  return {
    ok: true,
    checksums: { imageId: latin1(bytes, 24, ID_BYTES), version: readU32(bytes, 60), sizeBytes, table },
  }
}

/** What the cache asks when it fills: does this whole cluster match? */
export const verifierOf =
  ({ table }: Pick<Checksums, "table">) =>
  (cluster: number, bytes: Uint8Array): boolean =>
    crc32c(bytes) === table[cluster]

export interface ComputeOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void
  readonly part?: PartRead
}

/** What an earlier reading of the same bytes came to, and what this one leaves if it does not come to its end. */
export interface PartRead {
  /** Of the first clusters. */
  readonly table: Uint32Array
  isDue(doneBytes: number): boolean
  /** `doneBytes`: whole clusters, or all. Never rejects: what cannot be kept is read again. */
  save(table: Uint32Array, doneBytes: number): Promise<void>
}

/**
 * Reads a whole volume and answers the checksum of each cluster.
 *
 * **Details** One mebibyte at a time, so it yields to clients between steps. Runs that the volume knows to be zero are not read.
 * @throws CANCELLED, and what the volume throws
 */
export const computeChecksums = async (
  volume: Pick<Volume, "sizeBytes" | "read" | "extents">,
  { signal, onProgress, part }: ComputeOptions = {},
): Promise<Uint32Array> => {
  const { sizeBytes } = volume
  const table = new Uint32Array(clustersOf(sizeBytes))
  table.set(part?.table ?? [])
  const buffer = new Uint8Array(limits.scanBytes)
  const begun = Math.min((part?.table.length ?? 0) * CLUSTER, sizeBytes)
  let offset = begun
  try {
    while (offset < sizeBytes) {
      if (signal?.aborted) throw fail("CANCELLED", { what: "reading the image" })
      const zeroBytes = await zeroRun(volume, offset)
      if (zeroBytes > 0) {
        table.fill(ZERO_CRC, offset / CLUSTER, Math.ceil((offset + zeroBytes) / CLUSTER))
        offset += zeroBytes
      } else {
        const length = Math.min(buffer.length, sizeBytes - offset)
        await volume.read(buffer, 0, offset, length, signal)
        buffer.fill(0, length)
        for (let at = 0; at < length; at += CLUSTER) {
          table[(offset + at) / CLUSTER] = crc32c(buffer.subarray(at, at + CLUSTER))
        }
        offset += length
      }
      onProgress?.(offset, sizeBytes)
      if (part?.isDue(offset)) await part.save(table, offset)
    }
  } catch (e) {
    if (offset > begun) await part?.save(table, offset)
    throw e
  }
  return table
}

/** Of a cluster of zeros. */
export const ZERO_CRC = crc32c(new Uint8Array(CLUSTER))
const clustersOf = (sizeBytes: number): number => Math.ceil(sizeBytes / CLUSTER)
const latin1 = (b: Uint8Array, at: number, length: number) =>
  Buffer.from(b.subarray(at, at + length)).toString("latin1")

/** How many bytes from `offset` on are known to be zero: whole clusters, or to the very end. */
const zeroRun = async (volume: Pick<Volume, "sizeBytes" | "extents">, offset: number): Promise<number> => {
  if (volume.extents === undefined) return 0
  const [first] = await volume.extents(offset, volume.sizeBytes - offset, 1)
  if (first === undefined || first.kind === "data" || first.offset > offset) return 0
  const end = first.offset + first.length
  return end >= volume.sizeBytes ? volume.sizeBytes - offset : Math.floor((end - offset) / CLUSTER) * CLUSTER
}
