/**
 * The scrub: reads every version again, the one whose check is oldest first, at a bounded rate while clients are served.
 *
 *     look ─► oldest check due? ─► read it at the pace (read-version.ts) ─► ImageChecked, once, at its end ─► look
 *       └──────────── nothing due: wait
 *
 * **Details** One version at a time, as a job that `jobs` shows and `job cancel` ends. Where it is is kept every minute and at a stop, so that a
 * restart goes on from there. What one reading found is one event, also when it is what was known: the log then tells when every byte
 * was last seen to be right. A version that cannot be read whole is reported, and tried again a day later.
 *
 * **Another server's bytes** are not read: rot on its disks is its own to look for, and each reading would bring the whole image over the network. What a commit made here
 * on such an image is.
 */
import { isDeepStrictEqual } from "node:util"
import { fail, isImagelinkError } from "../../errors.ts"
import type { JobContext } from "../../jobs.ts"
import { limits } from "../../limits.ts"
import type { Actor } from "../../log/event-log.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import { imageVersions } from "../../projections/image-versions.ts"
import { loadTable } from "../image-check.ts"
import { makeChange } from "../operations/change.ts"
import type { Parts } from "../parts.ts"
import { baseRef, changed, mismatch, type VersionRef, versionRef } from "../version-ref.ts"
import { type Candidate, candidates } from "./choose.ts"
import { makePace, type Sleep } from "./pace.ts"
import { dropPosition, loadPosition, type Position, positionKey, savePosition } from "./position.ts"
import { isReadInPart, readVersion } from "./read-version.ts"

export interface ScrubOptions {
  readonly parts: Parts
  readonly actor: Actor
  /** 0: nothing is read. */
  readonly bytesPerSecond: number
  readonly everyDays: number
  /** Settles after that time, or at once when the signal aborts. */
  readonly sleep: Sleep
  readonly report: (level: "info" | "error", text: string) => void
}

export interface Scrub {
  start(): void
  /** Stops reading and keeps where it was. */
  close(): Promise<void>
}

const DAY = 86_400_000

