/**
 * Values by file offset, within a budget of bytes: the longest unused one goes first, and what several wait for is loaded once.
 *
 * **Gotchas** A load is shared by all who wait for it, so it must not listen to the signal of one of them.
 */
export class BoundedCache {
  readonly #bytesMax: number
  readonly #kept = new Map<number, Uint8Array>()
  readonly #loading = new Map<number, Promise<Uint8Array>>()
  #bytes = 0
  /** The one that was asked for last, so that a run of hits does not touch the map. */
  #lastKey = -1
  #last: Uint8Array | undefined

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get(key: number): Uint8Array | undefined {
    if (key === this.#lastKey) return this.#last
    const value = this.#kept.get(key)
    if (value === undefined) return undefined
    this.#kept.delete(key)
    this.#kept.set(key, value)
    this.#lastKey = key
    this.#last = value
    return value
  }

  /** The value, loaded if it is not here. A load that fails is forgotten. */
  load(key: number, make: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const under = this.#loading.get(key)
    if (under !== undefined) return under
    const loading = make()
      .then((value) => this.#keep(key, value))
      .finally(() => this.#loading.delete(key))
    this.#loading.set(key, loading)
    return loading
  }

  #keep(key: number, value: Uint8Array): Uint8Array {
    if (this.#kept.has(key)) return value
    this.#kept.set(key, value)
    this.#bytes += value.length
    for (const [oldest, old] of this.#kept) {
      if (this.#bytes <= this.#bytesMax || oldest === key) break
      this.#kept.delete(oldest)
      this.#bytes -= old.length
      if (oldest === this.#lastKey) this.#lastKey = -1
    }
    return value
  }
}
