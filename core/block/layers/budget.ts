/**
 * The memory of all layer maps of a server: what must stay, and pages that can be derived again.
 *
 * | memory        | is               | when there is no room                                     |
 * | ------------- | ---------------- | --------------------------------------------------------- |
 * | runs, tables  | held by somebody | pages leave; when none is left to leave, LAYER_MAPS_FULL  |
 * | pages         | kept             | those not looked at since the hand last passed leave      |
 *
 * **Details** A page that leaves is no error for anybody: whoever looks it up next derives it again from runs, in memory. The hand of a clock goes over
 * the pages, takes their mark away and those that have none; a look-up sets the mark (as in the read cache). What must stay leaves some room
 * for pages, so that reading goes on with a few of them however full it is.
 */
import assert from "node:assert"
import { fail } from "../../errors.ts"
import { limits } from "../../limits.ts"
import type { LayerPage } from "./page.ts"

/** One for a server. */
export class LayerMapBudget {
  readonly bytesMax: number
  /** Bytes of all maps now. */
  bytes = 0
  /** Pages that left and those that were derived, since the start. */
  readonly stats = { derived: 0, evicted: 0 }
  readonly #heldMax: number
  #held = 0
  readonly #pages: Array<LayerPage> = []
  #hand = 0

  constructor(bytesMax: number = limits.layerMapBytesMax) {
    this.bytesMax = bytesMax
    this.#heldMax = bytesMax - Math.min(limits.layerPagesBytesMin, Math.floor(bytesMax / 4))
  }

  /** Takes what must stay. @throws LAYER_MAPS_FULL, and then nothing was taken */
  take(bytes: number): void {
    if (this.#held + bytes > this.#heldMax) throw fail("LAYER_MAPS_FULL", { bytesMax: this.bytesMax })
    this.#held += bytes
    this.bytes += bytes
    this.#makeRoom()
  }

  giveBack(bytes: number): void {
    this.#held -= bytes
    this.bytes -= bytes
    assert(this.#held >= 0, "what is given back was taken")
  }

  /** Counts a page that was derived. It may leave from the next call on. */
  keep(page: LayerPage): void {
    this.stats.derived++
    this.bytes += page.bytes
    this.#makeRoom()
    page.place = this.#pages.push(page) - 1
  }

  /** Takes a page out, which its owner forgets or has forgotten. */
  drop(page: LayerPage): void {
    const last = this.#pages.pop()!
    if (last !== page) {
      this.#pages[page.place] = last
      last.place = page.place
    }
    this.bytes -= page.bytes
  }

  #makeRoom(): void {
    while (this.bytes > this.bytesMax && this.#pages.length > 0) {
      if (this.#hand >= this.#pages.length) this.#hand = 0
      const page = this.#pages[this.#hand]!
      if (page.used) {
        page.used = false
        this.#hand++
        continue
      }
      this.stats.evicted++
      // The one that takes its place came last: the hand passes it.
      this.drop(page)
      this.#hand++
      page.owner!.forget(page)
    }
  }
}