export const makeScrub = ({ parts, actor, bytesPerSecond, everyDays, sleep, report }: ScrubOptions): Scrub => {
  const { data, now } = parts
  const change = makeChange(parts)
  const stop = new AbortController()
  const { signal } = stop
  const pace = makePace(bytesPerSecond, now, sleep)
  /** When a version that failed, or that was passed over, is looked at again; by its key. */
  const retryAt = new Map<string, number>()
  let running: Promise<void> | undefined

  const refOf = async ({ imageId, version }: Candidate): Promise<VersionRef> =>
    versionRef(await parts.views.state(catalogueProjection), imageId, version.number)

  const entryNow = async ({ imageId, version }: Candidate) =>
    (await parts.views.state(catalogueProjection)).images.get(imageId)?.versions[version.number - 1]

  const scrubOne = async (candidate: Candidate, position: Position, job: JobContext): Promise<void> => {
    const ref = await refOf(candidate)
    const table = await loadTable(parts.sidecars, ref)
    if (table === undefined) throw fail("IMAGE_UNVERIFIED", { image: ref.imageName, version: ref.version.number })
    let savedAt = now()
    const onStep = async () => {
      if (now() - savedAt < limits.scrubSaveMillis) return
      await savePosition(data, position)
      savedAt = now()
    }
    const listed = async () => (await entryNow(candidate))?.check?.mismatches.clusters ?? []
    await readVersion({ parts, ref, table, position, pace, onStep, listed, job })
    await record(candidate, ref, table, position)
  }

  const record = async (candidate: Candidate, ref: VersionRef, table: Uint32Array, { bad }: Position) => {
    const entry = await entryNow(candidate)
    const { checksums } = ref.version.check!
    if (entry !== undefined && !isDeepStrictEqual(entry.storage, ref.version.storage))
      throw changed(ref, "it was relocated while it was read")
    const { imageId, version } = candidate
    const result = bad.count === 0 ? "verified" : "mismatch"
    const body = { type: "RecordCheck", imageId, version: version.number, result, checksums, mismatches: bad } as const
    await change({ ...body, again: true }, { actor })
    parts.serving?.stacks.checked(ref, table)
    const name = `${ref.imageName}@${version.number}`
    const [first] = bad.clusters
    if (first === undefined) return report("info", `scrubbed ${name}: verified, ${table.length} clusters`)
    const { message, code, fix } = mismatch(ref, first)
    report(
      "error",
      `scrubbed ${name}: ${bad.count} of ${table.length} clusters are bad; ${message} [${code}]; fix: ${fix}`,
    )
  }

  const scrub = async (candidate: Candidate, saved: Position | undefined): Promise<void> => {
    const key = positionKey(candidate.imageId, candidate.version)
    const position = saved?.key === key ? saved : { key, next: 0, bad: { count: 0, clusters: [] } }
    const title = `scrub ${candidate.imageName}@${candidate.version.number}`
    try {
      await parts.jobs.run(title, (job) => scrubOne(candidate, position, job), { signal })
      await dropPosition(data)
    } catch (e) {
      if (signal.aborted) return savePosition(data, position)
      retryAt.set(key, now() + limits.scrubRetryMillis)
      await dropPosition(data)
      if (!isGone(e)) report("error", `${title}: ${said(e)}`)
    }
  }

  /** Whether reading it crosses no network. */
  const isHere = async (candidate: Candidate): Promise<boolean> => {
    const ref = await refOf(candidate)
    if (ref.below.length > 0 && isReadInPart(ref)) return true
    return parts.opener.isLocal(baseRef(ref).version.storage)
  }

  const passOver = ({ imageId, imageName, version }: Candidate): void => {
    retryAt.set(positionKey(imageId, version), now() + everyDays * DAY)
    const name = `${imageName}@${version.number}`
    report("info", `${name} is not scrubbed, because it is read from another server; image check reads all of it`)
  }

  /** The version that was left half read goes on, due or not; then what is due. */
  const next = async (saved: Position | undefined): Promise<Candidate | number> => {
    const { images } = await parts.views.state(imageVersions)
    const all = candidates(images.values(), everyDays * DAY)
    const left = saved && all.find(({ imageId, version }) => positionKey(imageId, version) === saved.key)
    if (left !== undefined) return left
    const at = ({ imageId, version, dueAt }: Candidate) =>
      Math.max(dueAt, retryAt.get(positionKey(imageId, version)) ?? Number.NEGATIVE_INFINITY)
    for (const candidate of all) {
      if (at(candidate) > now()) continue
      // One that cannot be told is read, and says then what is wrong.
      if (await isHere(candidate).catch(() => true)) return candidate
      passOver(candidate)
    }
    return Math.min(limits.scrubLookMillis, ...all.map((candidate) => at(candidate) - now()))
  }

  const run = async (): Promise<void> => {
    let saved = await loadPosition(data)
    while (!signal.aborted) {
      const found = await next(saved)
      if (typeof found === "number") await sleep(found, signal)
      else await scrub(found, saved)
      saved = undefined
    }
  }

  return {
    start() {
      if (bytesPerSecond === 0 || signal.aborted) return
      running ??= run().catch((e: unknown) => report("error", `nothing is scrubbed any more: ${said(e)}`))
    },
    async close() {
      stop.abort()
      await running
    },
  }
}

const said = (e: unknown): string =>
  isImagelinkError(e) ? `${e.message} [${e.code}]; ${e.reason}; fix: ${e.fix}` : String(e)

/** It was removed or retired while it was read. */
const isGone = (e: unknown): boolean =>
  isImagelinkError(e) && ["IMAGE_NOT_FOUND", "IMAGE_VERSION_NOT_FOUND", "IMAGE_VERSION_RETIRED"].includes(e.code)
