import { setImmediate as turn } from "node:timers/promises"
import { expect, it } from "vitest"
import { InFlight } from "../../core/block/in-flight.ts"
import { limits } from "../../core/limits.ts"
import { makePace } from "../../core/runtime/ram-pace.ts"

const turns = async (n = 5) => {
  for (let i = 0; i < n; i++) await turn()
}

it("others have a turn after so many clusters, and sooner when those took long", async () => {
  let now = 0
  const pace = makePace(new InFlight(), () => now)
  let others = 0
  let running = true
  const count = async () => {
    for (; running; others++) await turn()
  }
  const counting = count()
  for (let i = 0; i < limits.ramFillTurnClusters; i++) {
    await pace.turn()
    pace.done()
  }
  expect(others).toBe(0)
  await pace.turn()
  pace.done()
  expect(others).toBe(1)
  now += limits.ramFillMillis + 1
  await pace.turn()
  expect(others).toBe(2)
  running = false
  await counting
})

it("while a client waits, one load goes on and the others wait until it has its bytes", async () => {
  const waiting = new InFlight()
  const pace = makePace(waiting, () => 0)
  waiting.enter()
  await pace.turn()
  let went = 0
  const others = [1, 2, 3].map(() => pace.turn().then(() => void went++))
  await turns()
  expect(went).toBe(0)
  waiting.leave()
  await Promise.all(others)
  expect(went).toBe(3)
})

it("a fill goes on, one load after the other, though clients wait all the time", async () => {
  const waiting = new InFlight()
  const pace = makePace(waiting, () => 0)
  waiting.enter()
  for (let i = 0; i < 3 * limits.ramFillTurnClusters; i++) {
    await pace.turn()
    pace.done()
  }
  expect(waiting.count).toBe(1)
})
