/**
 * Blocks that are on their way: each is fetched once however many wait for it, together with its neighbours.
 *
 *     flight (one per block) ─► queue ─► run: adjacent blocks, up to remoteRangeBytesMax ─► source, remoteRangesMax at a time
 *                                            └─ each block as it arrives ─► whoever waits for it, then the cache
 *
 * **Details** A flight is queued in the turn in which it is missed and sent in the next, so that the misses of one turn become few long requests; while all requests
 * are under way the queue grows and is joined further. Blocks that a reader waits for go before those that are read ahead, and two requests are
 * kept for them. Each flight has the deadline of its first reader, also while it is only queued; a request ends with the first of its flights, and those with time left go
 * into the next. A block of a run is handed out when its last byte is there, not when the run ends.
 */
import { fail, isImagelinkError, limits } from "imagelink/plugin"
import type { BlockCache } from "./cache/block-cache.ts"
import type { Clock } from "./clock.ts"
import { readPatiently } from "./patience.ts"
import type { Described, Source } from "./source.ts"

const BLOCK = limits.remoteBlockBytes
const RUN_BLOCKS = limits.remoteRangeBytesMax / BLOCK
const KEPT_FOR_READERS = 2

interface Flight {
  readonly block: number
  /** A reader waits; else it is read ahead. */
  wanted: boolean
  /** By the clock; of its first reader. */
  deadline: number
  readonly bytes: Promise<Uint8Array>
  readonly arrive: (bytes: Uint8Array) => void
  readonly fail: (error: unknown) => void
}

export interface FlightsOptions {
  readonly source: Source
  readonly described: Described
  readonly cache: BlockCache
  /** What the cache calls this state of this object. */
  readonly object: string
  readonly clock: Clock
  readonly readMillis: number
}

export class Flights {
  readonly #options: FlightsOptions
  readonly #flights = new Map<number, Flight>()
  /** In order of asking. */
  readonly #wanted = new Map<number, Flight>()
  readonly #ahead = new Map<number, Flight>()
  readonly #running = new Set<Promise<void>>()
  readonly #closing = new AbortController()
  #sending = false
  #expiry: (() => void) | undefined

  constructor(options: FlightsOptions) {
    this.#options = options
  }

  has(block: number): boolean {
    return this.#flights.has(block)
  }

  /** A reader waits for the block. @throws REMOTE_UNREACHABLE REMOTE_CHANGED REMOTE_REFUSED IMAGE_FILE_NOT_FOUND CLOSED */
  join(block: number): Promise<Uint8Array> {
    const flight = this.#flights.get(block) ?? this.#start(block)
    if (!flight.wanted) {
      flight.wanted = true
      flight.deadline = this.#options.clock.now() + this.#options.readMillis
      if (this.#ahead.delete(flight.block)) this.#wanted.set(flight.block, flight)
      this.#sendSoon()
    }
    return flight.bytes
  }

  /** Nobody waits for the block yet. */
  readAhead(block: number): void {
    if (!this.#flights.has(block)) this.#start(block)
  }

  #start(block: number): Flight {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
    promise.catch(() => undefined)
    const flight = { block, wanted: false, deadline: 0, bytes: promise, arrive: resolve, fail: reject }
    this.#flights.set(block, flight)
    this.#ahead.set(block, flight)
    this.#sendSoon()
    return flight
  }

  #sendSoon(): void {
    if (this.#sending) return
    this.#sending = true
    queueMicrotask(() => {
      this.#sending = false
      this.#send()
    })
  }

  #send(): void {
    if (this.#closing.signal.aborted) return
    this.#dropExpired()
    while (this.#running.size < limits.remoteRangesMax && this.#wanted.size > 0)
      this.#launch(this.#runFrom(this.#wanted))
    const forAhead = limits.remoteRangesMax - KEPT_FOR_READERS
    while (this.#running.size < forAhead && this.#ahead.size > 0) this.#launch(this.#runFrom(this.#ahead))
    this.#watchExpiry()
  }

  /** The block that has waited longest, a few that are waited for before it, and the queued ones after it. */
  #runFrom(queue: Map<number, Flight>): ReadonlyArray<Flight> {
    const run: Array<Flight> = []
    const [oldest] = queue.keys()
    let first = oldest!
    while (oldest! - first < RUN_BLOCKS / 2 && this.#wanted.has(first - 1)) first--
    for (let block = first; run.length < RUN_BLOCKS; block++) {
      const flight = this.#wanted.get(block) ?? this.#ahead.get(block)
      if (flight === undefined) break
      this.#wanted.delete(block)
      this.#ahead.delete(block)
      run.push(flight)
    }
    return run
  }

  #launch(run: ReadonlyArray<Flight>): void {
    const work = this.#fetch(run).finally(() => {
      this.#running.delete(work)
      this.#sendSoon()
    })
    this.#running.add(work)
  }

