/** A set of cluster numbers in pages of bits: 8 MiB for every cluster of 4 TiB, and a page for a few. */
const PAGE_BITS = 15
const PAGE_MASK = (1 << PAGE_BITS) - 1

export class ClusterSet {
  size = 0
  readonly #pages = new Map<number, Uint8Array>()

  has(cluster: number): boolean {
    const page = this.#pages.get(cluster >> PAGE_BITS)
    return page !== undefined && (page[(cluster & PAGE_MASK) >> 3]! & (1 << (cluster & 7))) !== 0
  }

  add(cluster: number): void {
    if (this.has(cluster)) return
    const number = cluster >> PAGE_BITS
    const page = this.#pages.get(number) ?? new Uint8Array(1 << (PAGE_BITS - 3))
    this.#pages.set(number, page)
    page[(cluster & PAGE_MASK) >> 3]! |= 1 << (cluster & 7)
    this.size++
  }

  /** Whether every cluster of the other set is in this one. */
  hasAll(other: ClusterSet): boolean {
    for (const [number, page] of other.#pages) {
      const mine = this.#pages.get(number)
      for (let i = 0; i < page.length; i++) if ((page[i]! & ~(mine?.[i] ?? 0)) !== 0) return false
    }
    return true
  }

  addAll(other: ClusterSet): void {
    for (const [number, page] of other.#pages) {
      const start = number << PAGE_BITS
      for (let i = 0; i <= PAGE_MASK; i++) if (page[i >> 3]! & (1 << (i & 7))) this.add(start + i)
    }
  }
}
