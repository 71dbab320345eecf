/**
 * The flattened map of a version: where each grain's bytes come from, however many layers there are.
 *
 *     LayerMap ─► leaf (256 pages, 8 GiB) ─► page (8,192 grains, 32 MiB) ─► code: layer, and whether that layer zeroed it
 *                                              ▲
 *     runs of layer 2, of layer 3, … ──────────┘ derived when it is first looked at, and again after it left
 *
 * A page is derived synchronously, from runs that are in memory: the newest layer that has all of it, and what the ones above did to it. That
 * costs microseconds, once for 32 MiB of disk; whatever is looked up afterwards costs the same in the first version and in the fiftieth.
 *
 * **Layers** are numbers that grow from parent to child; 0 is the base image. A version's number does well: versions that were committed
 * on two sides of a rollback never meet in one map.
 *
 * **Memory** Runs are held once for all maps and stay; pages are a map's own, and leave when the budget needs their room (budget.ts).
 *
 * **Gotchas** Grain numbers of the largest disks pass 2^31: they are divided, never shifted.
 */
import assert from "node:assert"
import { limits } from "../../limits.ts"
import type { Extent } from "../device.ts"
import type { LayerMapBudget } from "./budget.ts"
import { PageCanvas } from "./canvas.ts"
import {
  BASE_CODE,
  codeIn,
  dataCode,
  GRAIN,
  isUniform,
  type LayerPage,
  LEAF_BITS,
  LEAF_MASK,
  LEAF_PAGES,
  newestIn,
  PAGE_GRAINS,
  PAGE_SPAN,
  type PageOwner,
  POINTER_BYTES,
  rootBytes,
  runEndIn,
  uniformPage,
  zeroCode,
} from "./page.ts"
import { type Doing, NOTHING, PARTS } from "./run-leaf.ts"
import type { LayerRuns } from "./runs.ts"
import { makeRunsFrom } from "./runs-builder.ts"

const LEAF_BYTES = LEAF_PAGES * POINTER_BYTES + 128
const CLUSTER_GRAINS = limits.clusterBytes / GRAIN
const PAGE_CLUSTERS = PAGE_GRAINS / CLUSTER_GRAINS

type Leaf = Array<LayerPage | undefined>

/** Of which nothing was looked at yet. Nobody writes to it. */
const UNSEEN: Leaf = new Array(LEAF_PAGES).fill(undefined)
const uniform: Array<Leaf> = []
/** One for all maps, which costs nothing. */
const uniformLeaf = (code: number): Leaf => (uniform[code] ??= new Array(LEAF_PAGES).fill(uniformPage(code)))

const canvas = new PageCanvas()

/** A layer of a map, by the number that its codes have. */
export interface MapLayer {
  readonly layer: number
  readonly runs: LayerRuns
}

export class LayerMap implements PageOwner {
  readonly sizeBytes: number
  /** Grains of the disk; the last one may be shorter than the others. */
  readonly grains: number
  /** Over the base, from the oldest to its version's own. */
  readonly layers: ReadonlyArray<MapLayer>
  /** Their numbers, after that of the base, which is 0. */
  readonly chain: ReadonlyArray<number>
  /** The last of them. */
  readonly layer: number
  readonly budget: LayerMapBudget
  readonly #leaves: Array<Leaf>
  /** Taken from the budget, whether looked at or not: what pages need to be found. */
  readonly #bytes: number
  #released = false

