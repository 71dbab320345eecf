/**
 * Counts requests in flight, so that a close or a swap can wait for them.
 *
 * **Details** `enter` and `leave` are two additions; nothing is allocated unless somebody waits.
 */
export class InFlight {
  count = 0
  #waiting: Array<() => void> = []

  enter(): void {
    this.count++
  }

  leave(): void {
    if (--this.count > 0 || this.#waiting.length === 0) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }

  /** Settles when nothing is in flight; at once when nothing is. */
  idle(): Promise<void> {
    if (this.count === 0) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }
}
