/**
 * Reads one version at a pace, from where it was left, and notes the clusters that are not what was recorded.
 *
 * **Details** It opens the files itself, past the cache, so it sees what the storage answers. A committed version whose parent was right when that was last read is
 * read where its own layer touched it; all else is the parent's, which is scrubbed by itself. What the files know to be zeros is not read. A cluster that cannot be read
 * at all is as bad as a wrong one, unless nothing can be read any more: then the storage is away, and the scrub of this version fails.
 * What others found bad meanwhile (or before) and this reading did not is read once more at the end, so that neither overrules the other.
 */

import { ZERO_CRC } from "../../block/checksums.ts"
import { type ClusterRun, ownClusters } from "../../block/layers/checksums.ts"
import type { LayerMap } from "../../block/layers/map.ts"
import { crc32c } from "../../bytes.ts"
import { fail, isImagelinkError } from "../../errors.ts"
import type { JobContext } from "../../jobs.ts"
import { limits } from "../../limits.ts"
import type { Parts } from "../parts.ts"
import { openVersionDisk, type VersionDisk } from "../version-disk.ts"
import { baseRef, changed, parentRef, refuseIfChanged, sinceRecorded, type VersionRef } from "../version-ref.ts"
import type { Pace } from "./pace.ts"
import type { Bad, Position } from "./position.ts"

const CLUSTER = limits.clusterBytes
const STEP = limits.scanBytes / CLUSTER

type Disk = VersionDisk["disk"]

export interface ReadOptions {
  readonly parts: Pick<Parts, "opener" | "layerMaps">
  readonly ref: VersionRef
  /** The recorded checksums. */
  readonly table: Uint32Array
  /** Goes forward as clusters are read. */
  readonly position: Position
  readonly pace: Pace
  /** After each step. */
  readonly onStep: () => Promise<void>
  /** The bad clusters of the version that the log lists now. */
  readonly listed: () => Promise<ReadonlyArray<number>>
  readonly job: JobContext
}

/** @throws CANCELLED IMAGE_CHANGED IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED IMAGE_DAMAGED IO_ERROR */
export const readVersion = async (options: ReadOptions): Promise<void> => {
  const { parts, ref, table, job } = options
  const { opener } = parts
  const { disk, files, map } = await openVersionDisk(parts, ref)
  const refuseOther = async () => {
    await refuseIfChanged(opener, ref)
    if (ref.below.length > 0) await refuseIfChanged(opener, baseRef(ref))
  }
  try {
    if (disk.sizeBytes !== Number(ref.version.sizeBytes)) throw changed(ref, "its size changed")
    const identities = files.map((file) => file.identity)
    const since = sinceRecorded(ref, identities)
    if (since !== undefined) throw changed(ref, since)
    await refuseOther()
    const reader = new ClusterReader(disk, table)
    await readRuns(options, reader, runsOf(ref, table, map))
    await readListed(options, reader)
    await refuseOther()
  } finally {
    await disk.close()
  }
  job.progress({ done: disk.sizeBytes, total: disk.sizeBytes, unit: "bytes" })
}

/** Whether only what its own layer touched is to be read: the rest is the parent's and was right there. */
export const isReadInPart = (ref: VersionRef): boolean => {
  const { count, clusters } = ref.version.check!.mismatches
  return parentRef(ref)?.version.check?.result === "verified" && count === clusters.length
}

const runsOf = (ref: VersionRef, { length }: Uint32Array, map: LayerMap | undefined): Iterable<ClusterRun> =>
  map !== undefined && isReadInPart(ref) ? ownClusters(map) : [{ first: 0, end: length }]

const readRuns = async (
  { position, pace, onStep, job: { signal, progress } }: ReadOptions,
  reader: ClusterReader,
  runs: Iterable<ClusterRun>,
): Promise<void> => {
  const total = reader.disk.sizeBytes
  for (const run of runs) {
    for (let first = Math.max(run.first, position.next); first < run.end; first = position.next) {
      if (signal.aborted) throw fail("CANCELLED", { what: "reading the version" })
      const { end, bytesRead, bad } = await reader.judge(first, run.end, signal)
      for (const cluster of bad) note(position.bad, cluster)
      position.next = end
      await onStep()
      progress({ done: Math.min(end * CLUSTER, total), total, unit: "bytes" })
      await pace(bytesRead, signal)
    }
  }
}

