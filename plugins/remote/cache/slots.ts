/**
 * Which block is in which slot of the cache on disk, and which slot to give up next.
 *
 *     object      blocks 0 … 15 │ 16 … 31 │ 32 … 47           each MiB of an object that is read has a home of sixteen slots,
 *     slots       32 … 47 │ 0 … 15 │ 16 … 31                  and a block its own place in it, while the budget has room for homes
 *
 * **Details** So what adjoins in the object adjoins in the file, and is read with one system call, as it is from an image on a local disk. Places that nobody came to are holes.
 * When there is no room for another home, a block takes a free place in any; and when there is none, that of another block.
 *
 * The clock of Corbató says whose: a hand goes round the slots, and takes the first that was not used since it last came by. A block is not yet "used" by being
 * put, so that one long scan gives up its own blocks before those that are read again and again. A slot that is being written is never taken.
 */
import { limits } from "imagelink/plugin"
import type { SlotRecord } from "./record.ts"
import { SlotSet } from "./slot-set.ts"

const HOME = limits.remoteRangeBytesMax / limits.remoteBlockBytes

/** Where the blocks of an object are. */
interface Places {
  readonly name: string
  readonly slots: Map<number, number>
  /** First slot of a home, by the MiB of the object. */
  readonly homes: Map<number, number>
}

export class Slots {
  readonly #records: Array<SlotRecord | undefined> = []
  readonly #objects = new Map<string, Places>()
  /** Written, and worth nothing now. */
  readonly #free = new SlotSet()
  /** In a home, and never written: they take room on the disk when they are. */
  readonly #unwritten = new SlotSet()
  /** First slots of homes that nothing is in: what an object had that was forgotten. */
  readonly #emptyHomes = new SlotSet()
  /** By home: slots of it that have a block, or are being written. */
  #heldIn: Uint8Array
  #isFull = false
  #takings = 0
  /** By slot: which of the takings was its last. */
  #taken: Float64Array
  #used: Uint8Array
  #judged: Uint8Array
  #max: number
  #hand = 0

  constructor(max: number) {
    this.#max = max
    this.#used = new Uint8Array(max)
    this.#judged = new Uint8Array(max)
    this.#taken = new Float64Array(max)
    this.#heldIn = new Uint8Array(Math.ceil(max / HOME))
  }

