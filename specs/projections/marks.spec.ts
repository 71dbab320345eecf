import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { fail } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import { cellsAsOf, foldAsOf } from "../../core/projections/as-of.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import type { AnyProjection } from "../../core/projections/cell.ts"
import { groupsProjection } from "../../core/projections/groups.ts"
import { imageVersions } from "../../core/projections/image-versions.ts"
import { lastChanges } from "../../core/projections/last-changes.ts"
import { linkTable } from "../../core/projections/link-table.ts"
import { makeMarks, markDistance } from "../../core/projections/marks.ts"
import { makeProjector } from "../../core/projections/projector.ts"
import { registered } from "../support/domain.ts"
import { memoryMarks } from "../support/mark-store.ts"
import { type MemoryLog, makeMemoryLog } from "../support/memory-log.ts"
import { random } from "../support/random.ts"
import { randomLog } from "../support/random-log.ts"

const all: ReadonlyArray<AnyProjection> = [catalogueProjection, linkTable, imageVersions, lastChanges, groupsProjection]
const run = <A>(effect: Effect.Effect<A, unknown>) => Effect.runPromise(effect)
const encoded = (p: AnyProjection, state: unknown) => JSON.stringify(p.encode(state))
const registrations = (n: number): MemoryLog => {
  const log = makeMemoryLog()
  log.push(Array.from({ length: n }, (_, i) => registered(i + 1)))
  return log
}
const every = (n: number) => () => n

describe("the distance of marks", () => {
  it("is the least one until the log holds more than are kept, and then doubles", () => {
    const { markEventsMin: least, marksMax: most } = limits
    expect([0, 1, least, least * most].map(markDistance)).toEqual([least, least, least, least])
    expect(markDistance(least * most + 1)).toBe(2 * least)
    expect(markDistance(2 * least * most)).toBe(2 * least)
    expect(markDistance(2 * least * most + 1)).toBe(4 * least)
  })
})

describe("a state folded from the nearest mark", () => {
  it("is byte for byte the fold from zero, at every kind of position of random logs", async () => {
    for (const seed of [71, 72, 73, 74]) {
      const r = random(seed)
      const log = randomLog(seed, 500)
      const head = log.head()
      const distance = 1 + r.below(40)
      const marks = makeMarks(log, memoryMarks(), every(distance))
      const near = [distance - 1, distance, distance + 1].filter((p) => p <= head)
      const positions = [0, 1, ...near, head - 1, head, ...Array.from({ length: 30 }, () => r.below(head + 1))]
      for (const position of positions) {
        const cells = await run(cellsAsOf(log, all, position, marks))
        for (const [i, p] of all.entries()) {
          const from = encoded(p, await run(foldAsOf(log, p, position)))
          expect(encoded(p, cells[i]!.state), `seed ${seed}, ${p.name} at ${position} every ${distance}`).toBe(from)
        }
      }
    }
  })

  it("reads no more of the log than from that mark on", async () => {
    const log = registrations(95)
    const marks = makeMarks(log, memoryMarks(), every(10))
    await run(cellsAsOf(log, [linkTable], 95, marks))
    const read: Array<number> = []
    const each: typeof log.each = (after, last, take) => {
      read.push(after, last)
      return log.each(after, last, take)
    }
    const watched = { ...log, each }
    const watchedMarks = { ...marks, every: every(10) }
    const [cell] = await run(cellsAsOf(watched, [linkTable], 57, watchedMarks))
    expect(cell!.position).toBe(57)
    expect(read).toEqual([50, 57])
  })

  it("is the caller's own: changing it changes no mark", async () => {
    const log = registrations(20)
    const marks = makeMarks(log, memoryMarks(), every(10))
    const first = await run(foldAsOf(log, linkTable, 10, marks))
    first.clients.clear()
    expect((await run(foldAsOf(log, linkTable, 10, marks))).clients.size).toBe(10)
  })
})

