import * as Effect from "effect/Effect"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import type { DatabaseOptions, LogDatabase } from "../../core/log/database.ts"
import type { EventLog, Recorded } from "../../core/log/event-log.ts"
import type { LevelLog } from "../../core/log/level-log.ts"
import { makeUpcaster } from "../../core/log/upcast.ts"
import {
  append,
  commandId,
  database,
  discard,
  newStore,
  noted,
  type Opened,
  open,
  readAll,
  request,
} from "./support/store.ts"

const code = (code: string) => expect.objectContaining({ code })
const run = Effect.runPromise
const page = (log: EventLog, after: number, max = 1000) => run(log.page(after, max))
const positions = (events: ReadonlyArray<{ position: number }>) => events.map((e) => e.position)

let dir: string
let opened: Opened
let log: LevelLog
beforeEach(async () => {
  dir = await newStore()
  opened = await open(dir)
  log = opened.log
})
afterEach(async () => {
  await opened.close()
  discard(dir)
})
const reopen = async (options: Parameters<typeof open>[1] = {}) => {
  await opened.close()
  opened = await open(dir, options)
  log = opened.log
}

describe("appending", () => {
  it("an empty log has head 0 and no events", async () => {
    expect(log.head()).toBe(0)
    expect(await page(log, 0)).toEqual([])
    expect(log.site.name).toBe("lab.example")
  })

  it("the first event is at position 1, in the whole envelope", async () => {
    const answer = await append(log, 1)
    const event: Recorded = {
      position: 1,
      command: commandId(1),
      at: 1_795_000_000_001,
      actor: { kind: "cli", name: "alice" },
      server: "srv1",
      type: "Noted",
      schemaVersion: 1,
      data: { text: "event of command 1" },
    }
    expect(answer).toEqual({ events: [event], position: 1, repeated: false })
    expect(log.head()).toBe(1)
    expect(await page(log, 0)).toEqual([event])
  })

  it("all events of a command are appended together and share its id", async () => {
    await append(log, 1)
    const { events, position } = await append(log, 2, { events: [noted("a"), noted("b"), noted("c")] })
    expect(positions(events)).toEqual([2, 3, 4])
    expect(new Set(events.map((e) => e.command))).toEqual(new Set([commandId(2)]))
    expect(position).toBe(4)
  })

  it("a command without events appends nothing, and its id stays free", async () => {
    expect(await append(log, 1, { events: [] })).toEqual({ events: [], position: 0, repeated: false })
    expect(await run(log.findCommand(commandId(1)))).toBeUndefined()
    expect((await append(log, 1)).position).toBe(1)
  })

  it("time never runs backwards: the wall clock is kept beside it", async () => {
    await append(log, 1, { at: 1000 })
    const [behind] = (await append(log, 2, { at: 400 })).events
    const [equal] = (await append(log, 3, { at: 1000 })).events
    expect(behind).toMatchObject({ at: 1000, wall: 400 })
    expect(equal!.at).toBe(1000)
    expect(equal).not.toHaveProperty("wall")
  })

  it("time does not run backwards after reopening either", async () => {
    await append(log, 1, { at: 1000 })
    await reopen()
    expect((await append(log, 2, { at: 999 })).events[0]).toMatchObject({ at: 1000, wall: 999 })
  })

  it.each([[0], [2]])("a decision made on position %d when the head is 1 is a conflict", async (expectedPosition) => {
    await append(log, 1)
    await expect(append(log, 2, { expectedPosition })).rejects.toEqual(code("LOG_CONFLICT"))
    expect(log.head()).toBe(1)
  })

  it("of two commands decided on the same head, one is appended and the other is a conflict", async () => {
    const both = await Promise.allSettled([append(log, 1), append(log, 2)])
    expect(both.map((r) => r.status).sort()).toEqual(["fulfilled", "rejected"])
    expect(log.head()).toBe(1)
  })

  it("an event one byte too large is refused with the whole command, and the next one is taken", async () => {
    await expect(append(log, 1, { events: [noted("fits"), noted("x".repeat(65_535))] })).rejects.toEqual(
      code("EVENT_TOO_LARGE"),
    )
    expect(log.head()).toBe(0)
    expect(await page(log, 0)).toEqual([])
    expect((await append(log, 2)).position).toBe(1)
  })

  it("a command of the largest number of events is appended at once; one more is a programmer's mistake", async () => {
    const events = Array.from({ length: 20_000 }, (_, i) => noted(String(i)))
    await append(log, 1, { events })
    expect(log.head()).toBe(20_000)
    expect((await page(log, 19_999))[0]!.data).toEqual({ text: "19999" })
    await expect(append(log, 2, { events: [...events, noted("one more")] })).rejects.toThrow("more events than fit")
  })

  it.each([
    ["a command id that is no UUID", { command: "x" }],
    ["a command id in upper case", { command: commandId(1).toUpperCase() }],
    ["a type that is not known", { events: [{ type: "Other", schemaVersion: 1, data: {} }] }],
    ["an old shape", { events: [{ type: "Noted", schemaVersion: 0, data: {} }] }],
    ["a time that is not whole", { at: 1.5 }],
    ["data without a canonical form", { events: [{ type: "Noted", schemaVersion: 1, data: { at: new Date(0) } }] }],
  ])("%s is a programmer's mistake, and the log goes on", async (_name, more) => {
    await expect(append(log, 1, more)).rejects.toThrow()
    expect((await append(log, 2)).position).toBe(1)
  })
})

