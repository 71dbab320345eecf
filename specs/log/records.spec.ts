/** A reader of events names what is wrong: an event that is not there, one under another's key, one that was changed. */
import { join } from "node:path"
import { ClassicLevel } from "classic-level"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { decodeBytes, decodeRecord, encodeRecord } from "../../core/log/envelope.ts"
import type { Recorded } from "../../core/log/event-log.ts"
import { eventKey } from "../../core/log/keys.ts"
import { type Decode, RecordReader } from "../../core/log/records.ts"
import { commandId, discard, noted, temporary } from "./support/store.ts"

const events: Decode<number> = {
  decode: (file, at, value) => decodeRecord(file, at, value).position,
  knowsPosition: true,
}
const bytes: Decode<number> = { decode: (file, at, value) => decodeBytes(file, at, value).length, knowsPosition: false }
const last = 600

const recorded = (position: number): Recorded => ({
  ...noted(`event ${position}`),
  position,
  command: commandId(position),
  at: 1_795_000_000_000,
  actor: { kind: "cli", name: "alice" },
  server: "srv1",
})

let dir: string
let database: ClassicLevel<string, Buffer>
const put = (key: number, position: number) =>
  database.put(eventKey(key), Buffer.from(encodeRecord(recorded(position))))

beforeAll(async () => {
  dir = temporary("records")
  database = new ClassicLevel<string, Buffer>(join(dir, "db"), { keyEncoding: "utf8", valueEncoding: "buffer" })
  await database.open()
})
afterAll(async () => {
  await database.close()
  discard(dir)
})

const read = (decode: Decode<number>, after = 0) => new RecordReader(database, "db").range(after, last, decode)
const refusal = (decode: Decode<number>) =>
  read(decode).then(
    () => "nothing",
    (e: { code: string; reason: string }) => `${e.code}: ${e.reason}`,
  )

describe.each([
  ["events", events],
  ["bytes", bytes],
])("a reader of %s", (_name, decode) => {
  beforeAll(async () => {
    for (let position = 1; position <= last; position++) await put(position, position)
  })

  it("reads all, and from any place on", async () => {
    expect(await read(decode)).toHaveLength(600)
    expect(await read(decode, 599)).toHaveLength(1)
    expect(await read(decode, 600)).toEqual([])
  })

  it.each([1, 2, 250, 251, 599, 600])("names event %i when it is not there", async (position) => {
    await database.del(eventKey(position))
    expect(await refusal(decode)).toBe(`STORE_DAMAGED: event ${position} is missing`)
    await put(position, position)
  })

  it("names the first of several that are not there", async () => {
    for (const position of [300, 301, 599, 600]) await database.del(eventKey(position))
    expect(await refusal(decode)).toBe("STORE_DAMAGED: event 300 is missing")
    for (const position of [300, 301, 599, 600]) await put(position, position)
  })

  it.each([1, 300, 600])("names event %i when it was changed", async (position) => {
    const value = Buffer.from(encodeRecord(recorded(position)))
    value[20]! ^= 1
    await database.put(eventKey(position), value)
    expect(await refusal(decode)).toBe(`STORE_DAMAGED: event ${position} does not match its checksum`)
    await put(position, position)
  })

  it("takes nothing that sorts between two keys for an event", async () => {
    await database.put(`${eventKey(300)}0`, Buffer.from(encodeRecord(recorded(301))))
    expect(await refusal(decode)).toBe("STORE_DAMAGED: event 301 is missing")
    await database.del(`${eventKey(300)}0`)
  })
})

it("an event under another's key is named where it lies", async () => {
  await put(400, 401)
  await put(401, 400)
  expect(await refusal(events)).toBe("STORE_DAMAGED: event 400 is stored as if it were event 401")
  await put(400, 400)
  await put(401, 401)
})
