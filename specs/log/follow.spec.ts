import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import type { LevelLog } from "../../core/log/level-log.ts"
import { random } from "./support/random.ts"
import { append, discard, newStore, noted, type Opened, open } from "./support/store.ts"

const run = Effect.runPromise
const seed = Number(process.env.IMAGELINK_SEED ?? 1)

/** Positions that a follower sees, up to `count` of them. */
const followed = (log: LevelLog, after: number, count: number) =>
  Stream.runCollect(
    log.follow(after).pipe(
      Stream.take(count),
      Stream.map((event) => event.position),
    ),
  )

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

describe("following", () => {
  let dir: string
  let opened: Opened
  let log: LevelLog
  let closed: boolean
  beforeEach(async () => {
    dir = await newStore()
    opened = await open(dir)
    log = opened.log
    closed = false
  })
  afterEach(async () => {
    if (!closed) await opened.close()
    discard(dir)
  })

  it("gives what is there, and then what comes", async () => {
    await append(log, 1)
    const seen = run(followed(log, 0, 3))
    await append(log, 2)
    await append(log, 3)
    expect(await seen).toEqual([1, 2, 3])
  })

  it("from the head on gives only what comes", async () => {
    await append(log, 1)
    const seen = run(followed(log, 1, 1))
    await append(log, 2)
    expect(await seen).toEqual([2])
  })

  it("from a position that is not there yet waits for the one after it", async () => {
    const seen = run(followed(log, 2, 1))
    for (let n = 1; n <= 3; n++) await append(log, n)
    expect(await seen).toEqual([3])
  })

  it("more than a page gives every event once", async () => {
    await append(log, 1, { events: Array.from({ length: 2500 }, (_, i) => noted(String(i))) })
    expect(await run(followed(log, 0, 2500))).toEqual(range(1, 2500))
  })

  it("20 followers that join at random during 2,000 appends see no gap and no duplicate", async () => {
    const dice = random(seed)
    const total = 2000
    const joins = new Map(range(1, 20).map((n) => [n === 1 ? 0 : dice.below(total - 1), n]))
    const followers: Array<{ after: number; seen: Promise<ReadonlyArray<number>> }> = []
    for (let n = 0; n < total; n++) {
      if (joins.has(n)) {
        const after = dice.below(log.head() + 1)
        followers.push({ after, seen: run(followed(log, after, total - after)) })
      }
      await append(log, n + 1)
    }
    expect(followers.length).toBeGreaterThan(15)
    for (const { after, seen } of followers) {
      expect(await seen, `joined after ${after} (seed ${seed})`).toEqual(range(after + 1, total))
    }
  })

  it("ends when the log closes, for one that waits and for one that begins later", async () => {
    await append(log, 1)
    const waiting = run(followed(log, 0, 5))
    await append(log, 2)
    const collected = await Promise.all([waiting, opened.close()])
    closed = true
    expect([1, 2].slice(0, collected[0].length)).toEqual(collected[0])
    expect(await run(followed(log, 0, 5))).toEqual([])
  })

  it("stops without a trace when it is interrupted while waiting", async () => {
    const fiber = Effect.runFork(followed(log, 0, 1))
    await append(log, 1).then(() => run(followed(log, 0, 1)))
    const idle = Effect.runFork(followed(log, 1, 1))
    await run(Fiber.interrupt(idle))
    expect(await run(Fiber.join(fiber))).toEqual([1])
    expect((await append(log, 2)).position).toBe(2)
  })
})
