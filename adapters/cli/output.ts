/** What a command prints: tables for people, JSON for programs. */
export type Align = "left" | "right"
export interface Column<Row> {
  readonly title: string
  readonly align?: Align
  readonly value: (row: Row) => string
}

/**
 * A table without lines: a header, then rows, two spaces between columns.
 *
 * **Details** Cells are ASCII but for what people wrote into notes, so a character is a column. Ours because printing a thousand rows
 * with a table library took longer than everything else the command does.
 */
export const table = <Row>(columns: ReadonlyArray<Column<Row>>, rows: ReadonlyArray<Row>): string => {
  const cells = [columns.map((c) => c.title), ...rows.map((row) => columns.map((c) => c.value(row)))]
  const widths = columns.map((_, i) => cells.reduce((widest, line) => Math.max(widest, line[i]!.length), 0))
  const pad = (cell: string, i: number) =>
    columns[i]!.align === "right" ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)
  return cells.map((line) => line.map(pad).join("  ").trimEnd()).join("\n")
}

export const print = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

/** The same for long output: answers a promise while whoever reads it is behind. */
export const printFlowing = (text: string): void | Promise<void> => {
  if (process.stdout.write(`${text}\n`) || process.stdout.destroyed) return
  return new Promise((resolve) => {
    const done = () => {
      for (const event of ["drain", "close", "error"]) process.stdout.off(event, done)
      resolve()
    }
    for (const event of ["drain", "close", "error"]) process.stdout.on(event, done)
  })
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
export const time = (at: number): string =>
  new Date(at)
    .toISOString()
    .replace("T", " ")
    .replace(/\.\d+Z$/, "Z")
