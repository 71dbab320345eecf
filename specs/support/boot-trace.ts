/** A real boot as the block device below saw it: the reads of an operating system's start, in their order. */
import { readFileSync } from "node:fs"

export interface TracedRead {
  readonly offset: number
  readonly length: number
}

const C = 65_536

/** As it was recorded, on a disk of 2 GiB. */
export const bootTrace = (): ReadonlyArray<TracedRead> =>
  readFileSync(new URL("../fixtures/boot-trace.csv", import.meta.url), "utf8")
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.split(",").map(Number))
    .map(([lba, blocks]) => ({ offset: lba! * 512, length: blocks! * 512 }))

/** The same reads on a disk that has only the clusters they touch, in the same order on the disk. */
export const compactTrace = (): { readonly reads: ReadonlyArray<TracedRead>; readonly clusters: number } => {
  const trace = bootTrace()
  const touched = new Set<number>()
  for (const { offset, length } of trace)
    for (let c = Math.floor(offset / C); c * C < offset + length; c++) touched.add(c)
  const place = new Map([...touched].sort((a, b) => a - b).map((cluster, i) => [cluster, i]))
  const reads = trace.map(({ offset, length }) => ({
    offset: place.get(Math.floor(offset / C))! * C + (offset % C),
    length,
  }))
  return { reads, clusters: touched.size }
}
