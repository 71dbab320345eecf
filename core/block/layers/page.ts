/**
 * One page of a layer map: for each of 8,192 grains (32 MiB of disk) the layer its bytes come from.
 *
 * A **code** says where a grain comes from: `2 × layer`, and one more when that layer zeroed it. Layer 0 is the base image, whose code is 0.
 *
 * | form    | kept as                                                   | bytes                | found by        |
 * | ------- | --------------------------------------------------------- | -------------------- | --------------- |
 * | uniform | one page object for each code, shared by every map        | none                 | nothing to find |
 * | runs    | `start << 16 \| code` for each run, ascending, in a slab  | 4 for each run       | binary search   |
 * | packed  | the codes it has, and a number of 1, 2 or 4 bits for each grain, while it has at most 16 of them | 1, 2 or 4 KiB | index |
 * | dense   | a code for each grain, in 8 bits while all of them fit    | 8 or 16 KiB          | index           |
 *
 * A **slab** holds the runs of all pages that were made together for one leaf: an array of its own would cost a page more than its runs do.
 *
 * **Details** A page never changes once it is made. Past `RUNS_MAX` runs it is packed or dense, though that may take more memory: the search would cost
 * more than a read can afford. Packed is what scattered changes come to once their layers are merged: there are two codes then, or three.
 */
import assert from "node:assert"
import { limits } from "../../limits.ts"

export const GRAIN = limits.grainBytes
export const PAGE_GRAINS = 8192
/** Bytes of disk that one page covers. */
export const PAGE_SPAN = PAGE_GRAINS * GRAIN
export const RUNS_MAX = 1024
/** What the engine keeps for a page object, and for a typed array with its buffer. Measured on Node 24. */
const OBJECT_BYTES = 104
const ARRAY_BYTES = 240

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
const NO_CODES = new Uint8Array(0)

/** The runs of pages that were made together. */
export class Slab {
  readonly runs: Uint32Array
  /** How many of its pages are left. */
  refs = 0

  constructor(runs: Uint32Array) {
    this.runs = runs
  }

  get bytes(): number {
    return this.runs.length === 0 ? 0 : ARRAY_BYTES + this.runs.byteLength
  }
}

const NO_SLAB = new Slab(new Uint32Array(0))

export class LayerPage {
  readonly form: number
  /** Of every grain of a uniform page. */
  readonly code: number
  readonly slab: Slab
  /** Its runs in there: `[from, to)`. */
  readonly from: number
  readonly to: number
  /** Dense: of each grain. Packed: those it has, then the grains' numbers, the first in the lowest bits. */
  readonly codes: Uint8Array | Uint16Array
  /** Of a packed page: bits of a grain's number. */
  readonly bits: number
  /** Newest layer that any of its grains comes from. */
  readonly newest: number
  /** How many leaves have it. */
  refs = 0

  constructor(
    form: number,
    code: number,
    slab: Slab,
    from: number,
    to: number,
    codes: Uint8Array | Uint16Array,
    newest: number,
    bits = 0,
  ) {
    this.form = form
    this.code = code
    this.slab = slab
    this.from = from
    this.to = to
    this.codes = codes
    this.newest = newest
    this.bits = bits
  }

  /** What it costs its budget, but for its slab. */
  get bytes(): number {
    if (this.form === UNIFORM) return 0
    return OBJECT_BYTES + (this.form === RUNS ? 0 : ARRAY_BYTES + this.codes.byteLength)
  }
}

const uniform: Array<LayerPage> = []

/** The page whose grains all have `code`. */
export const uniformPage = (code: number): LayerPage =>
  (uniform[code] ??= new LayerPage(UNIFORM, code, NO_SLAB, 0, 0, NO_CODES, layerOfCode(code)))

export const isUniform = (page: LayerPage): boolean => page.form === UNIFORM

/** A page whose runs are `[from, to)` of a slab. */
export const runsPage = (slab: Slab, from: number, to: number, codeMax: number): LayerPage => {
  slab.refs++
  return new LayerPage(RUNS, -1, slab, from, to, NO_CODES, layerOfCode(codeMax))
}

/** A page with a code for each grain, from its runs. */
export const densePage = (runs: Uint32Array, codeMax: number): LayerPage => {
  const codes = codeMax < 256 ? new Uint8Array(PAGE_GRAINS) : new Uint16Array(PAGE_GRAINS)
  for (let i = 0; i < runs.length; i++) {
    const end = i + 1 === runs.length ? PAGE_GRAINS : runs[i + 1]! >>> 16
    codes.fill(runs[i]! & 0xffff, runs[i]! >>> 16, end)
  }
  return new LayerPage(DENSE, -1, NO_SLAB, 0, 0, codes, layerOfCode(codeMax))
}

const WORD_BITS = 16

/** A page of many runs that has few codes; undefined where it has too many, or its runs take less. */
export const packedPage = (runs: Uint32Array, codeMax: number): LayerPage | undefined => {
  if (runs.length <= RUNS_ALWAYS) return undefined
  const palette: Array<number> = []
  for (let i = 0; i < runs.length; i++) {
    const code = runs[i]! & 0xffff
    if (palette.includes(code)) continue
    if (palette.push(code) > PACKED_MAX) return undefined
  }
  const bits = palette.length <= 2 ? 1 : palette.length <= 4 ? 2 : 4
  const words = 2 ** bits + (PAGE_GRAINS * bits) / WORD_BITS
  if (runs.length <= RUNS_MAX && 4 * runs.length <= ARRAY_BYTES + 2 * words) return undefined
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
  return new LayerPage(PACKED, -1, NO_SLAB, 0, 0, codes, layerOfCode(codeMax), bits)
}

const packedCode = ({ codes, bits }: LayerPage, grain: number): number => {
  const at = grain * bits
  return codes[(codes[(1 << bits) + (at >> 4)]! >> (at & 15)) & ((1 << bits) - 1)]!
}

/** Index of the run that holds `grain`. */
const runAt = (page: LayerPage, grain: number): number => {
  const { runs } = page.slab
  const key = (grain << 16) | 0xffff
  let low = page.from
  let high = page.to - 1
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
  if (page.form === PACKED) return packedCode(page, grain)
  return page.slab.runs[runAt(page, grain)]! & 0xffff
}

/** First grain in `(grain, limit]` whose code differs from that of `grain`; `limit` when none does. */
export const runEndIn = (page: LayerPage, grain: number, limit: number): number => {
  if (page.form === UNIFORM) return limit
  if (page.form === RUNS) {
    const next = runAt(page, grain) + 1
    return next === page.to ? limit : Math.min(limit, page.slab.runs[next]! >>> 16)
  }
  let end = grain + 1
  if (page.form === PACKED) {
    const code = packedCode(page, grain)
    while (end < limit && packedCode(page, end) === code) end++
    return end
  }
  const { codes } = page
  const code = codes[grain]
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
  if (page.form === PACKED) {
    for (let g = from; g < to; g++) newest = Math.max(newest, packedCode(page, g))
    return newest >> 1
  }
  const { runs } = page.slab
  for (let i = runAt(page, from); i < page.to && runs[i]! >>> 16 < to; i++) {
    const code = runs[i]! & 0xffff
    if (code > newest) newest = code
  }
  return newest >> 1
}
