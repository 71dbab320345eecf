/** The reading verbs: links, history, log, rebuild. */
import { fail } from "../../../core/errors.ts"
import type { HistoryRow, LinkRow } from "../../../core/runtime/operations.ts"
import type { CommonOptions } from "../main.ts"
import { type Column, count, print, printJson, table } from "../output.ts"
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

const historyColumns: ReadonlyArray<Column<HistoryRow>> = [
  { title: "POSITION", align: "right", value: (r) => String(r.position) },
  { title: "WHEN", value: (r) => r.at.replace("T", " ").replace(/\.\d+Z$/, "Z") },
  { title: "WHO", value: (r) => r.actor },
  { title: "WHAT", value: (r) => r.type },
  { title: "CLIENT", value: (r) => (r.client === null ? "-" : `${r.client}${r.slot ? `/${r.slot}` : ""}`) },
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
    const rows: Array<HistoryRow> = []
    const onItem = (row: HistoryRow) => (options.json ? printJson(row) : void rows.push(row))
    await site.call("history", input, { ...callOptions(options), onItem })
    if (!options.json) print(rows.length === 0 ? "nothing recorded" : table(historyColumns, rows))
  })

export const log = (options: CommonOptions & { after: string }): Promise<void> => {
  if (!/^\d+$/.test(options.after)) throw fail("USAGE", { why: `--after is a position, not ${options.after}`, see: "imagelink log --help" })
  return withSite(options, false, async (site) => {
    const { describeEvent } = await import("../../../core/projections/describe.ts")
    const onItem = (line: string) => {
      if (options.json) return print(line)
      const e = JSON.parse(line)
      print(`${String(e.position).padStart(8)}  ${new Date(e.at).toISOString()}  ${e.actor.kind}:${e.actor.name}  ${describeEvent(e)}`)
    }
    await site.call("log", { after: Number(options.after) }, { ...callOptions(options), onItem })
  })
}

export const rebuild = (options: CommonOptions & { check?: boolean }): Promise<void> => {
  if (!options.check) throw fail("USAGE", { why: "projections rebuild themselves when they must; say --check to compare", see: "imagelink rebuild --help" })
  return withSite(options, false, async (site) => {
    const result = await site.call("rebuild.check", {}, callOptions(options))
    const bad = result.projections.filter((p) => !p.equal)
    if (options.json) printJson(result)
    else {
      for (const p of result.projections) print(`${p.name}: ${p.equal ? "equal" : "DIFFERENT"}`)
      print(`folded ${count(result.events, "event")}`)
    }
    if (bad.length > 0) throw fail("VERIFY_FAILED", { what: "rebuild --check", why: `these differ from their rebuild: ${bad.map((p) => p.name).join(", ")}` })
  })
}
