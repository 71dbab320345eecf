/**
 * Where a page of a map is put together: runs of layers are painted one over the other, the oldest first, and then it is read off.
 *
 * **Details** Where a run begins and ends is marked, so that reading off looks at the marks and not at all 8,192 grains.
 */
import { type LayerPage, PAGE_GRAINS, pageOf } from "./page.ts"

/** Longer runs are filled by the engine. */
const LOOP_GRAINS = 48

export class PageCanvas {
  /** Of each grain. */
  readonly codes = new Uint16Array(PAGE_GRAINS)
  /** A bit for each grain at which another code may begin. */
  readonly #marks = new Int32Array(PAGE_GRAINS / 32)
  readonly #runs = new Uint32Array(PAGE_GRAINS)

  begin(code: number): void {
    this.codes.fill(code)
    this.#marks.fill(0)
    this.#marks[0] = 1
  }

  /** Grains from `first` to `last`, that one too. */
  paint(first: number, last: number, code: number): void {
    const { codes } = this
    if (last - first > LOOP_GRAINS) codes.fill(code, first, last + 1)
    else for (let grain = first; grain <= last; grain++) codes[grain] = code
    const marks = this.#marks
    marks[first >> 5]! |= 1 << (first & 31)
    const next = last + 1
    if (next < PAGE_GRAINS) marks[next >> 5]! |= 1 << (next & 31)
  }

  page(): LayerPage {
    const { codes } = this
    const marks = this.#marks
    const runs = this.#runs
    let count = 0
    let last = -1
    for (let w = 0; w < marks.length; w++) {
      for (let rest = marks[w]!; rest !== 0; rest &= rest - 1) {
        const grain = (w << 5) | (31 - Math.clz32(rest & -rest))
        const code = codes[grain]!
        if (code === last) continue
        runs[count++] = (grain << 16) | code
        last = code
      }
    }
    return pageOf(runs.subarray(0, count), codes)
  }
}
