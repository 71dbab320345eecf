/**
 * Copies what several layers have together into one file, comparing every byte with the recorded checksums on the way.
 *
 *     windows of merge.ts ─► clusters that changed, whole ─► checksum ─► file
 *
 * **Details** A cluster that changed is copied whole, whatever of it changed: its checksum asks for all of it anyway, and it is read from one file afterwards.
 * In grains it would be read from two, in up to sixteen pieces, and four times as slowly. So what small scattered changes take grows, at most to
 * a cluster for each. A cluster of zeros takes nothing. Clusters that nobody changed are not read. A mebibyte is held at a time.
 */
import { crc32c } from "../../bytes.ts"
import { fail } from "../../errors.ts"
import { limits } from "../../limits.ts"
import type { Volume } from "../../storage/volume.ts"
import type { Extent } from "../device.ts"
import { inParallel } from "../parallel.ts"
import { isMergedZero, layerIndex, type MergedWindow, mergeLayers, NOTHING } from "./merge.ts"
import { GRAIN } from "./page.ts"

const CLUSTER = limits.clusterBytes
const CLUSTER_GRAINS = CLUSTER / GRAIN
const ZERO_CRC = crc32c(new Uint8Array(CLUSTER))
const STEP_CLUSTERS = limits.scanBytes / CLUSTER

/** The tables of the new file, while it is written (core/storage/format.ts). */
interface FlatLayer {
  readonly dataOffset: number
  add(run: Extent, into: Target): Promise<void>
  finish(into: Target): Promise<void>
}

interface Target {
  write(bytes: Uint8Array, offset: number): Promise<void>
}

export interface MergeSource {
  readonly data: Pick<Volume, "read">
  runs(): AsyncIterable<Extent>
}

export interface FlattenRequest {
  readonly sizeBytes: number
  /** The oldest first. */
  readonly layers: ReadonlyArray<MergeSource>
  /** What shows through where none of them has anything; undefined for zeros. */
  readonly below: Pick<Volume, "read"> | undefined
  /** Checksums of the version that they make. */
  readonly table: Uint32Array
  readonly into: Required<Pick<Volume, "write">>
  readonly flat: FlatLayer
  /** The error of a cluster that is not what was recorded. */
  readonly mismatch: (cluster: number) => Error
  readonly signal?: AbortSignal
  /** How far on the disk it came, and what was read and written since the last call. Waited for. */
  readonly onStep?: (done: number, bytes: number) => Promise<void> | void
}

export interface FlattenTotals {
  readonly dataBytes: number
  readonly zeroBytes: number
}

/** Settles when everything is written, and nothing is synced yet. @throws CANCELLED, `mismatch`, and what reading and writing throw */
export const flattenLayers = async (request: FlattenRequest): Promise<FlattenTotals> => {
  const { sizeBytes, layers, flat, into } = request
  const copy = new Copy(request)
  for await (const window of mergeLayers(
    sizeBytes,
    layers.map((layer) => layer.runs()),
  ))
    await copy.window(window)
  await flat.finish({ write: (bytes, offset) => into.write(bytes, 0, offset, bytes.length) })
  await request.onStep?.(sizeBytes, 0)
  return { dataBytes: copy.dataBytes, zeroBytes: copy.zeroBytes }
}

/** Most that the copy can take: what its layers' tables say, without a look at their bytes. */
export const flattenedBytesMax = async ({
  sizeBytes,
  layers,
}: Pick<FlattenRequest, "sizeBytes" | "layers">): Promise<number> => {
  const runs = layers.map((layer) => layer.runs())
  let clusters = 0
  for await (const window of mergeLayers(sizeBytes, runs))
    for (let cluster = 0; cluster * CLUSTER_GRAINS < window.grains; cluster++)
      if (isTouched(window, cluster)) clusters++
  return clusters * CLUSTER
}

class Copy {
  dataBytes = 0
  zeroBytes = 0
  readonly #r: FlattenRequest
  readonly #buffer = new Uint8Array(limits.scanBytes)

  constructor(request: FlattenRequest) {
    this.#r = request
  }

