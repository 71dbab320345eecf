/**
 * Looks at everything in a data folder that holds the log, reading only, and says what is whole, what can be mended and what is lost.
 *
 *     store.json, site.key ─► checkpoint's signature ─► database + entry bundles ─► the events ─► head, db/, tlog/ follow from them
 *
 * **Details** The findings are mended in their order: identity first, then the database, its head, and what is published. Nothing that was
 * acknowledged is given up unless `acceptLoss` says so, and never below what was published: that history is known to others.
 */
import { resolve } from "node:path"
import * as Effect from "effect/Effect"
import { fail, type ImagelinkError, isImagelinkError } from "../../errors.ts"
import type { MakeDatabase } from "../database.ts"
import type { SiteIdentity } from "../event-log.ts"
import { openHead, replaceHead } from "../head.ts"
import { type StorePaths, storeExists, storePaths } from "../store-files.ts"
import { TlogFiles } from "../tiles/files.ts"
import { type Chosen, choose } from "./choose.ts"
import { readEvidence } from "./evidence.ts"
import { commandOf } from "./fields.ts"
import { counted, damagedPart, type Finding, lost, ranges, whole } from "./finding.ts"
import { inspectIdentity } from "./identity.ts"
import { inspectTlog } from "./inspect-tlog.ts"
import { asideOf, finishSwap, isUnfinished, readableDatabase, rebuildDatabase } from "./rebuild-database.ts"
import { type Salvaged, salvage } from "./salvage.ts"

export interface InspectOptions {
  /** The data folder. */
  readonly dir: string
  readonly database: MakeDatabase
  /** The store's id, as far as it was noted down elsewhere; else a fresh one. */
  readonly storeId: string
  /** Go on without acknowledged events that are nowhere. */
  readonly acceptLoss: boolean
}

export interface StoreInspection {
  readonly findings: ReadonlyArray<Finding>
  /** Undefined when nothing says who the store is. */
  readonly site: SiteIdentity | undefined
  /** The events as they will be, in canonical bytes; event N at N - 1. */
  readonly events: ReadonlyArray<Uint8Array>
  /** Whether the store opens once everything is mended. */
  readonly opens: boolean
}

/** @throws DATA_NOT_FOUND STORE_NEWER */
export const inspectStore = (options: InspectOptions): StoreInspection => {
  const paths = storePaths(resolve(options.dir))
  if (!storeExists(options.dir)) throw fail("DATA_NOT_FOUND", { path: options.dir })
  const files = new TlogFiles(resolve(options.dir))
  const identity = inspectIdentity(paths, files, options.storeId)
  const { site, key } = identity
  // without it no signature can be checked, and nothing is mended that a checkpoint might contradict
  if (site === undefined) return { findings: identity.findings, site, events: [], opens: false }
  const evidence = readEvidence(files, site)
  const head = readHead(paths)
  const position = "damage" in head ? 0 : head.position
  const salvaged = salvage(readableDatabase(paths), position)
  const stored = salvaged.damage === undefined ? newestOf(salvaged) : 0
  const chosen = choose(salvaged, evidence, Math.max(position, stored))
  const events = chosen.events
  const loss = lossOf(chosen, head, salvaged, evidence.checkpoint !== undefined)
  // below what was published nothing is given up, nor where nobody knows what was
  const published = evidence.refused === undefined ? evidence.extent : Number.POSITIVE_INFINITY
  const givenUp =
    loss !== undefined && options.acceptLoss && chosen.contradiction === undefined && published <= events.length
  const database = inspectDatabase(options, paths, { head, salvaged, chosen }, givenUp ? undefined : loss, givenUp)
  const findings = [...identity.findings, database]
  if (database.state === "lost") return { findings, site, events, opens: false }
  findings.push(inspectHead(paths, head, events))
  const log = {
    site,
    head: () => events.length,
    pageBytes: (after: number, max: number) =>
      Effect.succeed(events.slice(after, after + max).map((bytes, i) => ({ position: after + 1 + i, bytes }))),
  }
  findings.push(...inspectTlog({ dir: resolve(options.dir), files, evidence, events, log, key }))
  return { findings, site, events, opens: key !== undefined }
}

type HeadRead = { readonly position: number; readonly command: string } | { readonly damage: string }

