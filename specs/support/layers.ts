/** Layers for specs: data files in memory, and the maps that name them, a page or a grain at a time. */

import { ReadCache } from "../../core/block/cache.ts"
import type { Extent, ExtentKind } from "../../core/block/device.ts"
import { LayerMapBudget } from "../../core/block/layers/budget.ts"
import { LayerMap } from "../../core/block/layers/map.ts"
import { makeRuns } from "../../core/block/layers/runs-builder.ts"
import { openLayeredVersion } from "../../core/block/layers/version.ts"
import { type Behaviour, MemoryVolume } from "./memory-volume.ts"

export const GRAIN = 4096
/** Grains of one page of a layer map. */
export const PAGE = 8192

/** Runs of grains as extents of a disk of `sizeBytes`: `[first, count, kind]`. */
export const grains = (
  sizeBytes: number,
  ...runs: ReadonlyArray<readonly [first: number, count: number, kind: ExtentKind]>
): ReadonlyArray<Extent> =>
  runs.map(([first, count, kind]) => {
    const offset = first * GRAIN
    return { offset, length: Math.min(count * GRAIN, sizeBytes - offset), kind }
  })

/** Code of a map: data of a layer, or its zeros. */
export const data = (layer: number) => 2 * layer
export const zero = (layer: number) => 2 * layer + 1

/** The map of a first version: everything comes from the base. */
export const baseMap = (sizeBytes: number, budget = new LayerMapBudget()): LayerMap =>
  new LayerMap(budget, sizeBytes, [])

/** The map of a version that one layer more was committed to. The runs are its alone. */
export const extendMap = ({ budget, sizeBytes, layers }: LayerMap, layer: number, runs: Iterable<Extent>): LayerMap => {
  const own = makeRuns(budget, sizeBytes, runs)
  try {
    return new LayerMap(budget, sizeBytes, [...layers, { layer, runs: own }])
  } finally {
    own.release()
  }
}

/** What its own layer brought: they adjoin and cover the disk. */
export const ownRuns = (map: LayerMap): ReadonlyArray<Extent> => [...map.layers.at(-1)!.runs.extents()]

/** A base and the versions committed over it, newest last, with what each of them holds written beside it. */
export const layeredDisk = (bytes: Buffer, behaviour: Behaviour = {}) => {
  const sizeBytes = bytes.length
  const budget = new LayerMapBudget()
  const files = new Map<number, MemoryVolume>([[0, MemoryVolume.of(bytes, behaviour)]])
  const content = new Map<number, Buffer>([[0, bytes]])
  const maps = new Map<number, LayerMap>([[0, baseMap(sizeBytes, budget)]])

  /** Commits a layer over `parent`. What it zeroes holds other bytes in its file. */
  const commit = (parent: number, layer: number, runs: ReadonlyArray<Extent>, fill: (at: Extent) => Buffer) => {
    const file = new MemoryVolume(sizeBytes, behaviour)
    const now = Buffer.from(content.get(parent)!)
    for (const run of runs) {
      const written = fill(run)
      if (run.kind === "absent") continue
      file.put(written, 0, run.offset, run.length)
      if (run.kind === "zero") now.fill(0, run.offset, run.offset + run.length)
      else written.copy(now, run.offset)
    }
    files.set(layer, file)
    content.set(layer, now)
    maps.set(layer, extendMap(maps.get(parent)!, layer, runs))
  }

  const open = (
    layer: number,
    cache: ReadCache = new ReadCache({ bytes: 4 * 65_536 }),
    verify?: (layer: number, cluster: number, bytes: Uint8Array) => boolean,
  ) => {
    const map = maps.get(layer)!
    const parts = map.chain.map((n) => ({
      layer: n,
      contentId: `i@${n}`,
      source: files.get(n)!,
      verify: verify && ((cluster: number, bytes: Uint8Array) => verify(n, cluster, bytes)),
    }))
    return openLayeredVersion({ id: `i@${layer}`, cache, map, parts })
  }
  return { sizeBytes, budget, files, content, maps, commit, open }
}
