/** What the doors of one overlay share: its base, its data file, its map, and who holds which grains. */
import type { WritableVolume } from "../../storage/volume.ts"
import type { BlockDevice } from "../device.ts"
import type { RangeLock } from "../range-lock.ts"
import { GRAIN, PAGE_SPAN } from "./geometry.ts"
import type { GrainMap } from "./map.ts"
import type { Quota } from "./quota.ts"

export interface Parts {
  readonly sizeBytes: number
  readonly base: BlockDevice
  /** Guest bytes at their own offsets. */
  readonly data: WritableVolume
  readonly map: GrainMap
  /** Grains that an asynchronous change holds. A synchronous change takes one turn of the loop and only looks. */
  readonly held: RangeLock
  readonly quota: Quota
}

/** Bytes of the grain at `start`: all of it, or what is left of the disk. */
export const grainLength = (p: Parts, start: number): number => Math.min(GRAIN, p.sizeBytes - start)

/** Calls `piece` for the part of a range in each page, in order. */
export const eachPage = async (
  offset: number,
  length: number,
  piece: (page: number, offset: number, length: number) => Promise<void>,
): Promise<void> => {
  const end = offset + length
  for (let from = offset; from < end; ) {
    const page = Math.floor(from / PAGE_SPAN)
    const to = Math.min(end, (page + 1) * PAGE_SPAN)
    await piece(page, from, to - from)
    from = to
  }
}

/** Runs `change` while it holds every grain that `[offset, offset + length)` touches. */
export const holdingGrains = async (
  p: Parts,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
  change: () => Promise<void>,
): Promise<void> => {
  const from = Math.floor(offset / GRAIN) * GRAIN
  const to = Math.ceil((offset + length) / GRAIN) * GRAIN
  const release = await p.held.lock(from, to - from, signal)
  try {
    await change()
  } finally {
    release()
  }
}
