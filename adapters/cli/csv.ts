/**
 * Reads a client list: CSV with a header row, columns `mac,name,ip,image` in any order, `#` comments, blank lines ignored.
 *
 * **Details** Only the shape is judged here; what a row says is judged by the decider, which lists every bad line at once. Rows keep
 * their line number and their text as written.
 */
import { isUtf8 } from "node:buffer"
import { readFileSync, statSync } from "node:fs"
import { CsvError, parse } from "csv-parse/sync"
import { fail, isImagelinkError } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import type { ImportedRow } from "../../core/runtime/site/clients.ts"

const known = { mac: "mac", name: "name", hostname: "name", ip: "address", address: "address", image: "image" } as const

interface Parsed {
  readonly record: ReadonlyArray<string>
  /** The line it begins on, as an editor counts. */
  readonly line: number
}

export const readClients = (file: string): ReadonlyArray<ImportedRow> => {
  const parsed = parseCsv(file, textOf(file, readBytes(file)))
  const header = parsed[0]
  if (header === undefined) throw rejected(file, 0, ["the file has no rows"])
  const columns = header.record.map((title) => title.trim().toLowerCase())
  const bad = columns
    .filter((title) => !Object.hasOwn(known, title))
    .map((title) => `line ${header.line}: unknown column ${JSON.stringify(title)}; known are mac, name, ip, image`)
  if (!columns.includes("mac")) bad.push(`line ${header.line}: the header row has no column "mac"`)
  const keys = columns.map((title) => known[title as keyof typeof known])
  for (const key of new Set(keys))
    if (key !== undefined && keys.filter((k) => k === key).length > 1)
      bad.push(`line ${header.line}: the column ${key} is there twice`)
  const rows = parsed.slice(1)
  if (rows.length === 0 && bad.length === 0) bad.push("the file has no rows below its header")
  if (rows.length > limits.csvRowsMax)
    bad.push(`the file has ${rows.length} rows; at most ${limits.csvRowsMax} are imported in one command`)
  if (bad.length > 0) throw rejected(file, rows.length, bad)
  const ragged = rows.filter((row) => row.record.length !== keys.length)
  if (ragged.length > 0)
    throw rejected(
      file,
      rows.length,
      ragged.map((row) => `line ${row.line}: ${row.record.length} fields where the header has ${keys.length}`),
    )
  return rows.map((row) => toRow(keys, row))
}

const toRow = (keys: ReadonlyArray<string>, { record, line }: Parsed): ImportedRow => {
  const row: Record<string, string> = {}
  keys.forEach((key, i) => {
    if (record[i] !== "") row[key] = record[i]!
  })
  return { line, mac: "", ...row }
}

const rejected = (file: string, rows: number, details: ReadonlyArray<string>) =>
  fail("IMPORT_REJECTED", { file, bad: details.length, rows }, { details })

const readBytes = (file: string): Buffer => {
  try {
    const { size } = statSync(file)
    if (size > limits.csvBytesMax)
      throw rejected(file, 0, [`the file is ${size} bytes long; at most ${limits.csvBytesMax} are read`])
    return readFileSync(file)
  } catch (e) {
    if (isImagelinkError(e)) throw e
    throw fail("FILE_UNREADABLE", { path: file, why: (e as Error).message }, { underlying: e })
  }
}

/** The text without its byte order mark. A file in another encoding is refused: its names would be wrong in silence. */
const textOf = (file: string, bytes: Buffer): string => {
  if (isUtf8(bytes) && !bytes.includes(0)) return new TextDecoder().decode(bytes)
  const bad: Array<string> = []
  let line = 1
  for (let from = 0; from < bytes.length; line++) {
    const end = bytes.indexOf(10, from)
    const text = bytes.subarray(from, end === -1 ? bytes.length : end)
    if (!isUtf8(text)) bad.push(`line ${line}: it is not UTF-8 text`)
    else if (text.includes(0)) bad.push(`line ${line}: it has a NUL byte`)
    from = end === -1 ? bytes.length : end + 1
  }
  throw rejected(file, 0, bad)
}

const parseCsv = (file: string, text: string): ReadonlyArray<Parsed> => {
  try {
    const parsed = parse(text, {
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
    }) as unknown as ReadonlyArray<{
      readonly record: ReadonlyArray<string>
      readonly info: { readonly bytes: number }
    }>
    const lineAt = lineCounter(Buffer.from(text))
    return parsed.map(({ record, info }) => ({ record, line: lineAt(info.bytes) - lineBreaks(record.join("")) }))
  } catch (e) {
    if (e instanceof CsvError)
      throw rejected(file, 0, [`line ${(e as unknown as { lines?: number }).lines ?? "?"}: ${e.message}`])
    throw e
  }
}

const lineBreaks = (text: string): number => text.split("\n").length - 1

/** The line of a record that ends before byte `end`; asked in order. The parser's own count is wrong after quoted breaks and mixed endings. */
const lineCounter = (bytes: Buffer) => {
  let line = 1
  let counted = 0
  return (end: number): number => {
    const last = bytes[end - 1] === 10 ? end - 1 : end
    for (let at = bytes.indexOf(10, counted); at !== -1 && at < last; at = bytes.indexOf(10, at + 1)) line++
    counted = last
    return line
  }
}
