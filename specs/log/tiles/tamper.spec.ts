/**
 * Edits of the history are detected and located: an event changed, dropped, swapped, or the tail cut off, at random positions.
 *
 * First with the events at hand, whatever the store's own checks would have said; then in a real store, in LevelDB. Edits of a real store at
 * random positions, with every checksum made right, are in tamper-random.spec.ts.
 */
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { afterEach, describe, expect, it } from "vitest"
import { openDatabase } from "../../../core/log/database.ts"
import { encodeRecord } from "../../../core/log/envelope.ts"
import type { Recorded } from "../../../core/log/event-log.ts"
import { openHead } from "../../../core/log/head.ts"
import { eventKey } from "../../../core/log/keys.ts"
import type { LevelLog } from "../../../core/log/level-log.ts"
import { storePaths } from "../../../core/log/store-files.ts"
import { Publisher } from "../../../core/log/tiles/publisher.ts"
import { verifyLog } from "../../../core/log/tiles/verify-log.ts"
import { random } from "../support/random.ts"
import { append, database, discard, newStore, noted, temporary, withLog } from "../support/store.ts"
import { event, type MemoryTlog, memoryTlog, publisherOf, verifyIn } from "../support/tlog.ts"

const folders: Array<string> = []
const kept = (dir: string): string => {
  folders.push(dir)
  return dir
}
afterEach(() => {
  for (const dir of folders.splice(0)) discard(dir)
})

const size = 600
/** A published log, `unpublished` events beyond the checkpoint. */
const publishedLog = async (unpublished = 0) => {
  const dir = kept(temporary("tamper"))
  const log = memoryTlog(size)
  await publisherOf(dir, log).publish()
  log.grow(unpublished)
  return { dir, log }
}
const found = async (dir: string, log: MemoryTlog, position: number, hint: string) =>
  expect(verifyIn(dir, log), hint).rejects.toMatchObject({
    code: "AUDIT_FAILED",
    message: `the log does not hold at position ${position}`,
  })
/** Fifty positions, the first, the last, and those around the edges of tiles. */
const positions = (seed: number): ReadonlyArray<number> => {
  const r = random(seed)
  return [1, 2, 255, 256, 257, 511, 512, 513, size - 1, ...Array.from({ length: 50 }, () => 1 + r.below(size - 1))]
}

describe("verify locates", () => {
  it("any byte of any event that was changed", async () => {
    const r = random(31)
    const { dir, log } = await publishedLog(5)
    for (const position of [...positions(31), size]) {
      const right = log.events[position - 1]!
      const at = r.below(right.length)
      const wrong = Uint8Array.from(right)
      wrong[at]! ^= 1 << r.below(8)
      log.events[position - 1] = wrong
      await found(dir, log, position, `byte ${at} of event ${position}`)
      log.events[position - 1] = right
    }
    expect(await verifyIn(dir, log)).toMatchObject({ size: size + 5, published: size })
  })

  it("an event that was dropped, those after it moved down", async () => {
    const { dir, log } = await publishedLog(5)
    const whole = [...log.events]
    for (const position of positions(32)) {
      log.events.splice(0, log.events.length, ...whole)
      log.events.splice(position - 1, 1)
      await found(dir, log, position, `without event ${position}`)
      // and with the positions in them set right
      for (let i = position - 1; i < log.events.length; i++) log.events[i] = event(i + 1, `event ${i + 2}`)
      await found(dir, log, position, `without event ${position}, renumbered`)
    }
  })

  it("two events that were swapped", async () => {
    const r = random(33)
    const { dir, log } = await publishedLog()
    for (const a of positions(33)) {
      const b = a + 1 + r.below(size - a)
      const [first, second] = [log.events[a - 1]!, log.events[b - 1]!]
      log.events[a - 1] = second
      log.events[b - 1] = first
      await found(dir, log, a, `${a} and ${b}`)
      log.events[a - 1] = event(a, `event ${b}`)
      log.events[b - 1] = event(b, `event ${a}`)
      await found(dir, log, a, `${a} and ${b}, renumbered`)
      log.events[a - 1] = first
      log.events[b - 1] = second
    }
  })

  it("where the tail was cut off", async () => {
    const { dir, log } = await publishedLog()
    const whole = [...log.events]
    for (const length of [0, ...positions(34)]) {
      log.events.splice(0, log.events.length, ...whole.slice(0, length))
      await found(dir, log, length + 1, `cut to ${length}`)
    }
  })

  it("that events differ from the root although tiles and bundles were made to agree with them", async () => {
    const { dir, log } = await publishedLog()
    log.events[99] = event(100, "other")
    const forged = kept(temporary("tamper"))
    await publisherOf(forged, log).publish()
    const note = publisherOf(dir, log).published()!.note
    writeFileSync(join(forged, "tlog/checkpoint"), note)
    await expect(verifyIn(forged, log)).rejects.toMatchObject({
      code: "AUDIT_FAILED",
      reason: expect.stringContaining("another root than their checkpoint"),
    })
  })

  it("a tile or bundle that was damaged or lost, and says that the events are right", async () => {
    const { dir, log } = await publishedLog()
    const { files } = publisherOf(dir, log)
    const tries: ReadonlyArray<readonly [string, (bytes: Buffer) => Buffer | undefined, number]> = [
      ["tile/0/001", (b) => flip(b, 7 * 32 + 3), 264],
      ["tile/0/002.p/88", (b) => flip(b, 0), 513],
      ["tile/0/002.p/88", () => undefined, 513],
      ["tile/0/000", (b) => b.subarray(1), 1],
      ["tile/1/000.p/2", (b) => flip(b, 32), 257],
      ["tile/1/000.p/2", () => undefined, 1],
      ["tile/entries/000", (b) => flip(b, 10), 1],
      ["tile/entries/001", () => undefined, 257],
      ["tile/entries/002.p/88", (b) => flip(b, b.length - 1), 600],
    ]
    for (const [name, damage, position] of tries) {
      const right = files.read(name)!
      const wrong = damage(right)
      if (wrong === undefined) rmSync(files.path(name))
      else writeFileSync(files.path(name), wrong)
      await expect(verifyIn(dir, log), name).rejects.toMatchObject({
        code: "AUDIT_FAILED",
        message: `the log does not hold at position ${position}`,
        fix: expect.stringContaining("the events are whole"),
      })
      writeFileSync(files.path(name), right)
    }
    await verifyIn(dir, log)
  })
})

