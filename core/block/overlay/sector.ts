/**
 * A sector of a map file: the unit that a disk writes whole, so no checksum is wider.
 *
 *     offset  bytes  field
 *          0      4  CRC-32C of bytes 4 to 511
 *          4      4  number of this sector in its file: a misplaced write is seen
 *          8      4  tag of the overlay: a sector of another overlay's map is seen
 *         12    244  zero
 *        256    256  payload: 1024 grain states of 2 bits, or 2048 directory bits
 *
 * A sector of nothing but zeros is valid and says "all absent": space is reserved by writing zeros. Each sector can be believed alone;
 * whichever of them reach the disk before a power loss, each is right about its own grains.
 */
import { crc32c, readU32, writeU32 } from "../../bytes.ts"
import { PAYLOAD_BYTES, SECTOR } from "./geometry.ts"

export const PAYLOAD_AT = SECTOR - PAYLOAD_BYTES

/** Completes the sector at `at`, whose payload is already in place. */
export const sealSector = (bytes: Uint8Array, at: number, number: number, tag: number): void => {
  bytes.fill(0, at + 12, at + PAYLOAD_AT)
  writeU32(bytes, at + 4, number)
  writeU32(bytes, at + 8, tag)
  writeU32(bytes, at, crc32c(bytes.subarray(at + 4, at + SECTOR)))
}

/** True when the sector at `at` is valid: it is all zeros, or sealed as this sector of this overlay. */
export const checkSector = (bytes: Uint8Array, at: number, number: number, tag: number): boolean => {
  if (readU32(bytes, at + 4) === number && readU32(bytes, at + 8) === tag) {
    if (readU32(bytes, at) === crc32c(bytes.subarray(at + 4, at + SECTOR))) return true
  }
  for (let i = at; i < at + SECTOR; i++) if (bytes[i] !== 0) return false
  return true
}

/** True when no state in the sector's payload is the one that only memory knows. */
export const checkStates = (bytes: Uint8Array, at: number): boolean => {
  for (let i = at + PAYLOAD_AT; i < at + SECTOR; i++)
    if ((bytes[i]! & (bytes[i]! >> 1) & 0b01010101) !== 0) return false
  return true
}
