/**
 * Byte cursors for wire codecs, and CRC-32C.
 *
 * **Details** `Reader` never reads past its end: it answers `undefined`-free values or throws `ShortInput`, which a codec turns into
 * "need more" or "malformed". `Writer` fills a buffer the caller sized. All numbers are big-endian (network order) unless named LE.
 * 64-bit numbers are read as exact JavaScript numbers; above 2^53 - 1 they come out as `Infinity`, which no size check lets pass.
 *
 * CRC-32C (Castagnoli) is the one of iSCSI (RFC 7143 §13.1), LevelDB, VHDX and our checksums; `@node-rs/crc32` computes it natively.
 */
import { crc32c as native } from "@node-rs/crc32"

export class ShortInput extends Error {
  override readonly name = "ShortInput"
}

/** CRC-32C of `bytes`, unsigned; `seed` is the CRC of what came before. */
export const crc32c = (bytes: Uint8Array, seed = 0): number => native(bytes as Buffer, seed)

const TWO32 = 4294967296

/** 64-bit big-endian unsigned at `at`, without allocating. Above 2^53 - 1 the answer is Infinity. */
export const readU64 = (b: Uint8Array, at: number): number => {
  const high = ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0
  if (high > 0x1f_ffff) return Number.POSITIVE_INFINITY
  return high * TWO32 + readU32(b, at + 4)
}
export const readU32 = (b: Uint8Array, at: number): number =>
  ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0
export const readU16 = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!

export const writeU16 = (b: Uint8Array, at: number, v: number): void => {
  b[at] = v >>> 8
  b[at + 1] = v
}
export const writeU32 = (b: Uint8Array, at: number, v: number): void => {
  b[at] = v >>> 24
  b[at + 1] = v >>> 16
  b[at + 2] = v >>> 8
  b[at + 3] = v
}
export const writeU64 = (b: Uint8Array, at: number, v: number): void => {
  const high = Math.floor(v / TWO32)
  writeU32(b, at, high)
  writeU32(b, at + 4, v - high * TWO32)
}

/** Reads forward over a buffer it does not own. */
export class Reader {
  readonly bytes: Uint8Array
  at: number
  readonly end: number
  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes
    this.at = at
    this.end = end
  }
  get left(): number {
    return this.end - this.at
  }
  /** Position before `n` bytes, having stepped over them. @throws ShortInput */
  skip(n: number): number {
    if (n < 0 || n > this.end - this.at) throw new ShortInput(`${n} bytes wanted, ${this.end - this.at} left`)
    const before = this.at
    this.at += n
    return before
  }
  u8(): number {
    return this.bytes[this.skip(1)]!
  }
  u16(): number {
    return readU16(this.bytes, this.skip(2))
  }
  u32(): number {
    return readU32(this.bytes, this.skip(4))
  }
  u64(): number {
    return readU64(this.bytes, this.skip(8))
  }
  u32le(): number {
    const at = this.skip(4)
    const b = this.bytes
    return ((b[at + 3]! << 24) | (b[at + 2]! << 16) | (b[at + 1]! << 8) | b[at]!) >>> 0
  }
  /** A view, not a copy. */
  take(n: number): Uint8Array {
    const from = this.skip(n)
    return this.bytes.subarray(from, from + n)
  }
}
