/**
 * A site whose long work survives its server: what is asked of it is noted while it runs, and what an earlier server left is asked again.
 *
 *     call ─► noted (job-journal.ts) ─► done, failed or cancelled ─► struck out
 *                    └─ the server ends meanwhile: still noted ─► resume(), at the next start
 */
import { isImagelinkError } from "../errors.ts"
import { isResumable, type JobJournal, type JournalEntry } from "./job-journal.ts"
import type { Parts } from "./parts.ts"
import type { Site } from "./site.ts"

export interface ResumingSite extends Site {
  /** Goes on with what was left; settles when all of that has ended. */
  resume(report: (level: "info" | "error", text: string) => void): Promise<void>
}

/** `ending`: aborted as soon as the server begins to stop, before it cancels what runs. */
export const makeResumingSite = (
  site: Site,
  journal: JobJournal,
  { newId, now }: Pick<Parts, "newId" | "now">,
  ending: AbortSignal,
): ResumingSite => {
  const struckOut = async <A>(id: string, work: () => Promise<A>): Promise<A> => {
    try {
      return await work()
    } finally {
      if (!ending.aborted) await journal.end(id)
    }
  }

  const call: Site["call"] = async (name, input, options) => {
    if (!isResumable(name) || options.dryRun) return site.call(name, input, options)
    const { commandId: id = newId(), actor, expectedPosition } = options
    const noted = {
      id,
      operation: name,
      input,
      actor,
      at: now(),
      ...(expectedPosition === undefined ? {} : { expectedPosition }),
    }
    await journal.begin(noted as JournalEntry)
    return struckOut(id, () => site.call(name, input, { ...options, commandId: id }))
  }

  const resumeOne = async (
    entry: JournalEntry,
    report: (level: "info" | "error", text: string) => void,
  ): Promise<void> => {
    const { id, operation, input, actor, at, expectedPosition } = entry
    const what = `${operation}, which ${actor.name} asked for at ${new Date(at).toISOString()}`
    report("info", `goes on with ${what}`)
    const options = { actor, commandId: id, ...(expectedPosition === undefined ? {} : { expectedPosition }) }
    try {
      await struckOut(id, () => site.call(operation, input, options))
      report("info", `done: ${what}`)
    } catch (e) {
      if (!ending.aborted) report("error", `${what}: ${said(e)}`)
    }
  }

  return {
    via: site.via,
    call,
    close: () => site.close(),
    async resume(report) {
      const left = await journal.left((file) => report("error", `${file} is damaged: what it was about does not go on`))
      await Promise.all(left.map((entry) => resumeOne(entry, report)))
    },
  }
}

const said = (e: unknown): string =>
  isImagelinkError(e) ? `${e.message} [${e.code}]; ${e.reason}; fix: ${e.fix}` : String(e)
