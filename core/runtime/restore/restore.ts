/**
 * Restores a backup: a new store with the same events, under a name and a key of its own.
 *
 *     verify the backup ─► target ─► new store ─► its events, byte for byte ─► the same root ─► LogRestored ─► published ─► in its place
 *
 * **The log never signs two histories.** What is restored may go on elsewhere, or have gone on: under the old key the two would be two histories
 * of one log. So every restore makes a new key and a new name, also of a backup that has the key in it, and the first event says which log this
 * was, up to which signed checkpoint. Everything that was proved by the old log stays provable by its own notes; events 1 to N are leaves
 * of both.
 *
 * **Details** Nothing is written before the backup was verified whole, and nothing is in its place before the restored one is whole.
 */
import { copyFileSync, existsSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type { Catalogue } from "../../domain/catalogue.ts"
import { schemaVersions } from "../../domain/event-versions.ts"
import type { EventData } from "../../domain/events.ts"
import { fail } from "../../errors.ts"
import type { Host } from "../../host.ts"
import type { Progress } from "../../jobs.ts"
import { createStore } from "../../log/create-store.ts"
import { type MakeDatabase, storeError } from "../../log/database.ts"
import type { Actor, EventLog } from "../../log/event-log.ts"
import { fillStore } from "../../log/fill-store.ts"
import { Frontier } from "../../log/merkle/frontier.ts"
import { leafHash, sameHash } from "../../log/merkle/hash.ts"
import type { TreeHead } from "../../log/merkle/verify.ts"
import { eachEvent } from "../../log/tiles/events.ts"
import { verifierKey } from "../../log/tiles/note.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import { copyWhole } from "../backup/copy-file.ts"
import { restoreHeat } from "../backup/heat-part.ts"
import { type Manifest, sha256 } from "../backup/manifest.ts"
import { lastingOverlays } from "../backup/overlays-left-out.ts"
import { restoreTokens } from "../backup/secrets-part.ts"
import { type VerifiedBackup, verifyBackup } from "../backup/verify-backup.ts"
import { makeLocalSite } from "../local-site.ts"
import type { Parts } from "../parts.ts"
import { copyImages, type RelocatedImages, relocateImages } from "./restore-images.ts"
import { copySealed, pointLayers, withoutFiles } from "./restore-sealed.ts"
import { checkedName, derivedName, randomBytes } from "./site-name.ts"
import { buildingFolder, discard, exchange, openTarget, type Target } from "./target.ts"

export interface RestoreOptions {
  readonly backup: string
  /** The data folder. */
  readonly data: string
  readonly force: boolean
  readonly site?: string
  readonly imagesTo?: string
  readonly dryRun: boolean
  readonly actor: Actor
  readonly signal: AbortSignal
  readonly onProgress: (p: Progress) => void
}

/** What a restore is done with. */
export interface RestoreParts {
  readonly now: () => number
  readonly newId: () => string
  readonly random: (bytes: number) => Uint8Array
  readonly database: MakeDatabase
  readonly host: Host
  /** Opens the store in a data folder. */
  readonly open: (dir: string) => Promise<{ readonly parts: Parts; readonly release: () => Promise<void> }>
}

export interface RestoreAnswer extends RelocatedImages {
  readonly data: string
  readonly dryRun: boolean
  /** The log that was backed up. */
  readonly from: { readonly origin: string; readonly key: string; readonly position: number; readonly root: string }
  /** The restored one; null in a dry run. */
  readonly to: {
    readonly origin: string
    readonly key: string
    readonly position: number
    readonly root: string
    readonly checkpoint: string
  } | null
  /** Where the data folder that was replaced is now. */
  readonly aside: string | null
}

/** @throws BACKUP_DAMAGED TARGET_NOT_EMPTY RESTORE_REFUSED DATA_IN_USE SITE_NAME_INVALID FILE_EXISTS CANCELLED NO_SPACE DATA_ACCESS_DENIED */
export const restore = async (parts: RestoreParts, options: RestoreOptions): Promise<RestoreAnswer> => {
  try {
    const verified = await verifyBackup(options.backup, options)
    const { site, position, root } = verified.manifest
    const target = openTarget(options.data, options.backup, options.force)
    const name =
      options.site === undefined
        ? derivedName(site.name, parts.random(randomBytes))
        : checkedName(target.dir, site.name, options.site)
    const from = { origin: site.name, key: verifierKey(site), position, root }
    const answer = { data: target.dir, dryRun: options.dryRun, from, to: null, aside: null, images: [], notes: [] }
    return options.dryRun ? answer : { ...answer, ...(await build(parts, options, verified, target, name)) }
  } catch (e) {
    throw storeError(e, options.data, parts.host)
  }
}

const build = async (
  parts: RestoreParts,
  options: RestoreOptions,
  verified: VerifiedBackup,
  target: Target,
  name: string,
): Promise<Pick<RestoreAnswer, "to" | "aside" | "images" | "notes">> => {
  const { imagesTo, signal, onProgress, force, backup } = options
  const id = Buffer.from(parts.random(4)).toString("hex")
  const building = buildingFolder(target, id)
  try {
    mkdirSync(building, { recursive: true })
    await copySidecars(backup, verified.manifest, building)
    await copySealed(backup, verified.manifest, building, { signal, onProgress })
    await restoreHeat(backup, verified.manifest, building)
    const tokens = await restoreTokens(backup, verified.manifest, building)
    const config = join(target.dir, "imagelink.toml")
    if (target.replaces && existsSync(config)) copyFileSync(config, join(building, "imagelink.toml"))
    await makeStore(parts, options, verified, building, name)
    if (imagesTo !== undefined) await copyImages(backup, verified.manifest, imagesTo, force, { signal, onProgress })
    const finished = await finish(parts, options, verified, building)
    if (signal.aborted) throw fail("CANCELLED", { what: "the restore" })
    const notes = tokens === 0 ? finished.notes : [...finished.notes, tokensNote(tokens)]
    return { ...finished, notes, aside: exchange(target, building, id) }
  } catch (e) {
    discard(building)
    throw e
  }
}

const tokensNote = (count: number): string =>
  `${count} API ${count === 1 ? "token" : "tokens"} of the backup may ask here too: imagelink token list`

const copySidecars = async (backup: string, { files }: Manifest, building: string): Promise<void> => {
  for (const { path, sha256: expected } of files) {
    if (!path.startsWith("sidecars/")) continue
    const copied = await copyWhole(join(backup, path), join(building, path))
    if (copied.sha256 !== expected) throw fail("BACKUP_DAMAGED", { dir: backup, why: `${path} changed meanwhile` })
  }
}

const makeStore = async (
  { now, random, database, host }: RestoreParts,
  { signal, onProgress }: RestoreOptions,
  { log }: VerifiedBackup,
  building: string,
  site: string,
): Promise<void> => {
  await Effect.runPromise(createStore(building, { site, now: now(), random, database, host }))
  const report = (done: number, total: number) => onProgress({ done, total, unit: "items", note: "events" })
  await fillStore(building, database, log, { signal, onProgress: report })
}

/** Opens the filled store: compares it with the backup, records whose log it was, relocates images, publishes. */
const finish = async (
  { open, newId, now }: RestoreParts,
  options: RestoreOptions,
  { manifest, checkpoint }: VerifiedBackup,
  building: string,
): Promise<Pick<RestoreAnswer, "to" | "images" | "notes">> => {
  const { parts, release } = await open(building)
  const site = makeLocalSite(parts, release)
  try {
    await refuseOtherRoot(parts.log, checkpoint, options.backup)
    await pointLayers(parts)
    await recordRestored(parts.log, manifest, { command: newId(), at: now(), actor: options.actor })
    const relocated: RelocatedImages =
      options.imagesTo === undefined
        ? { images: [], notes: [] }
        : await relocateImages(site, manifest, options.imagesTo, options)
    const catalogue = await parts.views.state(catalogueProjection)
    const lost = [...withoutFiles(catalogue, manifest), ...overlaysBegunAnew(catalogue)]
    const { note, size, root } = await (await parts.publisher()).publish()
    const base64 = Buffer.from(root).toString("base64")
    const { name } = parts.log.site
    const to = { origin: name, key: verifierKey(parts.log.site), position: size, root: base64, checkpoint: note }
    return { to, images: relocated.images, notes: [...relocated.notes, ...lost] }
  } finally {
    await site.close()
  }
}

const refuseOtherRoot = async (log: EventLog, { size, root }: TreeHead, dir: string): Promise<void> => {
  const tree = new Frontier()
  await eachEvent(log, 0, size, async (events) => {
    for (const { bytes } of events) tree.add(leafHash(bytes))
  })
  if (log.head() === size && sameHash(tree.root(), root)) return
  throw fail("BACKUP_DAMAGED", { dir, why: "its events changed while they were restored" })
}

const recordRestored = (
  log: EventLog,
  { site, position, root, checkpoint }: Manifest,
  command: { readonly command: string; readonly at: number; readonly actor: Actor },
): Promise<unknown> => {
  const data: EventData<"LogRestored"> = {
    origin: log.site.name,
    key: verifierKey(log.site),
    from: { origin: site.name, key: verifierKey(site), size: position, root, checkpoint },
  }
  const event = { type: "LogRestored", schemaVersion: schemaVersions.LogRestored, data }
  const fingerprint = sha256(Buffer.from(checkpoint))
  return Effect.runPromise(log.append({ ...command, fingerprint, expectedPosition: position, events: [event] }))
}

const wordsFor = { kept: "kept", super: "wrote as super client", aside: "wrote as super client and kept aside" }

/** Overlays are in no backup: who keeps its writes begins anew, and is named. */
const overlaysBegunAnew = (catalogue: Catalogue): ReadonlyArray<string> =>
  lastingOverlays(catalogue).map(
    ({ client, slot, on, of }) =>
      `${client} slot ${slot} begins anew over ${on}: what it ${wordsFor[of]} is in no backup`,
  )
