import { expect, it } from "vitest"
import { inParallel } from "../../core/block/parallel.ts"

const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

it("runs every piece once, never more at a time than it may", async () => {
  for (const [count, atOnce] of [
    [0, 4],
    [1, 4],
    [4, 4],
    [5, 4],
    [50, 4],
  ] as const) {
    const done: Array<number> = []
    let running = 0
    let most = 0
    await inParallel(count, atOnce, async (i) => {
      most = Math.max(most, ++running)
      await settle()
      running--
      done.push(i)
    })
    expect(done.sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i))
    expect(most).toBe(Math.min(count, atOnce))
  }
})

it("begins nothing after a failure, waits for what has begun, and reports the lowest failure", async () => {
  const begun: Array<number> = []
  let ended = 0
  const work = inParallel(100, 3, async (i) => {
    begun.push(i)
    if (i === 2) throw new Error("2 failed")
    await settle()
    ended++
    if (i === 1) throw new Error("1 failed")
  })
  await expect(work).rejects.toThrow("1 failed")
  expect([begun, ended]).toEqual([[0, 1, 2], 2])
})
