import { limits } from "imagelink/plugin"

const BLOCK = limits.remoteBlockBytes

/** Copies what a block has of `[offset, offset + length)` to its place in `into[at, at + length)`. */
export const copyBlock = (
  bytes: Uint8Array,
  block: number,
  into: Uint8Array,
  at: number,
  offset: number,
  length: number,
): void => {
  const begin = block * BLOCK
  const from = Math.max(offset, begin)
  const to = Math.min(offset + length, begin + bytes.length)
  into.set(bytes.subarray(from - begin, to - begin), at + from - offset)
}
