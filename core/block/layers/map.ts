/**
 * The flattened map of a version: where each grain's bytes come from, however many layers there are.
 *
 *     LayerMap ─► leaf (256 pages, 8 GiB) ─► page (8,192 grains, 32 MiB) ─► code: layer, and whether that layer zeroed it
 *
 * A map never changes. The map of the next version has its own leaves and pages where its layer changed something, and its
 * parent's everywhere else; so fifty versions cost what they changed, and a look-up costs the same in the first and in the fiftieth.
 *
 * **Layers** are numbers that grow from parent to child; 0 is the base image. A version's number does well: versions that were committed
 * on two sides of a rollback have a parent in common and never meet in one map.
 *
 * **Memory.** All maps of a server have one budget. A page or leaf counts once, however many maps have it, and gives its bytes back
 * when the last map that has it is released.
 *
 * **Gotchas** Grain numbers of the largest disks pass 2^31: they are divided, never shifted.
 */
import assert from "node:assert"
import { fail } from "../../errors.ts"
import { limits } from "../../limits.ts"
import {
  BASE_CODE,
  codeIn,
  GRAIN,
  isUniform,
  type LayerPage,
  newestIn,
  PAGE_GRAINS,
  PAGE_SPAN,
  runEndIn,
  type Slab,
  uniformPage,
} from "./page.ts"

export const LEAF_BITS = 8
export const LEAF_PAGES = 1 << LEAF_BITS
const LEAF_MASK = LEAF_PAGES - 1
const POINTER_BYTES = 8
const LEAF_BYTES = LEAF_PAGES * POINTER_BYTES + 128
const CLUSTER_GRAINS = limits.clusterBytes / GRAIN
const PAGE_CLUSTERS = PAGE_GRAINS / CLUSTER_GRAINS

export class Leaf {
  readonly pages: ReadonlyArray<LayerPage>
  /** One leaf for all maps: it costs nothing and is never given back. */
  readonly shared: boolean
  /** How many maps have it. */
  refs = 0

  constructor(pages: ReadonlyArray<LayerPage>, shared: boolean) {
    this.pages = pages
    this.shared = shared
  }
}

const uniform: Array<Leaf> = []
const uniformLeaf = (code: number): Leaf =>
  (uniform[code] ??= new Leaf(new Array(LEAF_PAGES).fill(uniformPage(code)), true))

/** The leaf of these pages: a new one with a reference to each, or the shared one when they are all uniform alike. */
export const takeLeaf = (budget: LayerMapBudget, pages: ReadonlyArray<LayerPage>): Leaf => {
  const [first] = pages
  if (isUniform(first!) && pages.every((page) => page === first)) return uniformLeaf(first!.code)
  let bytes = LEAF_BYTES
  const slabs = new Set<Slab>()
  for (const page of pages) {
    if (page.refs > 0 || isUniform(page)) continue
    bytes += page.bytes
    slabs.add(page.slab)
  }
  for (const slab of slabs) bytes += slab.bytes
  budget.take(bytes)
  for (const page of pages) page.refs++
  return new Leaf(pages, false)
}

/** Gives a leaf that no map has back to the budget, with the pages that no other leaf has. */
export const dropLeaf = (budget: LayerMapBudget, leaf: Leaf): void => {
  if (leaf.shared) return
  let bytes = LEAF_BYTES
  for (const page of leaf.pages) {
    page.refs--
    if (page.refs > 0 || isUniform(page)) continue
    bytes += page.bytes
    page.slab.refs--
    if (page.slab.refs === 0) bytes += page.slab.bytes
  }
  budget.giveBack(bytes)
}

export const holdLeaves = (leaves: ReadonlyArray<Leaf>): void => {
  for (const leaf of leaves) leaf.refs++
}

export const releaseLeaves = (budget: LayerMapBudget, leaves: ReadonlyArray<Leaf>): void => {
  for (const leaf of leaves) {
    leaf.refs--
    if (leaf.refs === 0) dropLeaf(budget, leaf)
  }
}

const rootBytes = (leaves: number): number => leaves * POINTER_BYTES + 256

/** The memory of all layer maps together. One for a server. */
export class LayerMapBudget {
  readonly bytesMax: number
  /** Bytes of maps now. */
  bytes = 0

  constructor(bytesMax: number = limits.layerMapBytesMax) {
    this.bytesMax = bytesMax
  }

  /** The map of an image's first version: everything comes from the base. @throws LAYER_MAPS_FULL */
  baseMap(sizeBytes: number): LayerMap {
    assert(sizeBytes > 0 && sizeBytes <= limits.imageBytesMax, "a disk has bytes")
    const pages = Math.ceil(sizeBytes / PAGE_SPAN)
    return new LayerMap(this, sizeBytes, [0], new Array(Math.ceil(pages / LEAF_PAGES)).fill(uniformLeaf(BASE_CODE)))
  }

  /** @throws LAYER_MAPS_FULL, and then nothing was taken */
  take(bytes: number): void {
    if (this.bytes + bytes > this.bytesMax) throw fail("LAYER_MAPS_FULL", { bytesMax: this.bytesMax })
    this.bytes += bytes
  }

  giveBack(bytes: number): void {
    this.bytes -= bytes
    assert(this.bytes >= 0, "what is given back was taken")
  }
}

export class LayerMap {
  readonly sizeBytes: number
  /** Grains of the disk; the last one may be shorter than the others. */
  readonly grains: number
  /** The layers it is made of, from the base, which is 0, to its version's own. */
  readonly chain: ReadonlyArray<number>
  /** The last of them. */
  readonly layer: number
  readonly budget: LayerMapBudget
  readonly leaves: ReadonlyArray<Leaf>
  #released = false

  /** Takes a reference to every leaf. Leaves and pages that are new in it were taken from the budget by whoever made them. */
  constructor(budget: LayerMapBudget, sizeBytes: number, chain: ReadonlyArray<number>, leaves: ReadonlyArray<Leaf>) {
    budget.take(rootBytes(leaves.length))
    this.budget = budget
    this.sizeBytes = sizeBytes
    this.grains = Math.ceil(sizeBytes / GRAIN)
    this.chain = chain
    this.layer = chain.at(-1)!
    this.leaves = leaves
    holdLeaves(leaves)
  }

  pageAt(number: number): LayerPage {
    return this.leaves[number >> LEAF_BITS]!.pages[number & LEAF_MASK]!
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

  /** Gives its memory back, but for what other maps have too. A second release is the first; nothing may be looked up afterwards. */
  release(): void {
    if (this.#released) return
    this.#released = true
    releaseLeaves(this.budget, this.leaves)
    this.budget.giveBack(rootBytes(this.leaves.length))
  }

  get released(): boolean {
    return this.#released
  }
}
