/**
 * Where two versions of one image differ, told by the tables of their layers: no data is read, nor is the image itself opened.
 */
import { setImmediate } from "node:timers/promises"
import type { Extent } from "../block/device.ts"
import { differences } from "../block/layers/diff.ts"
import { LayerMapBudget } from "../block/layers/map.ts"
import { type MapHold, VersionMaps } from "../block/layers/version-maps.ts"
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import type { ImageOpener } from "../storage/opener.ts"
import type { ImageDiffAnswer } from "./site.ts"
import { openLayer, parentRef, type VersionRef } from "./version-ref.ts"

const RUNS_A_TURN = 16_384

/** Both are versions of one image. @throws IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED IMAGE_CHANGED IMAGE_DAMAGED LAYER_MAPS_FULL CANCELLED */
export const diffVersions = async (
  opener: ImageOpener,
  from: VersionRef,
  to: VersionRef,
  runsMax: number,
  signal: AbortSignal | undefined,
): Promise<ImageDiffAnswer> => {
  const maps = new VersionMaps(new LayerMapBudget())
  const before = await holdMap(maps, opener, from)
  const after = await holdMap(maps, opener, to)
  const { sizeBytes } = after.map
  const found = new Found(sizeBytes, runsMax)
  for (const run of differences(before.map, after.map)) {
    found.add(run)
    if (found.totals.runs % RUNS_A_TURN !== 0) continue
    await setImmediate()
    if (signal?.aborted) throw fail("CANCELLED", { what: "the comparison" })
  }
  const { runs, totals, partBytes, parts } = found
  return {
    ...{ image: to.imageName, from: from.version.number, to: to.version.number },
    ...{ sizeBytes, runs, totals, partBytes, parts },
  }
}

/** What the versions have in common is made once and kept, so that it is passed over without a look inside. */
const holdMap = (maps: VersionMaps, opener: ImageOpener, ref: VersionRef): Promise<MapHold> => {
  const refs: Array<VersionRef> = []
  for (let at: VersionRef | undefined = ref; at !== undefined; at = parentRef(at)) refs.push(at)
  const [base, ...layers] = refs.reverse()
  const steps = layers.map((layer) => {
    const { number } = layer.version
    return { key: String(number), layer: number, runs: () => runsOf(opener, layer), keep: true }
  })
  return maps.hold({ key: String(base!.version.number), sizeBytes: Number(ref.version.sizeBytes) }, steps)
}

async function* runsOf(opener: ImageOpener, ref: VersionRef): AsyncGenerator<Extent> {
  const layer = await openLayer(opener, ref)
  try {
    yield* layer.runs()
  } finally {
    await layer.close()
  }
}

/** The runs, as many as are asked for, and the sums of all. */
class Found {
  readonly runs: Array<ImageDiffAnswer["runs"][number]> = []
  readonly totals = { runs: 0, dataBytes: 0, zeroBytes: 0 }
  readonly partBytes: number
  readonly parts: Array<number>
  readonly #runsMax: number

  /** Parts are whole clusters; a small disk has fewer of them. */
  constructor(sizeBytes: number, runsMax: number) {
    const cluster = limits.clusterBytes
    this.partBytes = Math.ceil(sizeBytes / limits.diffParts / cluster) * cluster
    this.parts = new Array(Math.ceil(sizeBytes / this.partBytes)).fill(0)
    this.#runsMax = runsMax
  }

  add(run: ImageDiffAnswer["runs"][number]): void {
    const { offset, length, kind } = run
    this.totals.runs++
    this.totals[kind === "data" ? "dataBytes" : "zeroBytes"] += length
    if (this.runs.length < this.#runsMax) this.runs.push(run)
    for (let at = offset; at < offset + length; ) {
      const part = Math.floor(at / this.partBytes)
      const end = Math.min(offset + length, (part + 1) * this.partBytes)
      this.parts[part]! += end - at
      at = end
    }
  }
}
