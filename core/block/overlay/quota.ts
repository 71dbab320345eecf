/**
 * The quota of one overlay: how many data grains it may have, and a warning at 80 %.
 *
 * **Details** A change reserves what it may add before it writes, so that several at once cannot pass the limit together. The warning
 * is given once, and again only after the overlay has fallen below 80 % in between.
 */
import { fail } from "../../errors.ts"
import { GRAIN } from "./geometry.ts"

const WARN_AT = 0.8

export interface QuotaUse {
  readonly usedBytes: number
  readonly quotaBytes: number
}

export class Quota {
  readonly #grainsMax: number
  readonly #warn: ((use: QuotaUse) => void) | undefined
  #reserved = 0
  #warned = false

  constructor(quotaBytes: number | undefined, warn: ((use: QuotaUse) => void) | undefined) {
    this.#grainsMax = quotaBytes === undefined ? Number.POSITIVE_INFINITY : Math.floor(quotaBytes / GRAIN)
    this.#warn = warn
  }

  /** Sets aside `grains` more than the overlay has. @throws NO_SPACE */
  reserve(grains: number, dataGrains: number, offset: number, length: number): void {
    if (dataGrains + this.#reserved + grains > this.#grainsMax) {
      throw fail("NO_SPACE", { offset, length, what: "the overlay's quota" })
    }
    this.#reserved += grains
  }

  /** Ends a reservation; `dataGrains` is what the overlay has now. */
  settle(grains: number, dataGrains: number): void {
    this.#reserved -= grains
    const above = dataGrains >= this.#grainsMax * WARN_AT
    if (above && !this.#warned) this.#warn?.({ usedBytes: dataGrains * GRAIN, quotaBytes: this.#grainsMax * GRAIN })
    this.#warned = above
  }
}
