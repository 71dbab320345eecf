/** What a command prints: tables for people, JSON for programs. */
import Table from "cli-table3"

export type Align = "left" | "right"
export interface Column<Row> {
  readonly title: string
  readonly align?: Align
  readonly value: (row: Row) => string
}

const borders = {
  top: "", "top-mid": "", "top-left": "", "top-right": "", bottom: "", "bottom-mid": "", "bottom-left": "", "bottom-right": "",
  left: "", "left-mid": "", mid: "", "mid-mid": "", right: "", "right-mid": "", middle: "  ",
} as const

/** A table without lines: a header, then rows; empty input prints nothing. */
export const table = <Row>(columns: ReadonlyArray<Column<Row>>, rows: ReadonlyArray<Row>): string => {
  const t = new Table({
    chars: borders,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0, compact: true },
    colAligns: columns.map((c) => c.align ?? "left"),
  })
  t.push(columns.map((c) => c.title))
  for (const row of rows) t.push(columns.map((c) => c.value(row)))
  return t
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n")
}

export const print = (text: string): void => {
  process.stdout.write(`${text}\n`)
}
export const printJson = (value: unknown): void => print(JSON.stringify(value))

const units = ["B", "KiB", "MiB", "GiB", "TiB"]
export const bytes = (n: number): string => {
  let unit = 0
  let value = n
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

export const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`

/** UTC to the second, as people read it. */
export const time = (at: number): string => new Date(at).toISOString().replace("T", " ").replace(/\.\d+Z$/, "Z")
