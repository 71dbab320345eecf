/**
 * Writing to an overlay: the data file first, then the map, then the acknowledgement.
 *
 * | grains are                     | synchronous door                                            | asynchronous door               |
 * | ------------------------------ | ----------------------------------------------------------- | ------------------------------- |
 * | all hot                        | one `writeSync`                                             | never comes here                |
 * | data                           | `writeSync`, then hot; miss when an edge is cold            | write, then hot                 |
 * | some absent or zero            | fills if the base answers at once, `writeSync`, map `writeSync` | fills, write, map            |
 * | on a page that is not loaded   | miss                                                        | the page is loaded or made first |
 * | held by another change         | miss                                                        | waits its turn                  |
 *
 * **Gotchas** A synchronous write that wrote data and then could not write the map answers false: nothing is visible of it yet but
 * bytes of the same request in grains that were data already, and the asynchronous door does the whole request again.
 */
import { fail } from "../../errors.ts"
import { volumeError } from "./errors.ts"
import { below, belowSync, overlayBytes, WritePlan } from "./fill.ts"
import { GRAIN, GRAIN_BITS, HOT, LEAF_BITS, LEAF_MASK, PAGE_SPAN } from "./geometry.ts"
import { heatStates, type MapPage, NO_PAGE, runEnd, stateOf, UNLOADED } from "./page.ts"
import { eachPage, grainLength, holdingGrains, type Parts } from "./parts.ts"

const WHAT = "overlay data"

/** Room for the synchronous door, which needs it for one turn of the loop at a time. */
const firstScratch = Buffer.alloc(GRAIN)
const lastScratch = Buffer.alloc(GRAIN)
const syncPlan = new WritePlan(NO_PAGE)

export const writeSync = (p: Parts, from: Uint8Array, at: number, offset: number, length: number): boolean => {
  if (p.held.count > 0 && !p.held.isFree(offset, length)) return false
  const number = (offset / PAGE_SPAN) | 0
  const inPage = offset - number * PAGE_SPAN
  if (inPage + length > PAGE_SPAN) return false
  const page = p.map.leaves[number >> LEAF_BITS]![number & LEAF_MASK]!
  if (page === NO_PAGE || page === UNLOADED) return false
  page.used = 1
  const grain = inPage >> GRAIN_BITS
  const limit = ((inPage + length - 1) >> GRAIN_BITS) + 1
  if (stateOf(page, grain) === HOT && (grain + 1 === limit || runEnd(page, grain, limit) === limit)) {
    return dataSync(p, from, at, offset, length)
  }
  return writeChangingSync(p, page, from, at, offset, length)
}

const writeChangingSync = (
  p: Parts,
  page: MapPage,
  from: Uint8Array,
  at: number,
  offset: number,
  length: number,
): boolean => {
  if (p.map.committing > 0) return false
  const plan = syncPlan
  plan.plan(p, page, offset, length)
  if (plan.cold) return false
  if (plan.fillFirst && !belowSync(p, plan, plan.first, firstScratch)) return false
  if (plan.fillLast && !belowSync(p, plan, plan.end - 1, lastScratch)) return false
  p.quota.reserve(plan.newGrains, p.map.dataGrains, offset, length)
  try {
    if (plan.fillFirst && !filledSync(p, plan, plan.first, firstScratch, from, at, offset, length)) return false
    if (plan.fillLast && !filledSync(p, plan, plan.end - 1, lastScratch, from, at, offset, length)) return false
    if (plan.from < plan.to && !dataSync(p, from, at + plan.from - offset, plan.from, plan.to - plan.from)) return false
    if (plan.newGrains > 0) return p.map.commitSync(page, plan.first, plan.end, HOT)
    heatStates(page, plan.first, plan.end)
    return true
  } finally {
    p.quota.settle(plan.newGrains, p.map.dataGrains)
  }
}

const dataSync = (p: Parts, from: Uint8Array, at: number, offset: number, length: number): boolean => {
  try {
    return p.data.writeSync(from, at, offset, length)
  } catch (e) {
    throw volumeError(e, offset, length, WHAT)
  }
}

const filledSync = (
  p: Parts,
  plan: WritePlan,
  grain: number,
  scratch: Uint8Array,
  from: Uint8Array,
  at: number,
  offset: number,
  length: number,
): boolean => {
  const start = plan.grainStart(grain)
  overlayBytes(scratch, start, from, at, offset, length)
  return dataSync(p, scratch, 0, start, grainLength(p, start))
}

export const write = (
  p: Parts,
  from: Uint8Array,
  at: number,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
): Promise<void> =>
  eachPage(offset, length, (number, start, bytes) =>
    holdingGrains(p, start, bytes, signal, async () => {
      if (signal?.aborted) throw fail("CANCELLED", { what: "the write" })
      const page = await p.map.acquireOrCreate(number)
      try {
        await writeHeld(p, page, from, at + start - offset, start, bytes)
      } finally {
        p.map.release(page)
      }
    }),
  )

/** Writes inside one page whose grains the caller holds. */
export const writeHeld = async (
  p: Parts,
  page: MapPage,
  from: Uint8Array,
  at: number,
  offset: number,
  length: number,
): Promise<void> => {
  const plan = new WritePlan(page)
  plan.plan(p, page, offset, length)
  p.quota.reserve(plan.newGrains, p.map.dataGrains, offset, length)
  try {
    if (plan.fillFirst) await fillGrain(p, plan, plan.first, from, at, offset, length)
    if (plan.fillLast) await fillGrain(p, plan, plan.end - 1, from, at, offset, length)
    if (plan.from < plan.to) await data(p, from, at + plan.from - offset, plan.from, plan.to - plan.from)
    if (plan.newGrains > 0) await p.map.commit(page, plan.first, plan.end, HOT)
    else heatStates(page, plan.first, plan.end)
  } finally {
    p.quota.settle(plan.newGrains, p.map.dataGrains)
  }
}

const fillGrain = async (
  p: Parts,
  plan: WritePlan,
  grain: number,
  from: Uint8Array,
  at: number,
  offset: number,
  length: number,
): Promise<void> => {
  const scratch = Buffer.alloc(GRAIN)
  const start = plan.grainStart(grain)
  await below(p, plan, grain, scratch)
  overlayBytes(scratch, start, from, at, offset, length)
  await data(p, scratch, 0, start, grainLength(p, start))
}

const data = async (p: Parts, from: Uint8Array, at: number, offset: number, length: number): Promise<void> => {
  try {
    await p.data.write(from, at, offset, length)
  } catch (e) {
    throw volumeError(e, offset, length, WHAT)
  }
}
