/**
 * Holds every file of `tlog/` against the events, and says which are made again from them.
 *
 * **The log never signs two histories**, nor does its repair. With a checkpoint whose signature is right, the events were chosen so that
 * they give its root, and every other file follows from them. Without one, each event that tiles and bundles speak of must be vouched for by
 * one of the two; then the checkpoint alone was lost, and is signed again. Anything else is left as it is.
 */
import { existsSync, readdirSync, renameSync, rmSync } from "node:fs"
import { rootOf } from "../merkle/frontier.ts"
import { type Hash, leafHash, sameHash } from "../merkle/hash.ts"
import type { SiteKey } from "../site-key.ts"
import { encodeBundle } from "../tiles/bundle.ts"
import type { EventSource } from "../tiles/events.ts"
import type { TlogFiles } from "../tiles/files.ts"
import { entriesUpTo, rightmost, type TilePlace, tilePath, tileWidth } from "../tiles/paths.ts"
import { Publisher } from "../tiles/publisher.ts"
import { encodeTile } from "../tiles/tile-tree.ts"
import type { Evidence } from "./evidence.ts"
import { counted, damagedPart, type Finding, lost, ranges, whole } from "./finding.ts"

export interface TlogInspection {
  /** The data folder. */
  readonly dir: string
  readonly files: TlogFiles
  readonly evidence: Evidence
  readonly events: ReadonlyArray<Uint8Array>
  /** The log as it will be, for the publisher. */
  readonly log: EventSource
  readonly key: SiteKey | undefined
}

export const inspectTlog = (inspection: TlogInspection): ReadonlyArray<Finding> => {
  const { files, evidence, events } = inspection
  if (evidence.extent === 0 && !existsSync(files.path("checkpoint")))
    return [whole("tlog", "nothing is published; a server or 'imagelink audit checkpoint' does it")]
  const tree = wholeTree(events)
  const unknown = strangers(inspection, tree, evidence.checkpoint?.size ?? 0)
  if (unknown.length > 0) {
    const detail = `neither tile nor entry bundle has event ${ranges(unknown)} as the store has it`
    return [lost("tlog", `${detail}: another history may have been published`, keepAndCompare)]
  }
  const checkpoint = inspectCheckpoint(inspection, tree)
  return checkpoint.state === "lost" ? [checkpoint] : [inspectTiles(inspection, tree), checkpoint]
}

const keepAndCompare =
  "nothing is signed over it: compare with a backup and with the checkpoints and proofs that others kept"

/** All hashes of all levels; level 0 are the leaves. */
type Tree = ReadonlyArray<ReadonlyArray<Hash>>

const wholeTree = (events: ReadonlyArray<Uint8Array>): Tree => {
  const levels: Array<ReadonlyArray<Hash>> = [events.map((bytes) => leafHash(bytes))]
  for (let below = levels[0]!; below.length >= tileWidth; below = levels.at(-1)!) {
    const { full } = rightmost(0, below.length)
    levels.push(Array.from({ length: full }, (_, i) => rootOf(below.slice(i * tileWidth, (i + 1) * tileWidth))))
  }
  return levels
}

/** Published positions after `from` that are there, and neither tile nor bundle has as the store does. */
const strangers = ({ evidence, events }: TlogInspection, tree: Tree, from: number): ReadonlyArray<number> => {
  const out: Array<number> = []
  for (let p = from + 1; p <= Math.min(evidence.extent, events.length); p++) {
    const [hashes, entries] = [evidence.hashes(p), evidence.entries(p)]
    if (hashes.length + entries.length === 0) continue
    const vouched =
      hashes.some((hash) => sameHash(hash, tree[0]![p - 1]!)) ||
      entries.some((entry) => Buffer.compare(entry, events[p - 1]!) === 0)
    if (!vouched) out.push(p)
  }
  return out
}

/** The bytes that a file must have; undefined for one that this tree does not have. */
const expected = ({ events }: TlogInspection, tree: Tree, { level, index, width }: TilePlace) => {
  const [from, to] = [index * tileWidth, index * tileWidth + width]
  if (level === "entries") return to > events.length ? undefined : encodeBundle(events.slice(from, to))
  const hashes = tree[level] ?? []
  return to > hashes.length ? undefined : encodeTile(hashes.slice(from, to))
}

