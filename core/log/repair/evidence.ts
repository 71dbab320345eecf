/**
 * What the published log beside the store says about the events: its checkpoint, the hashes in its tiles, and the entries in its bundles,
 * which are a second copy of every published event.
 */
import { readdirSync } from "node:fs"
import { type Hash, leafHash, sameHash } from "../merkle/hash.ts"
import type { TreeHead } from "../merkle/verify.ts"
import { decodeBundle } from "../tiles/bundle.ts"
import { openCheckpoint } from "../tiles/checkpoint.ts"
import type { TlogFiles } from "../tiles/files.ts"
import type { NoteKey } from "../tiles/note.ts"
import { entriesUpTo, tileFolder, tileWidth } from "../tiles/paths.ts"
import { decodeTile } from "../tiles/tile-tree.ts"
import { positionOf } from "./fields.ts"

export interface Evidence {
  /** The checkpoint whose signature is right. */
  readonly checkpoint: TreeHead | undefined
  /** Why the file `checkpoint` does not count; undefined when it counts or is not there. */
  readonly refused: string | undefined
  /** How many entries checkpoint and tiles speak of. */
  readonly extent: number
  /** What the bundles hold for a position. */
  entries(position: number): ReadonlyArray<Uint8Array>
  /** What the tiles hold for a position. */
  hashes(position: number): ReadonlyArray<Hash>
}

/** Reads `tlog/`; a checkpoint counts if this key signed it. */
export const readEvidence = (files: TlogFiles, key: NoteKey): Evidence => {
  const note = files.read("checkpoint")?.toString("utf8")
  const opened = note === undefined ? undefined : openCheckpoint(note, key)
  const checkpoint = opened === undefined || "refused" in opened ? undefined : opened
  const refused = opened !== undefined && "refused" in opened ? opened.refused : undefined
  const entries = readAll(files, "entries", decodeBundle)
  const hashes = readAll(files, 0, (bytes) => decodeTile(bytes, Math.floor(bytes.length / 32)))
  return {
    checkpoint,
    refused,
    extent: Math.max(checkpoint?.size ?? 0, files.extent()),
    entries: (position) => entries.at(position).filter((entry) => positionOf(entry) === position),
    hashes: (position) => hashes.at(position),
  }
}

type Decode = (bytes: Uint8Array) => ReadonlyArray<Uint8Array> | undefined

/** What the files of a level hold, the full ones and the partial ones; taken apart when they are asked for, one tile at a time. */
class Tiles {
  readonly files: Map<number, Array<Uint8Array>>
  readonly decode: Decode
  index = -1
  open: ReadonlyArray<ReadonlyArray<Uint8Array>> = []

  constructor(files: Map<number, Array<Uint8Array>>, decode: Decode) {
    this.files = files
    this.decode = decode
  }

  at(position: number): ReadonlyArray<Uint8Array> {
    const index = Math.floor((position - 1) / tileWidth)
    if (index !== this.index) {
      this.index = index
      this.open = (this.files.get(index) ?? []).flatMap((bytes) => {
        const decoded = this.decode(bytes)
        return decoded === undefined ? [] : [decoded]
      })
    }
    return this.open.flatMap((tile) => tile[(position - 1) % tileWidth] ?? [])
  }
}

const readAll = (files: TlogFiles, level: 0 | "entries", decode: Decode): Tiles => {
  const found = new Map<number, Array<Uint8Array>>()
  for (const name of namesUnder(files.path(tileFolder(level)))) {
    const upTo = entriesUpTo(name)
    const bytes = upTo === undefined ? undefined : readFile(files, `${tileFolder(level)}/${name}`)
    if (upTo === undefined || bytes === undefined) continue
    const index = Math.ceil(upTo / tileWidth) - 1
    found.set(index, [...(found.get(index) ?? []), bytes])
  }
  return new Tiles(found, decode)
}

/** Its content, where it is a file: a full tile's path is also the beginning of a folder's. */
const readFile = (files: TlogFiles, name: string): Buffer | undefined => {
  try {
    return files.read(name)
  } catch {
    return undefined
  }
}

const namesUnder = (folder: string): ReadonlyArray<string> => {
  try {
    return readdirSync(folder, { recursive: true, encoding: "utf8" }).sort()
  } catch {
    return []
  }
}

/** Whether a tile or a bundle says that this is the event at its position. */
export const isVouched = (evidence: Evidence, position: number, bytes: Uint8Array): boolean => {
  const leaf = leafHash(bytes)
  return evidence.hashes(position).some((hash) => sameHash(hash, leaf))
}
