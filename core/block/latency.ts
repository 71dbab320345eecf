/** How often something took at most so long, for a few bounds: an array of numbers, so that counting one allocates nothing. */

/** Milliseconds, inclusive and ascending: a copy from memory, a disk, a network, a server that does not answer. */
export const LATENCY_BOUNDS: ReadonlyArray<number> = [
  ...[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000, 5000],
]

export class Latency {
  /** One for each bound; the last is of what is above them all. */
  readonly counts = new Float64Array(LATENCY_BOUNDS.length + 1)
  sumMillis = 0

  /** `weight`: how many this one stands for. */
  observe(millis: number, weight: number): void {
    let bucket = 0
    while (bucket < LATENCY_BOUNDS.length && millis > LATENCY_BOUNDS[bucket]!) bucket++
    this.counts[bucket]! += weight
    this.sumMillis += millis * weight
  }
}

/** What was read from one storage tier: bytes, and how long reads took. */
export class TierReads {
  readonly latency = new Latency()
  readonly #bytes = new Float64Array(1)

  get bytes(): number {
    return this.#bytes[0]!
  }

  add(bytes: number): void {
    this.#bytes[0]! += bytes
  }
}

/** A clock is read for one in so many of what is answered at once, which stands for as many; a power of two. */
export const LATENCY_SAMPLE = 64
