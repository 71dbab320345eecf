/**
 * The shared read cache: one piece of RAM above the storage tiers, cut into 64 KiB clusters, keyed by content and cluster.
 *
 * A hit is two table look-ups and a copy into the caller's buffer; it makes no promise and allocates nothing. A miss is loaded once
 * however many callers ask for it, verified once on its way in, and copied to every one of them the moment it arrives.
 *
 * | slot is | in the index | may be taken | leaves when                                                        |
 * | ------- | ------------ | ------------ | ------------------------------------------------------------------ |
 * | free    | no           | yes          | a load takes it                                                    |
 * | loading | no           | no           | the load ends: held if the bytes came and verified, otherwise free |
 * | held    | yes          | yes, by CLOCK | a load takes it: its `used` mark was cleared and not set again    |
 * | kept    | yes          | no           | its content leaves the RAM tier                                    |
 *
 * **The RAM tier** is the same table: what an image placed in RAM brings is kept, in memory of its own (ram-slots.ts), until it is let go. So a
 * cluster is held once whether it was cached or kept, a read finds both alike, and moving an image is no event for a client. All clusters
 * of zeros that are kept are one slot.
 *
 * **The copy** was measured on Node 24 (ns for 512 B / 4 KiB / 64 KiB, out of a 64 MiB cache): `Buffer.copy` from a slot 70 / 155 / 2100,
 * `set(subarray)` 75 / 170 / 2200 and one object of garbage each, `set` of a ready-made 4 KiB view 80 but 16 views for each slot. From a
 * SharedArrayBuffer `set` takes twice as long (250 / 4300), `Buffer.copy` does not. So: an ArrayBuffer, a few Buffers over it (slot-memory.ts), and `copy`.
 *
 * **Gotchas** All who open one content id must give the same size and mean the same bytes; whoever misses first supplies them. Runs of zeros
 * take room like any other bytes. Not done: bypassing for large scans, because the clock already lets clusters that are read twice outlive them.
 */
import assert from "node:assert"
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import { CacheIndex } from "./cache-index.ts"
import { InFlight } from "./in-flight.ts"
import { LATENCY_SAMPLE, TierReads } from "./latency.ts"
import { inParallel } from "./parallel.ts"
import { RamSlots } from "./ram-slots.ts"
import { CHUNK_SLOTS, SlotMemory } from "./slot-memory.ts"

const CLUSTER = limits.clusterBytes

const SAMPLE_MASK = LATENCY_SAMPLE - 1

const FREE = -1
const LOADING = -2

/** Where the bytes of a content come from. */
export interface CacheSource {
  /** Clusters with the same content id are the same bytes, whoever opened them. */
  readonly contentId: string
  readonly sizeBytes: number
  read(into: Uint8Array, at: number, offset: number, length: number): Promise<void>
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

interface Waiter {
  readonly into: Uint8Array
  readonly at: number
  /** Place and length inside the cluster. */
  readonly from: number
  readonly length: number
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** One content as all its openings share it. */
interface Content {
  readonly id: string
  readonly number: number
  readonly sizeBytes: number
  readonly index: CacheIndex
  readonly loading: Map<number, Array<Waiter>>
  openings: number
  /** Clusters that are on their way into the RAM tier. */
  keeping: number
}

export class ReadCache {
  /** Reads that were answered from the cache, and from what is kept. */
  readonly cached = new TierReads()
  readonly kept = new TierReads()
  readonly stats: CacheStats = { hits: 0, misses: 0, loads: 0, mismatches: 0, evictions: 0, bytes: 0, ramBytes: 0 }
  /** Reads of clients that wait for a load; what fills the RAM tier steps back for them. */
  readonly waiting = new InFlight()
  /** Memory for contents that are kept. */
  readonly ram: RamSlots
  /** First those of the cache itself, then those of the RAM tier, then the one of zeros. */
  readonly #memory = new SlotMemory()
  readonly #now: () => number
  readonly #count: number
  readonly #zeros: number
  readonly #ownerOf: Int32Array
  readonly #clusterOf: Int32Array
  readonly #used: Uint8Array
  readonly #free: Array<number> = []
  readonly #waitingForSlot: Array<() => void> = []
  readonly #contents = new Map<string, Content>()
  readonly #contentByNumber = new Map<number, Content>()
  #nextContent = 0
  #hand = 0

