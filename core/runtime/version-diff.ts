/**
 * Where two versions of one image differ, told by the tables of their layers: no data is read, nor is the image itself opened.
 *
 * **Details** Where a version that was merged into a newer one is retired, its tables are gone, and those of the merged file would tell more than differs
 * between the two: whole clusters, and what versions that both were made on changed. Then their recorded checksums are compared: that is by clusters, and what was written with the same bytes is not told.
 */
import { setImmediate } from "node:timers/promises"
import { isDeepStrictEqual } from "node:util"
import type { Extent } from "../block/device.ts"
import { clusterDifferences, type Difference, differences } from "../block/layers/diff.ts"
import { LayerMap, type MapLayer } from "../block/layers/map.ts"
import { makeRunsFrom } from "../block/layers/runs-builder.ts"
import type { ImageEntry } from "../domain/catalogue.ts"
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import type { ImageOpener } from "../storage/opener.ts"
import { type ChangeStep, changePath, tellExactly } from "./change-path.ts"
import { loadTable } from "./image-check.ts"
import type { Parts } from "./parts.ts"
import type { ImageDiffAnswer } from "./site/image-diff.ts"
import { difference, type VersionRef } from "./version-ref.ts"

const RUNS_A_TURN = 16_384

export interface DiffRequest {
  readonly image: ImageEntry
  /** Versions of it. */
  readonly from: VersionRef
  readonly to: VersionRef
  readonly runsMax: number
}

type Means = Pick<Parts, "opener" | "layerMaps" | "sidecars">

/** What differs, to be gone through as often as one likes. */
export interface Differences {
  readonly toldBy: ImageDiffAnswer["toldBy"]
  readonly runs: () => Iterable<Difference>
  /** Gives the memory back that they are told from. */
  readonly close: () => void
}

/** @throws IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED IMAGE_CHANGED IMAGE_DAMAGED LAYER_MAPS_FULL IMAGE_UNVERIFIED */
export const versionDifferences = async (
  means: Means,
  { image, from, to }: Omit<DiffRequest, "runsMax">,
): Promise<Differences> => {
  const [before, after] = [changePath(image, from.version.number), changePath(image, to.version.number)]
  if (tellExactly(image, before, after)) return { toldBy: "layers", ...(await layerRuns(means, from, before, after)) }
  return { toldBy: "checksums", runs: await checksumRuns(means, from, to), close: () => {} }
}

/** @throws CANCELLED */
export const describeDifferences = async (
  { toldBy, runs }: Omit<Differences, "close">,
  { from, to, runsMax }: DiffRequest,
  signal: AbortSignal | undefined,
): Promise<ImageDiffAnswer> => {
  const found = new Found(Number(to.version.sizeBytes), runsMax)
  const turn = async () => {
    await setImmediate()
    if (signal?.aborted) throw fail("CANCELLED", { what: "the comparison" })
  }
  for (const run of runs()) {
    found.add(run)
    if (found.totals.runs % RUNS_A_TURN === 0) await turn()
  }
  return {
    ...{ image: to.imageName, from: from.version.number, to: to.version.number, sizeBytes: found.sizeBytes },
    ...{ toldBy, runs: found.runs, totals: found.totals },
    ...{ partBytes: found.partBytes, parts: found.parts },
  }
}

/** What the versions have in common is read once, so that it is passed over without a look inside. */
const layerRuns = async (
  { opener, layerMaps }: Means,
  from: VersionRef,
  before: ReadonlyArray<ChangeStep>,
  after: ReadonlyArray<ChangeStep>,
): Promise<Pick<Differences, "runs" | "close">> => {
  const sizeBytes = Number(from.version.sizeBytes)
  const read = new Map<number, MapLayer>()
  const mapOf = async (path: ReadonlyArray<ChangeStep>) => {
    for (const step of path.slice(1)) {
      const layer = step.version.number
      if (read.has(layer)) continue
      read.set(layer, { layer, runs: await makeRunsFrom(layerMaps, sizeBytes, runsOf(opener, from, step)) })
    }
    return new LayerMap(
      layerMaps,
      sizeBytes,
      path.slice(1).map(({ version }) => read.get(version.number)!),
    )
  }
  const maps: Array<LayerMap> = []
  const close = () => {
    for (const map of maps.splice(0)) map.release()
  }
  try {
    for (const path of [before, after]) maps.push(await mapOf(path))
    const [a, b] = maps
    return { runs: () => differences(a!, b!), close }
  } catch (e) {
    close()
    throw e
  } finally {
    for (const { runs } of read.values()) runs.release()
  }
}

async function* runsOf(opener: ImageOpener, ref: VersionRef, { version, tables }: ChangeStep): AsyncGenerator<Extent> {
  const opened = await opener.openTables(tables!, version.format)
  try {
    const [recorded] = isDeepStrictEqual(tables, version.storage) ? version.files : version.changes!.files
    const what = difference(recorded!.identity, opened.identity)
    if (what !== undefined) throw fail("IMAGE_CHANGED", { image: ref.imageName, path: recorded!.path, what })
    yield* opened.runs()
  } finally {
    await opened.close()
  }
}

/** By clusters, where the tables of a version between the two are gone. */
const checksumRuns = async (
  { sidecars }: Pick<Means, "sidecars">,
  from: VersionRef,
  to: VersionRef,
): Promise<() => Iterable<Difference>> => {
  const tables: Array<Uint32Array> = []
  for (const ref of [from, to]) {
    const table = await loadTable(sidecars, ref)
    if (table === undefined) throw fail("IMAGE_UNVERIFIED", { image: ref.imageName, version: ref.version.number })
    tables.push(table)
  }
  return () => clusterDifferences(tables[0]!, tables[1]!, Number(to.version.sizeBytes))
}

/** The runs, as many as are asked for, and the sums of all. */
class Found {
  readonly runs: Array<ImageDiffAnswer["runs"][number]> = []
  readonly totals = { runs: 0, dataBytes: 0, zeroBytes: 0 }
  readonly sizeBytes: number
  readonly partBytes: number
  readonly parts: Array<number>
  readonly #runsMax: number

  /** Parts are whole clusters; a small disk has fewer of them. */
  constructor(sizeBytes: number, runsMax: number) {
    const cluster = limits.clusterBytes
    this.sizeBytes = sizeBytes
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
