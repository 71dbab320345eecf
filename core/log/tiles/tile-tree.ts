/**
 * A growing tree as its rightmost tiles: leaves go in, full tiles come out, and what is left are the partial ones.
 *
 * **Details** A full tile of 256 hashes becomes one hash of the level above (C2SP tlog-tiles, "Merkle Tree"); a partial tile never does.
 * So the partial tiles together are the whole right edge, and the root follows from them.
 */
import { Frontier, foldRoots, rootOf } from "../merkle/frontier.ts"
import { type Hash, hashBytes } from "../merkle/hash.ts"
import { rightmost, type TilePlace, tileWidth } from "./paths.ts"

export type OnTile = (place: TilePlace, hashes: ReadonlyArray<Hash>) => void

export class TileTree {
  size = 0
  /** The partial tile of each level, possibly empty. */
  readonly levels: Array<Array<Hash>> = []

  /** Adds a leaf; calls `onTile` with every tile that it fills, the lowest first. */
  add(leaf: Hash, onTile: OnTile): void {
    this.size++
    let hash: Hash | undefined = leaf
    for (let level = 0; hash !== undefined; level++) hash = this.push(level, hash, onTile)
  }

  /** Adds to a level; answers the hash of the tile that this filled. */
  push(level: number, hash: Hash, onTile: OnTile): Hash | undefined {
    const tile = (this.levels[level] ??= [])
    tile.push(hash)
    if (tile.length < tileWidth) return undefined
    onTile({ level, index: rightmost(level, this.size).full - 1, width: tileWidth }, tile)
    this.levels[level] = []
    return rootOf(tile)
  }

  /** The partial tiles that are not empty. */
  partials(onTile: OnTile): void {
    this.levels.forEach((tile, level) => {
      if (tile.length > 0) onTile({ level, index: rightmost(level, this.size).full, width: tile.length }, tile)
    })
  }

  root(): Hash {
    const roots: Array<Hash> = []
    for (const tile of [...this.levels].reverse()) {
      const frontier = new Frontier()
      for (const hash of tile) frontier.add(hash)
      roots.push(...frontier.roots)
    }
    return foldRoots(roots)
  }
}

export const encodeTile = (hashes: ReadonlyArray<Hash>): Uint8Array => Buffer.concat(hashes)

/** The hashes of a tile as views; undefined when it is not `width` hashes long. */
export const decodeTile = (bytes: Uint8Array, width: number): ReadonlyArray<Hash> | undefined =>
  bytes.length === width * hashBytes
    ? Array.from({ length: width }, (_, i) => bytes.subarray(i * hashBytes, (i + 1) * hashBytes))
    : undefined

/** The tree of `size` leaves from its stored partial tiles; undefined when one is missing or of another length. */
export const loadTree = (
  size: number,
  read: (place: TilePlace) => ReadonlyArray<Hash> | undefined,
): TileTree | undefined => {
  const tree = new TileTree()
  tree.size = size
  for (let level = 0; tileWidth ** level <= size; level++) {
    const { full, width } = rightmost(level, size)
    const tile = width === 0 ? [] : read({ level, index: full, width })
    if (tile === undefined) return undefined
    tree.levels.push([...tile])
  }
  return tree
}
