/** Big-endian numbers, as everything in a qcow2 file is. 64-bit ones come out as exact numbers, and as Infinity above 2^53 - 1. */

const TWO32 = 4294967296
const HIGH_MAX = 0x1f_ffff

export const u32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0

export const u64 = (bytes: Uint8Array, at: number): number => {
  const high = u32(bytes, at)
  return high > HIGH_MAX ? Number.POSITIVE_INFINITY : high * TWO32 + u32(bytes, at + 4)
}

export const putU32 = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

export const putU64 = (bytes: Uint8Array, at: number, value: number): void => {
  putU32(bytes, at, Math.floor(value / TWO32))
  putU32(bytes, at + 4, value % TWO32)
}

/** Bits 9 to 55 of a table entry, the offset in an L1, L2 or refcount table entry. Above 2^53 it is inexact, and past the end of any file. */
export const entryOffset = (bytes: Uint8Array, at: number): number =>
  (u32(bytes, at) & 0x00ff_ffff) * TWO32 + ((u32(bytes, at + 4) & 0xffff_fe00) >>> 0)
