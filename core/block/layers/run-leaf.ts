/**
 * What a layer did to a leaf of 256 pages (8 GiB), in one array of words.
 *
 *     word 0 … 256                     from there on
 *     form << 24 | place of its words  runs of page 0, runs of page 1, …          for each page, and the end of the last
 *
 * | page of it | kept as                                                              | words               |
 * | ---------- | -------------------------------------------------------------------- | ------------------- |
 * | list       | `first << 14 \| last << 1 \| zeroed` for each run, ascending         | as many as its runs |
 * | bits       | a bit for each grain that was written                                | 256                 |
 * | two bits   | the same, and then a bit for each that was zeroed                    | 512                 |
 *
 * **Details** Runs are not searched: a page of a version's map is derived from all of them, and from then on that is looked up.
 */
import assert from "node:assert"
import { ARRAY_BYTES, LEAF_PAGES, PAGE_GRAINS } from "./page.ts"

export type RunLeaf = Uint32Array

export const LIST = 0
export const BITS = 1
export const TWO_BITS = 2
/** Words of one bit for each grain of a page. */
const BIT_WORDS = PAGE_GRAINS / 32
export const HEAD_WORDS = LEAF_PAGES + 1
const FORM_SHIFT = 24
const PLACE_MASK = 2 ** FORM_SHIFT - 1
const LAST_SHIFT = 1
const FIRST_SHIFT = 14
const GRAIN_MASK = PAGE_GRAINS - 1

assert(HEAD_WORDS + LEAF_PAGES * 2 * BIT_WORDS <= PLACE_MASK, "the place of a page fits beside its form")
assert(PAGE_GRAINS === 2 ** (FIRST_SHIFT - LAST_SHIFT), "a grain of a page fits a run")

export const runOf = (first: number, last: number, zeroed: number): number =>
  (first << FIRST_SHIFT) | (last << LAST_SHIFT) | zeroed
export const firstOf = (run: number): number => run >> FIRST_SHIFT
export const lastOf = (run: number): number => (run >> LAST_SHIFT) & GRAIN_MASK
export const zeroedOf = (run: number): number => run & 1

const WHOLE_RUN = runOf(0, PAGE_GRAINS - 1, 0)
const wholeLeaf = (zeroed: number): RunLeaf => {
  const leaf = new Uint32Array(HEAD_WORDS + LEAF_PAGES).fill(WHOLE_RUN | zeroed)
  for (let page = 0; page <= LEAF_PAGES; page++) leaf[page] = HEAD_WORDS + page
  return leaf
}
/** Of which all was written, and all was zeroed: one object each, which costs nothing. */
export const WHOLE: ReadonlyArray<RunLeaf> = [wholeLeaf(0), wholeLeaf(1)]

export const leafBytes = (leaf: RunLeaf): number => (WHOLE.includes(leaf) ? 0 : ARRAY_BYTES + leaf.byteLength)

/** The one of these words for everybody, or a copy. */
export const keepLeaf = (words: Uint32Array): RunLeaf =>
  WHOLE.find((whole) => whole.length === words.length && whole.every((word, i) => word === words[i])) ?? words.slice()

/** What a layer did to a page or a leaf: nothing, several things, or one thing to all of it: 0 for written, 1 for zeroed. */
export type Doing = number
export const NOTHING = -1
export const PARTS = -2

export const doingOfPage = (leaf: RunLeaf, page: number): Doing => {
  const from = leaf[page]! & PLACE_MASK
  const count = (leaf[page + 1]! & PLACE_MASK) - from
  if (count === 0) return NOTHING
  const isWhole = count === 1 && firstOf(leaf[from]!) === 0 && lastOf(leaf[from]!) === GRAIN_MASK
  return isWhole ? zeroedOf(leaf[from]!) : PARTS
}

/** Puts the runs of a page into `runs`, which has a word for each grain; answers how many. */
export const decodePage = (leaf: RunLeaf, page: number, runs: Uint32Array): number => {
  const from = leaf[page]! & PLACE_MASK
  const form = leaf[page]! >>> FORM_SHIFT
  if (form !== LIST) return decodeBits(leaf, from, form, runs)
  const count = (leaf[page + 1]! & PLACE_MASK) - from
  for (let i = 0; i < count; i++) runs[i] = leaf[from + i]!
  return count
}

const decodeBits = (leaf: RunLeaf, from: number, form: number, runs: Uint32Array): number => {
  let count = 0
  let next = -1
  for (let w = 0; w < BIT_WORDS; w++) {
    const zeros = form === TWO_BITS ? leaf[from + BIT_WORDS + w]! : 0
    for (let rest = leaf[from + w]! | zeros; rest !== 0; rest &= rest - 1) {
      const bit = 31 - Math.clz32(rest & -rest)
      const grain = (w << 5) | bit
      const zeroed = (zeros >>> bit) & 1
      if (grain === next && zeroedOf(runs[count - 1]!) === zeroed) runs[count - 1]! += 1 << LAST_SHIFT
      else runs[count++] = runOf(grain, grain, zeroed)
      next = grain + 1
    }
  }
  return count
}

/** The shortest form of a page's runs. */
export const formOf = (runs: Uint32Array): number => {
  if (runs.length <= BIT_WORDS) return LIST
  if (runs.every((run) => zeroedOf(run) === 0)) return BITS
  return runs.length <= 2 * BIT_WORDS ? LIST : TWO_BITS
}

export const wordsOf = (form: number, runs: Uint32Array): number => (form === LIST ? runs.length : form * BIT_WORDS)

/** Writes a page's runs where `place` words of the leaf are used; those of later pages begin behind it. */
export const encodePage = (leaf: Uint32Array, page: number, form: number, runs: Uint32Array, place: number): void => {
  const end = place + wordsOf(form, runs)
  leaf[page] = (form << FORM_SHIFT) | place
  leaf.fill(end, page + 1, HEAD_WORDS)
  if (form === LIST) leaf.set(runs, place)
  else setBits(leaf.fill(0, place, end), place, runs)
}

const setBits = (bits: Uint32Array, place: number, runs: Uint32Array): void => {
  for (const run of runs) {
    const at = place + zeroedOf(run) * BIT_WORDS
    for (let grain = firstOf(run); grain <= lastOf(run); grain++) bits[at + (grain >> 5)]! |= 1 << (grain & 31)
  }
}
