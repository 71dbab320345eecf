/**
 * The checksums of a committed version out of its parent's: only the clusters that its layer touched are read.
 *
 * **Details** Every other cluster has the parent's bytes and so the parent's checksum. A commit of a few changed gigabytes on a disk of
 * terabytes is checksummed by reading those gigabytes, a mebibyte at a time. Runs that
 * the map knows to be zeros are not read.
 */
import assert from "node:assert"
import { crc32c } from "../../bytes.ts"
import { fail } from "../../errors.ts"
import { limits } from "../../limits.ts"
import type { ComputeOptions } from "../checksums.ts"
import type { LayerMap } from "./map.ts"
import { GRAIN, isZeroCode } from "./page.ts"
import type { LayeredVolume } from "./volume.ts"

const CLUSTER = limits.clusterBytes
const ZERO_CRC = crc32c(new Uint8Array(CLUSTER))

/** A run of clusters that the map's own layer touched: `[first, end)`. */
export interface ClusterRun {
  readonly first: number
  readonly end: number
}

/** The clusters that `map.layer` touched, in runs as long as they can be; every other one is as in the parent. */
export function* ownClusters(map: LayerMap): Generator<ClusterRun> {
  let open: { readonly first: number; end: number } | undefined
  for (const { offset, length } of map.layers.at(-1)?.runs.own() ?? []) {
    const first = Math.floor(offset / CLUSTER)
    const end = Math.ceil((offset + length) / CLUSTER)
    if (open !== undefined && first <= open.end) open.end = end
    else {
      if (open !== undefined) yield open
      open = { first, end }
    }
  }
  if (open !== undefined) yield open
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
  for (const run of ownClusters(map)) {
    for (let first = run.first; first < run.end; ) {
      if (signal?.aborted) throw fail("CANCELLED", { what: "reading the version" })
      const zeros = zeroClusters(map, first, run.end)
      const end = zeros > first ? zeros : Math.min(run.end, first + limits.scanBytes / CLUSTER)
      if (zeros > first) table.fill(ZERO_CRC, first, zeros)
      else await readTable(table, first, end, volume, sizeBytes, buffer, signal)
      first = end
      onProgress?.(Math.min(end * CLUSTER, sizeBytes), sizeBytes)
    }
  }
  onProgress?.(sizeBytes, sizeBytes)
  return table
}

/** End of the clusters from `first` on that are zeros by the map; `first` when that one is not. */
const zeroClusters = (map: LayerMap, first: number, limit: number): number => {
  const grain = (first * CLUSTER) / GRAIN
  if (!isZeroCode(map.lookup(grain))) return first
  const end = map.runEnd(grain, Math.min(map.grains, (limit * CLUSTER) / GRAIN))
  return end === map.grains ? limit : Math.floor((end * GRAIN) / CLUSTER)
}

const readTable = async (
  table: Uint32Array,
  first: number,
  end: number,
  volume: Pick<LayeredVolume, "read">,
  sizeBytes: number,
  buffer: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<void> => {
  const offset = first * CLUSTER
  const length = Math.min(end * CLUSTER, sizeBytes) - offset
  await volume.read(buffer, 0, offset, length, signal)
  buffer.fill(0, length)
  for (let cluster = first; cluster < end; cluster++) {
    const at = (cluster - first) * CLUSTER
    table[cluster] = crc32c(buffer.subarray(at, at + CLUSTER))
  }
}
