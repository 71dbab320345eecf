/** The verbs that look back: `links` and `image show`, now or at a moment. */

import { fail } from "../../../core/errors.ts"
import type { ImageRow, VersionRow } from "../../../core/projections/image-versions.ts"
import type { LinkRow } from "../../../core/projections/link-table.ts"
import type { LinkDiffAnswer } from "../../../core/runtime/site/links.ts"
import { asked, asOfText, type MomentOptions, momentOf, sayAsOf } from "../moment.ts"
import { bytes, type Column, count, print, printJson, table, time } from "../output.ts"
import { callOptions, withSite } from "../site.ts"
import { parseMoment } from "../time.ts"

const linkColumns: ReadonlyArray<Column<LinkRow>> = [
  { title: "CLIENT", value: (r) => r.client },
  { title: "MAC", value: (r) => r.mac },
  { title: "ADDRESS", value: (r) => r.address ?? "-" },
  { title: "SLOT", align: "right", value: (r) => String(r.slot) },
  { title: "IMAGE", value: (r) => `${r.image}@${r.version}` },
  { title: "LINK", value: (r) => (r.follows ? "follows" : "pinned") },
  { title: "OVERLAY", value: (r) => (r.superClient ? "super" : r.overlay) },
]

interface LinksOptions extends MomentOptions {
  readonly diff?: ReadonlyArray<string>
}

export const links = (options: LinksOptions): Promise<void> => {
  if (options.diff !== undefined) return diff(options, options.diff)
  const moment = momentOf(options)
  return withSite(options, false, async (site) => {
    if (asked(options)) {
      const { rows, ...asOf } = await site.call("links.at", moment, callOptions(options))
      sayAsOf(asOf)
      if (options.json) printJson(rows)
      else print(rows.length === 0 ? "no links then" : table(linkColumns, rows))
      return
    }
    const rows = await site.call("links", {}, callOptions(options))
    if (options.json) printJson(rows)
    else print(rows.length === 0 ? "no links; make one: imagelink client link CLIENT IMAGE" : table(linkColumns, rows))
  })
}

const diff = (options: LinksOptions, moments: ReadonlyArray<string>): Promise<void> => {
  const [from, to] = moments
  if (from === undefined || to === undefined || moments.length > 2 || asked(options))
    throw fail("USAGE", { why: "--diff takes two positions or times, and nothing else", see: "imagelink links --help" })
  const now = Date.now()
  const input = { from: parseMoment(from, now), to: parseMoment(to, now) }
  return withSite(options, false, async (site) => {
    const answer = await site.call("links.diff", input, callOptions(options))
    if (options.json) printJson(answer)
    else printDiff(answer)
  })
}

interface DiffRow {
  readonly mark: "+" | "-" | "~"
  readonly row: LinkRow
  readonly change: string
}

const diffColumns: ReadonlyArray<Column<DiffRow>> = [
  { title: "", value: (r) => r.mark },
  ...linkColumns.map(({ value, ...column }) => ({ ...column, value: (r: DiffRow) => value(r.row) })),
  { title: "WAS", value: (r) => r.change },
]

const printDiff = ({ from, to, added, removed, changed }: LinkDiffAnswer): void => {
  print(`from ${asOfText(from)}`)
  print(`to   ${asOfText(to)}`)
  const rows: ReadonlyArray<DiffRow> = [
    ...removed.map((row) => ({ mark: "-", row, change: "" }) as const),
    ...added.map((row) => ({ mark: "+", row, change: "" }) as const),
    ...changed.map(({ from: was, to: row, fields }) => {
      const change = fields.map((field) => `${field} ${was[field] ?? "none"}`).join(", ")
      return { mark: "~", row, change } as const
    }),
  ]
  if (rows.length > 0) print(table(diffColumns, rows))
  print(`${added.length} added, ${removed.length} removed, ${changed.length} changed`)
}

interface ShownVersion extends VersionRow {
  readonly current: boolean
  readonly users: ReadonlyArray<LinkRow>
}

const USERS_SHOWN = 4

const usersText = (users: ReadonlyArray<LinkRow>): string => {
  const shown = users.slice(0, USERS_SHOWN).map((u) => (u.slot === 0 ? u.client : `${u.client}/${u.slot}`))
  const more = users.length - shown.length
  return shown.length === 0 ? "-" : shown.join(", ") + (more > 0 ? ` and ${more} more` : "")
}

const checkedText = ({ retired, checked, checkedAt }: VersionRow): string => {
  if (retired) return "retired"
  return checkedAt === null ? checked : `${checked} ${time(checkedAt)}`
}

const versionColumns: ReadonlyArray<Column<ShownVersion>> = [
  { title: "VERSION", align: "right", value: (v) => `${v.current ? "* " : ""}@${v.number}` },
  { title: "PARENT", align: "right", value: (v) => (v.parent === null ? "-" : `@${v.parent}`) },
  { title: "MADE", value: (v) => time(v.at) },
  { title: "SIZE", align: "right", value: (v) => bytes(Number(v.sizeBytes)) },
  { title: "FORMAT", value: (v) => v.format },
  { title: "ADDS", align: "right", value: (v) => (v.layer === null ? "-" : bytes(Number(v.layer.dataBytes))) },
  { title: "CHECKED", value: checkedText },
  { title: "USED BY", value: (v) => usersText(v.users) },
  { title: "NOTE", value: (v) => v.note ?? "-" },
]

/** Only where something was flattened. */
const flattenedColumn: Column<ShownVersion> = {
  title: "FLATTENED",
  value: (v) => (v.flattened === null ? "-" : v.over === null ? "whole" : `over @${v.over}`),
}

const stateText = ({ current, draftBytes, tier }: ImageRow): string => {
  if (draftBytes !== null) return `${bytes(Number(draftBytes))}, not sealed yet`
  const share = tier.share === undefined ? "" : `, ${tier.share} % of what is read`
  const where = tier.kind === "file" ? "" : `, in ${tier.kind}${tier.hot ? ` (hot zone${share})` : ""}`
  return `current @${current}${where}`
}

export const showImage = (options: MomentOptions, name: string): Promise<void> => {
  const moment = momentOf(options)
  return withSite(options, false, async (site) => {
    const answer = await site.call("image.show", { name, ...moment }, callOptions(options))
    if (asked(options)) sayAsOf(answer)
    if (options.json) return printJson(answer)
    const { image, users } = answer
    print(`${image.name}  ${stateText(image)}, ${count(image.links, "link")}, id ${image.id}`)
    if (image.superClient) print(`super client: ${image.superClient.name} slot ${image.superClient.slot}`)
    const of = (version: number) => users.find((u) => u.version === version)?.links ?? []
    const rows = image.versions.map((v) => ({ ...v, current: v.number === image.current, users: of(v.number) }))
    const isFlattened = rows.some((v) => v.flattened !== null)
    print(table(isFlattened ? [...versionColumns, flattenedColumn] : versionColumns, rows))
  })
}