  /** Takes in what the index has, slot after slot. A block that two slots claim is the later one's. */
  load(slot: number, record: SlotRecord | undefined): void {
    if (slot >= this.#max) return
    this.#records[slot] = undefined
    if (record === undefined) {
      this.#unwritten.add(slot)
      if (this.#heldIn[Math.floor(slot / HOME)] === 0) this.#emptyHomes.add(homeOf(slot))
      return
    }
    this.#hold(slot)
    const { name, homes } = this.#placesOf(record.object)
    this.settle(slot, { ...record, object: name })
    const part = Math.floor(record.block / HOME)
    if (slot % HOME === record.block % HOME && !homes.has(part)) homes.set(part, homeOf(slot))
  }

  slotOf(object: string, block: number): number | undefined {
    return this.#objects.get(object)?.slots.get(block)
  }

  recordIn(slot: number): SlotRecord | undefined {
    return this.#records[slot]
  }

  touch(slot: number): void {
    this.#used[slot] = 1
  }

  /** Its bytes were compared with its record by this process, or written by it. */
  isJudged(slot: number): boolean {
    return this.#judged[slot] === 1
  }

  judged(slot: number): void {
    this.#judged[slot] = 1
  }

  /** Slots that were taken until now; what `isTakenSince` compares with. */
  get takings(): number {
    return this.#takings
  }

  /** Whether other bytes may have come into the slot since there were so many takings. */
  isTakenSince(slot: number, takings: number): boolean {
    return this.#taken[slot]! > takings
  }

  /** A slot to write a block to; it is nobody's until `settle`. Undefined when all are being written. */
  take(object: string, block: number): number | undefined {
    const slot = this.#atHome(object, block) ?? this.#free.take() ?? this.#neverWritten() ?? this.#givenUp()
    if (slot === undefined) return undefined
    this.#used[slot] = 0
    this.#judged[slot] = 0
    this.#taken[slot] = ++this.#takings
    this.#hold(slot)
    return slot
  }

  /** The block is in the slot from now on. */
  settle(slot: number, record: SlotRecord): void {
    const { slots } = this.#placesOf(record.object)
    const other = slots.get(record.block)
    this.#records[slot] = record
    slots.set(record.block, slot)
    if (other === undefined || other === slot) return
    this.#records[other] = undefined
    this.#letGo(other)
    this.#free.add(other)
  }

  /** What is in the slot is worth nothing. */
  drop(slot: number): void {
    if (this.#records[slot] === undefined) return
    this.#unlist(slot)
    this.#free.add(slot)
  }

  forget(object: string): void {
    for (const slot of [...(this.#objects.get(object)?.slots.values() ?? [])]) this.drop(slot)
    this.#objects.delete(object)
  }

  /** More slots; there are never fewer while the cache is open. What did not fit on the disk is tried again. */
  grow(max: number): void {
    this.#isFull = false
    if (max <= this.#max) return
    this.#max = max
    this.#used = longer(this.#used, new Uint8Array(max))
    this.#judged = longer(this.#judged, new Uint8Array(max))
    this.#taken = longer(this.#taken, new Float64Array(max))
    this.#heldIn = longer(this.#heldIn, new Uint8Array(Math.ceil(max / HOME)))
  }

  /** The disk is full: from now on a block takes the place of another. The slot could not be written. */
  stopGrowing(slot: number): void {
    this.#letGo(slot)
    this.#unwritten.add(slot)
    this.#isFull = true
  }

  #placesOf(name: string): Places {
    const known = this.#objects.get(name)
    if (known !== undefined) return known
    const places = { name, slots: new Map<number, number>(), homes: new Map<number, number>() }
    this.#objects.set(name, places)
    return places
  }

  #atHome(object: string, block: number): number | undefined {
    const { homes } = this.#placesOf(object)
    const part = Math.floor(block / HOME)
    const home = homes.get(part) ?? this.#newHome()
    if (home === undefined) return undefined
    homes.set(part, home)
    const slot = home + (block % HOME)
    return this.#free.takeOut(slot) || (!this.#isFull && this.#unwritten.takeOut(slot)) ? slot : undefined
  }

  #newHome(): number | undefined {
    const empty = this.#emptyHomes.take()
    if (empty !== undefined || this.#isFull) return empty
    const first = Math.ceil(this.#records.length / HOME) * HOME
    const end = Math.min(first + HOME, this.#max)
    for (let slot = this.#records.length; slot < end; slot++) {
      this.#records.push(undefined)
      this.#unwritten.add(slot)
    }
    return first < end ? first : undefined
  }

  #neverWritten(): number | undefined {
    return this.#isFull ? undefined : this.#unwritten.take()
  }

  #givenUp(): number | undefined {
    const count = this.#records.length
    for (let steps = 0; steps < 2 * count; steps++) {
      const slot = this.#hand
      this.#hand = (this.#hand + 1) % count
      if (this.#records[slot] === undefined) continue
      if (this.#used[slot] === 0) {
        this.#unlist(slot)
        return slot
      }
      this.#used[slot] = 0
    }
    return undefined
  }

  #hold(slot: number): void {
    this.#heldIn[Math.floor(slot / HOME)]!++
    this.#emptyHomes.takeOut(homeOf(slot))
  }

  #letGo(slot: number): void {
    if (--this.#heldIn[Math.floor(slot / HOME)]! === 0) this.#emptyHomes.add(homeOf(slot))
  }

  /** An object of which nothing is left keeps no homes either. */
  #unlist(slot: number): void {
    const { object, block } = this.#records[slot]!
    this.#records[slot] = undefined
    this.#letGo(slot)
    const places = this.#objects.get(object)
    places?.slots.delete(block)
    if (places?.slots.size === 0) this.#objects.delete(object)
  }
}

const homeOf = (slot: number): number => slot - (slot % HOME)

const longer = <A extends Uint8Array | Float64Array>(before: A, after: A): A => {
  after.set(before)
  return after
}
