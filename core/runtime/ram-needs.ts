/** What a version needs of the RAM tier: its clusters that are not known to be zeros, each under the content that brought it. */
import { setImmediate as turn } from "node:timers/promises"
import { ZERO_CRC } from "../block/checksums.ts"
import { ClusterSet } from "../block/cluster-set.ts"
import type { Version } from "../block/version.ts"
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"

const CLUSTER = limits.clusterBytes

/** Memory is taken in chunks, each of one content. */
export const chunksOf = (clusters: number): number => Math.ceil((clusters * CLUSTER) / limits.ramChunkBytes)

/** The clusters of a version that take room and are not planned yet, by content. */
export const needsOf = async (
  device: Version,
  runs: AsyncIterable<Run> | Iterable<Run>,
  planned: ReadonlyMap<string, ClusterSet>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, ClusterSet>> => {
  const fresh = new Map<string, ClusterSet>()
  let walked = 0
  for await (const [first, end] of runs)
    for (let cluster = first; cluster < end; cluster++) {
      if (++walked % limits.ramPlanTurnClusters === 0) await turn()
      if (signal.aborted) throw fail("CANCELLED", { what: "placing an image in RAM" })
      const id = device.contentIdOf(cluster)
      if (planned.get(id)?.has(cluster)) continue
      const set = fresh.get(id) ?? new ClusterSet()
      fresh.set(id, set)
      set.add(cluster)
    }
  return fresh
}

export type Run = readonly [first: number, end: number]

/** Clusters of a hot zone that are not known to be zeros. */
export function* zoneClusters(zone: Uint32Array, table: Uint32Array | undefined): Generator<Run> {
  for (const cluster of zone) if (table?.[cluster] !== ZERO_CRC) yield [cluster, cluster + 1]
}

/** Runs of clusters, `[first, end)`, that are not known to be zeros. */
export async function* dataClusters(device: Version, table: Uint32Array | undefined): AsyncGenerator<Run> {
  const { sizeBytes } = device
  if (table !== undefined) {
    for (let first = 0; first < table.length; first++) {
      let end = first
      while (end < table.length && table[end] !== ZERO_CRC) end++
      if (end > first) yield [first, end]
      first = end
    }
    return
  }
  for (let offset = 0; offset < sizeBytes; ) {
    const found = await device.extents(offset, sizeBytes - offset, limits.formatExtentLookupsMax)
    for (const { offset: from, length, kind } of found)
      if (kind === "data") yield [Math.floor(from / CLUSTER), Math.ceil((from + length) / CLUSTER)]
    const end = found.at(-1)
    offset = end === undefined ? sizeBytes : end.offset + end.length
  }
}
