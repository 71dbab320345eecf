/**
 * Decompresses a cluster: raw deflate, or zstd frames (qcow2 specification, "Additional fields", compression_type).
 *
 * **Details** What follows the compressed data in its last sector may be anything, also the next cluster's data, and decompression "stops when it
 * has produced a cluster" ("Compressed Clusters Descriptor"). A deflate stream ends by itself. Of zstd the library takes whole frames
 * only, so they are measured first (RFC 8878 §3.1.1) and unpacked one after another: a cluster may be several.
 */
import { promisify } from "node:util"
import { constants, inflateRaw, zstdDecompress } from "node:zlib"
import { limits } from "imagelink/plugin"
import type { Compression } from "./header.ts"

const inflate = promisify(inflateRaw)
const unzstd = promisify(zstdDecompress) as (
  bytes: Uint8Array,
  options: { readonly maxOutputLength: number; readonly params: Record<number, number> },
) => Promise<Buffer>

/** The whole cluster, in a buffer of its own; `undefined` when the bytes are not what they should be. */
export const unpack = async (
  packed: Uint8Array,
  compression: Compression,
  clusterBytes: number,
): Promise<Uint8Array | undefined> => {
  try {
    return compression === "zlib" ? await unpackDeflate(packed, clusterBytes) : await unpackZstd(packed, clusterBytes)
  } catch {
    return undefined
  }
}

const unpackDeflate = async (packed: Uint8Array, clusterBytes: number): Promise<Uint8Array | undefined> => {
  const bytes = await inflate(packed, { maxOutputLength: clusterBytes, finishFlush: constants.Z_SYNC_FLUSH })
  return bytes.length === clusterBytes ? bytes : undefined
}

const unpackZstd = async (packed: Uint8Array, clusterBytes: number): Promise<Uint8Array | undefined> => {
  const cluster = new Uint8Array(clusterBytes)
  const params = { [constants.ZSTD_d_windowLogMax]: limits.qcow2ZstdWindowLogMax }
  let filled = 0
  for (let at = 0, frames = 0; filled < clusterBytes; frames++) {
    const length = zstdFrameBytes(packed, at)
    if (length === undefined || frames === limits.qcow2ZstdFramesMax) return undefined
    const bytes = await unzstd(packed.subarray(at, at + length), { maxOutputLength: clusterBytes - filled, params })
    cluster.set(bytes, filled)
    filled += bytes.length
    at += length
  }
  return cluster
}

const FRAME_MAGIC = 0xfd2f_b528
const BLOCK_RLE = 1
const BLOCK_RESERVED = 3

/** Length of the zstd frame at `at`; `undefined` when there is none, or not all of it. */
export const zstdFrameBytes = (bytes: Uint8Array, at: number): number | undefined => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length - at < 6 || view.getUint32(at, true) !== FRAME_MAGIC) return undefined
  const descriptor = bytes[at + 4]!
  const single = (descriptor >> 5) & 1
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!
  const sizeBytes = [single, 2, 4, 8][descriptor >> 6]!
  let next = at + 5 + (1 - single) + dictionaryBytes + sizeBytes
  for (let last = false; !last; ) {
    if (bytes.length - next < 3) return undefined
    const block = view.getUint16(next, true) | (bytes[next + 2]! << 16)
    const type = (block >> 1) & 3
    if (type === BLOCK_RESERVED) return undefined
    next += 3 + (type === BLOCK_RLE ? 1 : block >> 3)
    last = (block & 1) === 1
  }
  next += ((descriptor >> 2) & 1) * 4
  return next > bytes.length ? undefined : next - at
}
