/**
 * Makes the map of a version out of its parent's and what its own layer changed.
 *
 * **Details** Runs come in order and are laid into one page at a time, so the work is that of the pages that changed: a page nobody
 * touched is the parent's, a page covered whole costs nothing. Half-made maps hold memory of the budget until they are finished or abandoned.
 *
 * **Gotchas** A run begins at a grain and ends at one, or with the disk. What is `absent` may be left out or told: it changes nothing.
 * The parent may be released while its child is being made.
 */
import assert from "node:assert"
import { limits } from "../../limits.ts"
import type { Extent } from "../device.ts"
import { LeafBuilder } from "./leaf-builder.ts"
import { dropLeaf, holdLeaves, LayerMap, LEAF_BITS, LEAF_PAGES, type Leaf, releaseLeaves, takeLeaf } from "./map.ts"
import { dataCode, GRAIN, type LayerPage, PAGE_GRAINS, uniformPage, zeroCode } from "./page.ts"

/** A few milliseconds of work. */
const RUNS_A_TURN = 16_384

/** @throws LAYER_MAPS_FULL, and then the budget is as it was */
export const extendMap = (parent: LayerMap, layer: number, runs: Iterable<Extent>): LayerMap => {
  const extension = new MapExtension(parent, layer)
  try {
    for (const run of runs) extension.add(run)
    return extension.finish()
  } catch (e) {
    extension.abandon()
    throw e
  }
}

/**
 * The same, from runs that are read as they are needed; clients are served in between.
 * @throws LAYER_MAPS_FULL, and what reading the runs throws
 */
export const extendMapFrom = async (
  parent: LayerMap,
  layer: number,
  runs: AsyncIterable<Extent>,
): Promise<LayerMap> => {
  const extension = new MapExtension(parent, layer)
  try {
    let added = 0
    for await (const run of runs) {
      extension.add(run)
      // Runs that are in memory already arrive without a turn of the loop.
      if (++added % RUNS_A_TURN === 0) await new Promise<void>((resolve) => setImmediate(resolve))
    }
    return extension.finish()
  } catch (e) {
    extension.abandon()
    throw e
  }
}

/** A map in the making: runs are added in order, and then it is finished or abandoned. */
export class MapExtension {
  readonly #parent: LayerMap
  readonly #layer: number
  readonly #leaves: Array<Leaf>
  readonly #made: Array<Leaf> = []
  readonly #builder = new LeafBuilder()
  /** Page and leaf that are being made; -1 when none is. */
  #page = -1
  #leaf = -1
  #pages: Array<LayerPage> = []
  /** First grain of the page that nothing was said of yet. */
  #next = 0
  /** End of the last run, in bytes. */
  #end = 0

  constructor(parent: LayerMap, layer: number) {
    assert(!parent.released, "a map is extended while somebody holds it")
    assert(Number.isInteger(layer) && layer > parent.layer, "a child's layer is newer than its parent's")
    assert(layer <= limits.layerNumberMax, "a layer's number fits the map")
    this.#parent = parent
    this.#layer = layer
    this.#leaves = [...parent.leaves]
    holdLeaves(parent.leaves)
  }

  add({ offset, length, kind }: Extent): void {
    const { sizeBytes } = this.#parent
    const end = offset + length
    assert(offset >= this.#end && length > 0 && end <= sizeBytes, "runs are in order and inside the disk")
    this.#end = end
    if (kind === "absent") return
    assert(offset % GRAIN === 0 && (end % GRAIN === 0 || end === sizeBytes), "runs are whole grains")
    const code = kind === "zero" ? zeroCode(this.#layer) : dataCode(this.#layer)
    let grain = offset / GRAIN
    let number = Math.floor(grain / PAGE_GRAINS)
    // What ends with the disk fills its last page, so that this one too may be uniform.
    const limit = end === sizeBytes ? Math.ceil(end / (PAGE_GRAINS * GRAIN)) * PAGE_GRAINS : end / GRAIN
    while (grain < limit) {
      const start = number * PAGE_GRAINS
      const to = Math.min(limit, start + PAGE_GRAINS)
      this.#lay(number, grain - start, to - start, code)
      grain = to
      number++
    }
  }

  finish(): LayerMap {
    this.#endLeaf()
    const { budget, sizeBytes, chain, leaves } = this.#parent
    const map = new LayerMap(budget, sizeBytes, [...chain, this.#layer], this.#leaves)
    releaseLeaves(budget, leaves)
    return map
  }

  /** Gives back what was taken so far. */
  abandon(): void {
    const { budget, leaves } = this.#parent
    for (const leaf of this.#made) dropLeaf(budget, leaf)
    releaseLeaves(budget, leaves)
  }

  #lay(number: number, from: number, to: number, code: number): void {
    if (number !== this.#page) this.#begin(number)
    if (from === 0 && to === PAGE_GRAINS) {
      this.#pages[number & (LEAF_PAGES - 1)] = uniformPage(code)
      this.#page = -1
      return
    }
    this.#builder.copy(this.#parent.pageAt(number), this.#next, from)
    this.#builder.push(from, code)
    this.#next = to
  }

  #begin(number: number): void {
    this.#endPage()
    const leaf = number >> LEAF_BITS
    if (leaf !== this.#leaf) {
      this.#endLeaf()
      this.#leaf = leaf
      this.#pages = [...this.#leaves[leaf]!.pages]
    }
    this.#page = number
    this.#next = 0
  }

  #endPage(): void {
    if (this.#page < 0) return
    this.#builder.copy(this.#parent.pageAt(this.#page), this.#next, PAGE_GRAINS)
    this.#builder.endPage(this.#pages, this.#page & (LEAF_PAGES - 1))
    this.#page = -1
  }

  #endLeaf(): void {
    this.#endPage()
    if (this.#leaf < 0) return
    this.#builder.finish(this.#pages)
    const leaf = takeLeaf(this.#parent.budget, this.#pages)
    this.#leaves[this.#leaf] = leaf
    this.#leaf = -1
    if (!leaf.shared) this.#made.push(leaf)
  }
}
