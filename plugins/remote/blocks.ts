/**
 * The blocks of one object: from the cache, or fetched once however many readers ask.
 *
 *     read ─► in the cache? ─► copied
 *        └──► flight (one per block) ─► queue ─► run: adjacent blocks, up to remoteRangeBytesMax ─► source, remoteRangesMax at a time
 *                                                                    └─ each block as it arrives ─► its readers, then the cache
 *
 * **Details** A flight is queued in the turn in which it is missed and sent in the next, so that the misses of one turn become few long requests; while all requests
 * are under way the queue grows and is joined further. Blocks that a reader waits for go before those that are read ahead, and two requests are
 * kept for them. Each flight has the deadline of its first reader, also while it is only queued; a request ends with the first of its flights, and those with time left go
 * into the next. A block of a run is handed out when its last byte is there, not
 * when the run ends.
 */
import { fail, isImagelinkError, limits } from "imagelink/plugin"
import type { BlockCache } from "./cache/block-cache.ts"
import type { Clock } from "./clock.ts"
import { readPatiently } from "./patience.ts"
import { ReadAhead } from "./read-ahead.ts"
import type { Described, Source } from "./source.ts"

const BLOCK = limits.remoteBlockBytes
const RUN_BLOCKS = limits.remoteRangeBytesMax / BLOCK
/** Blocks of one read that are looked up at a time. */
const AT_ONCE_BLOCKS = RUN_BLOCKS * limits.remoteRangesMax
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

export interface BlocksOptions {
  readonly source: Source
  readonly described: Described
  readonly cache: BlockCache
  /** What the cache calls this state of this object. */
  readonly object: string
  readonly clock: Clock
  readonly readMillis: number
}

export class ObjectBlocks {
  readonly #options: BlocksOptions
  readonly #flights = new Map<number, Flight>()
  /** In order of asking. */
  readonly #wanted = new Map<number, Flight>()
  readonly #ahead = new Map<number, Flight>()
  readonly #running = new Set<Promise<void>>()
  readonly #readAhead = new ReadAhead()
  readonly #closing = new AbortController()
  #sending = false
  #expiry: (() => void) | undefined

  constructor(options: BlocksOptions) {
    this.#options = options
  }

  /** Fills `into[at, at + length)`. Once it has settled the buffer is left alone, also after an abort. */
  async read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    const [first, end] = [Math.floor(offset / BLOCK), Math.ceil((offset + length) / BLOCK)]
    if (end - first === 1) return this.#readOne(first, into, at, offset, length, signal)
    for (let from = first; from < end; from += AT_ONCE_BLOCKS) {
      if (signal?.aborted) throw this.#cancelled()
      const to = Math.min(end, from + AT_ONCE_BLOCKS)
      const blocks: Array<Promise<Uint8Array>> = []
      for (let block = from; block < to; block++) {
        const begin = block * BLOCK - offset
        const end = begin + this.#lengthOf(block)
        const isWhole = begin >= 0 && end <= length
        blocks.push(this.#block(block, isWhole ? into.subarray(at + begin, at + end) : undefined))
      }
      this.#readOn(from, to)
      const settled = await Promise.allSettled(blocks)
      if (signal?.aborted) throw this.#cancelled()
      for (const [i, block] of settled.entries()) {
        if (block.status === "rejected") throw block.reason
        copyBlock(block.value, from + i, into, at, offset, length)
      }
    }
  }

  /** The same, of one block: what a server asks for, whose own cache is of clusters. */
  async #readOne(
    block: number,
    into: Uint8Array,
    at: number,
    offset: number,
    length: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (signal?.aborted) throw this.#cancelled()
    this.#readOn(block, block + 1)
    const { cache, object } = this.#options
    const part = cache.part?.(object, block, offset - block * BLOCK, into, at, length)
    if (part !== undefined && (await part)) {
      if (signal?.aborted) throw this.#cancelled()
      return
    }
    const isWhole = length === this.#lengthOf(block)
    const bytes = await this.#block(block, isWhole ? into.subarray(at, at + length) : undefined)
    if (signal?.aborted) throw this.#cancelled()
    copyBlock(bytes, block, into, at, offset, length)
  }

  #cancelled() {
    return fail("CANCELLED", { what: `a read of ${this.#options.source.url}` })
  }

  /** A block that is wanted whole may be read straight into the place where it is wanted. */
  #block(block: number, into: Uint8Array | undefined): Promise<Uint8Array> {
    const flight = this.#flights.get(block)
    if (flight !== undefined) return this.#join(flight)
    const cached = this.#options.cache.get(this.#options.object, block, into)
    return cached === undefined ? this.#join(this.#start(block)) : this.#cached(block, cached)
  }

  async #cached(block: number, found: Promise<Uint8Array | undefined>): Promise<Uint8Array> {
    const bytes = await found
    if (bytes !== undefined && bytes.length === this.#lengthOf(block)) return bytes
    return this.#join(this.#flights.get(block) ?? this.#start(block))
  }

  #join(flight: Flight): Promise<Uint8Array> {
    if (!flight.wanted) {
      flight.wanted = true
      flight.deadline = this.#options.clock.now() + this.#options.readMillis
      if (this.#ahead.delete(flight.block)) this.#wanted.set(flight.block, flight)
      this.#sendSoon()
    }
    return flight.bytes
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

  #readOn(from: number, to: number): void {
    const { cache, object, described } = this.#options
    const next = this.#readAhead.heard(from, to)
    const end = Math.min(next.to, Math.ceil(described.sizeBytes / BLOCK))
    for (let block = next.from; block < end; block++)
      if (!this.#flights.has(block) && !cache.has(object, block)) this.#start(block)
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

/** Copies what a block has of `[offset, offset + length)`. */
const copyBlock = (
  bytes: Uint8Array,
  block: number,
  into: Uint8Array,
  at: number,
  offset: number,
  length: number,
): void => {
  const begin = block * BLOCK
  const from = Math.max(offset, begin)
  const to = Math.min(offset + length, begin + bytes.length)
  const isThere = bytes.buffer === into.buffer && bytes.byteOffset === into.byteOffset + at + from - offset
  if (isThere) return
  into.set(bytes.subarray(from - begin, to - begin), at + from - offset)
}
