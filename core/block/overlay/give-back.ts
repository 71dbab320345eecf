/**
 * Gives the space of trimmed grains back to the file system, once nothing can need their old bytes again.
 *
 * | working map | durable map      | a hole in the data file                                                                       |
 * | ----------- | ---------------- | --------------------------------------------------------------------------------------------- |
 * | absent      | any              | never: nothing was written here, or a power loss brings back what was                         |
 * | data        | any              | never                                                                                          |
 * | zero        | there is none (discard) | at once, in the trim, after the map: a kill keeps map and hole both, and a power loss ends the overlay |
 * | zero        | data             | never: a power loss undoes a trim that no flush covers, and must bring its bytes back          |
 * | zero        | zero             | right: whoever reads here, now or after a power loss, reads zeros without looking              |
 *
 * So the holes of a keep or super overlay are punched at the end of a flush, when the durable map is synced and before another flush can
 * change it: every grain that was zero in the copy which that flush brought to the disk, and is zero still. Grains are held for
 * it, neighbours together, so that no write can come between the look and the hole.
 *
 * The contract of a trim would let a power loss keep either. Undoing it whole is for guests that trim before their own journal is on the
 * disk: there the file whose space was trimmed is back after a power loss, and so are its bytes.
 *
 * **Details** A hole that cannot be punched fails nothing: the map says zero already. It is tried again with the next flush.
 *
 * Not done: after a crash between a trim and its hole that space stays until the overlay goes. Finding it would mean asking the file system
 * about every zero grain at each open.
 */
import type { FreedPage } from "./dirty.ts"
import { GRAIN, PAGE_GRAINS, PAGE_SPAN, SECTOR, SECTOR_GRAIN_BITS, ZERO } from "./geometry.ts"

import { type MapPage, runEnd, stateOf } from "./page.ts"
import { holdingGrains, type Parts } from "./parts.ts"
import { PAYLOAD_AT } from "./sector.ts"

/** Punches what may be punched of one page; false when something of it could not be looked at or punched. */
export const giveBackPage = async (p: Parts, freed: FreedPage): Promise<boolean> => {
  try {
    const page = await p.map.acquire(freed.number)
    try {
      for (let from = 0; from < PAGE_GRAINS; ) {
        const to = zeroRunEnd(page, freed, from)
        if (to > from) await punchRun(p, page, from, to)
        from = to + 1
      }
    } finally {
      p.map.release(page)
    }
    return true
  } catch {
    return false
  }
}

/** End of the run from `from` on that is zero in both maps and lies in freed sectors; `from` when there is none. */
const zeroRunEnd = (page: MapPage, freed: FreedPage, from: number): number => {
  let g = from
  while (g < PAGE_GRAINS && isFreed(freed, g) && stateOf(page, g) === ZERO) g++
  return g
}

const isFreed = ({ sectors, bytes }: FreedPage, grain: number): boolean => {
  const s = grain >> SECTOR_GRAIN_BITS
  if ((sectors & (1 << s)) === 0) return false
  const inSector = grain & ((1 << SECTOR_GRAIN_BITS) - 1)
  return ((bytes[s * SECTOR + PAYLOAD_AT + (inSector >> 2)]! >> ((inSector & 3) << 1)) & 3) === ZERO
}

/** What of `[from, to)` is zero still when nobody else holds it. */
const punchRun = (p: Parts, page: MapPage, from: number, to: number): Promise<void> => {
  const start = page.number * PAGE_SPAN
  return holdingGrains(p, start + from * GRAIN, (to - from) * GRAIN, undefined, async () => {
    for (let g = from; g < to; ) {
      const end = runEnd(page, g, to)
      if (stateOf(page, g) === ZERO) await punchGrains(p, start + g * GRAIN, start + end * GRAIN)
      g = end
    }
  })
}

/** The disk may end inside its last grain. */
const punchGrains = async (p: Parts, from: number, to: number): Promise<void> => {
  await p.data.punch(from, Math.min(to, p.sizeBytes) - from)
}

/** At once, for an overlay without a durable map; the caller holds the grains and the map says that they are zero. */
export const giveBackNow = async (p: Parts, offset: number, length: number): Promise<void> => {
  await p.data.punch(offset, length).catch(() => false)
}
