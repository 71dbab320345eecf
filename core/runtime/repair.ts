/**
 * `imagelink repair`: looks at every file of a data folder that the log is in or was made from, and mends what the rest of it gives.
 *
 *     store, db, head, tlog   ─► core/log/repair: from the events, and from the entry bundles where the events are gone
 *     projections/            ─► removed where they are wrong, and folded again from the events
 *     sidecars/               ─► named: they are made from images, which takes an image check
 *
 * **Details** Looking comes first and reads only; a dry run ends there. What is mended is looked at once more, through the log itself.
 */
import * as Effect from "effect/Effect"
import { initial } from "../domain/catalogue.ts"
import { evolve } from "../domain/evolve.ts"
import { type ImagelinkError, isImagelinkError } from "../errors.ts"
import type { MakeDatabase } from "../log/database.ts"
import { parse } from "../log/envelope.ts"
import type { Actor, Recorded } from "../log/event-log.ts"
import { commandOf } from "../log/repair/fields.ts"
import { counted, damagedPart, type Finding, lost, whole } from "../log/repair/finding.ts"
import { inspectStore } from "../log/repair/inspect-store.ts"
import { giveToOwner } from "../log/repair/owner.ts"
import type { Upcaster } from "../log/upcast.ts"
import { type Checkpoint, decodeCheckpoint } from "../projections/checkpoint-file.ts"
import { isMarkName } from "../projections/marks.ts"
import type { VolumeFolder } from "../storage/volume.ts"
import { checkpointFolder } from "./checkpoint-folder.ts"
import { loadTable } from "./image-check.ts"
import type { Site } from "./site.ts"
import { versionRef } from "./version-ref.ts"

export interface RepairOptions {
  /** The data folder. */
  readonly dir: string
  readonly database: MakeDatabase
  readonly upcaster: Upcaster
  readonly projections: VolumeFolder
  readonly sidecars: VolumeFolder
  readonly newId: () => string
  readonly actor: Actor
  readonly dryRun: boolean
  readonly acceptLoss: boolean
  /** Asked before anything is changed. @throws DATA_IN_USE */
  readonly refuseInUse: () => void
  /** The site of the mended folder. */
  readonly open: () => Promise<Site>
}

export interface RepairRow {
  readonly part: string
  /** `damaged` in a dry run only: it would be mended. */
  readonly state: "whole" | "damaged" | "mended" | "lost"
  readonly detail: string
  readonly remedy: string
}

/** @throws DATA_NOT_FOUND DATA_IN_USE STORE_NEWER NO_SPACE DATA_ACCESS_DENIED */
export const repair = async (options: RepairOptions): Promise<ReadonlyArray<RepairRow>> => {
  options.refuseInUse()
  const saved = await readSaved(options.projections)
  const known = saved.flatMap(({ checkpoint }) => (typeof checkpoint === "object" ? [checkpoint.storeId] : []))
  const { dir, database, acceptLoss } = options
  const store = inspectStore({ dir, database, acceptLoss, storeId: known[0] ?? options.newId() })
  const findings = [...store.findings]
  const lostEvents = findings.some((f) => f.part === "store/db" && f.state === "lost")
  if (store.site !== undefined && !lostEvents) {
    findings.push(judgeProjections(options, saved, store.site.storeId, store.events))
    findings.push(...(await judgeSidecars(options, store.events)))
  }
  if (options.dryRun) return findings.map(row)
  try {
    const rows = await mendAll(options, findings)
    const folded = rows.some((r) => r.state === "mended" && /^(store.db|projections)$/.test(r.part))
    return store.opens ? [...rows, await verified(options, folded)] : rows
  } finally {
    giveToOwner(dir)
  }
}

const row = ({ part, state, detail, remedy }: Finding): RepairRow => ({ part, state, detail, remedy })

const mendAll = async ({ refuseInUse }: RepairOptions, findings: ReadonlyArray<Finding>) => {
  const rows: Array<RepairRow> = []
  for (const finding of findings) {
    if (finding.mend !== undefined) {
      refuseInUse()
      await finding.mend()
    }
    rows.push(finding.mend === undefined ? row(finding) : { ...row(finding), state: "mended" })
  }
  return rows
}

