/** Copies parts of a version into a scratch file: its data, and afterwards what another version has in their place. */
import { setImmediate } from "node:timers/promises"
import type { Difference } from "../block/layers/diff.ts"
import { fail } from "../errors.ts"
import type { JobContext } from "../jobs.ts"
import type { ScratchDisk } from "./file-lister.ts"
import { sparseWriter } from "./sparse-writer.ts"
import type { VersionDisk } from "./version-disk.ts"

export interface Range {
  readonly offset: number
  readonly end: number
}
type Disk = VersionDisk["disk"]

const CHUNK = 1024 * 1024
const EXTENTS = 1024
const RUNS_A_TURN = 1024

/** What they cover together, in order, no two of them touching. */
export const rangesOf = (
  parts: ReadonlyArray<{ readonly offset: number; readonly sizeBytes: number }>,
): ReadonlyArray<Range> => {
  const ranges: Array<{ offset: number; end: number }> = []
  for (const { offset, sizeBytes } of [...parts].sort((a, b) => a.offset - b.offset)) {
    const last = ranges.at(-1)
    if (last !== undefined && offset <= last.end) last.end = Math.max(last.end, offset + sizeBytes)
    else ranges.push({ offset, end: offset + sizeBytes })
  }
  return ranges
}

/** The runs of them that may be other than zeros. */
async function* dataIn(disk: Disk, ranges: ReadonlyArray<Range>): AsyncGenerator<Range> {
  for (const { offset, end } of ranges)
    for (let at = offset; at < end; )
      for (const extent of await disk.extents!(at, end - at, EXTENTS)) {
        at = extent.offset + extent.length
        if (extent.kind === "data") yield { offset: extent.offset, end: Math.min(at, end) }
      }
}

export const dataBytes = async (disk: Disk, ranges: ReadonlyArray<Range>): Promise<number> => {
  let sum = 0
  for await (const { offset, end } of dataIn(disk, ranges)) sum += end - offset
  return sum
}

/** Into a file of zeros, of which blocks of zeros stay holes. */
export const copyData = async (
  disk: Disk,
  scratch: ScratchDisk,
  ranges: ReadonlyArray<Range>,
  job: JobContext,
): Promise<void> => {
  const write = sparseWriter(scratch)
  const buffer = Buffer.alloc(CHUNK)
  const total = ranges.reduce((sum, { offset, end }) => sum + end - offset, 0)
  const doneAt = (at: number) => ranges.reduce((sum, r) => sum + Math.max(0, Math.min(at, r.end) - r.offset), 0)
  for await (const { offset, end } of dataIn(disk, ranges))
    for (let at = offset; at < end; at += CHUNK) {
      stopIfAborted(job.signal)
      const length = Math.min(CHUNK, end - at)
      await disk.read(buffer, 0, at, length, job.signal)
      await write(buffer.subarray(0, length), at)
      job.progress({ done: doneAt(at + length), total, unit: "bytes" })
    }
  job.progress({ done: total, total, unit: "bytes" })
}

/** Makes them, where the runs are, what the other version has there. */
export const copyRuns = async (
  disk: Disk,
  scratch: ScratchDisk,
  ranges: ReadonlyArray<Range>,
  runs: Iterable<Difference>,
  signal: AbortSignal,
): Promise<void> => {
  const buffer = Buffer.alloc(CHUNK)
  let count = 0
  for (const run of runs) {
    for (const range of ranges) {
      const [start, end] = [Math.max(run.offset, range.offset), Math.min(run.offset + run.length, range.end)]
      if (start >= end) continue
      stopIfAborted(signal)
      if (run.kind === "zero") await scratch.zero(start, end - start)
      else
        for (let at = start; at < end; at += CHUNK) {
          stopIfAborted(signal)
          const length = Math.min(CHUNK, end - at)
          await disk.read(buffer, 0, at, length, signal)
          await scratch.write(buffer, 0, at, length)
        }
    }
    if (++count % RUNS_A_TURN === 0) await setImmediate()
  }
}

const stopIfAborted = (signal: AbortSignal): void => {
  if (signal.aborted) throw fail("CANCELLED", { what: "listing files" })
}
