/**
 * Extents: runs of bytes that are data, zero or absent, and what boxes do with lists of them.
 *
 * **Details** A list is in order, adjoining and without empty runs. Builders push runs in order; equal neighbours become one, so
 * a list is as short as it can be and `max` counts what a protocol really has to send.
 */
import type { Extent, ExtentKind } from "./device.ts"

/** Collects runs in order, joins equal neighbours, and stops at `max` runs. */
export class ExtentList {
  readonly max: number
  readonly list: Array<Extent> = []

  constructor(max: number) {
    this.max = max
  }

  /** Adds a run right behind the last one. Answers false, and adds nothing, when it would be one too many. */
  push(offset: number, length: number, kind: ExtentKind): boolean {
    if (length === 0) return true
    const last = this.list.at(-1)
    if (last !== undefined && last.kind === kind) {
      this.list[this.list.length - 1] = { offset: last.offset, length: last.length + length, kind }
      return true
    }
    if (this.list.length === this.max) return false
    this.list.push({ offset, length, kind })
    return true
  }

  /** The first byte behind the last run, or `otherwise` when there is none. */
  end(otherwise: number): number {
    const last = this.list.at(-1)
    return last === undefined ? otherwise : last.offset + last.length
  }
}

/** Joins equal neighbours. */
export const mergeExtents = (extents: Iterable<Extent>): ReadonlyArray<Extent> => {
  const merged = new ExtentList(Number.POSITIVE_INFINITY)
  for (const e of extents) merged.push(e.offset, e.length, e.kind)
  return merged.list
}

/** The parts of `extents` that lie inside `[offset, offset + length)`. */
export const clipExtents = (extents: Iterable<Extent>, offset: number, length: number): ReadonlyArray<Extent> => {
  const end = offset + length
  const clipped: Array<Extent> = []
  for (const e of extents) {
    const from = Math.max(e.offset, offset)
    const to = Math.min(e.offset + e.length, end)
    if (from < to) clipped.push({ offset: from, length: to - from, kind: e.kind })
  }
  return clipped
}

/** What `extents` is asked of: a device or a volume that has it. */
export interface ExtentSource {
  extents(offset: number, length: number, max: number): Promise<ReadonlyArray<Extent>>
}

/** All extents of a range, asked for `batch` at a time, each as its source gave it. */
export async function* extentsOf(
  source: ExtentSource,
  offset: number,
  length: number,
  batch = 1024,
): AsyncGenerator<Extent> {
  const end = offset + length
  let at = offset
  while (at < end) {
    const found = await source.extents(at, end - at, batch)
    const before = at
    for (const e of clipExtents(found, at, end - at)) {
      yield e
      at = e.offset + e.length
    }
    // A source that answers nothing would be asked for ever; data is always a true answer.
    if (at === before) {
      yield { offset: at, length: end - at, kind: "data" }
      return
    }
  }
}
