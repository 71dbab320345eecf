/**
 * The checksums of a committed version out of its parent's: only the clusters that its layer touched are read.
 *
 * **Details** Every other cluster has the parent's bytes and so the parent's checksum. A commit of a few changed gigabytes on a disk of
 * terabytes is checksummed by reading those gigabytes, a mebibyte at a time.
 */
import assert from "node:assert"
import { crc32c } from "../../bytes.ts"
import { fail } from "../../errors.ts"
import { limits } from "../../limits.ts"
import type { ComputeOptions } from "../checksums.ts"
import type { LayerMap } from "./map.ts"
import { PAGE_SPAN } from "./page.ts"
import type { LayeredVolume } from "./volume.ts"

const CLUSTER = limits.clusterBytes
const PAGE_CLUSTERS = PAGE_SPAN / CLUSTER

/** A run of clusters that the map's own layer touched: `[first, end)`. */
export interface ClusterRun {
  readonly first: number
  readonly end: number
}

/** The clusters that `map.layer` touched, in runs of at most `max`; every other one is as in the parent. */
export function* ownClusters(map: LayerMap, max = Number.POSITIVE_INFINITY): Generator<ClusterRun> {
  const total = Math.ceil(map.sizeBytes / CLUSTER)
  let first = -1
  for (let cluster = 0; cluster < total; cluster++) {
    const isOwn = map.contentOf(cluster) === map.layer
    if (first >= 0 && (!isOwn || cluster - first === max)) {
      yield { first, end: cluster }
      first = -1
    }
    if (isOwn && first < 0) first = cluster
    const passes = !isOwn && cluster % PAGE_CLUSTERS === 0 && map.pageAt(cluster / PAGE_CLUSTERS).newest < map.layer
    if (passes) cluster += PAGE_CLUSTERS - 1
  }
  if (first >= 0) yield { first, end: total }
}

/**
 * The table of the version that `map` is of. `volume` answers that version's content.
 * @throws CANCELLED, and what the volume throws
 */
export const extendChecksums = async (
  parent: Uint32Array,
  map: LayerMap,
  volume: Pick<LayeredVolume, "read">,
  { signal, onProgress }: ComputeOptions = {},
): Promise<Uint32Array> => {
  const { sizeBytes } = map
  const table = Uint32Array.from(parent)
  assert.equal(table.length, Math.ceil(sizeBytes / CLUSTER), "the parent's table is of the same disk")
  const buffer = new Uint8Array(limits.scanBytes)
  for (const { first, end } of ownClusters(map, limits.scanBytes / CLUSTER)) {
    if (signal?.aborted) throw fail("CANCELLED", { what: "reading the version" })
    const offset = first * CLUSTER
    const length = Math.min(end * CLUSTER, sizeBytes) - offset
    await volume.read(buffer, 0, offset, length, signal)
    buffer.fill(0, length)
    for (let cluster = first; cluster < end; cluster++) {
      const at = (cluster - first) * CLUSTER
      table[cluster] = crc32c(buffer.subarray(at, at + CLUSTER))
    }
    onProgress?.(offset + length, sizeBytes)
  }
  onProgress?.(sizeBytes, sizeBytes)
  return table
}