  /** `now`: milliseconds, from any origin, with fractions. */
  constructor(options: { readonly bytes: number; readonly ramBytes?: number; readonly now?: () => number }) {
    this.#now = options.now ?? (() => 0)
    const count = Math.floor(options.bytes / CLUSTER)
    assert(count >= 1, "a cache holds at least one cluster")
    this.#memory.add(count * CLUSTER)
    this.ram = new RamSlots(options.ramBytes ?? 0, this.#memory)
    this.#count = count
    this.#zeros = this.#memory.add(CLUSTER)
    this.#ownerOf = new Int32Array(this.#zeros + 1).fill(FREE)
    this.#clusterOf = new Int32Array(this.#zeros + 1)
    this.#used = new Uint8Array(this.#zeros + 1)
    for (let i = count - 1; i >= 0; i--) this.#free.push(i)
  }

  /** How many clusters there is room for, besides those kept. */
  get slots(): number {
    return this.#count
  }

  /** A slot that held this cluster of this content once: does it still? */
  holds(slot: number, content: number, cluster: number): boolean {
    return this.#ownerOf[slot] === content && this.#clusterOf[slot] === cluster
  }

  /** A hit in a slot that is known to hold the bytes. */
  copyFrom(slot: number, into: Uint8Array, at: number, from: number, length: number): void {
    this.#used[slot] = 1
    const tier = slot < this.#count ? this.cached : this.kept
    tier.add(length)
    if ((++this.stats.hits & SAMPLE_MASK) !== 0) {
      this.#memory.copy(slot, into, at, from, length)
      return
    }
    const start = this.#now()
    this.#memory.copy(slot, into, at, from, length)
    tier.latency.observe(this.#now() - start, LATENCY_SAMPLE)
  }

  /** Opens a content for reading through the cache. */
  open(source: CacheSource): CachedContent {
    let content = this.#contents.get(source.contentId)
    if (content === undefined) {
      const index = new CacheIndex(Math.ceil(source.sizeBytes / CLUSTER))
      const { contentId: id, sizeBytes } = source
      content = { id, number: this.#nextContent++, sizeBytes, index, loading: new Map(), openings: 0, keeping: 0 }
      this.#contents.set(id, content)
      this.#contentByNumber.set(content.number, content)
    }
    assert.equal(content.sizeBytes, source.sizeBytes, "one content id, one size")
    content.openings++
    const opened = content
    const inFlight = new InFlight()
    return new CachedContent(this, source, opened.number, opened.index, {
      inFlight,
      waiting: this.waiting,
      load: (cluster, waiter) => this.#load(source, inFlight, opened, cluster, waiter),
      keep: (cluster) => this.#keep(source, inFlight, opened, cluster),
      leave: (cluster, waiter) => removeFrom(opened.loading.get(cluster), waiter),
      close: () => {
        opened.openings--
        this.#forgetIfUnused(opened)
      },
    })
  }

  #load(source: CacheSource, inFlight: InFlight, content: Content, cluster: number, waiter: Waiter): void {
    const waiters = content.loading.get(cluster)
    if (waiters !== undefined) {
      waiters.push(waiter)
      return
    }
    content.loading.set(cluster, [waiter])
    inFlight.enter()
    void this.#fill(source, content, cluster).finally(() => inFlight.leave())
  }

  /** Into the RAM tier: moved there if it is cached, or loaded. False when there is no room. */
  async #keep(source: CacheSource, inFlight: InFlight, content: Content, cluster: number): Promise<boolean> {
    inFlight.enter()
    content.keeping++
    try {
      while (content.loading.has(cluster)) await loaded(content.loading.get(cluster)!)
      const cached = content.index.slotOf(cluster)
      if (cached >= this.#count) return true
      const slot = this.ram.take(content.id)
      if (slot < 0) return false
      if (cached < 0) {
        const waiters: Array<Waiter> = []
        content.loading.set(cluster, waiters)
        const ended = loaded(waiters)
        void this.#fill(source, content, cluster, slot)
        await ended
      } else {
        this.#memory.copy(cached, this.#memory.of(slot), 0, 0, CLUSTER)
        this.#drop(cached)
        this.#release(cached)
        this.#waitingForSlot.shift()?.()
        this.#hold(slot, content, cluster)
      }
      return true
    } finally {
      content.keeping--
      inFlight.leave()
    }
  }

  /**
   * What is kept of a content leaves RAM, at most so many chunks of it; answers whether all has left. A large image takes more time than one turn of the loop should.
   * Nothing of it may be on its way there.
   */
  letGo(contentId: string, chunksMax = Number.POSITIVE_INFINITY): boolean {
    const content = this.#contents.get(contentId)
    assert.equal(content?.keeping ?? 0, 0, "whoever keeps clusters stops before they are let go")
    for (let given = 0; given < chunksMax; given++) {
      const first = this.ram.giveChunk(contentId)
      if (first < 0) {
        // Those of zeros are left.
        content?.index.removeFrom(this.#count)
        if (content !== undefined) this.#forgetIfUnused(content)
        return true
      }
      for (let slot = first; slot < first + CHUNK_SLOTS; slot++) {
        if (this.#ownerOf[slot] === FREE) continue
        content!.index.remove(this.#clusterOf[slot]!)
        this.#ownerOf[slot] = FREE
        this.stats.ramBytes -= CLUSTER
      }
    }
    return false
  }

  async #fill(source: CacheSource, content: Content, cluster: number, kept = -1): Promise<void> {
    let slot = kept < 0 ? this.#takeSlot() : kept
    while (slot < 0) {
      await new Promise<void>((resolve) => this.#waitingForSlot.push(resolve))
      slot = this.#takeSlot()
    }
    this.stats.loads++
    const offset = cluster * CLUSTER
    const length = Math.min(CLUSTER, content.sizeBytes - offset)
    const bytes = this.#memory.of(slot)
    let failure: unknown
    let mismatch = false
    try {
      await source.read(bytes, 0, offset, length)
      if (length < CLUSTER) bytes.fill(0, length)
      mismatch = source.verify !== undefined && !source.verify(cluster, bytes)
    } catch (e) {
      failure = e
    }
    const waiters = content.loading.get(cluster)!
    content.loading.delete(cluster)
    if (failure !== undefined || mismatch) {
      if (mismatch) this.stats.mismatches++
      this.#release(slot)
      for (const w of waiters) w.reject(failure ?? mismatchAt(offset + w.from, w.length))
    } else {
      this.#hold(slot, content, cluster)
      for (const w of waiters) {
        bytes.copy(w.into, w.at, w.from, w.from + w.length)
        w.resolve()
      }
    }
    this.#waitingForSlot.shift()?.()
  }

  #hold(slot: number, content: Content, cluster: number): void {
    const isKept = slot >= this.#count
    if (isKept && this.#memory.of(slot).equals(this.#memory.of(this.#zeros))) {
      this.ram.give(slot)
      content.index.put(cluster, this.#zeros)
      return
    }
    this.#ownerOf[slot] = content.number
    this.#clusterOf[slot] = cluster
    this.#used[slot] = 1
    content.index.put(cluster, slot)
    this.stats[isKept ? "ramBytes" : "bytes"] += CLUSTER
  }

  #release(slot: number): void {
    this.#ownerOf[slot] = FREE
    if (slot < this.#count) this.#free.push(slot)
    else this.ram.give(slot)
  }

  /** A slot to load into, marked as loading; -1 when every slot is being loaded. */
  #takeSlot(): number {
    const slot = this.#free.pop() ?? this.#evict()
    if (slot >= 0) this.#ownerOf[slot] = LOADING
    return slot
  }

  /** CLOCK: the hand passes slots used since it last came by, clearing their mark, and takes the first that was not. */
  #evict(): number {
    const count = this.#count
    for (let passed = 0; passed < 2 * count; passed++) {
      const slot = this.#hand
      this.#hand = slot + 1 === count ? 0 : slot + 1
      if (this.#ownerOf[slot]! < 0) continue
      if (this.#used[slot] === 1) {
        this.#used[slot] = 0
        continue
      }
      this.#drop(slot)
      this.stats.evictions++
      return slot
    }
    return -1
  }

  #drop(slot: number): void {
    const content = this.#contentByNumber.get(this.#ownerOf[slot]!)!
    content.index.remove(this.#clusterOf[slot]!)
    this.stats.bytes -= CLUSTER
    this.#forgetIfUnused(content)
  }

  /** Gives back at once what a closed content still holds, because it will not be opened again. Nobody waits for a slot while any is held. */
  forget(contentId: string): void {
    const content = this.#contents.get(contentId)
    if (content === undefined || content.openings > 0) return
    for (let slot = 0; slot < this.#count; slot++) {
      if (this.#ownerOf[slot] !== content.number) continue
      this.#drop(slot)
      this.#release(slot)
    }
    this.letGo(contentId)
  }

  /** A closed content keeps its clusters until they are evicted, because it is likely to be opened again; then it is forgotten. */
  #forgetIfUnused(content: Content): void {
    if (content.openings > 0 || content.index.held > 0 || content.loading.size > 0) return
    this.#contents.delete(content.id)
    this.#contentByNumber.delete(content.number)
  }
}

interface Loader {
  /** Loads that read from this opening's source, and callers that wait through it. */
  readonly inFlight: InFlight
  /** Of all openings. */
  readonly waiting: InFlight
  load(cluster: number, waiter: Waiter): void
  keep(cluster: number): Promise<boolean>
  leave(cluster: number, waiter: Waiter): void
  close(): void
}

/** An opening of a content. Reads must lie inside it. */
export class CachedContent {
  /** Number of the content in this cache, as the heat hook sees it. */
  readonly number: number
  readonly #stats: CacheStats
  readonly #source: CacheSource
  readonly #index: CacheIndex
  readonly #cache: ReadCache
  readonly #loader: Loader
  readonly #touched: ((contentIndex: number, cluster: number) => void) | undefined

  constructor(cache: ReadCache, source: CacheSource, number: number, index: CacheIndex, loader: Loader) {
    this.number = number
    this.#stats = cache.stats
    this.#source = source
    this.#index = index
    this.#cache = cache
    this.#loader = loader
    this.#touched = source.touched
  }

  /** Slot that holds a cluster now, or -1. It is that cluster's until `ReadCache.holds` says otherwise. */
  slotOf(cluster: number): number {
    return this.#index.slotOf(cluster)
  }

  /** Copies when every cluster of the range is held; otherwise changes nothing and answers false. */
  readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    const cluster = (offset / CLUSTER) | 0
    const from = offset - cluster * CLUSTER
    if (from + length > CLUSTER) return this.#readManySync(into, at, offset, length)
    const slot = this.#index.slotOf(cluster)
    if (slot < 0) return false
    if (this.#touched !== undefined) this.#touched(this.number, cluster)
    this.#cache.copyFrom(slot, into, at, from, length)
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
      if (!this.readSync(into, at + from - offset, from, n)) {
        this.#touched?.(this.number, first + i)
        await this.#wait(first + i, into, at + from - offset, from % CLUSTER, n, signal)
      }
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

  /** Reports heat for a read that was answered past the cache. */
  touch(offset: number, length: number): void {
    if (this.#touched === undefined) return
    const last = Math.floor((offset + length - 1) / CLUSTER)
    for (let cluster = Math.floor(offset / CLUSTER); cluster <= last; cluster++) this.#touched(this.number, cluster)
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

const NOWHERE = new Uint8Array(0)
const cancelled = () => fail("CANCELLED", { what: "the read" })
const mismatchAt = (offset: number, length: number) =>
  fail("MEDIUM_ERROR", { offset, length, what: "checksum does not match" })

/** Waits for the load of a cluster, and wants none of its bytes. */
const loaded = (waiters: Array<Waiter>): Promise<void> =>
  new Promise((resolve, reject) => waiters.push({ into: NOWHERE, at: 0, from: 0, length: 0, resolve, reject }))

const removeFrom = <A>(list: Array<A> | undefined, item: A): void => {
  const i = list?.indexOf(item) ?? -1
  if (i >= 0) list!.splice(i, 1)
}
