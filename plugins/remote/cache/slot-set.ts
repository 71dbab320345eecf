/** Numbers of slots: any of them can be taken, or a certain one, in a few steps. */
export class SlotSet {
  readonly #slots: Array<number> = []
  /** Place in `#slots`, by slot. */
  readonly #places = new Map<number, number>()

  add(slot: number): void {
    if (this.#places.has(slot)) return
    this.#places.set(slot, this.#slots.push(slot) - 1)
  }

  /** Whether it was there to be taken. */
  takeOut(slot: number): boolean {
    const place = this.#places.get(slot)
    if (place === undefined) return false
    const last = this.#slots.pop()!
    if (last !== slot) {
      this.#slots[place] = last
      this.#places.set(last, place)
    }
    return this.#places.delete(slot)
  }

  take(): number | undefined {
    const slot = this.#slots.at(-1)
    if (slot !== undefined) this.takeOut(slot)
    return slot
  }
}
