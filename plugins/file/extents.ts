/** Turns a host's "where is the next data" (SEEK_DATA, lseek(2)) into the extents of a range; holes read as zeros. */
import type { Extent, Host } from "imagelink/plugin"

export const fileExtents = (
  fd: number,
  nextData: NonNullable<Host["nextData"]>,
  offset: number,
  length: number,
  max: number,
): ReadonlyArray<Extent> => {
  const end = offset + length
  const extents: Array<Extent> = []
  let at = offset
  while (at < end && extents.length < max) {
    const run = nextData(fd, at)
    const from = run === undefined ? end : Math.min(Math.max(run.offset, at), end)
    const kind = from > at ? "zero" : "data"
    const to = from > at ? from : Math.min(run?.end ?? end, end)
    extents.push({ offset: at, length: to - at, kind })
    at = to
  }
  return extents
}
