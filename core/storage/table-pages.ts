/**
 * Pages of a file's tables, kept within a byte budget: what a format reads its maps through.
 *
 *     lookup ──page(offset)──► kept: its bytes, at once
 *                              not kept: yields a TableMiss ──► whoever drives the lookup loads it and goes on, or gives up
 *
 * **Details** A lookup is a generator, so that one piece of code serves both doors of a disk: the synchronous one gives up at the first miss,
 * the asynchronous one waits for it. Pages lie at multiples of their size in the *file*, so a table's place needs no page of its own. A lookup
 * holds the bytes that it was given, so a page that is dropped meanwhile stays right for it. One budget serves a whole chain of files.
 *
 * **Gotchas** A page at the end of the file is short. Which offsets are inside a table is for the format to judge, before it asks.
 */
import assert from "node:assert"
import type { Volume } from "./volume.ts"

/** What a lookup lacks: the page of `pages` with this number. */
export interface TableMiss {
  readonly pages: TablePages
  readonly number: number
}

/** Steps that may lack pages on their way to an answer. */
export type Lookup<A> = Generator<TableMiss, A, Uint8Array>

interface Page {
  readonly bytes: Uint8Array
  readonly kept: Map<number, Page>
  readonly number: number
  /** Asked for since it was last passed over. */
  used: boolean
}

/** The bytes that the pages of one disk may take together. What was not used for longest goes first, roughly (second chance). */
export class TableBudget {
  readonly bytesMax: number
  #bytes = 0
  readonly #pages = new Set<Page>()

  constructor(bytesMax: number) {
    assert(bytesMax > 0, "a budget holds at least something")
    this.bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  add(page: Page): void {
    this.#pages.add(page)
    this.#bytes += page.bytes.length
    for (const oldest of this.#pages) {
      if (this.#bytes <= this.bytesMax) return
      this.#pages.delete(oldest)
      if (oldest.used || oldest === page) {
        oldest.used = false
        this.#pages.add(oldest)
        if (this.#pages.size === 1) return
        continue
      }
      oldest.kept.delete(oldest.number)
      this.#bytes -= oldest.bytes.length
    }
  }
}

/** The pages of one file, all of one size. */
export class TablePages {
  readonly volume: Volume
  readonly pageBytes: number
  readonly #budget: TableBudget
  readonly #kept = new Map<number, Page>()
  readonly #loading = new Map<number, Promise<Uint8Array>>()

  constructor(volume: Volume, budget: TableBudget, pageBytes: number) {
    this.volume = volume
    this.pageBytes = pageBytes
    this.#budget = budget
  }

  /** The page that holds the file's byte `offset`, which is at `offset % pageBytes` in it. */
  *page(offset: number): Lookup<Uint8Array> {
    const number = Math.floor(offset / this.pageBytes)
    const page = this.#kept.get(number)
    if (page === undefined) return yield { pages: this, number }
    page.used = true
    return page.bytes
  }

  /** Reads a page once, however many ask for it at the same time. */
  load(number: number): Promise<Uint8Array> {
    const page = this.#kept.get(number)
    if (page !== undefined) return Promise.resolve(page.bytes)
    let loading = this.#loading.get(number)
    if (loading === undefined) {
      loading = this.#load(number).finally(() => this.#loading.delete(number))
      this.#loading.set(number, loading)
    }
    return loading
  }

  async #load(number: number): Promise<Uint8Array> {
    const offset = number * this.pageBytes
    const bytes = new Uint8Array(Math.min(this.pageBytes, this.volume.sizeBytes - offset))
    await this.volume.read(bytes, 0, offset, bytes.length)
    const page: Page = { bytes, kept: this.#kept, number, used: false }
    this.#kept.set(number, page)
    this.#budget.add(page)
    return bytes
  }
}

/**
 * Whether bit `first` of a bitmap is set, and up to where (`end`, at most `last`) the bits behind it are as it is. The bitmap begins at byte
 * `at` of the file; `lowest` says which bit of a byte comes first.
 */
export function* bitRun(
  pages: TablePages,
  at: number,
  first: number,
  last: number,
  lowest: "lowest first" | "highest first",
): Lookup<{ readonly set: boolean; readonly end: number }> {
  const bitOf = (byte: number, bit: number) =>
    (byte & (lowest === "lowest first" ? 1 << (bit & 7) : 0x80 >> (bit & 7))) !== 0
  let page = yield* pages.page(at + (first >> 3))
  const set = bitOf(page[(at + (first >> 3)) % pages.pageBytes]!, first)
  for (let bit = first + 1; bit < last; ) {
    const within = (at + (bit >> 3)) % pages.pageBytes
    if ((bit & 7) === 0) {
      if (within === 0) page = yield* pages.page(at + (bit >> 3))
      if (page[within] === (set ? 0xff : 0)) {
        bit += 8
        continue
      }
    }
    if (bitOf(page[within]!, bit) !== set) return { set, end: bit }
    bit += 1
  }
  return { set, end: last }
}

/** The answer of a lookup, waiting for each page that it lacks. */
export const lookUp = async <A>(lookup: Lookup<A>): Promise<A> => {
  let step = lookup.next()
  while (!step.done) step = lookup.next(await step.value.pages.load(step.value.number))
  return step.value
}

/** The answer of a lookup if it lacks nothing. */
export const lookUpSync = <A>(lookup: Lookup<A>): A | undefined => {
  const step = lookup.next()
  return step.done ? step.value : undefined
}