/** What the log itself says afterwards; before, projections are folded again where that is needed. */
const verified = async ({ open, actor }: RepairOptions, foldAgain: boolean): Promise<RepairRow> => {
  const site = await open()
  try {
    if (foldAgain) await site.call("rebuild", {}, { actor })
    const { size, published, root } = await site.call("audit.verify", {}, { actor })
    const detail = `holds: ${counted(size, "event")}, ${published} published, root ${root}`
    return { part: "log", state: "whole", detail, remedy: "" }
  } catch (e) {
    if (!isImagelinkError(e)) throw e
    return { part: "log", state: "lost", detail: `${e.message}: ${e.reason}`, remedy: e.fix }
  } finally {
    await site.close()
  }
}

interface Saved {
  readonly name: string
  /** The checkpoint without its state, or why it is none. */
  readonly checkpoint: Omit<Checkpoint, "state"> | string
}

const readSaved = async (folder: VolumeFolder): Promise<ReadonlyArray<Saved>> => {
  const store = checkpointFolder(folder)
  const saved: Array<Saved> = []
  for (const name of await Effect.runPromise(store.list())) {
    const load = Effect.catch(store.load(name), (e: ImagelinkError) => Effect.succeed(e.reason))
    const loaded = await Effect.runPromise(load)
    if (loaded === undefined) continue
    const decoded = typeof loaded === "string" ? loaded : decodeCheckpoint(loaded)
    saved.push({ name, checkpoint: typeof decoded === "string" ? decoded : withoutState(decoded) })
  }
  return saved
}

/** Many states at once would be more than everything else together. */
const withoutState = ({ name, version, storeId, position, command, unknown }: Checkpoint): Saved["checkpoint"] => ({
  name,
  version,
  storeId,
  position,
  command,
  unknown,
})

const judgeProjections = (
  { projections }: RepairOptions,
  saved: ReadonlyArray<Saved>,
  storeId: string,
  events: ReadonlyArray<Uint8Array>,
): Finding => {
  const commandAt = (position: number): string | undefined =>
    position === 0 ? "" : events[position - 1] && commandOf(events[position - 1]!)
  const why = ({ name, checkpoint }: Saved): string | undefined => {
    if (typeof checkpoint === "string") return checkpoint
    const own = isMarkName(name) ? name.slice(0, name.lastIndexOf("-at-")) : name
    if (checkpoint.name !== own) return `it is of ${checkpoint.name}`
    if (checkpoint.storeId !== storeId) return "it is of another store"
    return commandAt(checkpoint.position) === checkpoint.command ? undefined : "the log has another history"
  }
  const bad = saved.flatMap((one) => (why(one) === undefined ? [] : [{ name: one.name, why: why(one) }]))
  if (bad.length === 0) return whole("projections", `${counted(saved.length, "checkpoint")}, each of this history`)
  const detail = bad.map((one) => `${one.name}: ${one.why}`).join("; ")
  return damagedPart("projections", detail, "removed, and folded again from the events", async () => {
    const store = checkpointFolder(projections)
    for (const { name } of bad) await Effect.runPromise(store.remove(name))
  })
}

/** Every checksum file that the log names, against the SHA-256 it recorded. */
const judgeSidecars = async (
  { sidecars, upcaster }: RepairOptions,
  events: ReadonlyArray<Uint8Array>,
): Promise<ReadonlyArray<Finding>> => {
  const part = "sidecars"
  try {
    const catalogue = initial()
    for (const bytes of events) evolve(catalogue, upcaster.upcast(parse(bytes) as Recorded))
    const refs = [...catalogue.images.values()].flatMap((image) =>
      image.versions.filter(({ retired }) => !retired).map(({ number }) => versionRef(catalogue, image.id, number)),
    )
    const bad: Array<Finding> = []
    for (const ref of refs) {
      const name = `${ref.imageName}@${ref.version.number}`
      await loadTable(sidecars, ref).catch((e: unknown) => {
        if (!isImagelinkError(e)) throw e
        const file = `${part}/${ref.version.check!.checksums.sidecar}`
        bad.push(lost(file, e.reason, `imagelink image check ${name} makes it again, if the image is unchanged`))
      })
    }
    const checked = refs.filter((ref) => ref.version.check !== null).length
    return bad.length > 0 ? bad : [whole(part, `${counted(checked, "file")}, as the log recorded them`)]
  } catch (e) {
    if (!isImagelinkError(e)) throw e
    return [lost(part, `not looked at: ${e.message}`, e.fix)]
  }
}
