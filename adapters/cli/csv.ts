/**
 * Reads a client list: CSV with a header row, columns `mac,name,ip,image` in any order, `#` comments, blank lines ignored.
 *
 * **Details** Only the shape is judged here; what a row says is judged by the decider, which lists every bad line at once. Rows keep
 * their line number and their text as written.
 */
import { readFileSync, statSync } from "node:fs"
import { CsvError, parse } from "csv-parse/sync"
import { fail } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import type { ImportedRow } from "../../core/runtime/site.ts"

const known = { mac: "mac", name: "name", hostname: "name", ip: "address", address: "address", image: "image" } as const

interface Parsed {
  readonly record: ReadonlyArray<string>
  readonly info: { readonly lines: number }
}

export const readClients = (file: string): ReadonlyArray<ImportedRow> => {
  const parsed = parseCsv(file, readText(file))
  const header = parsed[0]
  if (header === undefined) throw rejected(file, 0, ["the file has no rows"])
  const columns = header.record.map((title) => title.trim().toLowerCase())
  const bad = columns
    .filter((title) => !(title in known))
    .map(
      (title) => `line ${header.info.lines}: unknown column ${JSON.stringify(title)}; known are mac, name, ip, image`,
    )
  if (!columns.includes("mac")) bad.push(`line ${header.info.lines}: the header row has no column "mac"`)
  const keys = columns.map((title) => known[title as keyof typeof known])
  for (const key of new Set(keys))
    if (key !== undefined && keys.filter((k) => k === key).length > 1)
      bad.push(`line ${header.info.lines}: the column ${key} is there twice`)
  const rows = parsed.slice(1)
  if (rows.length > limits.csvRowsMax)
    bad.push(`the file has ${rows.length} rows; at most ${limits.csvRowsMax} are imported in one command`)
  if (bad.length > 0) throw rejected(file, rows.length, bad)
  const ragged = rows.filter((row) => row.record.length !== keys.length)
  if (ragged.length > 0)
    throw rejected(
      file,
      rows.length,
      ragged.map((row) => `line ${row.info.lines}: ${row.record.length} fields where the header has ${keys.length}`),
    )
  return rows.map((row) => toRow(keys, row))
}

const toRow = (keys: ReadonlyArray<string>, { record, info }: Parsed): ImportedRow => {
  const row: Record<string, string> = {}
  keys.forEach((key, i) => {
    if (record[i] !== "") row[key] = record[i]!
  })
  return { line: info.lines, mac: "", ...row }
}

const rejected = (file: string, rows: number, details: ReadonlyArray<string>) =>
  fail("IMPORT_REJECTED", { file, bad: details.length, rows }, { details })

const readText = (file: string): string => {
  try {
    const { size } = statSync(file)
    if (size > limits.csvBytesMax)
      throw rejected(file, 0, [`the file is ${size} bytes long; at most ${limits.csvBytesMax} are read`])
    return readFileSync(file, "utf8")
  } catch (e) {
    const code = (e as NodeJS.ErrnoException).code
    if (code === undefined || !code.startsWith("E") || "details" in (e as object)) throw e
    throw fail(
      "USAGE",
      { why: `cannot read ${file}: ${(e as Error).message}`, see: "imagelink client import --help" },
      { underlying: e },
    )
  }
}

const parseCsv = (file: string, text: string): ReadonlyArray<Parsed> => {
  try {
    return parse(text, {
      bom: true,
      comment: "#",
      comment_no_infix: true,
      info: true,
      relax_column_count: true,
      skip_empty_lines: true,
      trim: true,
      delimiter: text
        .split("\n")
        .find((l) => l.trim() !== "" && !l.startsWith("#"))
        ?.includes(";")
        ? ";"
        : ",",
    }) as unknown as ReadonlyArray<Parsed>
  } catch (e) {
    if (e instanceof CsvError)
      throw rejected(file, 0, [`line ${(e as unknown as { lines?: number }).lines ?? "?"}: ${e.message}`])
    throw e
  }
}
