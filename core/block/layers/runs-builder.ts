/**
 * Makes a layer's runs out of what arrives of them, in order.
 *
 * **Gotchas** A run begins at a grain and ends at one, or with the disk. What is `absent` may be left out or told: it changes nothing.
 * Half-made runs hold memory of the budget until they are finished or abandoned.
 */
import assert from "node:assert"
import { limits } from "../../limits.ts"
import type { Extent } from "../device.ts"
import type { LayerMapBudget } from "./budget.ts"
import { GRAIN, LEAF_BITS, LEAF_MASK, LEAF_PAGES, PAGE_GRAINS, PAGE_SPAN, rootBytes } from "./page.ts"
import {
  encodePage,
  firstOf,
  formOf,
  HEAD_WORDS,
  keepLeaf,
  lastOf,
  leafBytes,
  type RunLeaf,
  runOf,
  wordsOf,
  zeroedOf,
} from "./run-leaf.ts"
import { LayerRuns } from "./runs.ts"

/** A few milliseconds of work. */
const RUNS_A_TURN = 16_384

/** The runs of a layer, held once. @throws LAYER_MAPS_FULL, and then the budget is as it was */
export const makeRuns = (budget: LayerMapBudget, sizeBytes: number, runs: Iterable<Extent>): LayerRuns => {
  const builder = new LayerRunsBuilder(budget, sizeBytes)
  try {
    for (const run of runs) builder.add(run)
    return builder.finish()
  } catch (e) {
    builder.abandon()
    throw e
  }
}

/**
 * The same, from runs that are read as they are needed; clients are served in between.
 * @throws LAYER_MAPS_FULL, and what reading the runs throws
 */
export const makeRunsFrom = async (
  budget: LayerMapBudget,
  sizeBytes: number,
  runs: AsyncIterable<Extent>,
): Promise<LayerRuns> => {
  const builder = new LayerRunsBuilder(budget, sizeBytes)
  try {
    let added = 0
    for await (const run of runs) {
      builder.add(run)
      // Runs that are in memory already arrive without a turn of the loop.
      if (++added % RUNS_A_TURN === 0) await new Promise<void>((resolve) => setImmediate(resolve))
    }
    return builder.finish()
  } catch (e) {
    builder.abandon()
    throw e
  }
}

export class LayerRunsBuilder {
  readonly #budget: LayerMapBudget
  readonly #sizeBytes: number
  readonly #pages: number
  readonly #leaves: Array<RunLeaf | undefined>
  #bytes = 0
  /** The leaf that is being made, how many of its words are used, and its number; -1 when none is. */
  #words = new Uint32Array(2 * HEAD_WORDS)
  #used = 0
  #leaf = -1
  /** Runs of the page that is being made. */
  readonly #runs = new Uint32Array(PAGE_GRAINS)
  #count = 0
  #page = -1
  /** End of the last run, in bytes. */
  #end = 0

  /** @throws LAYER_MAPS_FULL */
  constructor(budget: LayerMapBudget, sizeBytes: number) {
    assert(sizeBytes > 0 && sizeBytes <= limits.imageBytesMax, "a disk has bytes")
    this.#budget = budget
    this.#sizeBytes = sizeBytes
    this.#pages = Math.ceil(sizeBytes / PAGE_SPAN)
    this.#leaves = new Array(Math.ceil(this.#pages / LEAF_PAGES)).fill(undefined)
    this.#take(rootBytes(this.#leaves.length))
  }

  /** @throws LAYER_MAPS_FULL */
  add({ offset, length, kind }: Extent): void {
    const end = offset + length
    const isLast = end === this.#sizeBytes
    assert(offset >= this.#end && length > 0 && end <= this.#sizeBytes, "runs are in order and inside the disk")
    this.#end = end
    if (kind === "absent") return
    assert(offset % GRAIN === 0 && (end % GRAIN === 0 || isLast), "runs are whole grains")
    const zeroed = kind === "zero" ? 1 : 0
    // What ends with the disk fills its last page, so that this one too may be whole.
    const limit = isLast ? this.#pages * PAGE_GRAINS : end / GRAIN
    let grain = offset / GRAIN
    while (grain < limit) {
      const page = Math.floor(grain / PAGE_GRAINS)
      const start = page * PAGE_GRAINS
      const to = Math.min(limit, start + PAGE_GRAINS)
      this.#push(page, grain - start, to - start - 1, zeroed)
      grain = to
    }
  }

  /** @throws LAYER_MAPS_FULL */
  finish(): LayerRuns {
    this.#endLeaf()
    return new LayerRuns(this.#budget, this.#sizeBytes, this.#leaves, this.#bytes)
  }

  /** Gives back what was taken so far. */
  abandon(): void {
    this.#budget.giveBack(this.#bytes)
    this.#bytes = 0
  }

  #take(bytes: number): void {
    this.#budget.take(bytes)
    this.#bytes += bytes
  }

  #push(page: number, first: number, last: number, zeroed: number): void {
    if (page !== this.#page) this.#begin(page)
    const runs = this.#runs
    const before = this.#count - 1
    if (before >= 0 && lastOf(runs[before]!) + 1 === first && zeroedOf(runs[before]!) === zeroed)
      runs[before] = runOf(firstOf(runs[before]!), last, zeroed)
    else runs[this.#count++] = runOf(first, last, zeroed)
  }

  #begin(page: number): void {
    const leaf = page >> LEAF_BITS
    if (leaf === this.#leaf) this.#endPage()
    else {
      this.#endLeaf()
      this.#leaf = leaf
      this.#used = HEAD_WORDS
      this.#words.fill(HEAD_WORDS, 0, HEAD_WORDS)
    }
    this.#page = page
  }

  #endPage(): void {
    if (this.#count === 0) return
    const runs = this.#runs.subarray(0, this.#count)
    const form = formOf(runs)
    const words = wordsOf(form, runs)
    this.#grow(words)
    encodePage(this.#words, this.#page & LEAF_MASK, form, runs, this.#used)
    this.#used += words
    this.#count = 0
  }

  #endLeaf(): void {
    this.#endPage()
    if (this.#leaf < 0) return
    const leaf = keepLeaf(this.#words.subarray(0, this.#used))
    this.#take(leafBytes(leaf))
    this.#leaves[this.#leaf] = leaf
    this.#leaf = -1
  }

  #grow(words: number): void {
    if (this.#used + words <= this.#words.length) return
    const larger = new Uint32Array(2 * (this.#used + words))
    larger.set(this.#words.subarray(0, this.#used))
    this.#words = larger
  }
}
