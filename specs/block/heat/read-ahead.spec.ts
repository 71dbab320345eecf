import { expect, it } from "vitest"
import { ExpectedOrder, ReadAhead } from "../../../core/block/heat/read-ahead.ts"
import { limits } from "../../../core/limits.ts"

const C = limits.clusterBytes
const { heatAheadMax: AHEAD, heatAheadAtOnceMax: AT_ONCE, heatStraysMax: STRAYS, heatSlowMissesMin: MISSES } = limits
const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

/** A boot that is expected to read clusters 1000, 1010, 1020 …; loads end when the spec says so. */
const setup = (length = 1000) => {
  const clusters = Uint32Array.from({ length }, (_, i) => 1000 + 10 * i)
  const state = { now: 0 }
  const asked: Array<number> = []
  const ends: Array<() => void> = []
  const device = {
    prefetch: (offset: number) => {
      asked.push((offset / C - 1000) / 10)
      return new Promise<void>((resolve) => ends.push(resolve))
    },
  }
  const ahead = new ReadAhead({ order: new ExpectedOrder(clusters), device, monotonic: () => state.now })
  const miss = async (millis: number) => {
    const timed = ahead.timed(Promise.resolve())
    state.now += millis
    await timed
  }
  const slow = async (millis: number = limits.heatSlowMissMillis) => {
    for (let i = 0; i < MISSES; i++) await miss(millis)
  }
  const read = (place: number) => ahead.touch(clusters[place]! * C, 512)
  const end = async () => {
    for (const resolve of ends.splice(0)) resolve()
    await settle()
  }
  const endAll = async () => {
    while (ends.length > 0) await end()
  }
  return {
    ahead,
    asked,
    ends,
    slow,
    read,
    end,
    endAll,
    stray: (n: number) => ahead.touch((5_000_000 + 3 * n) * C, 512),
  }
}
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

it("nothing is read ahead of a boot whose misses are quick", async () => {
  const { asked, read, slow } = setup()
  read(0)
  await slow(limits.heatSlowMissMillis - 0.1)
  for (let i = 1; i < 50; i++) read(i)
  expect(asked).toEqual([])
})

it("a slow boot is read ahead of in order, a few at once, and no further than the window", async () => {
  const { asked, read, slow, end, endAll, ends } = setup()
  read(0)
  await slow()
  expect(asked).toEqual(range(1, 1 + AT_ONCE))
  await end()
  expect([asked, ends.length]).toEqual([range(1, 1 + 2 * AT_ONCE), AT_ONCE])
  await endAll()
  expect(asked).toEqual(range(1, 1 + AHEAD))
  read(1)
  await endAll()
  expect(asked).toEqual(range(1, 2 + AHEAD))
})

it("what the boot has passed is not asked for; the window moves with it, and ends with the order", async () => {
  const { asked, read, slow, endAll } = setup(AHEAD + 20)
  read(0)
  read(10)
  await slow()
  await endAll()
  expect(asked).toEqual(range(11, 11 + AHEAD))
  read(AHEAD + 19)
  await endAll()
  expect(asked).toEqual(range(11, 11 + AHEAD))
  read(3)
  await endAll()
  expect(asked.at(-1)).toBe(10 + AHEAD)
})

it("it stops for good when the boot reads one after the other what is not expected; one that is starts the count anew", async () => {
  const { ahead, asked, read, slow, stray, endAll } = setup()
  await slow()
  for (let i = 1; i < STRAYS; i++) stray(i)
  read(0)
  for (let i = 1; i < STRAYS; i++) stray(i)
  expect(ahead.stopped).toBe(false)
  stray(0)
  expect(ahead.stopped).toBe(true)
  const before = asked.length
  for (let i = 0; i < 100; i++) read(i)
  await endAll()
  expect(asked.length).toBe(before)
})

it("a jump far ahead in the order is no place where the boot is expected", async () => {
  const { ahead, asked, read, slow } = setup()
  read(0)
  for (let i = 0; i < STRAYS; i++) read(500 + i)
  await slow()
  expect([ahead.stopped, asked]).toEqual([true, []])
})

it("a load that fails is nobody's error, and the next ones follow", async () => {
  const clusters = Uint32Array.of(1, 2, 3)
  let asked = 0
  const device = {
    prefetch: async () => {
      asked++
      throw new Error("gone")
    },
  }
  let now = 0
  const ahead = new ReadAhead({ order: new ExpectedOrder(clusters), device, monotonic: () => (now += 10) })
  ahead.touch(C, 512)
  for (let i = 0; i < MISSES; i++) await ahead.timed(Promise.resolve())
  await settle()
  expect(asked).toBe(2)
})

it("a miss that fails is the client's error", async () => {
  const { ahead } = setup()
  await expect(ahead.timed(Promise.reject(new Error("bad sector")))).rejects.toThrow("bad sector")
})
