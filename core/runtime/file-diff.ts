/**
 * Which files differ between two versions of an image, partition by partition.
 *
 * **Details** Only partitions that were written to are looked into. What the earlier version has in them is copied into a scratch file, which
 * is listed; then what changed is copied over it, and it is listed again. So a tool sees both versions, at the price of one copy.
 */

import type { Difference } from "../block/layers/diff.ts"
import { fail, isImagelinkError } from "../errors.ts"
import type { JobContext } from "../jobs.ts"
import { limits } from "../limits.ts"
import { type FileChange, FileComparison } from "./file-comparison.ts"
import type { ScratchDisk } from "./file-lister.ts"
import { type ComparedPartition, pairPartitions } from "./partition-pairs.ts"
import type { Parts } from "./parts.ts"
import { copyData, copyRuns, dataBytes, type Range, rangesOf } from "./scratch-copy.ts"
import type { FileDiffAnswer, PartitionDiff } from "./site/image-diff.ts"
import { openVersionDisk, type VersionDisk } from "./version-disk.ts"
import type { VersionRef } from "./version-ref.ts"

export interface FileDiffRequest {
  readonly from: VersionRef
  readonly to: VersionRef
  readonly runs: () => Iterable<Difference>
  readonly rowsMax: number
}

type Means = Pick<Parts, "opener" | "layerMaps" | "files" | "fileLister">
type Disk = VersionDisk["disk"]

/** @throws FILE_TOOL_MISSING FILE_COPY_REFUSED PARTITION_TABLE_DAMAGED NO_SPACE CANCELLED and what opening a version throws */
export const diffFiles = async (means: Means, request: FileDiffRequest, job: JobContext): Promise<FileDiffAnswer> => {
  const before = await openVersionDisk(means, request.from)
  try {
    const after = await openVersionDisk(means, request.to)
    try {
      return await compareDisks(means, request, [before.disk, after.disk], job)
    } finally {
      await after.disk.close()
    }
  } finally {
    await before.disk.close()
  }
}

const compareDisks = async (
  means: Means,
  request: FileDiffRequest,
  [before, after]: readonly [Disk, Disk],
  job: JobContext,
): Promise<FileDiffAnswer> => {
  const pairs = await pairPartitions([request.from, before], [request.to, after], request.runs, job.signal)
  const listed = pairs.filter((pair) => pair.outcome === "compared")
  if (listed.length === 0) return answerOf(pairs, new Map(), request.rowsMax)
  const scratch = await (await means.fileLister()).scratch(Math.max(before.sizeBytes, after.sizeBytes))
  try {
    const ranges = rangesOf(listed)
    await refuseWithoutRoom(means, request, before, ranges, listed)
    const found = new Map(listed.map((pair) => [pair, new Listing(request.rowsMax)]))
    await copyData(before, scratch, ranges, job)
    for (const [{ offset, fileSystem }, listing] of found)
      if (fileSystem.from !== null) await listing.read(scratch, offset, "before", fileSystem.from, job.signal)
    await copyRuns(after, scratch, ranges, request.runs(), job.signal)
    for (const [{ offset, fileSystem }, listing] of found)
      if (fileSystem.to !== null) await listing.read(scratch, offset, "after", fileSystem.to, job.signal)
    return answerOf(pairs, found, request.rowsMax)
  } finally {
    await scratch.close()
  }
}

/** The files of one partition; `why` is set where the tool could not read it in either version. */
class Listing {
  readonly comparison: FileComparison
  why: string | null = null

  constructor(rowsMax: number) {
    this.comparison = new FileComparison(rowsMax)
  }

  async read(scratch: ScratchDisk, offset: number, which: "before" | "after", fileSystem: string, signal: AbortSignal) {
    if (this.why !== null || fileSystem === "empty") return
    try {
      await scratch.list(offset, this.comparison[which], signal)
    } catch (e) {
      if (!isImagelinkError(e) || e.code !== "FILE_LISTING_FAILED") throw e
      this.why = e.reason
    }
  }
}

/** An estimate from above: what is known to be zeros takes no room, and more may turn out to be. */
const refuseWithoutRoom = async (
  { files }: Means,
  { from }: FileDiffRequest,
  before: Disk,
  ranges: ReadonlyArray<Range>,
  listed: ReadonlyArray<ComparedPartition>,
): Promise<void> => {
  const space = await files.space?.()
  if (space === undefined) return
  const changed = listed.reduce((sum, { changedBytes }) => sum + changedBytes, 0)
  const needBytes = (await dataBytes(before, ranges)) + changed
  const freeBytes = Math.max(0, space.freeBytes - limits.diffFreeBytesMin)
  if (needBytes > freeBytes) throw fail("FILE_COPY_REFUSED", { image: from.imageName, needBytes, freeBytes })
}

const NONE = { added: 0, removed: 0, changed: 0 }

const answerOf = (
  pairs: ReadonlyArray<ComparedPartition>,
  found: ReadonlyMap<ComparedPartition, Listing>,
  rowsMax: number,
): FileDiffAnswer => {
  const rows: Array<FileChange & { readonly partition: number }> = []
  const totals = { ...NONE }
  const partitions = pairs.map((pair): PartitionDiff => {
    const listing = found.get(pair)
    if (listing === undefined) return { ...pair, totals: NONE }
    if (listing.why !== null) return { ...pair, outcome: "unread", why: listing.why, totals: NONE }
    const { comparison } = listing
    for (const row of comparison.end()) if (rows.length < rowsMax) rows.push({ partition: pair.number, ...row })
    for (const key of ["added", "removed", "changed"] as const) totals[key] += comparison.totals[key]
    return { ...pair, totals: comparison.totals }
  })
  return { partitions, rows, totals }
}
