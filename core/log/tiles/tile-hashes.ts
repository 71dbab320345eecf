/** Reads the hash of any complete subtree out of the stored tiles, for proofs. */
import { fail } from "../../errors.ts"
import { rootOf } from "../merkle/frontier.ts"
import type { Hash } from "../merkle/hash.ts"
import type { SubtreeHash } from "../merkle/prove.ts"
import type { TlogFiles } from "./files.ts"
import { rightmost, tilePath, tileWidth } from "./paths.ts"

/** Height of a tile: 256 = 2^8. */
const tileHeight = 8

/** Of the tree with `size` leaves. A proof needs a few tiles, and each is read once. @throws AUDIT_FAILED when one is not there */
export const tileHashes = (files: TlogFiles, size: number): SubtreeHash => {
  const tiles = new Map<string, ReadonlyArray<Hash>>()
  const tileAt = (level: number, index: number): ReadonlyArray<Hash> => {
    const { full, width } = rightmost(level, size)
    const place = { level, index, width: index < full ? tileWidth : width }
    const path = tilePath(place)
    const tile = tiles.get(path) ?? files.tile(place)
    if (tile === undefined)
      throw fail("AUDIT_FAILED", { why: `${files.path(path)} is missing or damaged`, tiles: true })
    tiles.set(path, tile)
    return tile
  }
  return (height, index) => {
    const level = Math.floor(height / tileHeight)
    const count = 2 ** (height % tileHeight)
    const first = index * count
    const at = first % tileWidth
    return rootOf(tileAt(level, Math.floor(first / tileWidth)).slice(at, at + count))
  }
}