  /** Holds the runs of its layers until it is released. @throws LAYER_MAPS_FULL */
  constructor(budget: LayerMapBudget, sizeBytes: number, layers: ReadonlyArray<MapLayer>) {
    assert(sizeBytes > 0 && sizeBytes <= limits.imageBytesMax, "a disk has bytes")
    const chain = [0, ...layers.map(({ layer }) => layer)]
    for (const [i, { layer, runs }] of layers.entries()) {
      assert(Number.isInteger(layer) && layer > chain[i]!, "a child's layer is newer than its parent's")
      assert(layer <= limits.layerNumberMax, "a layer's number fits the map")
      assert.equal(runs.sizeBytes, sizeBytes, "every layer of a version has the size of its disk")
    }
    this.layers = layers
    this.#leaves = new Array(Math.ceil(sizeBytes / PAGE_SPAN / LEAF_PAGES)).fill(UNSEEN)
    let own = 0
    for (let number = 0; number < this.#leaves.length; number++) {
      const code = this.#leafCode(number)
      if (code < 0) own++
      else this.#leaves[number] = uniformLeaf(code)
    }
    this.#bytes = rootBytes(this.#leaves.length) + own * LEAF_BYTES
    budget.take(this.#bytes)
    for (const { runs } of layers) runs.hold()
    this.budget = budget
    this.sizeBytes = sizeBytes
    this.grains = Math.ceil(sizeBytes / GRAIN)
    this.chain = chain
    this.layer = chain.at(-1)!
  }

  pageAt(number: number): LayerPage {
    const page = this.#leaves[number >> LEAF_BITS]![number & LEAF_MASK]
    if (page === undefined) return this.#derive(number)
    page.used = true
    return page
  }

  /** Code of a grain: see page.ts. */
  lookup(grain: number): number {
    const number = (grain / PAGE_GRAINS) | 0
    return codeIn(this.pageAt(number), grain - number * PAGE_GRAINS)
  }

  /** First grain in `(grain, limit]` whose code differs from that of `grain`; `limit` when none does. */
  runEnd(grain: number, limit: number): number {
    let number = (grain / PAGE_GRAINS) | 0
    let start = number * PAGE_GRAINS
    const page = this.pageAt(number)
    const code = codeIn(page, grain - start)
    let end = start + runEndIn(page, grain - start, Math.min(PAGE_GRAINS, limit - start))
    for (start += PAGE_GRAINS; end === start && end < limit; start += PAGE_GRAINS) {
      const next = this.pageAt(++number)
      if (codeIn(next, 0) !== code) break
      end = start + runEndIn(next, 0, Math.min(PAGE_GRAINS, limit - start))
    }
    return end
  }

  /** Newest layer that changed a 64 KiB cluster: as long as that is the same, two versions have the same bytes there. */
  contentOf(cluster: number): number {
    const number = (cluster / PAGE_CLUSTERS) | 0
    const page = this.pageAt(number)
    if (page.newest === 0) return 0
    const first = (cluster - number * PAGE_CLUSTERS) * CLUSTER_GRAINS
    return newestIn(page, first, first + CLUSTER_GRAINS)
  }

  /** The budget takes a page away. */
  forget({ number }: LayerPage): void {
    this.#leaves[number >> LEAF_BITS]![number & LEAF_MASK] = undefined
  }

  /** Gives its memory back, and its hold of the runs. A second release is the first; nothing may be looked up afterwards. */
  release(): void {
    if (this.#released) return
    this.#released = true
    for (const leaf of this.#leaves) for (const page of leaf) if (page?.owner === this) this.budget.drop(page)
    this.#leaves.fill(UNSEEN)
    for (const { runs } of this.layers) runs.release()
    this.budget.giveBack(this.#bytes)
  }

  get released(): boolean {
    return this.#released
  }

  #derive(number: number): LayerPage {
    assert(!this.#released, "a map is looked up while somebody holds it")
    const page = this.#paint(number)
    if (!isUniform(page)) {
      page.owner = this
      page.number = number
      this.budget.keep(page)
    }
    const at = number >> LEAF_BITS
    if (this.#leaves[at] === UNSEEN) this.#leaves[at] = [...UNSEEN]
    this.#leaves[at]![number & LEAF_MASK] = page
    return page
  }

  /** Over what the newest layer that has all of it did, what the newer ones did to parts. */
  #paint(number: number): LayerPage {
    const { layers } = this
    let below = BASE_CODE
    let first = layers.length
    for (let i = layers.length - 1; i >= 0; i--) {
      const { layer, runs } = layers[i]!
      const doing = runs.ofPage(number)
      if (doing === PARTS) first = i
      else if (doing !== NOTHING) {
        below = codeOf(layer, doing)
        break
      }
    }
    if (first === layers.length) return uniformPage(below)
    canvas.begin(below)
    for (let i = first; i < layers.length; i++) {
      const { layer, runs } = layers[i]!
      runs.paint(number, canvas, dataCode(layer), zeroCode(layer))
    }
    return canvas.page()
  }

  /** The code of all grains of a leaf, or -1 where layers did something to parts of it. */
  #leafCode(number: number): number {
    for (let i = this.layers.length - 1; i >= 0; i--) {
      const { layer, runs } = this.layers[i]!
      const doing = runs.ofLeaf(number)
      if (doing === PARTS) return -1
      if (doing !== NOTHING) return codeOf(layer, doing)
    }
    return BASE_CODE
  }
}

const codeOf = (layer: number, doing: Doing): number => (doing === 1 ? zeroCode(layer) : dataCode(layer))

/** The map of a version whose layers' runs are read for it alone, one layer after the other. @throws LAYER_MAPS_FULL, and what reading runs throws */
export const readMap = async (
  budget: LayerMapBudget,
  sizeBytes: number,
  layers: AsyncIterable<{ readonly layer: number; runs(): AsyncIterable<Extent> }>,
): Promise<LayerMap> => {
  const made: Array<MapLayer> = []
  try {
    for await (const { layer, runs } of layers)
      made.push({ layer, runs: await makeRunsFrom(budget, sizeBytes, runs()) })
    return new LayerMap(budget, sizeBytes, made)
  } finally {
    for (const { runs } of made) runs.release()
  }
}
