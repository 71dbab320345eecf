/** The reading verbs: history, rebuild, jobs. */
import { fail } from "../../../core/errors.ts"
import type { JobInfo } from "../../../core/jobs.ts"
import type { HistoryLine } from "../../../core/projections/client-history.ts"
import type { CommonOptions } from "../options.ts"
import { type Column, print, printJson, table, time } from "../output.ts"
import { callOptions, withSite } from "../site.ts"
import { parseSince } from "../time.ts"

/** `PC-001/1`, `group:lab-2`, or the image. */
const ofText = ({ client, slot, group, image }: HistoryLine): string => {
  if (client !== null) return `${client}${slot ? `/${slot}` : ""}`
  return group === null ? (image ?? "-") : `group:${group}`
}

const historyColumns: ReadonlyArray<Column<HistoryLine>> = [
  { title: "POSITION", align: "right", value: (r) => String(r.position) },
  { title: "WHEN", value: (r) => time(r.at) },
  { title: "WHO", value: (r) => `${r.actor.kind}:${r.actor.name}` },
  { title: "WHAT", value: (r) => r.what },
  { title: "OF", value: ofText },
  { title: "FROM", value: (r) => r.from ?? "-" },
  { title: "TO", value: (r) => r.to ?? "-" },
  { title: "COMMAND", value: (r) => r.command },
]

interface HistoryOptions extends CommonOptions {
  readonly client?: string
  readonly image?: string
  readonly group?: string
  readonly since?: string
  readonly until?: string
}

export const history = (options: HistoryOptions): Promise<void> =>
  withSite(options, false, async (site) => {
    const input = {
      ...(options.client === undefined ? {} : { client: options.client }),
      ...(options.image === undefined ? {} : { image: options.image }),
      ...(options.group === undefined ? {} : { group: options.group }),
      ...(options.since === undefined ? {} : { since: parseSince(options.since, Date.now()) }),
      ...(options.until === undefined ? {} : { until: parseSince(options.until, Date.now()) }),
    }
    const rows: Array<HistoryLine> = []
    const onItem = (row: HistoryLine) => (options.json ? printJson(row) : void rows.push(row))
    await site.call("history", input, { ...callOptions(options), onItem })
    if (!options.json) print(rows.length === 0 ? "nothing recorded" : table(historyColumns, rows))
  })

export const rebuild = (options: CommonOptions & { check?: boolean }): Promise<void> => {
  return withSite(options, false, async (site) => {
    if (!options.check) {
      const rebuilt = await site.call("rebuild", {}, callOptions(options))
      if (options.json) printJson(rebuilt)
      else for (const p of rebuilt) print(`${p.name.padEnd(16)} rebuilt at position ${p.position}`)
      return
    }
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