const readListed = async ({ position: { bad }, pace, listed, job }: ReadOptions, reader: ClusterReader) => {
  // Of more than are listed nobody can tell which were counted.
  if (bad.count > bad.clusters.length) return
  for (const cluster of await listed()) {
    if (bad.clusters.includes(cluster)) continue
    if (job.signal.aborted) throw fail("CANCELLED", { what: "reading the version" })
    const { bad: found, bytesRead } = await reader.judge(cluster, cluster + 1, job.signal)
    for (const one of found) note(bad, one)
    await pace(bytesRead, job.signal)
  }
  bad.clusters.sort((a, b) => a - b)
}

const note = (bad: Bad, cluster: number): void => {
  bad.count++
  if (bad.clusters.length < limits.checkClustersListedMax) bad.clusters.push(cluster)
}

interface Judged {
  /** One past the last cluster that was judged. */
  readonly end: number
  readonly bytesRead: number
  readonly bad: ReadonlyArray<number>
}

class ClusterReader {
  readonly disk: Disk
  readonly #table: Uint32Array
  readonly #buffer = new Uint8Array(limits.scanBytes)
  /** Clusters in a row that could not be read. */
  #unread = 0

  constructor(disk: Disk, table: Uint32Array) {
    this.disk = disk
    this.#table = table
  }

  /** Judges clusters from `first` on, at most up to `limit`. */
  async judge(first: number, limit: number, signal: AbortSignal): Promise<Judged> {
    const bad: Array<number> = []
    const zeros = await this.#zeroClusters(first, limit)
    if (zeros > 0) {
      for (let cluster = first; cluster < first + zeros; cluster++)
        if (this.#table[cluster] !== ZERO_CRC) bad.push(cluster)
      return { end: first + zeros, bytesRead: 0, bad }
    }
    const end = Math.min(first + STEP, limit)
    const bytesRead = Math.min(end * CLUSTER, this.disk.sizeBytes) - first * CLUSTER
    try {
      await this.#read(first, end, bad, signal)
      this.#unread = 0
    } catch (e) {
      if (!isUnreadable(e)) throw e
      for (let cluster = first; cluster < end; cluster++) await this.#readOne(cluster, bad, signal)
    }
    return { end, bytesRead, bad }
  }

  async #readOne(cluster: number, bad: Array<number>, signal: AbortSignal): Promise<void> {
    try {
      await this.#read(cluster, cluster + 1, bad, signal)
      this.#unread = 0
    } catch (e) {
      if (!isUnreadable(e) || ++this.#unread > limits.scrubUnreadableMax) throw e
      bad.push(cluster)
    }
  }

  async #read(first: number, end: number, bad: Array<number>, signal: AbortSignal): Promise<void> {
    const offset = first * CLUSTER
    const length = Math.min(end * CLUSTER, this.disk.sizeBytes) - offset
    const buffer = this.#buffer
    await this.disk.read(buffer, 0, offset, length, signal)
    buffer.fill(0, length)
    for (let cluster = first; cluster < end; cluster++) {
      const at = (cluster - first) * CLUSTER
      if (crc32c(buffer.subarray(at, at + CLUSTER)) !== this.#table[cluster]) bad.push(cluster)
    }
  }

  /** How many whole clusters from `first` on the files know to be zeros. */
  async #zeroClusters(first: number, limit: number): Promise<number> {
    const { disk } = this
    if (disk.extents === undefined) return 0
    const offset = first * CLUSTER
    const length = Math.min(limit * CLUSTER, disk.sizeBytes) - offset
    const [run] = await disk.extents(offset, length, 1)
    if (run === undefined || run.kind === "data" || run.offset > offset) return 0
    const end = run.offset + run.length
    const clusters = end >= offset + length ? limit - first : Math.floor(end / CLUSTER) - first
    return Math.min(clusters, limits.scrubZeroClustersMax)
  }
}

const isUnreadable = (e: unknown): boolean => isImagelinkError(e) && e.code === "IO_ERROR"