describe("marks", () => {
  const marked = async (n = 45) => {
    const log = registrations(n)
    const store = memoryMarks()
    const marks = makeMarks(log, store, every(10))
    await run(makeProjector({ log, projections: [linkTable], checkpoints: store, marks }).start())
    return { log, store, marks }
  }
  const names = ["link-table-at-10", "link-table-at-20", "link-table-at-30", "link-table-at-40"]

  it("are made where a start folds past them, also exactly at the head", async () => {
    expect([...(await marked(45)).store.files.keys()]).toEqual(names)
    expect([...(await marked(40)).store.files.keys()]).toEqual(names)
    expect([...(await marked(39)).store.files.keys()]).toEqual(names.slice(0, 3))
    expect([...(await marked(0)).store.files.keys()]).toEqual([])
  })

  it("are made of what is appended while a projector runs, in the state they stand for", async () => {
    const { log, store, marks } = await marked(5)
    const projector = makeProjector({ log, projections: [linkTable], checkpoints: store, marks })
    await run(projector.start())
    projector.applyNew(log.push(Array.from({ length: 12 }, (_, i) => registered(100 + i))))
    await run(projector.catchUp())
    expect([...store.files.keys()]).toEqual(["link-table-at-10"])
    expect((await run(marks.nearest(linkTable, 17))).position).toBe(10)
    expect((await run(foldAsOf(log, linkTable, 10, marks))).clients.size).toBe(10)
  })

  it("that are damaged anywhere, or missing, are passed over, removed and made again", async () => {
    const { log, store, marks } = await marked()
    const whole = store.files.get(names[1]!)!
    for (let at = 0; at < whole.length; at += 37) {
      const bytes = Buffer.from(whole)
      bytes[at]! ^= 1
      store.files.set(names[1]!, bytes)
      expect((await run(marks.nearest(linkTable, 29))).position, `byte ${at}`).toBe(10)
      expect(store.files.has(names[1]!)).toBe(false)
      expect((await run(foldAsOf(log, linkTable, 29, marks))).clients.size).toBe(29)
      expect(store.files.get(names[1]!)).toEqual(whole)
    }
    for (const name of names) store.files.set(name, whole.subarray(0, 40))
    expect((await run(foldAsOf(log, linkTable, 45, marks))).clients.size).toBe(45)
    store.files.clear()
    expect((await run(foldAsOf(log, linkTable, 45, marks))).clients.size).toBe(45)
  })

  it("under another's position are not believed", async () => {
    const { log, store, marks } = await marked()
    store.files.set(names[3]!, store.files.get(names[0]!)!)
    expect((await run(foldAsOf(log, linkTable, 44, marks))).clients.size).toBe(44)
  })

  it("of a history that the log no longer has are not used", async () => {
    const { log, store, marks } = await marked()
    log.truncate(15)
    log.push(
      [...Array(30)].map((_, i) => registered(500 + i)),
      { command: "00000000-0000-7000-8000-00000000eeee" },
    )
    const state = await run(foldAsOf(log, linkTable, 45, marks))
    expect(JSON.stringify(linkTable.encode(state))).toBe(encoded(linkTable, await run(foldAsOf(log, linkTable, 45))))
    expect(store.files.size).toBe(4)
  })

  it("in between go away when the distance doubles", async () => {
    const log = registrations(40)
    const store = memoryMarks()
    const doubling = (head: number) => (head > 40 ? 20 : 10)
    const marks = makeMarks(log, store, doubling)
    await run(foldAsOf(log, linkTable, 40, marks))
    expect([...store.files.keys()]).toEqual(names)
    log.push(Array.from({ length: 20 }, (_, i) => registered(100 + i)))
    await run(foldAsOf(log, linkTable, 60, marks))
    expect([...store.files.keys()].sort()).toEqual(["link-table-at-20", "link-table-at-40", "link-table-at-60"])
  })

  it("that cannot be saved, listed or read stop nothing", async () => {
    const log = registrations(45)
    const broken = () => Effect.fail(fail("IO_ERROR", { what: "the folder", why: "gone" }))
    const marks = makeMarks(log, { load: broken, save: broken, list: broken, remove: broken }, every(10))
    expect((await run(foldAsOf(log, linkTable, 45, marks))).clients.size).toBe(45)
  })

  it("are all made anew by a rebuild, and those of other projections stay", async () => {
    const { log, store, marks } = await marked()
    const whole = new Map(store.files)
    for (const name of names) store.files.set(name, Buffer.from("nonsense"))
    store.files.set("link-table-at-7", Buffer.from("left over"))
    store.files.set("catalogue-at-10", Buffer.from("another's"))
    await run(makeProjector({ log, projections: [linkTable], checkpoints: store, marks }).rebuild())
    whole.set("catalogue-at-10", Buffer.from("another's"))
    expect(store.files).toEqual(whole)
  })
})