const inspectTiles = (inspection: TlogInspection, tree: Tree): Finding => {
  const { files, evidence } = inspection
  const size = evidence.checkpoint?.size ?? 0
  const wrong = new Map<string, Uint8Array>()
  const there = placesIn(files)
  for (const place of [...there, ...needed(size)]) {
    const bytes = expected(inspection, tree, place)
    if (bytes !== undefined && !has(files, place, bytes)) wrong.set(tilePath(place), bytes)
  }
  if (wrong.size === 0) return whole("tlog/tile", `${counted(there.length, "file")}, each as the events have it`)
  const names = [...wrong.keys()]
  const list = names.length > 5 ? `${names.slice(0, 5).join(", ")}, …` : names.join(", ")
  const detail = `${counted(names.length, "file")} missing or damaged: ${list}`
  return damagedPart("tlog/tile", detail, "made again from the events", async () => {
    for (const [name, bytes] of wrong) {
      rmSync(files.path(name), { recursive: true, force: true })
      await files.put(name, bytes)
    }
    await files.flush()
  })
}

/** Whether a file has these bytes; a partial one may be gone, when its full one begins with them. */
const has = (files: TlogFiles, place: TilePlace, bytes: Uint8Array): boolean => {
  const own = read(files, tilePath(place))
  if (own !== undefined || place.width === tileWidth) return own?.equals(bytes) ?? false
  const full = read(files, tilePath({ ...place, width: tileWidth }))
  return full?.subarray(0, bytes.length).equals(bytes) ?? false
}

const read = (files: TlogFiles, name: string): Buffer | undefined => {
  try {
    return files.read(name)
  } catch {
    return undefined
  }
}

/** Where the tiles are that exist. */
const placesIn = (files: TlogFiles): ReadonlyArray<TilePlace> =>
  namesUnder(files.path("tile")).flatMap((name) => {
    const [, folder = "", rest = ""] = /^(\d+|entries)\/(.*)$/.exec(name) ?? []
    const upTo = entriesUpTo(rest)
    if (upTo === undefined) return []
    const index = Math.ceil(upTo / tileWidth) - 1
    return [{ level: folder === "entries" ? folder : Number(folder), index, width: upTo - index * tileWidth }]
  })

const namesUnder = (folder: string): ReadonlyArray<string> => {
  try {
    const found = readdirSync(folder, { recursive: true, withFileTypes: true })
    return found.filter((f) => f.isFile()).map((f) => `${f.parentPath}/${f.name}`.slice(folder.length + 1))
  } catch {
    return []
  }
}

/** What a tree of this size is published as. */
const needed = (size: number): ReadonlyArray<TilePlace> => {
  const places: Array<TilePlace> = []
  for (let level = 0; tileWidth ** level <= size; level++) {
    const { full, width } = rightmost(level, size)
    for (let index = 0; index < full; index++) places.push({ level, index, width: tileWidth })
    if (width > 0) places.push({ level, index: full, width })
  }
  return [...places, ...places.filter((p) => p.level === 0).map((p) => ({ ...p, level: "entries" as const }))]
}

const inspectCheckpoint = (inspection: TlogInspection, tree: Tree): Finding => {
  const { dir, files, evidence, log, key } = inspection
  const part = "tlog/checkpoint"
  if (evidence.checkpoint !== undefined)
    return whole(part, `signed over ${counted(evidence.checkpoint.size, "event")}, which give its root`)
  const detail = evidence.refused ?? "it is missing"
  if (key === undefined) return lost(part, detail, "it is signed again once site.key is back")
  if (evidence.refused !== undefined && evidence.extent === 0 && !saysRoot(files, tree))
    return lost(part, `${detail}; no tile says what it was`, keepAndCompare)
  return damagedPart(part, detail, "signed again with the same key, over the same events", async () => {
    if (evidence.refused !== undefined) renameSync(files.path("checkpoint"), freeName(files.path("checkpoint.damaged")))
    await new Publisher({ dir, log, key: () => key }).publish()
  })
}

/** Whether the text of a checkpoint that does not verify still says the root of these events. */
const saysRoot = (files: TlogFiles, tree: Tree): boolean => {
  const [, size = "", root = ""] = (files.read("checkpoint")?.toString("utf8") ?? "").split("\n")
  const leaves = tree[0]!
  const n = /^\d{1,15}$/.test(size) ? Number(size) : Number.POSITIVE_INFINITY
  return n <= leaves.length && Buffer.from(rootOf(leaves.slice(0, n))).toString("base64") === root
}

const freeName = (path: string): string => {
  let n = 1
  while (existsSync(`${path}-${n}`)) n++
  return `${path}-${n}`
}
