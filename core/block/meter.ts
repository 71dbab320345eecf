/**
 * A disk as one session sees it, with everything that the session asks for counted: bytes, requests, and how long they took.
 *
 *     protocol ─► meter ─► guard ─► overlay ─► …
 *
 * **Details** A count is a number in a typed array. A clock is read twice for a request that has to wait, and for one in `LATENCY_SAMPLE` of those that are
 * answered at once, which stands for as many: reading it for each was seen to cost a hundredth of a hot 4 KiB read, and counting costs nothing that can be measured.
 *
 * **Gotchas** What is refused or fails is not counted, but told. A front end that tries a failed request again by the other door tells of it twice.
 */
import { isImagelinkError } from "../errors.ts"
import type { BlockDevice } from "./device.ts"
import { LATENCY_SAMPLE, Latency } from "./latency.ts"
import { Through } from "./through.ts"

/** Places in a session's counts. Zeroed is what was zeroed or trimmed. */
export const READ_BYTES = 0
export const READS = 1
export const WRITTEN_BYTES = 2
export const WRITES = 3
export const ZEROED_BYTES = 4
export const ZEROES = 5
export const FLUSHES = 6

/** What a session has moved since it began. */
export type Counts = Float64Array

export const newCounts = (): Counts => new Float64Array(FLUSHES + 1)

/** How long requests took, whoever's they were. */
export class Latencies {
  readonly read = new Latency()
  readonly write = new Latency()
  readonly zero = new Latency()
  readonly flush = new Latency()
}

const MASK = LATENCY_SAMPLE - 1

export interface MeterOptions {
  readonly counts: Counts
  readonly latencies: Latencies
  /** Milliseconds, from any origin, with fractions. */
  readonly now: () => number
  /** Told of what went wrong. */
  readonly onError: (error: unknown) => void
}

/** Counts what goes through. */
export const meterDevice = (device: BlockDevice, options: MeterOptions): BlockDevice => new Meter(device, options)

class Meter extends Through {
  readonly #counts: Counts
  readonly #latencies: Latencies
  readonly #now: () => number
  readonly #onError: (error: unknown) => void

  constructor(device: BlockDevice, { counts, latencies, now, onError }: MeterOptions) {
    super(device)
    this.#counts = counts
    this.#latencies = latencies
    this.#now = now
    this.#onError = onError
  }

  override readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    const counts = this.#counts
    const start = (counts[READS]! & MASK) === 0 ? this.#now() : -1
    try {
      if (!this.device.readSync(into, at, offset, length)) return false
    } catch (e) {
      throw this.#told(e)
    }
    counts[READ_BYTES]! += length
    counts[READS]! += 1
    if (start >= 0) this.#latencies.read.observe(this.#now() - start, LATENCY_SAMPLE)
    return true
  }

  override async read(
    into: Uint8Array,
    at: number,
    offset: number,
    length: number,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#timed(this.#latencies.read, () => this.device.read(into, at, offset, length, signal))
    this.#counts[READ_BYTES]! += length
    this.#counts[READS]! += 1
  }

  override writeSync(from: Uint8Array, at: number, offset: number, length: number, flags: number): boolean {
    const counts = this.#counts
    const start = (counts[WRITES]! & MASK) === 0 ? this.#now() : -1
    try {
      if (!this.device.writeSync(from, at, offset, length, flags)) return false
    } catch (e) {
      throw this.#told(e)
    }
    counts[WRITTEN_BYTES]! += length
    counts[WRITES]! += 1
    if (start >= 0) this.#latencies.write.observe(this.#now() - start, LATENCY_SAMPLE)
    return true
  }

  override async write(
    from: Uint8Array,
    at: number,
    offset: number,
    length: number,
    flags: number,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#timed(this.#latencies.write, () => this.device.write(from, at, offset, length, flags, signal))
    this.#counts[WRITTEN_BYTES]! += length
    this.#counts[WRITES]! += 1
  }

  override zeroSync(offset: number, length: number, flags: number): boolean {
    const start = this.#now()
    try {
      if (!this.device.zeroSync(offset, length, flags)) return false
    } catch (e) {
      throw this.#told(e)
    }
    this.#latencies.zero.observe(this.#now() - start, 1)
    this.#zeroed(length)
    return true
  }

  override async zero(offset: number, length: number, flags: number, signal?: AbortSignal): Promise<void> {
    await this.#timed(this.#latencies.zero, () => this.device.zero(offset, length, flags, signal))
    this.#zeroed(length)
  }

  override async trim(offset: number, length: number, flags: number, signal?: AbortSignal): Promise<void> {
    await this.#timed(this.#latencies.zero, () => this.device.trim(offset, length, flags, signal))
    this.#zeroed(length)
  }

  override async flush(signal?: AbortSignal): Promise<void> {
    await this.#timed(this.#latencies.flush, () => this.device.flush(signal))
    this.#counts[FLUSHES]! += 1
  }

  #zeroed(length: number): void {
    this.#counts[ZEROED_BYTES]! += length
    this.#counts[ZEROES]! += 1
  }

  async #timed(latency: Latency, work: () => Promise<void>): Promise<void> {
    const start = this.#now()
    try {
      await work()
    } catch (e) {
      throw this.#told(e)
    }
    latency.observe(this.#now() - start, 1)
  }

  /** What ends a request on purpose, or is asked for on trial, is nothing that went wrong. */
  #told(error: unknown): unknown {
    if (!isImagelinkError(error) || !EXPECTED.has(error.code)) this.#onError(error)
    return error
  }
}

const EXPECTED: ReadonlySet<string> = new Set(["CANCELLED", "CLOSED", "OVERLAY_RETIRED", "NOT_SUPPORTED"])