  async #fetch(run: ReadonlyArray<Flight>): Promise<void> {
    const { source, described, cache, object, clock, readMillis } = this.#options
    const offset = run[0]!.block * BLOCK
    const last = run.at(-1)!.block
    const into = Buffer.allocUnsafeSlow(last * BLOCK + this.#lengthOf(last) - offset)
    const puts: Array<Promise<void>> = []
    let handed = 0
    const arrived = () => {
      while (handed < run.length) {
        const { block, arrive } = run[handed]!
        const end = handed * BLOCK + this.#lengthOf(block)
        if (want.done < end) return
        const bytes = into.subarray(handed++ * BLOCK, end)
        arrive(bytes)
        puts.push(cache.put(object, block, bytes).finally(() => this.#flights.delete(block)))
      }
    }
    const want = { offset, into, done: 0, arrived }
    const at = run.reduce(
      (at, flight) => (flight.wanted ? Math.min(at, flight.deadline) : at),
      clock.now() + readMillis,
    )
    try {
      await readPatiently(source, clock, { at, signal: this.#closing.signal }, want, described)
    } catch (error) {
      const isOver = !isImagelinkError(error) || error.code !== "REMOTE_UNREACHABLE"
      for (const flight of run.slice(handed))
        if (isOver || !flight.wanted || flight.deadline <= at) this.#lose(flight, error)
        else this.#wanted.set(flight.block, flight)
    }
    await Promise.all(puts)
  }

  #lose(flight: Flight, error: unknown): void {
    this.#flights.delete(flight.block)
    flight.fail(error)
  }

  /** What waited in the queue until its deadline. */
  #dropExpired(): void {
    const now = this.#options.clock.now()
    for (const flight of this.#wanted.values()) {
      if (flight.deadline > now) continue
      this.#wanted.delete(flight.block)
      const [offset, length] = [flight.block * BLOCK, this.#lengthOf(flight.block)]
      const { url } = this.#options.source
      this.#lose(
        flight,
        fail("REMOTE_UNREACHABLE", { url, why: "the reads before it still wait for its server", offset, length }),
      )
    }
  }

  #watchExpiry(): void {
    this.#expiry?.()
    this.#expiry = undefined
    if (this.#wanted.size === 0) return
    const { clock } = this.#options
    const at = [...this.#wanted.values()].reduce((at, { deadline }) => Math.min(at, deadline), Number.POSITIVE_INFINITY)
    this.#expiry = clock.after(Math.max(1, at - clock.now()), () => this.#sendSoon())
  }

  #lengthOf(block: number): number {
    return Math.min(BLOCK, this.#options.described.sizeBytes - block * BLOCK)
  }

  /** Nothing is read any more by anybody; what is under way for later is given up. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#expiry?.()
    const closed = fail("CLOSED", { what: this.#options.source.url })
    for (const flight of [...this.#wanted.values(), ...this.#ahead.values()]) this.#lose(flight, closed)
    this.#wanted.clear()
    this.#ahead.clear()
    await Promise.allSettled([...this.#running])
    await this.#options.source.close()
  }
}
