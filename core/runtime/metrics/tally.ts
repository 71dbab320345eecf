/** A counter for each of a few words: events by their type, sessions by their protocol. */
import type { Labels, Sample } from "./text.ts"

export class Tally {
  readonly #counts = new Map<string, { readonly labels: Labels; value: number }>()

  add(labels: Labels, by = 1): void {
    const key = Object.values(labels).join("\0")
    const known = this.#counts.get(key)
    if (known === undefined) this.#counts.set(key, { labels, value: by })
    else known.value += by
  }

  samples(): ReadonlyArray<Sample> {
    return Array.from(this.#counts.values(), ({ labels, value }) => ({ labels, value }))
  }
}
