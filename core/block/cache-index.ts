/**
 * Which slot of the cache holds which cluster of one content: a two-level table without a hash.
 *
 * **Details** Level one is an array with one entry for 1024 clusters (64 MiB); level two is 1024 slot numbers, -1 where the cluster
 * is not held. Untouched areas share one empty leaf, and a leaf whose last cluster left is given back, so a 4 TiB content costs
 * 512 KiB and at most one leaf (4 KiB) per cluster held. A look-up is two array reads and never allocates.
 */
const LEAF_BITS = 10
const LEAF_ENTRIES = 1 << LEAF_BITS
const LEAF_MASK = LEAF_ENTRIES - 1
const EMPTY_LEAF = new Int32Array(LEAF_ENTRIES).fill(-1)

export class CacheIndex {
  /** Clusters held. */
  held = 0
  readonly #leaves: Array<Int32Array>
  readonly #heldInLeaf: Int32Array

  constructor(clusters: number) {
    const leaves = Math.ceil(clusters / LEAF_ENTRIES)
    this.#leaves = new Array(leaves).fill(EMPTY_LEAF)
    this.#heldInLeaf = new Int32Array(leaves)
  }

  /** Slot of a cluster, or -1. */
  slotOf(cluster: number): number {
    return this.#leaves[cluster >> LEAF_BITS]![cluster & LEAF_MASK]!
  }

  put(cluster: number, slot: number): void {
    const number = cluster >> LEAF_BITS
    if (this.#leaves[number] === EMPTY_LEAF) this.#leaves[number] = EMPTY_LEAF.slice()
    this.#leaves[number]![cluster & LEAF_MASK] = slot
    this.#heldInLeaf[number]!++
    this.held++
  }

  remove(cluster: number): void {
    const number = cluster >> LEAF_BITS
    this.#leaves[number]![cluster & LEAF_MASK] = -1
    this.held--
    if (--this.#heldInLeaf[number]! === 0) this.#leaves[number] = EMPTY_LEAF
  }

  /** Removes every cluster that is in this slot or a higher one. */
  removeFrom(slot: number): void {
    for (let number = 0; number < this.#leaves.length; number++) {
      const leaf = this.#leaves[number]!
      if (leaf === EMPTY_LEAF) continue
      for (let i = 0; i < LEAF_ENTRIES; i++) if (leaf[i]! >= slot) this.remove(number * LEAF_ENTRIES + i)
    }
  }
}
