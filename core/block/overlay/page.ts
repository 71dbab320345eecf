/**
 * One page of an overlay's map in memory: 16,384 grain states of 2 bits, and the walks over them.
 *
 * **Details** Grain `g` is bits `2 × (g & 3)` of byte `g >> 2`, so a run is walked four grains at a time.
 */
import { DATA, HOT, PAGE_STATE_BYTES, PAYLOAD_BYTES, SECTOR_GRAINS, type ZERO } from "./geometry.ts"

export class MapPage {
  readonly number: number
  /** Buffer, because its `copy` is the cheapest way to take a sector out. */
  readonly states: Buffer
  /** Mark of the budget's clock. */
  used = 1
  /** Users that wait for something while they hold the page; it is not evicted meanwhile. */
  pins = 0

  constructor(number: number, states: Buffer = Buffer.alloc(PAGE_STATE_BYTES)) {
    this.number = number
    this.states = states
  }
}

/** Stands for every page that does not exist: all its grains are absent. */
export const NO_PAGE = new MapPage(-1, Buffer.alloc(0))
/** Stands for every page that exists and is not in memory. */
export const UNLOADED = new MapPage(-2, Buffer.alloc(0))

export const stateOf = (page: MapPage, grain: number): number => (page.states[grain >> 2]! >> ((grain & 3) << 1)) & 3

/** First grain in `(grain, limit]` whose state differs from that of `grain`; `limit` when none does. */
export const runEnd = (page: MapPage, grain: number, limit: number): number => {
  const states = page.states
  const state = stateOf(page, grain)
  const four = state * 0b01010101
  let g = grain + 1
  while (g < limit) {
    if ((g & 3) === 0 && g + 4 <= limit && states[g >> 2] === four) g += 4
    else if (((states[g >> 2]! >> ((g & 3) << 1)) & 3) === state) g++
    else return g
  }
  return limit
}

/** Sets the states of `[from, to)`. */
export const setStates = (states: Uint8Array, from: number, to: number, state: number): void => {
  const four = state * 0b01010101
  let g = from
  while (g < to) {
    if ((g & 3) === 0 && g + 4 <= to) {
      states[g >> 2] = four
      g += 4
    } else {
      const shift = (g & 3) << 1
      states[g >> 2] = (states[g >> 2]! & ~(3 << shift)) | (state << shift)
      g++
    }
  }
}

/** Marks data grains of `[from, to)` as hot and leaves the others. */
export const heatStates = (page: MapPage, from: number, to: number): void => {
  for (let g = from; g < to; g = runEnd(page, g, to)) {
    if (stateOf(page, g) === DATA) setStates(page.states, g, runEnd(page, g, to), HOT)
  }
}

/** How many grains of `[from, to)` have `state`, where hot counts as data. */
export const countStates = (page: MapPage, from: number, to: number, state: typeof DATA | typeof ZERO): number => {
  let count = 0
  for (let g = from; g < to; ) {
    const end = runEnd(page, g, to)
    const here = stateOf(page, g)
    if (here === state || (state === DATA && here === HOT)) count += end - g
    g = end
  }
  return count
}

/** Copies the states of a sector into `payload` as the file keeps them: hot is data there. */
export const takeSector = (page: MapPage, sector: number, payload: Buffer, at: number): void => {
  const from = (sector * SECTOR_GRAINS) / 4
  page.states.copy(payload, at, from, from + PAYLOAD_BYTES)
  for (let i = at; i < at + PAYLOAD_BYTES; i++) {
    const b = payload[i]!
    // Of each pair of bits 11 becomes 01: where both are set, the upper one is cleared.
    payload[i] = b & ~((b & (b >> 1) & 0b01010101) << 1)
  }
}
