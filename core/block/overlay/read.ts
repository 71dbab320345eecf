/**
 * Reading through an overlay: runs of grains in one state, each from where it lies.
 *
 * | grains are        | synchronous                       | asynchronous              |
 * | ----------------- | --------------------------------- | ------------------------- |
 * | absent            | the base's synchronous door       | the base                  |
 * | zero              | zeros                             | zeros                     |
 * | hot (data)        | the data file, from the page cache | the data file            |
 * | data, not hot     | miss: it may wait for a disk      | the data file; then hot   |
 * | on an unloaded page | miss                            | the page is loaded first  |
 *
 * **Scattered writes.** A read that meets hot runs with one grain absent between them takes all of that from the data file at once, and
 * then lays over it what the base has: a system call costs more than the copy of a few grains, and where a grain is absent the file has a hole.
 *
 * **Gotchas** A synchronous read over several runs may fill part of the caller's buffer before it meets a miss; the bytes it filled are
 * written again by the asynchronous one.
 */
import { fail } from "../../errors.ts"
import { limits } from "../../limits.ts"
import { inParallel } from "../parallel.ts"
import { volumeError } from "./errors.ts"
import { ABSENT, DATA, GRAIN, GRAIN_BITS, HOT, LEAF_BITS, LEAF_MASK, PAGE_SPAN, ZERO } from "./geometry.ts"
import { heatStates, type MapPage, NO_PAGE, runEnd, stateOf, UNLOADED } from "./page.ts"
import { eachPage, type Parts } from "./parts.ts"

export const readSync = (p: Parts, into: Uint8Array, at: number, offset: number, length: number): boolean => {
  const number = (offset / PAGE_SPAN) | 0
  const inPage = offset - number * PAGE_SPAN
  if (inPage + length > PAGE_SPAN) return readPagesSync(p, into, at, offset, length)
  const page = p.map.leaves[number >> LEAF_BITS]![number & LEAF_MASK]!
  if (page === NO_PAGE) return p.base.readSync(into, at, offset, length)
  if (page === UNLOADED) return false
  page.used = 1
  const grain = inPage >> GRAIN_BITS
  const limit = ((inPage + length - 1) >> GRAIN_BITS) + 1
  if (grain + 1 === limit || runEnd(page, grain, limit) === limit) {
    return readRunSync(p, stateOf(page, grain), into, at, offset, length)
  }
  return readRunsSync(p, page, into, at, offset, length)
}

const readRunSync = (
  p: Parts,
  state: number,
  into: Uint8Array,
  at: number,
  offset: number,
  length: number,
): boolean => {
  if (state === ABSENT) return p.base.readSync(into, at, offset, length)
  if (state === HOT) return dataSync(p, into, at, offset, length)
  if (state === DATA) return false
  into.fill(0, at, at + length)
  return true
}

const dataSync = (p: Parts, into: Uint8Array, at: number, offset: number, length: number): boolean => {
  try {
    return p.data.readSync(into, at, offset, length)
  } catch (e) {
    throw volumeError(e, offset, length, "overlay data")
  }
}

/** So many absent grains between two hot runs cost less to read over than a system call more. Measured with 1, 2, 3 and 5. */
const BRIDGED_GRAINS = 1

const readRunsSync = (
  p: Parts,
  page: MapPage,
  into: Uint8Array,
  at: number,
  offset: number,
  length: number,
): boolean => {
  const pageStart = page.number * PAGE_SPAN
  const end = offset + length
  const limit = ((end - 1 - pageStart) >> GRAIN_BITS) + 1
  /** Up to where hot grains were read. */
  let there = offset
  for (let from = offset; from < end; ) {
    const grain = (from - pageStart) >> GRAIN_BITS
    const next = runEnd(page, grain, limit)
    const to = Math.min(end, pageStart + next * GRAIN)
    const state = stateOf(page, grain)
    if (state !== HOT) {
      if (!readRunSync(p, state, into, at + from - offset, from, to - from)) return false
    } else if (from >= there) {
      there = Math.min(end, pageStart + bridgedEnd(page, next, limit) * GRAIN)
      if (!dataSync(p, into, at + from - offset, from, there - from)) return false
    }
    from = to
  }
  return true
}

/** End of the last hot run that follows the one that ends at `hot`, each after a short gap of absent grains. */
const bridgedEnd = (page: MapPage, hot: number, limit: number): number => {
  for (let end = hot; end < limit; ) {
    if (stateOf(page, end) !== ABSENT) return end
    const next = runEnd(page, end, Math.min(limit, end + BRIDGED_GRAINS + 1))
    if (next >= limit || next - end > BRIDGED_GRAINS || stateOf(page, next) !== HOT) return end
    end = runEnd(page, next, limit)
  }
  return limit
}

