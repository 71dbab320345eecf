import { expect, it } from "vitest"
import { RangeLock } from "../../core/block/range-lock.ts"
import { random } from "../support/random.ts"

const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

it("grants touching ranges at once, and overlapping ones one after the other", async () => {
  const lock = new RangeLock()
  const first = await lock.lock(0, 10)
  const next = await lock.lock(10, 10)
  let granted = false
  const waiting = lock.lock(9, 2).then((unlock) => {
    granted = true
    return unlock
  })
  await settle()
  expect(granted).toBe(false)
  first()
  await settle()
  expect(granted).toBe(false)
  next()
  ;(await waiting)()
  expect(lock.count).toBe(0)
})

it("makes a later small request wait for an earlier large one that waits itself", async () => {
  const lock = new RangeLock()
  const holder = await lock.lock(0, 1)
  const order: Array<string> = []
  const large = lock.lock(0, 100).then((unlock) => (order.push("large") > 0 ? unlock : unlock))
  const small = lock.lock(50, 1).then((unlock) => (order.push("small") > 0 ? unlock : unlock))
  await settle()
  expect(order).toEqual([])
  holder()
  ;(await large)()
  ;(await small)()
  expect(order).toEqual(["large", "small"])
})

it("lets those behind a waiter go when the waiter gives up", async () => {
  const lock = new RangeLock()
  const holder = await lock.lock(0, 10)
  const impatient = new AbortController()
  const waiter = lock.lock(5, 10, impatient.signal)
  const behind = lock.lock(12, 1)
  impatient.abort()
  await expect(waiter).rejects.toMatchObject({ code: "CANCELLED" })
  ;(await behind)()
  holder()
  expect(lock.count).toBe(0)
})

it("ignores an abort after the grant, and a second unlock", async () => {
  const lock = new RangeLock()
  const late = new AbortController()
  const unlock = await lock.lock(0, 10, late.signal)
  late.abort()
  expect(lock.isFree(9, 1)).toBe(false)
  unlock()
  const other = await lock.lock(0, 10)
  unlock()
  expect(lock.isFree(0, 10)).toBe(false)
  other()
  expect(lock.isFree(0, 10)).toBe(true)
})

it("never grants two overlapping ranges, over 20 seeded runs", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const r = random(seed)
    const lock = new RangeLock()
    const held: Array<{ from: number; to: number; unlock: () => void }> = []
    const waiting: Array<Promise<void>> = []
    for (let i = 0; i < 60; i++) {
      const from = r.int(20)
      const length = 1 + r.int(8)
      waiting.push(
        lock.lock(from, length).then((unlock) => {
          for (const h of held) expect(h.from < from + length && from < h.to, `seed ${seed}`).toBe(false)
          held.push({ from, to: from + length, unlock })
        }),
      )
      await settle()
      if (r.chance(0.6) && held.length > 0) held.splice(r.int(held.length), 1)[0]!.unlock()
    }
    while (lock.count > 0) {
      held.pop()?.unlock()
      await settle()
    }
    await Promise.all(waiting)
  }
})