describe("repeating a command", () => {
  it("answers what it appended the first time, whatever the head is now", async () => {
    const first = await append(log, 1, { events: [noted("a"), noted("b")] })
    await append(log, 2)
    const again = await append(log, 1, { expectedPosition: 0, events: [noted("other")] })
    expect(again).toEqual({ events: first.events, position: 3, repeated: true })
    expect(log.head()).toBe(3)
  })

  it("answers after reopening too", async () => {
    const first = await append(log, 1)
    await reopen()
    expect(await append(log, 1, { expectedPosition: 0 })).toEqual({ ...first, repeated: true })
  })

  it("with another fingerprint is refused", async () => {
    await append(log, 1)
    await expect(append(log, 1, { fingerprint: "other" })).rejects.toEqual(code("COMMAND_REUSED"))
    expect(log.head()).toBe(1)
  })

  it("twice at once appends once", async () => {
    const one = request(1, log)
    const [a, b] = await Promise.all([run(log.append(one)), run(log.append(one))])
    expect([a.repeated, b.repeated]).toEqual([false, true])
    expect(b.events).toEqual(a.events)
    expect(log.head()).toBe(1)
  })

  it("can be looked up by its id", async () => {
    const { events } = await append(log, 7)
    expect(await run(log.findCommand(commandId(7)))).toEqual({ fingerprint: "f7", events })
    expect(await run(log.findCommand(commandId(8)))).toBeUndefined()
  })
})

