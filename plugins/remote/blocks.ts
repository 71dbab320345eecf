/**
 * The blocks of one object: from the cache, or fetched once however many readers ask.
 *
 *     read ─► all of it in the cache? ─► copied, as from a file
 *        └──► each block by itself: on its way? ─► waited for
 *                                   in the cache? ─► copied
 *                                   else fetched (flights.ts)
 */
import { fail, limits } from "imagelink/plugin"
import { copyBlock } from "./copy-block.ts"
import { Flights, type FlightsOptions } from "./flights.ts"
import { ReadAhead } from "./read-ahead.ts"

const BLOCK = limits.remoteBlockBytes
/** Blocks of one read that are asked for at a time. */
const AT_ONCE_BLOCKS = (limits.remoteRangeBytesMax / BLOCK) * limits.remoteRangesMax

export class ObjectBlocks {
  readonly #options: FlightsOptions
  readonly #flights: Flights
  readonly #readAhead = new ReadAhead()

  constructor(options: FlightsOptions) {
    this.#options = options
    this.#flights = new Flights(options)
  }

  /** Fills `into[at, at + length)`. Once it has settled the buffer is left alone, also after an abort. */
  read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(this.#cancelled())
    const { cache, object } = this.#options
    const found = cache.read(object, offset, into, at, length)
    if (found === undefined) return this.#readBlocks(into, at, offset, length, signal)
    this.#readOn(offset, length, false)
    return found.then((isThere) => (isThere ? undefined : this.#readBlocks(into, at, offset, length, signal)))
  }

  async #readBlocks(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    const end = Math.ceil((offset + length) / BLOCK)
    for (let from = Math.floor(offset / BLOCK); from < end; from += AT_ONCE_BLOCKS) {
      if (signal?.aborted) throw this.#cancelled()
      const reading: Array<Promise<void>> = []
      const to = Math.min(end, from + AT_ONCE_BLOCKS)
      for (let block = from; block < to; block++) reading.push(this.#readBlock(block, into, at, offset, length))
      const begin = Math.max(offset, from * BLOCK)
      this.#readOn(begin, Math.min(offset + length, to * BLOCK) - begin, true)
      const settled = await Promise.allSettled(reading)
      if (signal?.aborted) throw this.#cancelled()
      for (const one of settled) if (one.status === "rejected") throw one.reason
    }
  }

  /** What a block has of the range. It is asked for in this turn, so that all that are missing go into one request. */
  async #readBlock(block: number, into: Uint8Array, at: number, offset: number, length: number): Promise<void> {
    const { cache, object } = this.#options
    if (!this.#flights.has(block)) {
      const begin = Math.max(offset, block * BLOCK)
      const end = Math.min(offset + length, (block + 1) * BLOCK)
      const found = cache.read(object, begin, into, at + begin - offset, end - begin)
      if (found !== undefined && (await found)) return
    }
    copyBlock(await this.#flights.join(block), block, into, at, offset, length)
  }

  #readOn(offset: number, length: number, isMissed: boolean): void {
    const { cache, object, described } = this.#options
    const next = this.#readAhead.heard(Math.floor(offset / BLOCK), Math.ceil((offset + length) / BLOCK), isMissed)
    const end = Math.min(next.to, Math.ceil(described.sizeBytes / BLOCK))
    for (let block = next.from; block < end; block++) if (!cache.has(object, block)) this.#flights.readAhead(block)
  }

  #cancelled() {
    return fail("CANCELLED", { what: `a read of ${this.#options.source.url}` })
  }

  /** Nothing is read any more by anybody. */
  close(): Promise<void> {
    return this.#flights.close()
  }
}
