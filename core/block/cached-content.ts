/**
 * One opening of a content that is read through the cache.
 *
 * **Details** A hit is two table look-ups and a copy; whatever is not held is asked of the cache, cluster by cluster, side by side. Reads must lie inside the content.
 */
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import type { CacheIndex } from "./cache-index.ts"
import type { CacheSlots } from "./cache-slots.ts"
import type { InFlight } from "./in-flight.ts"
import { inParallel } from "./parallel.ts"

const CLUSTER = limits.clusterBytes

/** Where the bytes of a content come from. */
export interface CacheSource {
  /** Clusters with the same content id are the same bytes, whoever opened them. */
  readonly contentId: string
  readonly sizeBytes: number
  read(into: Uint8Array, at: number, offset: number, length: number): Promise<void>
  /** The same at once, or false: the buffer may be filled in part then. */
  readSync?(into: Uint8Array, at: number, offset: number, length: number): boolean
  /** Judges a whole cluster, the last one zero-padded, on its way into the cache. */
  readonly verify?: ((cluster: number, bytes: Uint8Array) => boolean) | undefined
  /** Heat: called for each cluster that a device read touches, hit or miss; not for prefetches. */
  readonly touched?: ((contentIndex: number, cluster: number) => void) | undefined
}

/** Counters since the start, in clusters, but for `bytes`: what the cache holds now. */
export interface CacheStats {
  hits: number
  misses: number
  loads: number
  mismatches: number
  evictions: number
  bytes: number
  /** Clusters kept that are not zeros, in bytes. */
  ramBytes: number
}

/** A read that waits for a cluster to be loaded. */
export interface Waiter {
  readonly into: Uint8Array
  readonly at: number
  /** Place and length inside the cluster. */
  readonly from: number
  readonly length: number
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** What an opening asks of the cache. */
export interface Loader {
  /** Loads that read from this opening's source, and callers that wait through it. */
  readonly inFlight: InFlight
  /** Of all openings. */
  readonly waiting: InFlight
  load(cluster: number, waiter: Waiter): void
  /** The slot that holds it then, or -1. */
  loadNow(cluster: number): number
  keep(cluster: number): Promise<boolean>
  leave(cluster: number, waiter: Waiter): void
  close(): void
}

export interface OpenedContent {
  readonly source: CacheSource
  /** Number of the content in this cache, as the heat hook sees it. */
  readonly number: number
  readonly index: CacheIndex
  readonly slots: CacheSlots
  readonly stats: CacheStats
  readonly loader: Loader
}

export class CachedContent {
  readonly number: number
  readonly #stats: CacheStats
  readonly #source: CacheSource
  readonly #index: CacheIndex
  readonly #slots: CacheSlots
  readonly #loader: Loader
  readonly #touched: ((contentIndex: number, cluster: number) => void) | undefined

  constructor({ source, number, index, slots, stats, loader }: OpenedContent) {
    this.number = number
    this.#stats = stats
    this.#source = source
    this.#index = index
    this.#slots = slots
    this.#loader = loader
    this.#touched = source.touched
  }

  /** Slot that holds a cluster now, or -1. It is that cluster's until `ReadCache.holds` says otherwise. */
  slotOf(cluster: number): number {
    return this.#index.slotOf(cluster)
  }

  /** Copies when every cluster of the range is held, or the only one can be loaded at once; otherwise changes nothing and answers false. */
  readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    const cluster = (offset / CLUSTER) | 0
    const from = offset - cluster * CLUSTER
    if (from + length > CLUSTER) return this.#readManySync(into, at, offset, length)
    let slot = this.#index.slotOf(cluster)
    if (slot >= 0) this.#stats.hits++
    else slot = this.#loader.loadNow(cluster)
    if (slot < 0) return false
    if (this.#touched !== undefined) this.#touched(this.number, cluster)
    this.#slots.copy(slot, into, at, from, length)
    return true
  }

  /** Looks first and copies then, so that a miss leaves the caller's buffer as it was. */
  #readManySync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    const end = offset + length
    const last = ((end - 1) / CLUSTER) | 0
    for (let cluster = (offset / CLUSTER) | 0; cluster <= last; cluster++) {
      if (this.#index.slotOf(cluster) < 0) return false
    }
    for (let from = offset; from < end; ) {
      const n = Math.min(CLUSTER - (from % CLUSTER), end - from)
      this.readSync(into, at + from - offset, from, n)
      from += n
    }
    return true
  }

  /** Reads a range; its misses are loaded side by side. @throws MEDIUM_ERROR for the part whose checksum does not match */
  async read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    const first = Math.floor(offset / CLUSTER)
    const end = offset + length
    const count = Math.floor((end - 1) / CLUSTER) - first + 1
    await inParallel(count, limits.requestPiecesMax, async (i) => {
      const from = Math.max(offset, (first + i) * CLUSTER)
      const n = Math.min(end, (first + i + 1) * CLUSTER) - from
      // Of a single cluster, `readSync` was asked before.
      const mayBeThere = count > 1 || this.#index.slotOf(first) >= 0
      if (mayBeThere && this.readSync(into, at + from - offset, from, n)) return
      this.#touched?.(this.number, first + i)
      await this.#wait(first + i, into, at + from - offset, from % CLUSTER, n, signal)
    })
  }

  /** Loads what is not held yet. */
  async prefetch(offset: number, length: number, signal?: AbortSignal): Promise<void> {
    const first = Math.floor(offset / CLUSTER)
    const count = Math.floor((offset + length - 1) / CLUSTER) - first + 1
    await inParallel(count, limits.requestPiecesMax, async (i) => {
      if (this.#index.slotOf(first + i) < 0) await this.#wait(first + i, NOWHERE, 0, 0, 0, signal)
    })
  }

  /**
   * Brings a cluster into the RAM tier, where it stays until its content is let go; false when there is no room. @throws MEDIUM_ERROR
   * when its checksum does not match, and what the source throws
   */
  keep(cluster: number): Promise<boolean> {
    return this.#loader.keep(cluster)
  }

  /** Key of a cluster in the RAM tier. */
  contentIdOf(_cluster: number): string {
    return this.#source.contentId
  }

  /** Waits for loads that this opening asked for, then lets go. The clusters stay until something needs their room. */
  async close(): Promise<void> {
    await this.#loader.inFlight.idle()
    this.#loader.close()
  }

  async #wait(
    cluster: number,
    into: Uint8Array,
    at: number,
    from: number,
    length: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (signal?.aborted) throw cancelled()
    this.#stats.misses++
    this.#loader.inFlight.enter()
    this.#loader.waiting.enter()
    let abort: (() => void) | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        const waiter: Waiter = { into, at, from, length, resolve, reject }
        // The load goes on for the cache's sake; only this caller's buffer is left alone from here.
        abort = () => {
          this.#loader.leave(cluster, waiter)
          reject(cancelled())
        }
        signal?.addEventListener("abort", abort, { once: true })
        this.#loader.load(cluster, waiter)
      })
    } finally {
      if (abort) signal?.removeEventListener("abort", abort)
      this.#loader.waiting.leave()
      this.#loader.inFlight.leave()
    }
  }

  get sizeBytes(): number {
    return this.#source.sizeBytes
  }
}

export const NOWHERE = new Uint8Array(0)
const cancelled = () => fail("CANCELLED", { what: "the read" })