describe("pages", () => {
  beforeEach(() => append(log, 1, { events: Array.from({ length: 1001 }, (_, i) => noted(String(i))) }))

  it.each([
    [0, 1, [1, 1]],
    [0, 1000, [1, 1000]],
    [1, 1000, [2, 1001]],
    [2, 1000, [3, 1001]],
    [1000, 1000, [1001, 1001]],
  ])("after %d, at most %d, are %j", async (after, max, [first, last]) => {
    const got = positions(await page(log, after, max))
    expect([got[0], got.at(-1), got.length]).toEqual([first, last, last! - first! + 1])
  })

  it.each([1001, 1002, 2 ** 53 - 1])("after %d is nothing", async (after) => {
    expect(await page(log, after, 10)).toEqual([])
  })

  it.each([
    [0, 0],
    [0, 1001],
    [-1, 1],
    [0.5, 1],
  ])("after %d, at most %d, is a programmer's mistake", async (after, max) => {
    await expect(page(log, after, max)).rejects.toThrow("a p")
  })

  it("of bytes are exactly what the store keeps", async () => {
    const [, second] = await run(log.pageBytes(0, 2))
    expect(second!.position).toBe(2)
    expect(Buffer.from(second!.bytes).toString("utf8")).toBe(
      '{"actor":{"kind":"cli","name":"alice"},"at":1795000000001,"command":"0190b3a4-5c6d-7000-8000-000000000001",' +
        '"data":{"text":"1"},"position":2,"schemaVersion":1,"server":"srv1","type":"Noted"}',
    )
  })

  it("and `each` see the same events, also from tables", async () => {
    await reopen()
    const all = [...(await page(log, 0)), ...(await page(log, 1000))]
    expect(await readAll(log)).toEqual(all)
    expect(all).toHaveLength(1001)
  })

  it.each([
    [0, 1, [1, 1]],
    [0, 1001, [1, 1001]],
    [250, 501, [251, 501]],
    [1000, 1001, [1001, 1001]],
    [1000, 5000, [1001, 1001]],
  ])("`each` after %d up to %d gives the events %j", async (after, last, [first, end]) => {
    const got: Array<number> = []
    await run(log.each(after, last, (events) => got.push(...positions(events)) > 0))
    expect([got[0], got.at(-1), got.length]).toEqual([first, end, end! - first! + 1])
  })

  it("`each` behind the head gives nothing", async () => {
    await run(log.each(1001, 2000, () => expect.fail("there is none")))
  })

  it("`each` ends when no more is wanted, and when nobody waits for it any more", async () => {
    const runs: Array<number> = []
    await run(log.each(0, 1001, (events) => runs.push(events.length) < 2))
    expect(runs).toHaveLength(2)
    const stop = new AbortController()
    const left = Effect.runPromiseExit(
      log.each(0, 1001, (events) => {
        stop.abort()
        return runs.push(events.length) > 0
      }),
      { signal: stop.signal },
    )
    expect((await left)._tag).toBe("Failure")
    await page(log, 0)
    expect(runs).toHaveLength(3)
  })

  it("hold events in their current shape, and refuse one that is unknown", async () => {
    const steps = { Noted: { 1: (d: unknown) => ({ note: (d as { text: string }).text }) } }
    await reopen({ upcaster: makeUpcaster({ current: { Noted: 2 }, steps }) })
    expect((await page(log, 0, 1))[0]).toMatchObject({ schemaVersion: 2, data: { note: "0" } })
    await reopen({ upcaster: makeUpcaster({ current: {} }) })
    await expect(page(log, 0, 1)).rejects.toEqual(code("EVENT_UNKNOWN"))
    expect(await run(log.pageBytes(0, 1))).toHaveLength(1)
  })
})

describe("opening", () => {
  it("twice at once is refused, and the first goes on", async () => {
    await expect(open(dir)).rejects.toEqual(code("DATA_IN_USE"))
    expect((await append(log, 1)).position).toBe(1)
  })

  it("gives the same log again, and it goes on where it was", async () => {
    for (let n = 1; n <= 5; n++) {
      await append(log, n)
      const before = await readAll(log)
      await reopen()
      expect(await readAll(log)).toEqual(before)
      expect(log.head()).toBe(n)
    }
  })

  it("a folder without a store is DATA_NOT_FOUND, and makes nothing", async () => {
    await expect(open(`${dir}/elsewhere`)).rejects.toEqual(code("DATA_NOT_FOUND"))
  })
})

describe("when writing fails", () => {
  /** A database whose batches fail while `broken` says so. */
  const breakable = (state: { broken: boolean }) => async (location: string, options: DatabaseOptions) => {
    const db = await database(location, options)
    const batch = db.batch.bind(db) as (...args: Array<unknown>) => Promise<void>
    const fails = (...args: Array<unknown>) =>
      state.broken ? Promise.reject(new Error("No space left on device")) : batch(...args)
    return Object.assign(db, { batch: fails }) as LogDatabase
  }

  it("nothing more is taken until the store is opened again, but reading goes on", async () => {
    const state = { broken: false }
    await reopen({ database: breakable(state) })
    await append(log, 1)
    state.broken = true
    expect(log.refusesWrites()).toBeUndefined()
    await expect(append(log, 2)).rejects.toEqual(code("STORE_READ_ONLY"))
    expect(log.refusesWrites()).toEqual(expect.any(String))
    state.broken = false
    await expect(append(log, 3)).rejects.toEqual(code("STORE_READ_ONLY"))
    await expect(append(log, 1)).rejects.toEqual(code("STORE_READ_ONLY"))
    expect(positions(await page(log, 0))).toEqual([1])
    await reopen()
    expect((await append(log, 3)).position).toBe(2)
  })

  it("an append after closing is refused", async () => {
    await opened.close()
    await expect(append(log, 1)).rejects.toEqual(code("STORE_READ_ONLY"))
    opened = await open(dir)
    expect(opened.log.head()).toBe(0)
  })

  it("an append under way while closing is finished first", async () => {
    const pending = append(log, 1)
    await opened.close()
    expect((await pending).position).toBe(1)
    opened = await open(dir)
    expect(opened.log.head()).toBe(1)
  })
})
