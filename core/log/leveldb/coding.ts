/**
 * LevelDB's number coding (util/coding.cc, table_format.md): little-endian fixed integers, varints of 7 bits a byte, and strings
 * behind their length; and its masked CRC-32C (log_format.md, util/crc32c.h).
 *
 * **Details** Whatever does not fit throws `Malformed`, which the readers above turn into a refusal that names the file.
 */
import { crc32c } from "../../bytes.ts"

export class Malformed extends Error {
  override readonly name = "Malformed"
}

export const u32le = (b: Uint8Array, at: number): number =>
  ((b[at + 3]! << 24) | (b[at + 2]! << 16) | (b[at + 1]! << 8) | b[at]!) >>> 0

/** Exact up to 2^53 - 1; LevelDB's sequences are 56 bits, of which a log never needs that many. */
export const u64le = (b: Uint8Array, at: number): number => u32le(b, at + 4) * 4294967296 + u32le(b, at)

/** LevelDB stores a CRC rotated and offset, so that the CRC of bytes that hold CRCs is not degenerate (log_format.md). */
export const maskedCrc = (bytes: Uint8Array): number => {
  const crc = crc32c(bytes)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}

/** Reads forward over a buffer it does not own. */
export class Cursor {
  readonly bytes: Uint8Array
  at: number
  constructor(bytes: Uint8Array, at = 0) {
    this.bytes = bytes
    this.at = at
  }
  get atEnd(): boolean {
    return this.at >= this.bytes.length
  }
  u8(): number {
    if (this.at >= this.bytes.length) throw new Malformed("it ends too early")
    return this.bytes[this.at++]!
  }
  varint(): number {
    let value = 0
    for (let factor = 1; factor <= 2 ** 49; factor *= 128) {
      const byte = this.u8()
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
    }
    throw new Malformed("a number in it is too large")
  }
  /** A view, not a copy. */
  take(length: number): Uint8Array {
    if (length > this.bytes.length - this.at) throw new Malformed("it ends too early")
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }
  /** A string behind its length. */
  string(): Uint8Array {
    return this.take(this.varint())
  }
}