  async window(window: MergedWindow): Promise<void> {
    const clusters = Math.ceil(window.grains / CLUSTER_GRAINS)
    for (let cluster = 0; cluster < clusters; ) {
      if (!isTouched(window, cluster)) {
        cluster++
        continue
      }
      let end = cluster + 1
      while (end < clusters && end - cluster < STEP_CLUSTERS && isTouched(window, end)) end++
      await this.#step(window, cluster, end)
      cluster = end
    }
  }

  /** Clusters `[first, end)` of the window, all of which changed. */
  async #step({ offset: from, grains, codes }: MergedWindow, first: number, end: number): Promise<void> {
    const { sizeBytes, table, mismatch, signal } = this.#r
    if (signal?.aborted) throw fail("CANCELLED", { what: "merging the layers" })
    const start = from + first * CLUSTER
    const length = Math.min(from + end * CLUSTER, sizeBytes) - start
    const runs = runsOf(codes, first * CLUSTER_GRAINS, Math.min(end * CLUSTER_GRAINS, grains), from, sizeBytes)
    this.#buffer.fill(0, length)
    await inParallel(runs.length, limits.requestPiecesMax, (i) => this.#read(runs[i]!, start))
    const kinds: Array<"data" | "zero"> = []
    for (let cluster = first; cluster < end; cluster++) {
      const at = (cluster - first) * CLUSTER
      const number = from / CLUSTER + cluster
      const checksum = crc32c(this.#buffer.subarray(at, at + CLUSTER))
      if (checksum !== table[number]) throw mismatch(number)
      kinds.push(checksum === ZERO_CRC ? "zero" : "data")
    }
    const written = await this.#write(kinds, start, length)
    await this.#r.onStep?.(start + length, length + written)
  }

  async #read({ code, offset, length }: CodeRun, start: number): Promise<void> {
    const { layers, below, signal } = this.#r
    const source = code === NOTHING ? below : layers[layerIndex(code)]!.data
    const at = offset - start
    if (isMergedZero(code) || source === undefined) this.#buffer.fill(0, at, at + length)
    else await source.read(this.#buffer, at, offset, length, signal)
  }

  /** Neighbours of one kind are one run of the new layer. */
  async #write(kinds: ReadonlyArray<"data" | "zero">, start: number, bytes: number): Promise<number> {
    const { flat, into } = this.#r
    const target = { write: (from: Uint8Array, offset: number) => into.write(from, 0, offset, from.length) }
    let written = 0
    for (let first = 0; first < kinds.length; ) {
      const kind = kinds[first]!
      let end = first + 1
      while (kinds[end] === kind) end++
      const at = first * CLUSTER
      const length = Math.min(end * CLUSTER, bytes) - at
      first = end
      await flat.add({ offset: start + at, length, kind }, target)
      this[kind === "zero" ? "zeroBytes" : "dataBytes"] += length
      if (kind === "zero") continue
      await into.write(this.#buffer, at, flat.dataOffset + start + at, length)
      written += length
    }
    return written
  }
}

interface CodeRun {
  readonly code: number
  readonly offset: number
  readonly length: number
}

const isTouched = ({ codes, grains }: MergedWindow, cluster: number): boolean => {
  const end = Math.min((cluster + 1) * CLUSTER_GRAINS, grains)
  for (let g = cluster * CLUSTER_GRAINS; g < end; g++) if (codes[g] !== NOTHING) return true
  return false
}

/** Runs of equal codes in `[first, end)`, which ends with the disk where that does. */
const runsOf = (
  codes: Uint16Array,
  first: number,
  end: number,
  from: number,
  sizeBytes: number,
): ReadonlyArray<CodeRun> => {
  const runs: Array<CodeRun> = []
  for (let g = first; g < end; ) {
    const code = codes[g]!
    let to = g + 1
    while (to < end && codes[to] === code) to++
    const offset = from + g * GRAIN
    runs.push({ code, offset, length: Math.min(from + to * GRAIN, sizeBytes) - offset })
    g = to
  }
  return runs
}
