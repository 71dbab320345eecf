/**
 * Which block is in which slot of the cache on disk, and which slot to give up next.
 *
 * **Details** The clock of Corbató: a hand goes round the slots, and takes the first that was not used since it last came by. A block is not yet "used" by being
 * put, so that one long scan gives up its own blocks before those that are read again and again. A slot that is being written is never taken.
 */
import type { SlotRecord } from "./record.ts"

export class Slots {
  readonly #records: Array<SlotRecord | undefined> = []
  readonly #places = new Map<string, Map<number, number>>()
  readonly #names = new Map<string, string>()
  readonly #free: Array<number> = []
  readonly #writing = new Set<number>()
  #used: Uint8Array
  #max: number
  #hand = 0

  constructor(max: number) {
    this.#max = max
    this.#used = new Uint8Array(max)
  }

  get max(): number {
    return this.#max
  }

  /** Takes in what the index has. A block that two slots claim is the later one's. */
  load(slot: number, record: SlotRecord | undefined): void {
    if (slot >= this.#max) return
    this.#records[slot] = undefined
    if (record === undefined) this.#free.push(slot)
    else this.settle(slot, { ...record, object: this.#named(record.object) })
  }

  /** One text for all records of an object. */
  #named(object: string): string {
    const known = this.#names.get(object) ?? object
    this.#names.set(object, known)
    return known
  }

  slotOf(object: string, block: number): number | undefined {
    return this.#places.get(object)?.get(block)
  }

  /** What a slot has now: the same record for as long as nobody took it. */
  recordIn(slot: number): SlotRecord | undefined {
    return this.#records[slot]
  }

  touch(slot: number): void {
    this.#used[slot] = 1
  }

  /** A slot to write to; it is nobody's until `settle`. Undefined when all are being written. */
  take(): number | undefined {
    const slot = this.#free.pop() ?? this.#next()
    if (slot === undefined) return undefined
    this.#writing.add(slot)
    this.#used[slot] = 0
    return slot
  }

  /** The block is in the slot from now on. */
  settle(slot: number, record: SlotRecord): void {
    this.#writing.delete(slot)
    const other = this.slotOf(record.object, record.block)
    if (other !== undefined && other !== slot) this.drop(other)
    this.#records[slot] = record
    const places = this.#places.get(record.object) ?? new Map<number, number>()
    this.#places.set(record.object, places.set(record.block, slot))
  }

  /** What is in the slot is worth nothing. */
  drop(slot: number): void {
    this.#unlist(slot)
    this.#writing.delete(slot)
    this.#free.push(slot)
  }

  forget(object: string): void {
    for (const slot of [...(this.#places.get(object)?.values() ?? [])]) this.drop(slot)
  }

  /** More slots; there are never fewer while the cache is open, but by `stopGrowing`. */
  grow(max: number): void {
    if (max <= this.#max) return
    this.#max = max
    const used = new Uint8Array(max)
    used.set(this.#used)
    this.#used = used
  }

  /** The disk is full: from now on a block takes the place of another. The slot that could not be written is gone. */
  stopGrowing(slot: number): void {
    this.#writing.delete(slot)
    if (slot === this.#records.length - 1) this.#records.pop()
    this.#max = this.#records.length
  }

  #next(): number | undefined {
    if (this.#records.length < this.#max) {
      this.#records.push(undefined)
      return this.#records.length - 1
    }
    for (let steps = 0; steps < 2 * this.#max; steps++) {
      const slot = this.#hand
      this.#hand = (this.#hand + 1) % this.#max
      if (this.#writing.has(slot) || this.#records[slot] === undefined) continue
      if (this.#used[slot] === 0) {
        this.#unlist(slot)
        return slot
      }
      this.#used[slot] = 0
    }
    return undefined
  }

  #unlist(slot: number): void {
    const record = this.#records[slot]
    if (record === undefined) return
    this.#records[slot] = undefined
    const places = this.#places.get(record.object)
    places?.delete(record.block)
    if (places?.size === 0) this.#places.delete(record.object)
  }
}
