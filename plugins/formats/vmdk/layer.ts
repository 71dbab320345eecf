/** One disk of a chain: its extents side by side, in the order of its descriptor. */
import type { DiskLayer, Lookup, Run } from "imagelink/plugin"

export interface Extent {
  readonly startsAt: number
  readonly sizeBytes: number
  /** `offset` is on the disk; nothing is asked outside the extent. */
  find(offset: number, length: number): Lookup<Run>
}

export const layerOf = (extents: ReadonlyArray<Extent>): DiskLayer => {
  const last = extents.at(-1)!
  return {
    sizeBytes: last.startsAt + last.sizeBytes,
    *find(offset, length) {
      const extent = extents[indexOf(extents, offset)]!
      return yield* extent.find(offset, Math.min(length, extent.startsAt + extent.sizeBytes - offset))
    },
  }
}

/** The last extent that begins at or before `offset`. */
const indexOf = (extents: ReadonlyArray<Extent>, offset: number): number => {
  let [low, high] = [0, extents.length - 1]
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (extents[middle]!.startsAt <= offset) low = middle
    else high = middle - 1
  }
  return low
}