const readPagesSync = (p: Parts, into: Uint8Array, at: number, offset: number, length: number): boolean => {
  const end = offset + length
  for (let from = offset; from < end; ) {
    const to = Math.min(end, (Math.floor(from / PAGE_SPAN) + 1) * PAGE_SPAN)
    if (!readSync(p, into, at + from - offset, from, to - from)) return false
    from = to
  }
  return true
}

/** A run of bytes whose grains have one state; hot counts as data. */
export interface Run {
  readonly offset: number
  length: number
  readonly state: typeof ABSENT | typeof DATA | typeof ZERO
}

/** The runs of a range as they are now, at most `max` of them (so perhaps not to its end). */
export const runsOf = async (p: Parts, offset: number, length: number, max: number): Promise<Array<Run>> => {
  const runs: Array<Run> = []
  const push = (from: number, bytes: number, state: Run["state"]) => {
    const last = runs.at(-1)
    if (last !== undefined && last.state === state) last.length += bytes
    else runs.push({ offset: from, length: bytes, state })
  }
  await eachPage(offset, length, async (number, from, bytes) => {
    if (runs.length > max) return
    const page = await p.map.acquire(number)
    if (page === NO_PAGE) return push(from, bytes, ABSENT)
    const pageStart = number * PAGE_SPAN
    const end = from + bytes
    const limit = ((end - 1 - pageStart) >> GRAIN_BITS) + 1
    for (let start = from; start < end && runs.length <= max; ) {
      const grain = (start - pageStart) >> GRAIN_BITS
      const to = Math.min(end, pageStart + runEnd(page, grain, limit) * GRAIN)
      const state = stateOf(page, grain)
      push(start, to - start, state === HOT ? DATA : (state as Run["state"]))
      start = to
    }
    p.map.release(page)
  })
  // One run more than asked for was looked at, because only then the last one is known to have ended.
  return runs.slice(0, max)
}

export const read = async (
  p: Parts,
  into: Uint8Array,
  at: number,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
): Promise<void> => {
  const spans = spansOf(await runsOf(p, offset, length, Number.POSITIVE_INFINITY))
  await inParallel(spans.length, limits.requestPiecesMax, async (i) => {
    const span = spans[i]!
    const [{ offset: start }, { offset: last, length: bytes }] = [span[0]!, span.at(-1)!]
    if (span.length > 1) await readData(p, into, at + start - offset, start, last + bytes - start)
    for (const run of span) {
      if (signal?.aborted) throw fail("CANCELLED", { what: "the read" })
      const place = at + run.offset - offset
      if (run.state === ZERO) into.fill(0, place, place + run.length)
      else if (run.state === ABSENT) await readBase(p, into, place, run, signal)
      else if (span.length === 1) await readData(p, into, place, run.offset, run.length)
    }
  })
}

/** Absent grains between two runs of data that are read over: a read of its own costs its way through a thread. */
const BRIDGED_BYTES = limits.clusterBytes

/** Runs that are read together: each begins and ends with data and has nothing but short absent runs between, or is one run. */
const spansOf = (runs: ReadonlyArray<Run>): ReadonlyArray<ReadonlyArray<Run>> => {
  const spans: Array<ReadonlyArray<Run>> = []
  for (let first = 0; first < runs.length; ) {
    let end = first + 1
    while (runs[first]!.state === DATA && runs[end + 1]?.state === DATA && isBridged(runs[end]!)) end += 2
    spans.push(runs.slice(first, end))
    first = end
  }
  return spans
}

const isBridged = ({ state, length }: Run): boolean => state === ABSENT && length <= BRIDGED_BYTES

const readBase = async (
  p: Parts,
  into: Uint8Array,
  at: number,
  { offset, length }: Run,
  signal: AbortSignal | undefined,
): Promise<void> => {
  if (!p.base.readSync(into, at, offset, length)) await p.base.read(into, at, offset, length, signal)
}

const readData = async (p: Parts, into: Uint8Array, at: number, offset: number, length: number): Promise<void> => {
  try {
    await p.data.read(into, at, offset, length)
  } catch (e) {
    throw volumeError(e, offset, length, "overlay data")
  }
  await eachPage(offset, length, async (number, from, bytes) => {
    const page = p.map.pageAt(number)
    if (page === NO_PAGE || page === UNLOADED) return
    const start = (from - number * PAGE_SPAN) >> GRAIN_BITS
    heatStates(page, start, ((from + bytes - 1 - number * PAGE_SPAN) >> GRAIN_BITS) + 1)
  })
}
