/**
 * The log's part of a backup: its tiles, entry bundles, checkpoint and key, as the site publishes them, at one position.
 *
 * **Details** Only what came since the backup before is read and written. That one is gone on from where the site's own tiles prove that it is
 * this log's beginning, and where its files are there in their size; a backup that lost some is filled again from the first event. Full
 * tiles never change, so nothing that the manifest before names is written over with something else.
 */
import { statSync } from "node:fs"
import { join } from "node:path"
import { fail } from "../../errors.ts"
import { leafHash, sameHash } from "../../log/merkle/hash.ts"
import { treeRoot } from "../../log/merkle/prove.ts"
import type { TreeHead } from "../../log/merkle/verify.ts"
import { openCheckpoint } from "../../log/tiles/checkpoint.ts"
import { type EventSource, eachEvent } from "../../log/tiles/events.ts"
import { TlogFiles } from "../../log/tiles/files.ts"
import { verifierKey } from "../../log/tiles/note.ts"
import { tilePath, tileWidth } from "../../log/tiles/paths.ts"
import type { Published } from "../../log/tiles/publisher.ts"
import { tileHashes } from "../../log/tiles/tile-hashes.ts"
import { loadTree } from "../../log/tiles/tile-tree.ts"
import { placesOf, type TreeFile, TreeFiles } from "../../log/tiles/tree-files.ts"
import { type BackupFile, type Manifest, sha256 } from "./manifest.ts"

const logFolder = "tlog/"

export interface LogPartOptions {
  readonly dir: string
  readonly log: EventSource
  /** The site's own tiles. */
  readonly tiles: TlogFiles
  readonly published: Published
  readonly prior: Manifest | undefined
  readonly signal: AbortSignal
  readonly onProgress: (done: number, total: number) => void
}

export interface LogPart {
  readonly files: ReadonlyArray<BackupFile>
  /** Events that were read for it. */
  readonly events: number
  /** Paths that were written. */
  readonly written: ReadonlySet<string>
}

/** @throws BACKUP_REFUSED AUDIT_FAILED CANCELLED STORE_DAMAGED */
export const copyLog = async (options: LogPartOptions): Promise<LogPart> => {
  const { dir, log, published, prior, signal, onProgress } = options
  if (prior !== undefined) refuseOther(options, prior)
  const target = new TlogFiles(dir)
  const files = goOnFrom(dir, target, prior)
  const from = files.tree.size
  const made = new Map<string, BackupFile>()
  const put = async (filled: ReadonlyArray<TreeFile>) => {
    for (const { place, bytes } of filled) {
      const path = logFolder + tilePath(place)
      made.set(path, { path, sizeBytes: bytes.length, sha256: sha256(bytes) })
      await target.put(tilePath(place), bytes)
    }
  }
  try {
    await eachEvent(log, from, published.size, async (events) => {
      if (signal.aborted) throw fail("CANCELLED", { what: "the backup" })
      for (const { bytes } of events) await put(files.add(bytes))
      onProgress(files.tree.size - from, published.size - from)
    })
    if (published.size > from) await put(files.end())
    if (!sameHash(files.tree.root(), published.root)) throw differs(published)
    await target.put("key", Buffer.from(`${verifierKey(log.site)}\n`))
    await target.put("checkpoint", Buffer.from(published.note))
    await target.flush()
  } catch (e) {
    await target.abandon()
    throw e
  }
  const before = new Map(prior?.files.map((file) => [file.path, file]))
  const all = Array.from(placesOf(published.size), (place) => {
    const path = logFolder + tilePath(place)
    return made.get(path) ?? before.get(path)!
  })
  return { files: all, events: published.size - from, written: new Set(made.keys()) }
}

const differs = ({ size }: TreeHead) => {
  const why = `the ${size} events have another root than their checkpoint; 'imagelink audit verify' says from where on`
  return fail("AUDIT_FAILED", { why })
}

/** Refuses the backup of another site, and one that is not this log's beginning. */
const refuseOther = ({ dir, log, tiles, published }: LogPartOptions, prior: Manifest): void => {
  const refuse = (why: string) => fail("BACKUP_REFUSED", { dir, why })
  const old = openCheckpoint(prior.checkpoint, log.site)
  if ("refused" in old) {
    throw refuse(`it holds a backup of ${verifierKey(prior.site)}, and this site is ${verifierKey(log.site)}`)
  }
  if (old.size > published.size)
    throw refuse(`it has ${old.size} events of this site, and the log has only ${published.size}`)
  if (!sameHash(treeRoot(tileHashes(tiles, published.size), old.size), old.root))
    throw refuse(`its ${old.size} events are not the first of this log`)
}

/** The tree of the backup before, where its files are what it says; else an empty one. */
const goOnFrom = (dir: string, target: TlogFiles, prior: Manifest | undefined): TreeFiles => {
  const old = prior && openCheckpoint(prior.checkpoint, prior.site)
  if (old === undefined || "refused" in old) return new TreeFiles()
  const logFiles = prior!.files.filter(({ path }) => path.startsWith(logFolder))
  if (!logFiles.every((file) => isThere(dir, file))) return new TreeFiles()
  const tree = loadTree(old.size, (place) => target.tile(place))
  if (tree === undefined || !sameHash(tree.root(), old.root)) return new TreeFiles()
  const width = old.size % tileWidth
  const bundle = width === 0 ? [] : target.bundle(Math.floor(old.size / tileWidth), width)
  const leaves = tree.levels[0] ?? []
  if (bundle === undefined || !bundle.every((entry, i) => sameHash(leafHash(entry), leaves[i]!))) return new TreeFiles()
  return new TreeFiles(tree, bundle)
}

/** Whether a file that a manifest names is there, in its size. */
export const isThere = (dir: string, { path, sizeBytes }: BackupFile): boolean => {
  const stats = statSync(join(dir, path), { throwIfNoEntry: false })
  return stats?.isFile() === true && stats.size === sizeBytes
}
