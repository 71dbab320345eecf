/**
 * Writes smaller than a grain: the rest of the grain is filled from below, once, so that a data grain is always whole.
 *
 *     grain g            |-- base or zeros --|== new bytes ==|-- base or zeros --|      one write of the whole grain
 *
 * | grain is | its edge write                                                                          |
 * | -------- | --------------------------------------------------------------------------------------- |
 * | absent   | fills from the base                                                                     |
 * | zero     | fills with zeros: what the data file has there is stale                                 |
 * | data     | writes its own bytes only, and asynchronously: the rest of the page may have to be read |
 * | hot      | writes its own bytes only                                                               |
 *
 * A plan says what one write inside one page has to do: fill its first grain, fill its last, and write the rest as it is. While an
 * asynchronous fill is on its way its grain is held, so that no later write can be undone by the older bytes around it.
 */
import { ABSENT, DATA, GRAIN, GRAIN_BITS, PAGE_SPAN, ZERO } from "./geometry.ts"
import { countStates, type MapPage, stateOf } from "./page.ts"
import { grainLength, type Parts } from "./parts.ts"

export class WritePlan {
  page: MapPage
  /** Grains of the page that the write touches: `[first, end)`. */
  first = 0
  end = 0
  /** Of these, how many are not data yet. */
  newGrains = 0
  fillFirst = false
  fillLast = false
  /** An edge lies in a data grain that the page cache may not hold. */
  cold = false
  /** Bytes of the disk that are written just as they come: `[from, to)`. */
  from = 0
  to = 0

  constructor(page: MapPage) {
    this.page = page
  }

  /** Plans a write that lies inside `page`. */
  plan(p: Parts, page: MapPage, offset: number, length: number): void {
    const inPage = offset - page.number * PAGE_SPAN
    const endInPage = inPage + length
    this.page = page
    this.first = inPage >> GRAIN_BITS
    this.end = ((endInPage - 1) >> GRAIN_BITS) + 1
    this.newGrains = this.end - this.first - countStates(page, this.first, this.end, DATA)
    const one = this.end - this.first === 1
    const headPartial = (inPage & (GRAIN - 1)) !== 0
    const tailPartial = (endInPage & (GRAIN - 1)) !== 0 && offset + length !== p.sizeBytes
    const firstPartial = headPartial || (one && tailPartial)
    const lastPartial = !one && tailPartial
    const firstState = stateOf(page, this.first)
    const lastState = stateOf(page, this.end - 1)
    this.cold = (firstPartial && firstState === DATA) || (lastPartial && lastState === DATA)
    this.fillFirst = firstPartial && (firstState === ABSENT || firstState === ZERO)
    this.fillLast = lastPartial && (lastState === ABSENT || lastState === ZERO)
    this.from = this.fillFirst ? this.grainStart(this.first + 1) : offset
    this.to = this.fillLast ? this.grainStart(this.end - 1) : offset + length
  }

  grainStart(grain: number): number {
    return this.page.number * PAGE_SPAN + grain * GRAIN
  }
}

/** Brings what lies below a grain into `scratch`; false when the base does not answer at once. */
export const belowSync = (p: Parts, plan: WritePlan, grain: number, scratch: Uint8Array): boolean => {
  const start = plan.grainStart(grain)
  if (stateOf(plan.page, grain) === ABSENT) return p.base.readSync(scratch, 0, start, grainLength(p, start))
  scratch.fill(0)
  return true
}

/** The same, waiting for the base if it must. @throws what the base throws */
export const below = async (p: Parts, plan: WritePlan, grain: number, scratch: Uint8Array): Promise<void> => {
  const start = plan.grainStart(grain)
  if (!belowSync(p, plan, grain, scratch)) await p.base.read(scratch, 0, start, grainLength(p, start))
}

/** Lays the part of a write that falls into the grain at `start` over what `scratch` has from below. */
export const overlayBytes = (
  scratch: Uint8Array,
  start: number,
  from: Uint8Array,
  at: number,
  offset: number,
  length: number,
): void => {
  const begin = Math.max(start, offset)
  const end = Math.min(start + GRAIN, offset + length)
  scratch.set(from.subarray(at + begin - offset, at + end - offset), begin - start)
}
