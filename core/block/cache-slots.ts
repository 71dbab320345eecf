/**
 * The slots of the read cache: whose each is, what was used lately, and which to give up.
 *
 *     0 … own - 1        the cache's own, given up in the order of CLOCK
 *     own … zeros - 1    the RAM tier's (ram-slots.ts): used or not, they stay
 *     zeros              the one that every kept cluster of zeros is in
 *
 * **Details** CLOCK: a hand passes slots used since it last came by, clearing their mark, and takes the first that was not. A kept slot has no mark, because a byte
 * written for each hit is one more line of the processor's cache.
 */
import assert from "node:assert"
import { limits } from "../limits.ts"
import { LATENCY_SAMPLE, TierReads } from "./latency.ts"
import { RamSlots } from "./ram-slots.ts"
import { SlotMemory } from "./slot-memory.ts"

const CLUSTER = limits.clusterBytes
const FREE = -1
const LOADING = -2
const SAMPLE_MASK = LATENCY_SAMPLE - 1

export class CacheSlots {
  /** How many are the cache's own. */
  readonly own: number
  readonly zeros: number
  /** Memory for contents that are kept. */
  readonly ram: RamSlots
  /** What readers were given from the cache's own, and from the RAM tier's. */
  readonly cached = new TierReads()
  readonly kept = new TierReads()
  readonly #memory = new SlotMemory()
  readonly #ownerOf: Int32Array
  readonly #clusterOf: Int32Array
  readonly #used: Uint8Array
  readonly #free: Array<number> = []
  #hand = 0
  readonly #now: () => number
  #copies = 0

  /** `now`: milliseconds, from any origin, with fractions. */
  constructor(bytes: number, ramBytes: number, now: () => number = () => 0) {
    this.#now = now
    this.own = Math.floor(bytes / CLUSTER)
    assert(this.own >= 1, "a cache holds at least one cluster")
    this.#memory.add(this.own * CLUSTER)
    this.ram = new RamSlots(ramBytes, this.#memory)
    this.zeros = this.#memory.add(CLUSTER)
    this.#ownerOf = new Int32Array(this.zeros + 1).fill(FREE)
    this.#clusterOf = new Int32Array(this.zeros + 1)
    this.#used = new Uint8Array(this.own)
    for (let slot = this.own - 1; slot >= 0; slot--) this.#free.push(slot)
  }

  /** A slot that held this cluster of this content once: does it still? */
  holds(slot: number, content: number, cluster: number): boolean {
    return this.#ownerOf[slot] === content && this.#clusterOf[slot] === cluster
  }

  /** Copies part of a slot for a reader; makes nothing. */
  copy(slot: number, into: Uint8Array, at: number, from: number, length: number): void {
    const isOwn = slot < this.own
    if (isOwn) this.#used[slot] = 1
    const reads = isOwn ? this.cached : this.kept
    reads.add(length)
    if ((++this.#copies & SAMPLE_MASK) === 0) this.#copyTimed(reads, slot, into, at, from, length)
    else this.#memory.copy(slot, into, at, from, length)
  }

  #copyTimed(reads: TierReads, slot: number, into: Uint8Array, at: number, from: number, length: number): void {
    const start = this.#now()
    this.#memory.copy(slot, into, at, from, length)
    reads.latency.observe(this.#now() - start, LATENCY_SAMPLE)
  }

  /** The whole of a slot, as it will be until it is given back. */
  bytesOf(slot: number): Buffer {
    return this.#memory.of(slot)
  }

  isZeros(slot: number): boolean {
    return this.bytesOf(slot).equals(this.bytesOf(this.zeros))
  }

  isKept(slot: number): boolean {
    return slot >= this.own
  }

  /** Number of the content that holds a slot; less than 0 when none does. */
  ownerOf(slot: number): number {
    return this.#ownerOf[slot]!
  }

  clusterOf(slot: number): number {
    return this.#clusterOf[slot]!
  }

  hold(slot: number, content: number, cluster: number): void {
    this.#ownerOf[slot] = content
    this.#clusterOf[slot] = cluster
    if (slot < this.own) this.#used[slot] = 1
  }

  /** One that nobody has, marked as loading; undefined when there is none. */
  takeFree(): number | undefined {
    const slot = this.#free.pop()
    if (slot !== undefined) this.#ownerOf[slot] = LOADING
    return slot
  }

  /** One that is held and to be given up, marked as loading; undefined when all are being loaded. `leave` is told before. */
  takeHeld(leave: (slot: number) => void): number | undefined {
    for (let passed = 0; passed < 2 * this.own; passed++) {
      const slot = this.#hand
      this.#hand = slot + 1 === this.own ? 0 : slot + 1
      if (this.#ownerOf[slot]! < 0) continue
      if (this.#used[slot] === 1) {
        this.#used[slot] = 0
        continue
      }
      leave(slot)
      this.#ownerOf[slot] = LOADING
      return slot
    }
    return undefined
  }

  release(slot: number): void {
    this.#ownerOf[slot] = FREE
    if (slot < this.own) this.#free.push(slot)
    else this.ram.give(slot)
  }

  /** The memory of a kept slot went with its chunk. */
  lost(slot: number): void {
    this.#ownerOf[slot] = FREE
  }
}
