/**
 * A version made of layers, as a volume of its guest content: each run of grains from the file its map names.
 *
 * | grain's code      | read from                                                     |
 * | ----------------- | ------------------------------------------------------------- |
 * | base              | the base: version 1's disk                                    |
 * | data of layer k   | layer k's data file, at the same offset                       |
 * | zero of layer k   | nowhere: zeros, whatever layer k's data file still holds there |
 *
 * **Details** The synchronous door is there only when every source has one; it may fill part of the caller's buffer before it meets a miss.
 * It sits below the cache, like the disk of a format.
 *
 * **Gotchas** It closes none of its sources and does not release its map: versions share them.
 */
import assert from "node:assert"
import { limits } from "../../limits.ts"
import type { Volume } from "../../storage/volume.ts"
import type { Extent } from "../device.ts"
import { clipExtents, ExtentList } from "../extents.ts"
import { inParallel } from "../parallel.ts"
import type { LayerMap } from "./map.ts"
import { GRAIN, isZeroCode, layerOfCode } from "./page.ts"

export type LayerSource = Pick<Volume, "sizeBytes" | "read" | "readSync" | "extents">

/** By layer number; 0 is the base. Numbers that the version's chain leaves out have no source. */
export type LayerSources = ReadonlyMap<number, LayerSource>

export interface LayeredVolume {
  readonly sizeBytes: number
  read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void>
  readonly readSync?: (into: Uint8Array, at: number, offset: number, length: number) => boolean
  extents(offset: number, length: number, max: number): Promise<ReadonlyArray<Extent>>
}

interface Run {
  readonly code: number
  readonly offset: number
  readonly length: number
}

/** Puts a map and its sources together. */
export const layeredVolume = (map: LayerMap, sources: LayerSources): LayeredVolume => {
  const byLayer: Array<LayerSource | undefined> = []
  for (const [layer, source] of sources) {
    assert.equal(source.sizeBytes, map.sizeBytes, "every layer of a version has the size of its disk")
    byLayer[layer] = source
  }
  const volume = new Layered(map, byLayer)
  const direct = [...sources.values()].every((source) => source.readSync !== undefined)
  return direct ? Object.assign(volume, { readSync: volume.readNow.bind(volume) }) : volume
}

/** First grain behind a range. */
const limitOf = (offset: number, length: number): number => Math.floor((offset + length - 1) / GRAIN) + 1

class Layered {
  readonly sizeBytes: number
  readonly #map: LayerMap
  readonly #sources: ReadonlyArray<LayerSource | undefined>

  constructor(map: LayerMap, sources: ReadonlyArray<LayerSource | undefined>) {
    this.sizeBytes = map.sizeBytes
    this.#map = map
    this.#sources = sources
  }

  readNow(into: Uint8Array, at: number, offset: number, length: number): boolean {
    const map = this.#map
    const end = offset + length
    const limit = limitOf(offset, length)
    for (let from = offset; from < end; ) {
      const grain = Math.floor(from / GRAIN)
      const code = map.lookup(grain)
      const to = Math.min(end, map.runEnd(grain, limit) * GRAIN)
      const place = at + from - offset
      if (isZeroCode(code)) into.fill(0, place, place + to - from)
      else if (!this.#source(code).readSync!(into, place, from, to - from)) return false
      from = to
    }
    return true
  }

  read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    const grain = Math.floor(offset / GRAIN)
    const code = this.#map.lookup(grain)
    // Most reads lie in one run: the promise of its file is as good as one of our own.
    if (!isZeroCode(code) && this.#map.runEnd(grain, limitOf(offset, length)) * GRAIN >= offset + length) {
      return this.#source(code).read(into, at, offset, length, signal)
    }
    return this.#readRuns(into, at, offset, length, signal)
  }

  async #readRuns(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    const runs = this.#runs(offset, length)
    await inParallel(runs.length, limits.requestPiecesMax, async (i) => {
      const run = runs[i]!
      const place = at + run.offset - offset
      if (isZeroCode(run.code)) into.fill(0, place, place + run.length)
      else await this.#source(run.code).read(into, place, run.offset, run.length, signal)
    })
  }

  async extents(offset: number, length: number, max: number): Promise<ReadonlyArray<Extent>> {
    const map = this.#map
    const list = new ExtentList(max)
    const end = offset + length
    const limit = limitOf(offset, length)
    for (let from = offset; from < end; ) {
      const grain = Math.floor(from / GRAIN)
      const code = map.lookup(grain)
      const to = Math.min(end, map.runEnd(grain, limit) * GRAIN)
      if (layerOfCode(code) === 0) {
        if (!(await this.#baseExtents(list, from, to - from))) break
      } else if (!list.push(from, to - from, isZeroCode(code) ? "zero" : "data")) break
      from = to
    }
    return list.list
  }

  /** Adds what the base says of a run; false when the list is full or the base told only part of it. */
  async #baseExtents(list: ExtentList, offset: number, length: number): Promise<boolean> {
    const base = this.#sources[0]!
    if (base.extents === undefined) return list.push(offset, length, "data")
    for (const e of clipExtents(await base.extents(offset, length, list.max), offset, length)) {
      if (!list.push(e.offset, e.length, e.kind === "data" ? "data" : "zero")) return false
    }
    return list.end(offset) === offset + length
  }

  #runs(offset: number, length: number): ReadonlyArray<Run> {
    const map = this.#map
    const runs: Array<Run> = []
    const end = offset + length
    const limit = limitOf(offset, length)
    for (let from = offset; from < end; ) {
      const grain = Math.floor(from / GRAIN)
      const to = Math.min(end, map.runEnd(grain, limit) * GRAIN)
      runs.push({ code: map.lookup(grain), offset: from, length: to - from })
      from = to
    }
    return runs
  }

  #source(code: number): LayerSource {
    const source = this.#sources[layerOfCode(code)]
    assert(source !== undefined, "every layer that the map names was opened")
    return source
  }
}
