/**
 * The folder `<data>/tlog/`: tiles, entry bundles and the checkpoint, each written whole or not at all.
 *
 *     temporary file ─► synced ─► renamed ─► (before the checkpoint) every folder written to is synced
 *
 * **Details** Several files are under way at a time, so that a whole log is not one wait for the disk after the other. A partial tile
 * goes once its full one is there ("Partial Tiles"), and whoever still wants it reads the first hashes of the full one.
 */
import { readdirSync, readFileSync } from "node:fs"
import { mkdir, open, rename, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import type { Hash } from "../merkle/hash.ts"
import { decodeBundle } from "./bundle.ts"
import { entriesUpTo, type TilePlace, tileFolder, tilePath, tileWidth } from "./paths.ts"
import { decodeTile } from "./tile-tree.ts"

const writesAtOnceMax = 16

export class TlogFiles {
  readonly folder: string
  readonly writing = new Set<Promise<void>>()
  readonly dirty = new Set<string>()
  failed: { readonly error: unknown } | undefined

  constructor(dataDir: string) {
    this.folder = join(dataDir, "tlog")
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  read(name: string): Buffer | undefined {
    try {
      return readFileSync(this.path(name))
    } catch (e) {
      if (isMissing(e)) return undefined
      throw e
    }
  }

  /** A tile's hashes, from its own file or the beginning of the full one; undefined when neither has them. */
  tile(place: TilePlace): ReadonlyArray<Hash> | undefined {
    const own = this.read(tilePath(place))
    if (own !== undefined || place.width === tileWidth) return own && decodeTile(own, place.width)
    const full = this.read(tilePath({ ...place, width: tileWidth }))
    return full && decodeTile(full, tileWidth)?.slice(0, place.width)
  }

  /** The entries of a bundle, in the same way. */
  bundle(index: number, width: number): ReadonlyArray<Uint8Array> | undefined {
    const own = this.read(tilePath({ level: "entries", index, width }))
    const bytes = own ?? this.read(tilePath({ level: "entries", index, width: tileWidth }))
    const entries = bytes && decodeBundle(bytes)
    if (entries === undefined || (own !== undefined && entries.length !== width)) return undefined
    return entries.length < width ? undefined : entries.slice(0, width)
  }

  /** How many entries the tiles of level 0 speak of. */
  extent(): number {
    try {
      const names = readdirSync(this.path(tileFolder(0)), { recursive: true, encoding: "utf8" })
      return names.reduce((most, name) => Math.max(most, entriesUpTo(name) ?? 0), 0)
    } catch (e) {
      if (isMissing(e)) return 0
      throw e
    }
  }

  /** Begins to write a file; `flush` says whether that went well. */
  async put(name: string, bytes: Uint8Array): Promise<void> {
    while (this.writing.size >= writesAtOnceMax) await Promise.race(this.writing)
    const one = this.write(name, bytes)
      .catch((error: unknown) => void (this.failed ??= { error }))
      .finally(() => this.writing.delete(one))
    this.writing.add(one)
  }

  /** Waits until everything that was put is on disk. */
  async flush(): Promise<void> {
    await Promise.all(this.writing)
    const { failed } = this
    this.failed = undefined
    if (failed !== undefined) throw failed.error
    const folders = [...this.dirty]
    this.dirty.clear()
    await Promise.all(folders.map(syncFolder))
  }

  /** Forgets what was under way, after something else failed. */
  async abandon(): Promise<void> {
    await Promise.all(this.writing)
    this.failed = undefined
  }

  async removePartials(place: TilePlace): Promise<void> {
    await rm(`${this.path(tilePath(place))}.p`, { recursive: true, force: true })
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    const path = this.path(name)
    const temporary = `${path}.new`
    await mkdir(dirname(path), { recursive: true })
    const file = await open(temporary, "w")
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    // a folder that was just made is an entry of the one above it
    for (let at = dirname(path); at.length >= this.folder.length; at = dirname(at)) this.dirty.add(at)
    this.dirty.add(dirname(this.folder))
  }
}

const isMissing = (e: unknown): boolean => {
  const { code } = e as NodeJS.ErrnoException
  return code === "ENOENT" || code === "ENOTDIR"
}

const syncFolder = async (path: string): Promise<void> => {
  const folder = await open(path, "r")
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
