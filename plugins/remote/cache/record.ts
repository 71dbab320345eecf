/**
 * The index of the cache on disk, byte by byte: a header, then one record for each slot of the file of blocks.
 *
 *     header, 4096 bytes                       record, 32 bytes, slot n at 4096 + 32 n
 *      0  magic "ILRCACHE"                      0  object: first 16 bytes of SHA-256 over its address, validator and size
 *      8  version, u32: 1                      16  block, u32: its offset in the object / 65536
 *     12  bytes of a block, u32                20  length, u32: 65536, or less in the object's last block
 *     16  CRC-32C of bytes 0 to 15, u32        24  CRC-32C of the block, u32
 *         zeros                                28  CRC-32C of bytes 0 to 27, u32
 *
 * Numbers are big-endian. A slot that was never used is zeros, whose record CRC does not hold.
 *
 * **Details** Nothing is ever synced. After a power loss a slot and its record may be of two times, or torn; then one of the two CRCs does not hold, and the
 * block is fetched again. A record that holds over bytes that hold is right whenever it was written, because an object's state never changes.
 */
import { crc32c, limits } from "imagelink/plugin"

export const HEADER_BYTES = 4096
export const RECORD_BYTES = 32
export const OBJECT_CHARS = 32
const MAGIC = Buffer.from("ILRCACHE", "latin1")
const VERSION = 1

export interface SlotRecord {
  /** 32 hexadecimal digits. */
  readonly object: string
  readonly block: number
  readonly length: number
  readonly crc: number
}

export const encodeHeader = (): Buffer => {
  const header = Buffer.alloc(HEADER_BYTES)
  MAGIC.copy(header)
  header.writeUInt32BE(VERSION, 8)
  header.writeUInt32BE(limits.remoteBlockBytes, 12)
  header.writeUInt32BE(crc32c(header.subarray(0, 16)), 16)
  return header
}

/** Whether an index is one that this version reads. */
export const isHeader = (bytes: Uint8Array): boolean =>
  bytes.length >= HEADER_BYTES && encodeHeader().equals(bytes.subarray(0, HEADER_BYTES))

export const encodeRecord = ({ object, block, length, crc }: SlotRecord): Buffer => {
  const record = Buffer.alloc(RECORD_BYTES)
  record.write(object, 0, 16, "hex")
  record.writeUInt32BE(block, 16)
  record.writeUInt32BE(length, 20)
  record.writeUInt32BE(crc, 24)
  record.writeUInt32BE(crc32c(record.subarray(0, 28)), 28)
  return record
}

/** Undefined for a slot that is free, and for a record that is torn. */
export const decodeRecord = (bytes: Buffer, at: number): SlotRecord | undefined => {
  if (bytes.readUInt32BE(at + 28) !== crc32c(bytes.subarray(at, at + 28))) return undefined
  const length = bytes.readUInt32BE(at + 20)
  if (length === 0 || length > limits.remoteBlockBytes) return undefined
  return {
    object: bytes.toString("hex", at, at + 16),
    block: bytes.readUInt32BE(at + 16),
    length,
    crc: bytes.readUInt32BE(at + 24),
  }
}
