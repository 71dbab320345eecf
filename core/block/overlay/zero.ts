/**
 * Write-zeroes and trim: whole grains become zero in the map, never absent, or the base would show through again.
 *
 * | part of the range                        | write-zeroes                              | trim            |
 * | ---------------------------------------- | ----------------------------------------- | --------------- |
 * | whole grains                             | zero; the space goes back with MAY_UNMAP  | zero; the space goes back |
 * | edges of a grain                         | zeros are written                         | left as they are |
 * | nothing written here, and the base is zeros | nothing: it reads as zeros as it is     | the same        |
 *
 * The last line keeps a guest that trims a whole empty disk from making a map page for every 64 MiB of it.
 *
 * **Details** The space is given back after the map says zero, at once or with the next flush: give-back.ts says when which is right. A crash
 * before that leaves zeros that take space. Pages are held one at a time, so a trim of a whole disk keeps nobody waiting long.
 */
import { fail } from "../../errors.ts"
import { MAY_UNMAP } from "../device.ts"
import { DATA, GRAIN, GRAIN_BITS, LEAF_BITS, LEAF_MASK, PAGE_SPAN, ZERO } from "./geometry.ts"
import { giveBackNow } from "./give-back.ts"
import { countStates, type MapPage, NO_PAGE, runEnd, stateOf, UNLOADED } from "./page.ts"
import { eachPage, holdingGrains, type Parts } from "./parts.ts"
import { writeHeld } from "./write.ts"

const ZEROS = new Uint8Array(GRAIN)

/** Zeroes whole grains in one loaded page when nothing has to be given back at once. */
export const zeroSync = (p: Parts, offset: number, length: number, flags: number): boolean => {
  if (!p.held.isFree(offset, length)) return false
  const number = (offset / PAGE_SPAN) | 0
  const inPage = offset - number * PAGE_SPAN
  if (inPage + length > PAGE_SPAN) return false
  const page = p.map.leaves[number >> LEAF_BITS]![number & LEAF_MASK]!
  if (page === NO_PAGE || page === UNLOADED) return false
  if ((inPage & (GRAIN - 1)) !== 0) return false
  if (((inPage + length) & (GRAIN - 1)) !== 0 && offset + length !== p.sizeBytes) return false
  const first = inPage >> GRAIN_BITS
  const end = ((inPage + length - 1) >> GRAIN_BITS) + 1
  if (stateOf(page, first) === ZERO && runEnd(page, first, end) === end) return true
  const giveBack = (flags & MAY_UNMAP) !== 0
  if (giveBack && p.map.givesBackAtOnce && countStates(page, first, end, DATA) > 0) return false
  if (!p.map.commitSync(page, first, end, ZERO, giveBack)) return false
  p.quota.settle(0, p.map.dataGrains)
  return true
}

/** Makes a range read as zeros. */
export const zero = (
  p: Parts,
  offset: number,
  length: number,
  flags: number,
  signal: AbortSignal | undefined,
): Promise<void> =>
  eachHeldPage(p, offset, length, signal, (page, from, bytes) => zeroHeld(p, page, from, bytes, flags))

/** Makes the whole grains of a range read as zeros and gives their space back. */
export const trim = (p: Parts, offset: number, length: number, signal: AbortSignal | undefined): Promise<void> => {
  const end = offset + length
  const from = Math.ceil(offset / GRAIN) * GRAIN
  const to = end === p.sizeBytes ? end : Math.floor(end / GRAIN) * GRAIN
  if (from >= to) return Promise.resolve()
  return eachHeldPage(p, from, to - from, signal, (page, start, bytes) => wholeGrains(p, page, start, bytes, true))
}

const eachHeldPage = (
  p: Parts,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
  change: (page: MapPage, offset: number, length: number) => Promise<void>,
): Promise<void> => {
  const zeros = new BaseZeros(p, offset + length)
  return eachPage(offset, length, async (number, from, bytes) => {
    if (signal?.aborted) throw fail("CANCELLED", { what: "the request" })
    if (p.map.pageAt(number) === NO_PAGE && (await zeros.reach(from)) >= from + bytes) return
    await holdingGrains(p, from, bytes, signal, async () => {
      const page = await p.map.acquireOrCreate(number)
      try {
        await change(page, from, bytes)
      } finally {
        p.map.release(page)
      }
    })
  })
}

/** How far the base is zeros, asked once for each run of them and not once for each page: a version never changes. */
class BaseZeros {
  readonly #p: Parts
  readonly #end: number
  #from = 0
  #to = 0

  constructor(p: Parts, end: number) {
    this.#p = p
    this.#end = end
  }

  /** End of the zeros that begin at `offset`; `offset` when there are none. */
  async reach(offset: number): Promise<number> {
    if (offset >= this.#from && offset < this.#to) return this.#to
    const [first] = await this.#p.base.extents(offset, this.#end - offset, 1)
    if (first === undefined || first.kind !== "zero" || first.offset > offset) return offset
    this.#from = offset
    this.#to = first.offset + first.length
    return this.#to
  }
}

const zeroHeld = async (p: Parts, page: MapPage, offset: number, length: number, flags: number): Promise<void> => {
  const end = offset + length
  const from = Math.min(end, Math.ceil(offset / GRAIN) * GRAIN)
  const to = end === p.sizeBytes ? end : Math.max(from, Math.floor(end / GRAIN) * GRAIN)
  if (offset < from) await edge(p, page, offset, from - offset)
  if (from < to) await wholeGrains(p, page, from, to - from, (flags & MAY_UNMAP) !== 0)
  if (to < end) await edge(p, page, to, end - to)
}

/** Zeros part of one grain. */
const edge = async (p: Parts, page: MapPage, offset: number, length: number): Promise<void> => {
  const grain = (offset - page.number * PAGE_SPAN) >> GRAIN_BITS
  if (stateOf(page, grain) !== ZERO) await writeHeld(p, page, ZEROS, 0, offset, length)
}

const wholeGrains = async (
  p: Parts,
  page: MapPage,
  offset: number,
  length: number,
  giveBack: boolean,
): Promise<void> => {
  const inPage = offset - page.number * PAGE_SPAN
  const first = inPage >> GRAIN_BITS
  const end = ((inPage + length - 1) >> GRAIN_BITS) + 1
  const freesData = giveBack && countStates(page, first, end, DATA) > 0
  if (countStates(page, first, end, ZERO) < end - first) await p.map.commit(page, first, end, ZERO, giveBack)
  p.quota.settle(0, p.map.dataGrains)
  if (freesData && p.map.givesBackAtOnce) await giveBackNow(p, offset, length)
}
