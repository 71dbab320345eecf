/**
 * Folds events into the files of a published tree: each full tile and entry bundle when it fills, the partial ones at the end.
 *
 * **Details** The same files that the publisher writes, for copies of a log: an archive and a backup. Files come in the order of the events
 * under them, a tile before its bundle, and a higher tile after the last below it.
 */
import { leafHash } from "../merkle/hash.ts"
import { encodeBundle } from "./bundle.ts"
import { type TilePlace, tileWidth } from "./paths.ts"
import { encodeTile, TileTree } from "./tile-tree.ts"

export interface TreeFile {
  readonly place: TilePlace
  readonly bytes: Uint8Array
}

export class TreeFiles {
  readonly tree: TileTree
  /** Entries of the partial bundle. */
  bundle: Array<Uint8Array>

  /** Goes on from a tree and the entries under its partial tile. */
  constructor(tree: TileTree = new TileTree(), bundle: ReadonlyArray<Uint8Array> = []) {
    this.tree = tree
    this.bundle = [...bundle]
  }

  /** Adds the next event; answers the files that it fills. */
  add(event: Uint8Array): ReadonlyArray<TreeFile> {
    const files: Array<TreeFile> = []
    this.bundle.push(event)
    this.tree.add(leafHash(event), (place, hashes) => files.push({ place, bytes: encodeTile(hashes) }))
    if (this.bundle.length < tileWidth) return files
    const place = { level: "entries", index: this.tree.size / tileWidth - 1, width: tileWidth } as const
    files.push({ place, bytes: encodeBundle(this.bundle) })
    this.bundle = []
    return files
  }

  /** The partial files, after the last event. */
  end(): ReadonlyArray<TreeFile> {
    const files: Array<TreeFile> = []
    this.tree.partials((place, hashes) => files.push({ place, bytes: encodeTile(hashes) }))
    const { length: width } = this.bundle
    const index = Math.floor(this.tree.size / tileWidth)
    if (width > 0) files.push({ place: { level: "entries", index, width }, bytes: encodeBundle(this.bundle) })
    return files
  }
}

/** Every place of the tree with `size` leaves. */
export const placesOf = function* (size: number): Generator<TilePlace> {
  for (let level = 0; tileWidth ** level <= size; level++) yield* row(level, size)
  yield* row("entries", size)
}

const row = function* (level: number | "entries", size: number): Generator<TilePlace> {
  const hashes = Math.floor(size / tileWidth ** (level === "entries" ? 0 : level))
  for (let index = 0; index * tileWidth < hashes; index++)
    yield { level, index, width: Math.min(tileWidth, hashes - index * tileWidth) }
}
