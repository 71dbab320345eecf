/**
 * One page of a layer map: for each of 8,192 grains (32 MiB of disk) the layer its bytes come from.
 *
 * A **code** says where a grain comes from: `2 × layer`, and one more when that layer zeroed it. Layer 0 is the base image, whose code is 0.
 *
 * | form    | kept as                                              | bytes                    | found by          |
 * | ------- | ---------------------------------------------------- | ------------------------ | ----------------- |
 * | uniform | one page object for each code, shared by every map   | none                     | nothing to find   |
 * | runs    | `start << 16 \| code` for each run, ascending         | 4 for each run           | binary search     |
 * | dense   | a code for each grain, in 8 bits while all of them fit | 8 or 16 KiB             | index             |
 *
 * **Details** A page never changes once it is made. It takes the form with the fewest bytes, but for long lists of runs: past
 * `RUNS_MAX` the search would cost more than a read can afford.
 */
import assert from "node:assert"
import { limits } from "../../limits.ts"

export const GRAIN = limits.grainBytes
export const PAGE_GRAINS = 8192
/** Bytes of disk that one page covers. */
export const PAGE_SPAN = PAGE_GRAINS * GRAIN
const RUNS_MAX = 1024
/** What the engine keeps beside the numbers: the page object, a typed array, its buffer. Measured on Node 24. */
const OBJECT_BYTES = 320

assert(PAGE_SPAN % limits.clusterBytes === 0, "a cluster lies in one page")
assert(limits.imageBytesMax / PAGE_SPAN < 2 ** 31, "a page number is a small integer")

export const BASE_CODE = 0
export const dataCode = (layer: number): number => layer << 1
export const zeroCode = (layer: number): number => (layer << 1) | 1
export const layerOfCode = (code: number): number => code >> 1
export const isZeroCode = (code: number): boolean => (code & 1) === 1

const UNIFORM = 0
const RUNS = 1
const DENSE = 2
const NO_RUNS = new Uint32Array(0)
const NO_CODES = new Uint8Array(0)

export class LayerPage {
  readonly form: number
  /** Of every grain of a uniform page. */
  readonly code: number
  readonly runs: Uint32Array
  readonly codes: Uint8Array | Uint16Array
  /** Newest layer that any of its grains comes from. */
  readonly newest: number
  /** What it costs its budget. */
  readonly bytes: number
  /** How many leaves have it. */
  refs = 0

  constructor(form: number, code: number, runs: Uint32Array, codes: Uint8Array | Uint16Array, newest: number) {
    this.form = form
    this.code = code
    this.runs = runs
    this.codes = codes
    this.newest = newest
    this.bytes = form === UNIFORM ? 0 : OBJECT_BYTES + runs.byteLength + codes.byteLength
  }
}

const uniform: Array<LayerPage> = []

/** The page whose grains all have `code`. */
export const uniformPage = (code: number): LayerPage =>
  (uniform[code] ??= new LayerPage(UNIFORM, code, NO_RUNS, NO_CODES, layerOfCode(code)))

/** Index of the run that holds `grain`. */
const runAt = (runs: Uint32Array, grain: number): number => {
  const key = (grain << 16) | 0xffff
  let low = 0
  let high = runs.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (runs[middle]! <= key) low = middle
    else high = middle - 1
  }
  return low
}

export const codeIn = (page: LayerPage, grain: number): number => {
  if (page.form === UNIFORM) return page.code
  if (page.form === DENSE) return page.codes[grain]!
  return page.runs[runAt(page.runs, grain)]! & 0xffff
}

/** First grain in `(grain, limit]` whose code differs from that of `grain`; `limit` when none does. */
export const runEndIn = (page: LayerPage, grain: number, limit: number): number => {
  if (page.form === UNIFORM) return limit
  if (page.form === RUNS) {
    const next = page.runs[runAt(page.runs, grain) + 1]
    return next === undefined ? limit : Math.min(limit, next >>> 16)
  }
  const { codes } = page
  const code = codes[grain]
  let end = grain + 1
  while (end < limit && codes[end] === code) end++
  return end
}

/** Newest layer among grains `[from, to)`. */
export const newestIn = (page: LayerPage, from: number, to: number): number => {
  if (page.form === UNIFORM) return page.newest
  let newest = 0
  if (page.form === DENSE) {
    const { codes } = page
    for (let g = from; g < to; g++) if (codes[g]! > newest) newest = codes[g]!
    return newest >> 1
  }
  const { runs } = page
  for (let i = runAt(runs, from); i < runs.length && runs[i]! >>> 16 < to; i++) {
    const code = runs[i]! & 0xffff
    if (code > newest) newest = code
  }
  return newest >> 1
}

/** Makes pages, one after the other: runs are pushed from grain 0 on, then `finish`. */
export class PageBuilder {
  readonly #runs = new Uint32Array(PAGE_GRAINS)
  #count = 0
  #last = -1
  #max = 0

  /** From `start` on, grains have `code`. */
  push(start: number, code: number): void {
    if (code === this.#last) return
    this.#runs[this.#count++] = (start << 16) | code
    this.#last = code
    if (code > this.#max) this.#max = code
  }

  /** Grains `[from, to)` are as in `page`. */
  copy(page: LayerPage, from: number, to: number): void {
    for (let g = from; g < to; ) {
      this.push(g, codeIn(page, g))
      g = runEndIn(page, g, to)
    }
  }

  /** The page that was pushed. The builder is empty again. */
  finish(): LayerPage {
    const count = this.#count
    const max = this.#max
    const runs = this.#runs
    this.#count = 0
    this.#last = -1
    this.#max = 0
    if (count === 1) return uniformPage(runs[0]! & 0xffff)
    if (count <= RUNS_MAX) return new LayerPage(RUNS, -1, runs.slice(0, count), NO_CODES, layerOfCode(max))
    const codes = max < 256 ? new Uint8Array(PAGE_GRAINS) : new Uint16Array(PAGE_GRAINS)
    for (let i = 0; i < count; i++) {
      const end = i + 1 === count ? PAGE_GRAINS : runs[i + 1]! >>> 16
      codes.fill(runs[i]! & 0xffff, runs[i]! >>> 16, end)
    }
    return new LayerPage(DENSE, -1, NO_RUNS, codes, layerOfCode(max))
  }
}
