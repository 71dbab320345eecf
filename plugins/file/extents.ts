/**
 * Turns a host's "where is the next data" (SEEK_DATA, lseek(2)) into the extents of a range; holes read as zeros.
 *
 * **Details** Each answer costs the server a microsecond of its own turn, so one request looks at a bounded number of runs; whoever
 * wants more asks again from where the answer ended.
 */
import { type Extent, type Host, limits } from "imagelink/plugin"

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
  const most = Math.min(max, limits.formatExtentLookupsMax)
  while (at < end && extents.length < most) {
    const run = nextData(fd, at)
    const from = run === undefined ? end : Math.min(Math.max(run.offset, at), end)
    const kind = from > at ? "zero" : "data"
    const to = from > at ? from : Math.min(run?.end ?? end, end)
    extents.push({ offset: at, length: to - at, kind })
    at = to
  }
  return extents
}
