/**
 * One page of a layer map: for each of 8,192 grains (32 MiB of disk) the layer its bytes come from.
 *
 * A **code** says where a grain comes from: `2 × layer`, and one more when that layer zeroed it. Layer 0 is the base image, whose code is 0.
 *
 * | form    | kept as                                                   | bytes                | found by        |
 * | ------- | --------------------------------------------------------- | -------------------- | --------------- |
 * | uniform | one page object for each code, shared by every map        | none                 | nothing to find |
 * | runs    | `start << 16 | code` for each run, ascending              | 4 for each run       | binary search   |
 * | packed  | the codes it has, and a number of 1, 2 or 4 bits for each grain, while it has at most 16 of them | 1, 2 or 4 KiB | index |
 * | dense   | a code for each grain, in 8 bits while all of them fit    | 8 or 16 KiB          | index           |
 *
 * **Details** What a page says never changes. Past `RUNS_MAX` runs it is packed or dense, though that may take more memory: the search would cost
 * more than a read can afford. Packed is what scattered changes come to once their layers are merged: there are two codes then, or three.
 */
import assert from "node:assert"
import { limits } from "../../limits.ts"

export const GRAIN = limits.grainBytes
export const PAGE_GRAINS = 8192
/** Bytes of disk that one page covers. */
export const PAGE_SPAN = PAGE_GRAINS * GRAIN
export const LEAF_BITS = 8
export const LEAF_PAGES = 1 << LEAF_BITS
export const LEAF_MASK = LEAF_PAGES - 1
export const RUNS_MAX = 1024
/** What the engine keeps for a page object with its place in the budget, for a typed array with its buffer, and for a pointer. Measured on Node 24. */
const OBJECT_BYTES = 136
export const ARRAY_BYTES = 240
export const POINTER_BYTES = 8
/** Of a list of leaves, with what holds it. */
export const rootBytes = (leaves: number): number => leaves * POINTER_BYTES + 256

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
const PACKED = 3
/** Codes of a packed page, at most. */
const PACKED_MAX = 16
/** Below so many runs no other form takes less. */
const RUNS_ALWAYS = 256
const NOTHING = new Uint32Array(0)

/** Who has a page, and forgets it. */
export interface PageOwner {
  forget(page: LayerPage): void
}

export class LayerPage {
  readonly form: number
  /** Of every grain of a uniform page. */
  readonly code: number
  /** Its runs; those of a dense page: a code of each grain; of a packed one: the codes it has, then the grains' numbers, the first in the lowest bits. */
  readonly words: Uint8Array | Uint16Array | Uint32Array
  /** Of a packed page: bits of a grain's number. */
  readonly bits: number
  /** Newest layer that any of its grains comes from. */
  readonly newest: number
  /** Looked at since the budget's hand passed. */
  used = false
  /** Who has it, under which number, and where the budget has it; a uniform page is everybody's. */
  owner: PageOwner | undefined = undefined
  number = 0
  place = 0

  constructor(form: number, code: number, words: LayerPage["words"], bits: number, newest: number) {
    this.form = form
    this.code = code
    this.words = words
    this.bits = bits
    this.newest = newest
  }

  /** What it costs its budget. */
  get bytes(): number {
    return this.form === UNIFORM ? 0 : OBJECT_BYTES + ARRAY_BYTES + this.words.byteLength
  }
}

const uniform: Array<LayerPage> = []

/** The page whose grains all have `code`. */
export const uniformPage = (code: number): LayerPage =>
  (uniform[code] ??= new LayerPage(UNIFORM, code, NOTHING, 0, layerOfCode(code)))

export const isUniform = (page: LayerPage): boolean => page.form === UNIFORM

/** A page in the form that suits it, from its runs and its codes. Both are copied. */
export const pageOf = (runs: Uint32Array, codes: Uint16Array): LayerPage => {
  if (runs.length === 1) return uniformPage(runs[0]! & 0xffff)
  let codeMax = 0
  for (let i = 0; i < runs.length; i++) codeMax = Math.max(codeMax, runs[i]! & 0xffff)
  return packedPage(runs, codeMax) ?? (runs.length <= RUNS_MAX ? runsPage(runs, codeMax) : densePage(codes, codeMax))
}

