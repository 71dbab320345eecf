/**
 * Makes the pages of one leaf, one after the other, and at its end their slab.
 *
 * **Details** A page's runs are pushed from grain 0 on; equal neighbours become one. What it costs is known, and taken from the budget, when
 * the leaf is whole.
 */
import {
  codeIn,
  densePage,
  type LayerPage,
  PAGE_GRAINS,
  packedPage,
  RUNS_MAX,
  runEndIn,
  runsPage,
  Slab,
  uniformPage,
} from "./page.ts"

interface Waiting {
  readonly place: number
  readonly from: number
  readonly to: number
  readonly codeMax: number
}

export class LeafBuilder {
  /** Runs of the pages that wait for their slab, and behind them those of the page that is being made. */
  #runs = new Uint32Array(PAGE_GRAINS)
  #from = 0
  #count = 0
  #last = -1
  #codeMax = 0
  readonly #waiting: Array<Waiting> = []

  /** From `start` on, grains of the page have `code`. */
  push(start: number, code: number): void {
    if (code === this.#last) return
    this.#runs[this.#count++] = (start << 16) | code
    this.#last = code
    if (code > this.#codeMax) this.#codeMax = code
  }

  /** Grains `[from, to)` are as in `page`. */
  copy(page: LayerPage, from: number, to: number): void {
    for (let g = from; g < to; ) {
      this.push(g, codeIn(page, g))
      g = runEndIn(page, g, to)
    }
  }

  /** Ends the page that was pushed, which belongs at `place` of `pages`: put there at once, or by `finish`. */
  endPage(pages: Array<LayerPage>, place: number): void {
    const [from, to, codeMax] = [this.#from, this.#count, this.#codeMax]
    const packed = packedPage(this.#runs.subarray(from, to), codeMax)
    if (to - from === 1) pages[place] = uniformPage(this.#runs[from]! & 0xffff)
    else if (packed !== undefined) pages[place] = packed
    else if (to - from > RUNS_MAX) pages[place] = densePage(this.#runs.subarray(from, to), codeMax)
    else {
      this.#waiting.push({ place, from, to, codeMax })
      this.#from = to
      this.#grow()
    }
    this.#count = this.#from
    this.#last = -1
    this.#codeMax = 0
  }

  /** Puts the pages that waited where they belong. The builder is empty again. */
  finish(pages: Array<LayerPage>): void {
    const slab = new Slab(this.#runs.slice(0, this.#from))
    for (const { place, from, to, codeMax } of this.#waiting) pages[place] = runsPage(slab, from, to, codeMax)
    this.#waiting.length = 0
    this.#from = 0
    this.#count = 0
  }

  /** Makes room for one page of whatever kind. */
  #grow(): void {
    if (this.#from + PAGE_GRAINS <= this.#runs.length) return
    const larger = new Uint32Array(2 * this.#runs.length)
    larger.set(this.#runs.subarray(0, this.#from))
    this.#runs = larger
  }
}
