/** Events read past LevelDB are those that LevelDB has; where the tables are not as expected, the rest is read through it. */
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { ClassicLevel } from "classic-level"
import { afterAll, beforeAll, expect, it } from "vitest"
import type { LogDatabase, MakeDatabase } from "../../core/log/database.ts"
import { decodeRecord, unseal } from "../../core/log/envelope.ts"
import { eventKey, positionOf } from "../../core/log/keys.ts"
import { readManifest } from "../../core/log/leveldb/manifest.ts"
import { tableName } from "../../core/log/leveldb/scan.ts"
import { RecordReader } from "../../core/log/records.ts"
import { tableRuns } from "../../core/log/table-reader.ts"
import { append, discard, newStore, noted as notedText, open } from "./support/store.ts"

const count = 8000
const perCommand = 400
/** Of the newest events, some are in the write-ahead log alone. */
const tail = 3

let dir: string
/** The database's folder as it was before `database` opened it, which may change it at any time. */
let db: string
let database: LogDatabase
const copies: Array<string> = []

/** With small tables, and many of them. */
const levelDatabase: MakeDatabase = (location, options) =>
  new ClassicLevel<string, Buffer>(location, {
    ...options,
    keyEncoding: "utf8",
    valueEncoding: "buffer",
    writeBufferSize: 65_536,
    maxFileSize: 1024 * 1024,
  })

/** Event n says its number, and is long enough for some tables to be filled. */
const noted = (n: number) => notedText(`${n} ${"x".repeat(600)}`)
const numberOf = (data: unknown): string => (data as { readonly text: string }).text.split(" ")[0]!

beforeAll(async () => {
  dir = await newStore("table-reader")
  const { log, close } = await open(dir, { database: levelDatabase })
  for (let n = 0; n < count; n += perCommand) {
    await append(log, n + 1, { events: Array.from({ length: perCommand }, (_, i) => noted(n + i + 1)) })
  }
  await close()
  const again = await open(dir, { database: levelDatabase })
  for (let n = count; n < count + tail; n++) await append(again.log, n + 1, { events: [noted(n + 1)] })
  await again.close()
  const source = join(dir, "store", "db")
  db = `${dir}-before`
  cpSync(source, db, { recursive: true })
  copies.push(db)
  database = await levelDatabase(source, { createIfMissing: false, errorIfExists: false, compression: false })
  await database.open()
})
afterAll(async () => {
  await database.close()
  for (const copy of copies) discard(copy)
  discard(dir)
})

/** A copy of the database's folder, whose tables may be changed while LevelDB has those of the store. */
const copied = (): string => {
  const copy = `${dir}-${copies.length}`
  cpSync(db, copy, { recursive: true })
  copies.push(copy)
  return copy
}
/** Path of the table that has an event, in order of events. */
const tablesIn = (folder: string): ReadonlyArray<{ readonly path: string; readonly last: number }> =>
  readManifest(folder)
    .tables.map(({ number, largest }) => ({ path: join(folder, tableName(number)), last: positionOf(largest) ?? 0 }))
    .filter(({ last }) => last > 0)
    .sort((a, b) => a.last - b.last)

const textsOf = async (folder: string, after = 0, last = count + tail) => {
  const texts: Array<string> = []
  for await (const run of tableRuns(folder, after, last)) {
    for (const value of run) texts.push(numberOf(JSON.parse(Buffer.from(unseal(value)!).toString()).data))
  }
  return texts
}
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => `${from + i}`)

/** What a reader of the store gives whose tables are those of `folder`. */
const readWith = async (folder: string, after = 0) => {
  const decode = (file: string, at: number, value: Uint8Array) => numberOf(decodeRecord(file, at, value).data)
  return new RecordReader(database, folder).range(after, count + tail, { decode, knowsPosition: true })
}

it("the spec's store has several tables, and events that are in none", () => {
  const tables = tablesIn(db)
  expect(tables.length).toBeGreaterThan(3)
  expect(tables.at(-1)!.last).toBeLessThan(count + tail)
})

it("all events are read in order", async () => {
  expect(await textsOf(db)).toEqual(numbers(1, tablesIn(db).at(-1)!.last))
  expect(await readWith(db)).toEqual(numbers(1, count + tail))
})

it.each([
  [0, 1],
  [1, 2],
  [399, 401],
  [3000, 7000],
  [6999, 7000],
])("those after %i up to %i are read alone", async (after, last) => {
  expect(await textsOf(db, after, last)).toEqual(numbers(after + 1, last))
})

it("from the last events of every table on", async () => {
  const tables = tablesIn(db)
  for (const { last } of tables.slice(0, -1)) {
    for (const after of [last - 1, last]) {
      expect(await textsOf(db, after, after + 2), `after ${after}`).toEqual(numbers(after + 1, after + 2))
    }
  }
})

it("nothing is read where there is no database, or no event", async () => {
  expect(await textsOf(join(dir, "nowhere"))).toEqual([])
  expect(await textsOf(db, count + tail, count + tail + 10)).toEqual([])
})

it.each([
  ["that is gone", (path: string) => rmSync(path)],
  ["that is empty", (path: string) => writeFileSync(path, "")],
  ["that is cut", (path: string) => writeFileSync(path, readFileSync(path).subarray(0, -1))],
  ["with a changed byte in its first block", (path: string) => flip(path, 100)],
  ["with a changed byte in its footer", (path: string) => flip(path, -43)],
])("up to a table %s, and then through LevelDB", async (_, spoil) => {
  const copy = copied()
  const tables = tablesIn(copy)
  const middle = tables.length >> 1
  spoil(tables[middle]!.path)
  expect(await textsOf(copy)).toEqual(numbers(1, tables[middle - 1]!.last))
  expect(await readWith(copy)).toEqual(numbers(1, count + tail))
})

it("a table of other events than the MANIFEST says is not read", async () => {
  const copy = copied()
  const tables = tablesIn(copy)
  cpSync(tables[0]!.path, tables[2]!.path)
  expect(await textsOf(copy)).toEqual(numbers(1, tables[1]!.last))
  expect(await readWith(copy)).toEqual(numbers(1, count + tail))
})

it("an event that LevelDB has not is missing, whatever came from tables", async () => {
  const copy = copied()
  rmSync(tablesIn(copy)[1]!.path)
  const missing = tablesIn(copy)[1]!.last - 5
  const key = eventKey(missing)
  const value = (await database.get(key))!
  await database.del(key)
  await expect(readWith(copy)).rejects.toMatchObject({ code: "STORE_DAMAGED", reason: `event ${missing} is missing` })
  await database.put(key, value)
})

const flip = (path: string, at: number): void => {
  const bytes = readFileSync(path)
  bytes[at < 0 ? bytes.length + at : at]! ^= 1
  writeFileSync(path, bytes)
}
