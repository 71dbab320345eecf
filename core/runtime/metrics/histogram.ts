/** How often a value was at most so much, for a few bounds: plain counters that a scrape reads. */
import { type Labels, numberText, type Sample } from "./text.ts"

/** Buckets are cumulative, and the last one is of everything; `counts` has one more than there are bounds. */
export const histogramSamples = (
  bounds: ReadonlyArray<number>,
  counts: Iterable<number>,
  sum: number,
  labels: Labels = {},
): ReadonlyArray<Sample> => {
  let count = 0
  const buckets = Array.from(counts, (n, i) => {
    count += n
    const le = numberText(bounds[i] ?? Number.POSITIVE_INFINITY)
    return { suffix: "_bucket", labels: { ...labels, le }, value: count }
  })
  return [...buckets, { suffix: "_sum", labels, value: sum }, { suffix: "_count", labels, value: count }]
}

export class Histogram {
  readonly #bounds: ReadonlyArray<number>
  /** The last is of what is above every bound. */
  readonly #counts: Array<number>
  #sum = 0

  /** Upper bounds, inclusive and ascending. */
  constructor(bounds: ReadonlyArray<number>) {
    this.#bounds = bounds
    this.#counts = Array.from({ length: bounds.length + 1 }, () => 0)
  }

  observe(value: number): void {
    const at = this.#bounds.findIndex((bound) => value <= bound)
    const bucket = at < 0 ? this.#bounds.length : at
    this.#counts[bucket] = this.#counts[bucket]! + 1
    this.#sum += value
  }

  samples(labels: Labels = {}): ReadonlyArray<Sample> {
    return histogramSamples(this.#bounds, this.#counts, this.#sum, labels)
  }
}