const runsPage = (runs: Uint32Array, codeMax: number): LayerPage =>
  new LayerPage(RUNS, -1, runs.slice(), 0, layerOfCode(codeMax))

const densePage = (codes: Uint16Array, codeMax: number): LayerPage =>
  new LayerPage(DENSE, -1, codeMax < 256 ? Uint8Array.from(codes) : codes.slice(), 0, layerOfCode(codeMax))

const WORD_BITS = 16

/** A page of many runs that has few codes; undefined where it has too many, or its runs take less. */
const packedPage = (runs: Uint32Array, codeMax: number): LayerPage | undefined => {
  if (runs.length <= RUNS_ALWAYS) return undefined
  const palette: Array<number> = []
  for (let i = 0; i < runs.length; i++) {
    const code = runs[i]! & 0xffff
    if (palette.includes(code)) continue
    if (palette.push(code) > PACKED_MAX) return undefined
  }
  const bits = palette.length <= 2 ? 1 : palette.length <= 4 ? 2 : 4
  const words = 2 ** bits + (PAGE_GRAINS * bits) / WORD_BITS
  if (runs.length <= RUNS_MAX && 4 * runs.length <= 2 * words) return undefined
  const codes = new Uint16Array(words)
  codes.set(palette)
  for (let i = 0; i < runs.length; i++) {
    const number = palette.indexOf(runs[i]! & 0xffff)
    const end = i + 1 === runs.length ? PAGE_GRAINS : runs[i + 1]! >>> 16
    for (let g = runs[i]! >>> 16; number > 0 && g < end; g++) {
      const at = g * bits
      codes[2 ** bits + (at >> 4)]! |= number << (at & 15)
    }
  }
  return new LayerPage(PACKED, -1, codes, bits, layerOfCode(codeMax))
}

const packedCode = ({ words, bits }: LayerPage, grain: number): number => {
  const at = grain * bits
  return words[(words[(1 << bits) + (at >> 4)]! >> (at & 15)) & ((1 << bits) - 1)]!
}

/** Index of the run that holds `grain`. */
const runAt = ({ words }: LayerPage, grain: number): number => {
  const key = (grain << 16) | 0xffff
  let low = 0
  let high = words.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (words[middle]! <= key) low = middle
    else high = middle - 1
  }
  return low
}

export const codeIn = (page: LayerPage, grain: number): number => {
  if (page.form === UNIFORM) return page.code
  if (page.form === DENSE) return page.words[grain]!
  if (page.form === PACKED) return packedCode(page, grain)
  return page.words[runAt(page, grain)]! & 0xffff
}

/** First grain in `(grain, limit]` whose code differs from that of `grain`; `limit` when none does. */
export const runEndIn = (page: LayerPage, grain: number, limit: number): number => {
  if (page.form === UNIFORM) return limit
  const { words } = page
  if (page.form === RUNS) {
    const next = runAt(page, grain) + 1
    return next === words.length ? limit : Math.min(limit, words[next]! >>> 16)
  }
  let end = grain + 1
  if (page.form === PACKED) {
    const code = packedCode(page, grain)
    while (end < limit && packedCode(page, end) === code) end++
    return end
  }
  const code = words[grain]
  while (end < limit && words[end] === code) end++
  return end
}

/** Newest layer among grains `[from, to)`. */
export const newestIn = (page: LayerPage, from: number, to: number): number => {
  if (page.form === UNIFORM) return page.newest
  const { words } = page
  let newest = 0
  if (page.form === DENSE) {
    for (let g = from; g < to; g++) if (words[g]! > newest) newest = words[g]!
    return newest >> 1
  }
  if (page.form === PACKED) {
    for (let g = from; g < to; g++) newest = Math.max(newest, packedCode(page, g))
    return newest >> 1
  }
  for (let i = runAt(page, from); i < words.length && words[i]! >>> 16 < to; i++) {
    const code = words[i]! & 0xffff
    if (code > newest) newest = code
  }
  return newest >> 1
}
