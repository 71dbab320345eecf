/**
 * A layer's own runs in memory: which grains it wrote and which it zeroed, held once for all versions that contain it.
 *
 *     LayerRuns ─► leaf (256 pages, 8 GiB; undefined where it did nothing) ─► page (8,192 grains, 32 MiB) ─► runs
 *
 * **Memory** is taken from the budget of layer maps as runs arrive (runs-builder.ts), and given back when the last who holds them lets go.
 * It is never evicted: 4 bytes a run, or 1 to 2 KiB a page where there are many (run-leaf.ts).
 */
import assert from "node:assert"
import type { Extent, ExtentKind } from "../device.ts"
import type { LayerMapBudget } from "./budget.ts"
import type { PageCanvas } from "./canvas.ts"
import { GRAIN, LEAF_BITS, LEAF_MASK, LEAF_PAGES, PAGE_GRAINS, PAGE_SPAN } from "./page.ts"
import {
  type Doing,
  decodePage,
  doingOfPage,
  firstOf,
  lastOf,
  NOTHING,
  PARTS,
  type RunLeaf,
  WHOLE,
  zeroedOf,
} from "./run-leaf.ts"

/** Runs of the page that is looked at. */
const decoded = new Uint32Array(PAGE_GRAINS)

export class LayerRuns {
  readonly sizeBytes: number
  readonly #budget: LayerMapBudget
  readonly #leaves: ReadonlyArray<RunLeaf | undefined>
  readonly #bytes: number
  #holds = 1

  /** Whoever made it holds it, and has taken `bytes` from the budget. */
  constructor(budget: LayerMapBudget, sizeBytes: number, leaves: ReadonlyArray<RunLeaf | undefined>, bytes: number) {
    this.#budget = budget
    this.sizeBytes = sizeBytes
    this.#leaves = leaves
    this.#bytes = bytes
  }

  hold(): void {
    assert(this.#holds > 0, "runs are held while somebody has them")
    this.#holds++
  }

  release(): void {
    assert(this.#holds > 0, "what is released was held")
    this.#holds--
    if (this.#holds === 0) this.#budget.giveBack(this.#bytes)
  }

  ofLeaf(number: number): Doing {
    const leaf = this.#leaves[number]
    return leaf === undefined ? NOTHING : leaf === WHOLE[0] ? 0 : leaf === WHOLE[1] ? 1 : PARTS
  }

  ofPage(number: number): Doing {
    const leaf = this.#leaves[number >> LEAF_BITS]
    return leaf === undefined ? NOTHING : doingOfPage(leaf, number & LEAF_MASK)
  }

  /** Paints its runs of a page: `data` where it wrote, `zero` where it zeroed. */
  paint(number: number, canvas: PageCanvas, data: number, zero: number): void {
    const leaf = this.#leaves[number >> LEAF_BITS]
    if (leaf === undefined) return
    const count = decodePage(leaf, number & LEAF_MASK, decoded)
    for (let i = 0; i < count; i++) {
      const run = decoded[i]!
      canvas.paint(firstOf(run), lastOf(run), zeroedOf(run) === 1 ? zero : data)
    }
  }

  /** What it wrote and what it zeroed, in order, each run as long as it can be. */
  *own(): Generator<Extent> {
    const runs = new Uint32Array(PAGE_GRAINS)
    const { sizeBytes } = this
    let open: { readonly offset: number; length: number; readonly kind: ExtentKind } | undefined
    for (let number = 0; number < this.#leaves.length * LEAF_PAGES; number++) {
      const leaf = this.#leaves[number >> LEAF_BITS]
      if (leaf === undefined) {
        number |= LEAF_MASK
        continue
      }
      const start = number * PAGE_SPAN
      const count = decodePage(leaf, number & LEAF_MASK, runs)
      for (let i = 0; i < count; i++) {
        const run = runs[i]!
        const kind = zeroedOf(run) === 1 ? "zero" : "data"
        const offset = start + firstOf(run) * GRAIN
        const length = Math.min(start + (lastOf(run) + 1) * GRAIN, sizeBytes) - offset
        if (open !== undefined && open.offset + open.length === offset && open.kind === kind) open.length += length
        else {
          if (open !== undefined) yield open
          open = { offset, length, kind }
        }
      }
    }
    if (open !== undefined) yield open
  }

  /** The same, and absent where what lies below shows through: they adjoin and cover the disk. A sealed file's tables are written from that. */
  *extents(): Generator<Extent> {
    let next = 0
    for (const run of this.own()) {
      if (run.offset > next) yield { offset: next, length: run.offset - next, kind: "absent" }
      yield run
      next = run.offset + run.length
    }
    if (next < this.sizeBytes) yield { offset: next, length: this.sizeBytes - next, kind: "absent" }
  }
}
