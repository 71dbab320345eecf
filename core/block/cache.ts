/**
 * The shared read cache: one piece of RAM above the storage tiers, cut into 64 KiB clusters, keyed by content and cluster.
 *
 * A hit is two table look-ups and a copy into the caller's buffer; it makes no promise and allocates nothing. A miss is loaded once
 * however many callers ask for it, verified once on its way in, and copied to every one of them the moment it arrives. What its source has at
 * hand is loaded within the read that asks for it, without a promise either (core/decisions/025).
 *
 * What it is made of: openings (cached-content.ts), slots (cache-slots.ts), and which slot has which cluster (cache-index.ts).
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
import { CacheSlots } from "./cache-slots.ts"
import { CachedContent, type CacheSource, type CacheStats, NOWHERE, type Waiter } from "./cached-content.ts"
import { InFlight } from "./in-flight.ts"
import type { TierReads } from "./latency.ts"
import type { RamSlots } from "./ram-slots.ts"
import { CHUNK_SLOTS } from "./slot-memory.ts"

const CLUSTER = limits.clusterBytes

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
  readonly stats: CacheStats = { hits: 0, misses: 0, loads: 0, mismatches: 0, evictions: 0, bytes: 0, ramBytes: 0 }
  /** Reads of clients that wait for a load; what fills the RAM tier steps back for them. */
  readonly waiting = new InFlight()
  readonly #slots: CacheSlots
  readonly #waitingForSlot: Array<() => void> = []
  readonly #contents = new Map<string, Content>()
  readonly #contentByNumber = new Map<number, Content>()
  #nextContent = 0

  /** `now`: milliseconds, from any origin, with fractions. */
  constructor(options: { readonly bytes: number; readonly ramBytes?: number; readonly now?: () => number }) {
    this.#slots = new CacheSlots(options.bytes, options.ramBytes ?? 0, options.now)
  }

  /** Memory for contents that are kept. */
  get ram(): RamSlots {
    return this.#slots.ram
  }

  /** Reads that were answered from the cache. */
  get cached(): TierReads {
    return this.#slots.cached
  }

  /** Reads that were answered from what is kept. */
  get kept(): TierReads {
    return this.#slots.kept
  }

  /** How many clusters there is room for, besides those kept. */
  get slots(): number {
    return this.#slots.own
  }

  /** A slot that held this cluster of this content once: does it still? */
  holds(slot: number, content: number, cluster: number): boolean {
    return this.#slots.holds(slot, content, cluster)
  }

  /** A hit in a slot that is known to hold the bytes. */
  copyFrom(slot: number, into: Uint8Array, at: number, from: number, length: number): void {
    this.stats.hits++
    this.#slots.copy(slot, into, at, from, length)
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
    const { number, index } = opened
    return new CachedContent({
      source,
      number,
      index,
      slots: this.#slots,
      stats: this.stats,
      loader: {
        inFlight,
        waiting: this.waiting,
        load: (cluster, waiter) => this.#load(source, inFlight, opened, cluster, waiter),
        loadNow: (cluster) => this.#loadNow(source, opened, cluster),
        keep: (cluster) => this.#keep(source, inFlight, opened, cluster),
        leave: (cluster, waiter) => removeFrom(opened.loading.get(cluster), waiter),
        close: () => {
          opened.openings--
          this.#forgetIfUnused(opened)
        },
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

  /** Its slot, or -1: not at hand, no room, or wrong. Which of them, the read that waits will find out, and tell. */
  #loadNow(source: CacheSource, content: Content, cluster: number): number {
    if (source.readSync === undefined || content.loading.has(cluster) || this.#waitingForSlot.length > 0) return -1
    const slot = this.#takeSlot()
    if (slot === undefined) return -1
    if (!this.#fillNow(source, content, cluster, slot)) {
      this.#slots.release(slot)
      return -1
    }
    this.stats.misses++
    this.stats.loads++
    this.#hold(slot, content, cluster)
    return slot
  }

  #fillNow(source: CacheSource, content: Content, cluster: number, slot: number): boolean {
    const offset = cluster * CLUSTER
    const length = Math.min(CLUSTER, content.sizeBytes - offset)
    const bytes = this.#slots.bytesOf(slot)
    try {
      if (!source.readSync!(bytes, 0, offset, length)) return false
    } catch {
      return false
    }
    return isRight(source, cluster, bytes, length)
  }

  /** Into the RAM tier: moved there if it is cached, or loaded. False when there is no room. */
  async #keep(source: CacheSource, inFlight: InFlight, content: Content, cluster: number): Promise<boolean> {
    inFlight.enter()
    content.keeping++
    try {
      while (content.loading.has(cluster)) await loaded(content.loading.get(cluster)!)
      const cached = content.index.slotOf(cluster)
      if (cached >= 0 && this.#slots.isKept(cached)) return true
      const slot = this.ram.take(content.id)
      if (slot < 0) return false
      if (cached < 0) {
        const waiters: Array<Waiter> = []
        content.loading.set(cluster, waiters)
        const ended = loaded(waiters)
        void this.#fill(source, content, cluster, slot)
        await ended
      } else {
        this.#slots.bytesOf(cached).copy(this.#slots.bytesOf(slot))
        this.#drop(cached)
        this.#slots.release(cached)
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
        content?.index.removeFrom(this.#slots.own)
        if (content !== undefined) this.#forgetIfUnused(content)
        return true
      }
      for (let slot = first; slot < first + CHUNK_SLOTS; slot++) {
        if (this.#slots.ownerOf(slot) < 0) continue
        content!.index.remove(this.#slots.clusterOf(slot))
        this.#slots.lost(slot)
        this.stats.ramBytes -= CLUSTER
      }
    }
    return false
  }

  async #fill(source: CacheSource, content: Content, cluster: number, kept = -1): Promise<void> {
    let slot = kept < 0 ? this.#takeSlot() : kept
    while (slot === undefined) {
      await new Promise<void>((resolve) => this.#waitingForSlot.push(resolve))
      slot = this.#takeSlot()
    }
    this.stats.loads++
    const offset = cluster * CLUSTER
    const length = Math.min(CLUSTER, content.sizeBytes - offset)
    const bytes = this.#slots.bytesOf(slot)
    let failure: unknown
    let mismatch = false
    try {
      await source.read(bytes, 0, offset, length)
      mismatch = !isRight(source, cluster, bytes, length)
    } catch (e) {
      failure = e
    }
    const waiters = content.loading.get(cluster)!
    content.loading.delete(cluster)
    if (failure !== undefined || mismatch) {
      if (mismatch) this.stats.mismatches++
      this.#slots.release(slot)
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
    const isKept = this.#slots.isKept(slot)
    if (isKept && this.#slots.isZeros(slot)) {
      this.ram.give(slot)
      content.index.put(cluster, this.#slots.zeros)
      return
    }
    this.#slots.hold(slot, content.number, cluster)
    content.index.put(cluster, slot)
    this.stats[isKept ? "ramBytes" : "bytes"] += CLUSTER
  }

  /** A slot to load into; undefined when every slot is being loaded. */
  #takeSlot(): number | undefined {
    const free = this.#slots.takeFree()
    if (free !== undefined) return free
    return this.#slots.takeHeld((slot) => {
      this.#drop(slot)
      this.stats.evictions++
    })
  }

  #drop(slot: number): void {
    const content = this.#contentByNumber.get(this.#slots.ownerOf(slot))!
    content.index.remove(this.#slots.clusterOf(slot))
    this.stats.bytes -= CLUSTER
    this.#forgetIfUnused(content)
  }

  /** Gives back at once what a closed content still holds, because it will not be opened again. Nobody waits for a slot while any is held. */
  forget(contentId: string): void {
    const content = this.#contents.get(contentId)
    if (content === undefined || content.openings > 0) return
    for (let slot = 0; slot < this.#slots.own; slot++) {
      if (this.#slots.ownerOf(slot) !== content.number) continue
      this.#drop(slot)
      this.#slots.release(slot)
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

/** Whether a loaded cluster, filled up with zeros, is what the source's checksums say. */
const isRight = (source: CacheSource, cluster: number, bytes: Buffer, length: number): boolean => {
  if (length < CLUSTER) bytes.fill(0, length)
  return source.verify === undefined || source.verify(cluster, bytes)
}

const mismatchAt = (offset: number, length: number) =>
  fail("MEDIUM_ERROR", { offset, length, what: "checksum does not match" })

/** Waits for the load of a cluster, and wants none of its bytes. */
const loaded = (waiters: Array<Waiter>): Promise<void> =>
  new Promise((resolve, reject) => waiters.push({ into: NOWHERE, at: 0, from: 0, length: 0, resolve, reject }))

const removeFrom = <A>(list: Array<A> | undefined, item: A): void => {
  const i = list?.indexOf(item) ?? -1
  if (i >= 0) list!.splice(i, 1)
}