const flip = (bytes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(bytes)
  copy[at]! ^= 0x10
  return copy
}

describe("in a real store", () => {
  const count = 300
  const open = (dir: string, log: LevelLog) => new Publisher({ dir, log, key: () => log.key })
  const audit = (dir: string) =>
    withLog(dir, async (log) => {
      const publisher = open(dir, log)
      return verifyLog({ log, files: publisher.files, checkpoint: publisher.published() })
    })
  const made = async (perCommand = 10): Promise<string> => {
    const dir = kept(await newStore("tamper"))
    await withLog(dir, async (log) => {
      for (let n = 1; n <= count / 10; n++)
        await append(log, n, { events: Array.from({ length: perCommand }, (_, i) => noted(`${n} ${i}`)) })
      await open(dir, log).publish()
    })
    return dir
  }
  type Stored = {
    get(position: number): Promise<Buffer>
    put(position: number, value: Uint8Array): Promise<void>
    cut(after: number): Promise<void>
  }
  const edited = async (dir: string, edit: (stored: Stored) => Promise<void>) => {
    const paths = storePaths(dir)
    const db = await openDatabase(database, paths.database, false)
    await edit({
      get: async (position) => (await db.get(eventKey(position)))!,
      put: (position, value) => db.put(eventKey(position), value as Buffer),
      async cut(after) {
        for (let p = count; p > after; p--) await db.del(eventKey(p))
        const head = openHead(paths.head, { write: true })
        const text = (await db.get(eventKey(after)))!.subarray(4).toString("utf8")
        head.write(after, JSON.parse(text).command)
        head.close()
      },
    })
    // the scan before opening refuses a log in which positions are written again; in a table nobody sees when they were
    await (db as unknown as { compactRange(from: string, to: string): Promise<void> }).compactRange("0", "g")
    await db.close()
  }

  it("holds when nobody touched it", async () => {
    expect(await audit(await made())).toMatchObject({ size: count, published: count })
  })

  it("names an event whose bytes no longer match the checksum beside them", async () => {
    const dir = await made()
    await edited(dir, async ({ get, put }) => put(123, flip(await get(123), 40)))
    await expect(audit(dir)).rejects.toMatchObject({ message: "the log does not hold at position 123" })
  })

  it("names an event that was forged in a log long enough to be folded from tables, and a fold gets what is stored", async () => {
    const dir = await made(200)
    await edited(dir, async ({ get, put }) => {
      const event = JSON.parse((await get(123)).subarray(4).toString("utf8")) as Recorded
      await put(123, encodeRecord({ ...event, data: { text: "forged" } }))
    })
    await withLog(dir, async (log) => {
      const folded: Array<Recorded> = []
      await Effect.runPromise(log.each(0, log.head(), (events) => folded.push(...events) > 0))
      expect(folded.length).toBe(6000)
      expect(folded[122]!.data).toEqual({ text: "forged" })
    })
    await expect(audit(dir)).rejects.toMatchObject({ message: "the log does not hold at position 123" })
  })

  it("signs nothing over any of them", async () => {
    const dir = await made()
    await edited(dir, ({ cut }) => cut(299))
    await withLog(dir, async (log) => {
      await append(log, 999)
      await append(log, 1000)
      await expect(open(dir, log).publish()).rejects.toMatchObject({ code: "LOG_FORKED" })
    })
  })
})
