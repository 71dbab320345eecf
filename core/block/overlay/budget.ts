/**
 * The memory of all overlay maps together: one budget, and a clock that says which page leaves.
 *
 * **Details** Pages in memory are never ahead of their map file, so leaving costs nothing but a later load. A page that somebody
 * waits with is pinned and stays; when all are pinned the budget is exceeded for that moment rather than a request failed.
 */
import { limits } from "../../limits.ts"
import { PAGE_STATE_BYTES } from "./geometry.ts"
import type { MapPage } from "./page.ts"

interface Owner {
  /** The page leaves memory. */
  drop(page: MapPage): void
}

export class MapBudget {
  readonly #pagesMax: number
  readonly #pages: Array<MapPage> = []
  readonly #owners: Array<Owner> = []
  #hand = 0

  constructor(bytes: number = limits.overlayMapBytesMax) {
    this.#pagesMax = Math.max(1, Math.floor(bytes / PAGE_STATE_BYTES))
  }

  /** Bytes of pages in memory now. */
  get bytes(): number {
    return this.#pages.length * PAGE_STATE_BYTES
  }

  /** Counts a page, after making room for it. */
  add(page: MapPage, owner: Owner): void {
    while (this.#pages.length >= this.#pagesMax && this.#evictOne()) {}
    this.#pages.push(page)
    this.#owners.push(owner)
  }

  /** Stops counting all pages of an owner that closes. */
  removeAll(owner: Owner): void {
    for (let i = this.#pages.length - 1; i >= 0; i--) if (this.#owners[i] === owner) this.#removeAt(i)
  }

  #evictOne(): boolean {
    for (let passed = 0; passed < 2 * this.#pages.length; passed++) {
      if (this.#hand >= this.#pages.length) this.#hand = 0
      const page = this.#pages[this.#hand]!
      if (page.pins > 0 || page.used === 1) {
        page.used = 0
        this.#hand++
        continue
      }
      const owner = this.#owners[this.#hand]!
      this.#removeAt(this.#hand)
      owner.drop(page)
      return true
    }
    return false
  }

  #removeAt(i: number): void {
    const page = this.#pages.pop()!
    const owner = this.#owners.pop()!
    if (i === this.#pages.length) return
    this.#pages[i] = page
    this.#owners[i] = owner
  }
}
