/** A map of bounded size that forgets what was set longest ago, but for what is still in use. */
export class RecentMap<V> {
  readonly #max: number
  readonly #inUse: (value: V) => boolean
  readonly #entries = new Map<string, V>()

  constructor(max: number, inUse: (value: V) => boolean = () => false) {
    this.#max = max
    this.#inUse = inUse
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: string): V | undefined {
    return this.#entries.get(key)
  }

  set(key: string, value: V): void {
    this.#entries.delete(key)
    this.#entries.set(key, value)
    if (this.#entries.size <= this.#max) return
    for (const [oldest, held] of this.#entries) {
      if (this.#inUse(held)) continue
      this.#entries.delete(oldest)
      return
    }
  }

  delete(key: string): void {
    this.#entries.delete(key)
  }

  values(): Iterable<V> {
    return this.#entries.values()
  }
}
