import * as Effect from "effect/Effect"
import { expect, it } from "vitest"
import { foldAsOf, positionAt } from "../../core/projections/as-of.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { linkRows, linkTable } from "../../core/projections/link-table.ts"
import { imageAdded, linked, registered, to, unlinked } from "../support/domain.ts"
import { makeMemoryLog } from "../support/memory-log.ts"

it("the position at a time is the last event not after it", async () => {
  const log = makeMemoryLog()
  const at = (time: number) => Effect.runPromise(positionAt(log, time))
  expect(await at(5)).toBe(0)
  for (const [n, time] of [10, 20, 20, 20, 30].entries()) log.push([registered(n + 1)], { at: time })
  expect([await at(9), await at(10), await at(19), await at(20), await at(29), await at(30), await at(99)]).toEqual([
    0, 1, 1, 4, 4, 5, 5,
  ])
})

it("the link table is folded as it was at any position", async () => {
  const log = makeMemoryLog()
  log.push([imageAdded(1), registered(1), linked(1, 0, to(1)), unlinked(1, 0, to(1))])
  const rows = async (position: number) => linkRows(await Effect.runPromise(foldAsOf(log, linkTable, position))).length
  expect([await rows(0), await rows(2), await rows(3), await rows(4), await rows(99)]).toEqual([0, 0, 1, 0, 0])
})

it("folds over more than a page, and stops exactly at the position", async () => {
  const log = makeMemoryLog()
  log.push(Array.from({ length: 2500 }, (_, i) => registered(i + 1)))
  for (const position of [999, 1000, 1001, 2000, 2500]) {
    const state = await Effect.runPromise(foldAsOf(log, linkTable, position))
    expect(state.clients.size).toBe(position)
  }
})

it("a projection that stops at an unknown event cannot be folded past it", async () => {
  const log = makeMemoryLog()
  log.push([registered(1), { type: "LabMoved", schemaVersion: 1, data: {} }, registered(2)])
  const fold = (position: number) => Effect.runPromise(Effect.result(foldAsOf(log, catalogueProjection, position)))
  expect((await fold(1))._tag).toBe("Success")
  expect(await fold(2)).toMatchObject({ _tag: "Failure", failure: { code: "EVENT_UNKNOWN" } })
})
