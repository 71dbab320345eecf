/**
 * The quota of one overlay: how many data grains it may have, and a warning at 80 %.
 *
 * **Details** A change reserves what it may add before it writes, so that several at once cannot pass the limit together. The warning
 * is given once, and again only after the overlay has fallen below 80 % in between.
 *
 * Besides, all overlays of a server share the space of one disk, and some of it is reserved for super clients. What an overlay has it may
 * always write over; only new grains are counted and refused.
 */
import { fail } from "../../errors.ts"
import { GRAIN } from "./geometry.ts"

const WARN_AT = 0.8

export interface QuotaUse {
  readonly usedBytes: number
  readonly quotaBytes: number
}

/** The disk that all overlays lie on. Both parts are cheap: a field, and a sum. */
export interface SharedSpace {
  /** What is left is reserved for super clients. */
  readonly reserved: boolean
  /** So many bytes more are about to be taken. */
  count(bytes: number): void
}

export class Quota {
  readonly #shared: SharedSpace | undefined
  readonly #mayUseReserve: boolean
  readonly #grainsMax: number
  readonly #warn: ((use: QuotaUse) => void) | undefined
  #reserved = 0
  #warned = false

  constructor(
    quotaBytes: number | undefined,
    warn: ((use: QuotaUse) => void) | undefined,
    shared?: SharedSpace,
    mayUseReserve = false,
  ) {
    this.#shared = shared
    this.#mayUseReserve = mayUseReserve
    this.#grainsMax = quotaBytes === undefined ? Number.POSITIVE_INFINITY : Math.floor(quotaBytes / GRAIN)
    this.#warn = warn
  }

  /** Sets aside `grains` more than the overlay has. @throws NO_SPACE */
  reserve(grains: number, dataGrains: number, offset: number, length: number): void {
    if (dataGrains + this.#reserved + grains > this.#grainsMax) {
      throw fail("NO_SPACE", { offset, length, what: "the overlay's quota" })
    }
    if (grains > 0 && this.#shared !== undefined) this.#share(this.#shared, grains, offset, length)
    this.#reserved += grains
  }

  #share(shared: SharedSpace, grains: number, offset: number, length: number): void {
    shared.count(grains * GRAIN)
    if (shared.reserved && !this.#mayUseReserve)
      throw fail("NO_SPACE", { offset, length, what: "the server's disk, less what is reserved for super clients" })
  }

  /** Ends a reservation; `dataGrains` is what the overlay has now. */
  settle(grains: number, dataGrains: number): void {
    this.#reserved -= grains
    const above = dataGrains >= this.#grainsMax * WARN_AT
    if (above && !this.#warned) this.#warn?.({ usedBytes: dataGrains * GRAIN, quotaBytes: this.#grainsMax * GRAIN })
    this.#warned = above
  }
}
