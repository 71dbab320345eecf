/**
 * A table from cluster number to a small number, of fixed size: open addressing in one typed array.
 *
 * **Details** Twice as many places as entries, so that a look-up takes few steps; nothing is allocated after it was made. Entries are never taken
 * out. Clusters that lie together on the disk lie together here, in groups of 32, because they are read together; the groups are spread.
 */
import assert from "node:assert"

const GROUP_BITS = 5
const GROUP_MASK = (1 << GROUP_BITS) - 1
/** 2^32 divided by the golden ratio: groups come to lie far apart (Knuth, The Art of Computer Programming, 6.4). */
const SPREAD = 0x9e3779b1

export class ClusterTable {
  /** Entries. */
  size = 0
  readonly #max: number
  readonly #shift: number
  readonly #mask: number
  /** Cluster + 1, or 0; beside it the value. */
  readonly #places: Uint32Array

  constructor(max: number) {
    const bits = Math.max(GROUP_BITS + 1, Math.ceil(Math.log2(max)) + 1)
    this.#max = max
    this.#shift = 32 - bits + GROUP_BITS
    this.#mask = 2 ** bits - 1
    this.#places = new Uint32Array(2 ** (bits + 1))
  }

  /** The value of a cluster, or -1. */
  get(cluster: number): number {
    const place = this.#placeOf(cluster)
    return this.#places[2 * place] === 0 ? -1 : this.#places[2 * place + 1]!
  }

  /** Keeps a value for a cluster that has none; false when it has one. */
  add(cluster: number, value: number): boolean {
    const place = this.#placeOf(cluster)
    if (this.#places[2 * place] !== 0) return false
    assert(this.size < this.#max, "a table is made for all its entries")
    this.#places[2 * place] = cluster + 1
    this.#places[2 * place + 1] = value
    this.size++
    return true
  }

  #placeOf(cluster: number): number {
    const group = Math.imul(cluster >>> GROUP_BITS, SPREAD) >>> this.#shift
    let place = (group << GROUP_BITS) | (cluster & GROUP_MASK)
    for (;;) {
      const found = this.#places[2 * place]
      if (found === 0 || found === cluster + 1) return place
      place = (place + 1) & this.#mask
    }
  }
}