const readHead = (paths: StorePaths): HeadRead => {
  try {
    const head = openHead(paths.head, { write: false })
    head.close()
    return { position: head.position(), command: head.command() }
  } catch (e) {
    if (isImagelinkError(e)) return { damage: e.reason }
    throw e
  }
}

const newestOf = ({ events }: Salvaged): number => {
  let newest = 0
  for (const position of events.keys()) newest = Math.max(newest, position)
  return newest
}

/** What is missing of that which was acknowledged or published. */
const lossOf = (chosen: Chosen, head: HeadRead, { damage }: Salvaged, signed: boolean): string | undefined => {
  if (chosen.contradiction !== undefined) return chosen.contradiction
  if (chosen.lost.length > 0) {
    const has = chosen.lost.length === 1 ? "event" : "events"
    return `${has} ${ranges(chosen.lost)} cannot be read, and no entry bundle has what is missing`
  }
  if (damage === undefined || !("damage" in head) || signed) return undefined
  return `${counted(chosen.events.length, "event")} can be read, and neither head nor checkpoint says how many there were`
}

interface Known {
  readonly head: HeadRead
  readonly salvaged: Salvaged
  readonly chosen: Chosen
}

const inspectDatabase = (
  { database }: InspectOptions,
  paths: StorePaths,
  { head, salvaged, chosen }: Known,
  loss: string | undefined,
  givenUp: boolean,
): Finding => {
  const part = "store/db"
  const why = salvaged.damage && describe(salvaged.damage, paths)
  const { events, commands, fromBundles, withoutEntry } = chosen
  if (loss !== undefined) {
    const detail = why === undefined ? loss : `${why}; ${loss}`
    const remedy = `restore the store from a backup; events 1 to ${events.length} are whole`
    return lost(part, detail, remedy)
  }
  const wrong = [
    ...(why === undefined ? [] : [why]),
    ...(fromBundles === 0 ? [] : [`${counted(fromBundles, "event")} missing, or not as published`]),
    ...(withoutEntry === 0 ? [] : [`the index misses ${counted(withoutEntry, "command")}`]),
  ]
  if (wrong.length === 0 && !isUnfinished(paths)) return whole(part, counted(events.length, "event"))
  if (wrong.length === 0) {
    const detail = "an earlier repair was cut off"
    return damagedPart(part, detail, "what it made is put in its place, or cleared away", async () => finishSwap(paths))
  }
  const remedy = [
    `made again with ${counted(events.length, "event")}`,
    ...(fromBundles === 0 ? [] : [`${fromBundles} of them from the entry bundles`]),
    ...(givenUp ? ["events after them are given up, as --accept-loss said"] : []),
    ...("damage" in head && why !== undefined ? ["if there were newer ones, nothing knows of them"] : []),
    ...(withoutEntry === 0 ? [] : [`${counted(withoutEntry, "command")} can no longer be repeated by id`]),
    `the damaged one is kept as ${asideOf(paths).slice(paths.store.length + 1)}`,
  ].join("; ")
  return damagedPart(part, wrong.join("; "), remedy, () => rebuildDatabase(database, paths, events, commands))
}

/** `db/CURRENT: it is missing`, the store's folder left out. */
const describe = (e: ImagelinkError, { store }: StorePaths): string =>
  `${e.message.replace(/^[^:]*: /, "").replace(`${store}/`, "")}: ${e.reason}`

const inspectHead = (paths: StorePaths, head: HeadRead, events: ReadonlyArray<Uint8Array>): Finding => {
  const part = "store/head"
  const commandAt = (position: number) =>
    position === 0 ? "" : events[position - 1] && commandOf(events[position - 1]!)
  const wrong =
    "damage" in head
      ? head.damage
      : head.position > events.length
        ? `it says ${head.position}`
        : head.command !== commandAt(head.position)
          ? `the event at ${head.position} is of another command`
          : undefined
  if (wrong === undefined) return whole(part, "damage" in head ? "" : `acknowledged up to ${head.position}`)
  const newest = events.length
  return damagedPart(part, wrong, `made again at ${newest}`, async () =>
    replaceHead(paths.head, newest, commandAt(newest) ?? ""),
  )
}
