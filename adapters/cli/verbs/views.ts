/** The reading verbs: links, history, log, rebuild. */
import { fail } from "../../../core/errors.ts"
import type { JobInfo } from "../../../core/jobs.ts"
import type { HistoryLine } from "../../../core/projections/client-history.ts"
import type { LinkRow } from "../../../core/projections/link-table.ts"
import { eventText } from "../event-text.ts"
import type { CommonOptions } from "../options.ts"
import { type Column, print, printJson, table, time } from "../output.ts"
import { callOptions, withSite } from "../site.ts"
import { parseSince } from "../time.ts"

const linkColumns: ReadonlyArray<Column<LinkRow>> = [
  { title: "CLIENT", value: (r) => r.client },
  { title: "MAC", value: (r) => r.mac },
  { title: "ADDRESS", value: (r) => r.address ?? "-" },
  { title: "SLOT", align: "right", value: (r) => String(r.slot) },
  { title: "IMAGE", value: (r) => `${r.image}@${r.version}` },
  { title: "LINK", value: (r) => (r.follows ? "follows" : "pinned") },
  { title: "OVERLAY", value: (r) => r.overlay },
]

export const links = (options: CommonOptions): Promise<void> =>
  withSite(options, false, async (site) => {
    const rows = await site.call("links", {}, callOptions(options))
    if (options.json) printJson(rows)
    else print(rows.length === 0 ? "no links; make one: imagelink client link CLIENT IMAGE" : table(linkColumns, rows))
  })

const historyColumns: ReadonlyArray<Column<HistoryLine>> = [
  { title: "POSITION", align: "right", value: (r) => String(r.position) },
  { title: "WHEN", value: (r) => time(r.at) },
  { title: "WHO", value: (r) => `${r.actor.kind}:${r.actor.name}` },
  { title: "WHAT", value: (r) => r.what },
  { title: "OF", value: (r) => (r.client === null ? (r.image ?? "-") : `${r.client}${r.slot ? `/${r.slot}` : ""}`) },
  { title: "FROM", value: (r) => r.from ?? "-" },
  { title: "TO", value: (r) => r.to ?? "-" },
  { title: "COMMAND", value: (r) => r.command },
]

interface HistoryOptions extends CommonOptions {
  readonly client?: string
  readonly image?: string
  readonly since?: string
}

export const history = (options: HistoryOptions): Promise<void> =>
  withSite(options, false, async (site) => {
    const input = {
      ...(options.client === undefined ? {} : { client: options.client }),
      ...(options.image === undefined ? {} : { image: options.image }),
      ...(options.since === undefined ? {} : { since: parseSince(options.since, Date.now()) }),
    }
    const rows: Array<HistoryLine> = []
    const onItem = (row: HistoryLine) => (options.json ? printJson(row) : void rows.push(row))
    await site.call("history", input, { ...callOptions(options), onItem })
    if (!options.json) print(rows.length === 0 ? "nothing recorded" : table(historyColumns, rows))
  })

export const log = (options: CommonOptions & { after: string }): Promise<void> => {
  if (!/^\d+$/.test(options.after))
    throw fail("USAGE", { why: `--after is a position, not ${options.after}`, see: "imagelink log --help" })
  return withSite(options, false, async (site) => {
    const onItem = (line: string) => {
      if (options.json) return print(line)
      const e = JSON.parse(line)
      print(
        `${String(e.position).padStart(8)}  ${new Date(e.at).toISOString()}  ${e.actor.kind}:${e.actor.name}  ${eventText(e)}`,
      )
    }
    await site.call("log", { after: Number(options.after) }, { ...callOptions(options), onItem })
  })
}

export const rebuild = (options: CommonOptions & { check?: boolean }): Promise<void> => {
  if (!options.check)
    throw fail("USAGE", {
      why: "projections rebuild themselves when they must; say --check to compare",
      see: "imagelink rebuild --help",
    })
  return withSite(options, false, async (site) => {
    const result = await site.call("rebuild.check", {}, callOptions(options))
    const bad = result.filter((p) => !p.equal).map((p) => p.name)
    if (options.json) printJson(result)
    else
      for (const p of result) print(`${p.name.padEnd(16)} ${p.equal ? "equal" : "DIFFERENT"} at position ${p.position}`)
    if (bad.length > 0)
      throw fail("VERIFY_FAILED", {
        what: "rebuild --check",
        why: `these differ from their rebuild: ${bad.join(", ")}`,
      })
  })
}

const jobColumns: ReadonlyArray<Column<JobInfo>> = [
  { title: "JOB", value: (j) => j.id },
  { title: "STATE", value: (j) => j.state },
  { title: "STARTED", value: (j) => time(j.startedAt) },
  {
    title: "DONE",
    align: "right",
    value: (j) => (j.progress.total === 0 ? "-" : `${Math.floor((100 * j.progress.done) / j.progress.total)} %`),
  },
  { title: "WHAT", value: (j) => (j.error === undefined ? j.title : `${j.title}: ${j.error.message}`) },
]

export const jobs = (options: CommonOptions & { cancel?: string }): Promise<void> =>
  withSite(options, false, async (site) => {
    if (options.cancel !== undefined) {
      const { cancelled } = await site.call("job.cancel", { id: options.cancel }, callOptions(options))
      if (!cancelled) throw fail("USAGE", { why: `no job ${options.cancel} is running`, see: "imagelink jobs" })
    }
    const rows = await site.call("jobs", {}, callOptions(options))
    if (options.json) printJson(rows)
    else print(rows.length === 0 ? "no jobs" : table(jobColumns, rows))
  })
