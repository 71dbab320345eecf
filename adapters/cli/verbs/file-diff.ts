/** Prints which files differ between two versions of an image. */
import type { FileDiffAnswer, PartitionDiff } from "../../../core/runtime/site/image-diff.ts"
import { bytes, type Column, print, table } from "../output.ts"

/** What a guest named, in one line and without a word to the terminal: a control or format character is shown as its code point. */
export const shownPath = (path: string): string =>
  path.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`)

const said = ({ outcome, why, totals, ...rest }: PartitionDiff): string => {
  if (outcome === "same") return "nothing was written to it"
  if (outcome === "unread") return `not known: ${shownPath(why ?? "")}`
  const { added, removed, changed } = totals
  const only = rest.in === "both" ? "" : `, only in the ${rest.in === "to" ? "later" : "earlier"} one named`
  return `${added} added, ${removed} removed, ${changed} changed${only}`
}

const systems = ({ fileSystem: { from, to } }: PartitionDiff): string =>
  from === to || from === null || to === null ? (to ?? from ?? "-") : `${from} → ${to}`

const partitionColumns: ReadonlyArray<Column<PartitionDiff>> = [
  { title: "PARTITION", align: "right", value: (p) => (p.number === 0 ? "disk" : String(p.number)) },
  { title: "OFFSET", align: "right", value: (p) => String(p.offset) },
  { title: "SIZE", align: "right", value: (p) => bytes(p.sizeBytes) },
  { title: "FILE SYSTEM", value: systems },
  { title: "DIFFERS", align: "right", value: (p) => bytes(p.changedBytes) },
  { title: "FILES", value: said },
]

const sizes = (before: number | null, after: number | null): string =>
  before === null
    ? bytes(after!)
    : after === null
      ? bytes(before)
      : before === after
        ? bytes(after)
        : `${bytes(before)} → ${bytes(after)}`

const fileColumns: ReadonlyArray<Column<FileDiffAnswer["rows"][number]>> = [
  { title: "PARTITION", align: "right", value: (r) => (r.partition === 0 ? "disk" : String(r.partition)) },
  { title: "CHANGE", value: (r) => r.change },
  { title: "SIZE", align: "right", value: (r) => sizes(r.before, r.after) },
  { title: "BY", value: (r) => r.by.join(", ") || "-" },
  { title: "PATH", value: (r) => shownPath(r.path) },
]

export const printFileDiff = ({ partitions, rows, totals }: FileDiffAnswer): void => {
  print(table(partitionColumns, partitions))
  if (rows.length > 0) print(table(fileColumns, rows))
  const left = totals.added + totals.removed + totals.changed - rows.length
  if (left > 0) print(`… and ${left} more; --limit lists more of them`)
}
