/**
 * Fifty versions of a 4 TiB disk, each with 1 % of it changed in runs of 64 KiB anywhere, all served at the same time: what is read of each is compared
 * with a model that walks the layers, and the memory of their maps stays inside the one budget.
 */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { ReadCache } from "../../../core/block/cache.ts"
import type { Extent } from "../../../core/block/device.ts"
import { guardDevice } from "../../../core/block/guard.ts"
import { LayerMapBudget } from "../../../core/block/layers/budget.ts"
import { LayerMap, type MapLayer } from "../../../core/block/layers/map.ts"
import type { LayerRuns } from "../../../core/block/layers/runs.ts"
import { LayerRunsBuilder } from "../../../core/block/layers/runs-builder.ts"
import { openLayeredVersion } from "../../../core/block/layers/version.ts"
import type { LayerSource } from "../../../core/block/layers/volume.ts"
import { limits } from "../../../core/limits.ts"
import { GRAIN } from "../../support/layers.ts"
import { random } from "../../support/random.ts"

const SIZE = 4 * 2 ** 40
const VERSIONS = 50
const RUN_GRAINS = 16
/** Grains of which each version changes one run: 1 %. */
const STRETCH = 100 * RUN_GRAINS
const STRETCHES = Math.floor(SIZE / GRAIN / STRETCH)
const CLUSTER_GRAINS = 16
const seed = Number(process.env.IMAGELINK_SEED ?? 1)
const replay = `replay: IMAGELINK_SEED=${seed} npx vitest run specs/block/layers/fifty-versions.spec.ts`

/** First grain that layer `layer` changes in a stretch. Every sixteenth is zeroed. */
const placeOf = (layer: number, stretch: number): number => {
  let x = Math.imul(stretch + 1, 0x9e3779b1) ^ Math.imul(layer + 64 * seed, 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d)
  x = Math.imul(x ^ (x >>> 12), 0x297a2d39)
  return stretch * STRETCH + (((x ^ (x >>> 15)) >>> 0) % (STRETCH - RUN_GRAINS + 1))
}
const isZeroed = (layer: number, stretch: number): boolean => (stretch + layer) % 16 === 0

/** All that a layer changed. One object is told again and again: there are 33 million in all. */
const runsOf = (budget: LayerMapBudget, layer: number): LayerRuns => {
  const builder = new LayerRunsBuilder(budget, SIZE)
  const run: { -readonly [K in keyof Extent]: Extent[K] } = { offset: 0, length: RUN_GRAINS * GRAIN, kind: "data" }
  for (let stretch = 0; stretch < STRETCHES; stretch++) {
    run.offset = placeOf(layer, stretch) * GRAIN
    run.kind = isZeroed(layer, stretch) ? "zero" : "data"
    builder.add(run)
  }
  return builder.finish()
}

/** Layer that a grain of a version comes from, and whether it is zeros: layer by layer. */
const originOf = (version: number, grain: number): { readonly layer: number; readonly zero: boolean } => {
  const stretch = Math.floor(grain / STRETCH)
  for (let layer = version - 1; layer > 0 && stretch < STRETCHES; layer--) {
    const from = placeOf(layer, stretch)
    if (grain >= from && grain < from + RUN_GRAINS) return { layer, zero: isZeroed(layer, stretch) }
  }
  return { layer: 0, zero: false }
}

/** What the file of a layer holds: each grain says whose it is and which. */
const fillGrain = (into: Uint8Array, at: number, layer: number, grain: number): void => {
  into.fill((layer * 31 + grain) & 0xff, at, at + GRAIN)
  new DataView(into.buffer, into.byteOffset + at).setFloat64(0, grain * 64 + layer)
}
const fileOf = (layer: number): LayerSource => ({
  sizeBytes: SIZE,
  read: async (into, at, offset, length) => {
    for (let done = 0; done < length; done += GRAIN) fillGrain(into, at + done, layer, (offset + done) / GRAIN)
  },
})

const collect = (() => {
  setFlagsFromString("--expose-gc")
  return runInNewContext("gc") as () => void
})()
const arrays = async (): Promise<number> => {
  for (let i = 0; i < 4; i++) {
    collect()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return process.memoryUsage().arrayBuffers
}

describe(`fifty versions of a 4 TiB disk at the same time (seed ${seed})`, () => {
  const budget = new LayerMapBudget()
  const layers: Array<MapLayer> = []
  let maps: ReadonlyArray<LayerMap> = []
  let before = 0

  beforeAll(async () => {
    before = await arrays()
    for (let layer = 1; layer < VERSIONS; layer++) layers.push({ layer, runs: runsOf(budget, layer) })
    maps = Array.from({ length: VERSIONS }, (_, i) => new LayerMap(budget, SIZE, layers.slice(0, i)))
  }, 240_000)
  afterAll(() => {
    for (const map of maps) map.release()
    for (const { runs } of layers) runs.release()
  })

  it("are all opened, with room left for pages", () => {
    expect(maps.length).toBe(50)
    expect(limits.layerMapBytesMax).toBe(512 * 2 ** 20)
    expect(budget.bytes, "runs and tables").toBeLessThan(256 * 2 ** 20)
  })

  it("read as what each of them is, anywhere", async () => {
    const r = random(seed)
    const cache = new ReadCache({ bytes: limits.cacheBytesMin })
    const parts = Array.from({ length: VERSIONS }, (_, layer) => ({
      layer,
      contentId: `i@${layer}`,
      source: fileOf(layer),
    }))
    const devices = maps.map((map, i) =>
      guardDevice(openLayeredVersion({ id: `i@${i + 1}`, cache, map, parts: parts.slice(0, i + 1) })),
    )
    const into = Buffer.alloc(64 * GRAIN)
    const expected = Buffer.alloc(64 * GRAIN)
    for (let turn = 0; turn < 40; turn++) {
      // Where a layer changed something, so that it is not all base; the same place of every version.
      const near = placeOf(1 + r.int(VERSIONS - 1), r.int(STRETCHES))
      const count = 1 + r.int(64)
      const first = Math.min(SIZE / GRAIN - count, Math.max(0, near - r.int(32)))
      for (const [i, device] of devices.entries()) {
        for (let g = 0; g < count; g++) {
          const { layer, zero } = originOf(i + 1, first + g)
          if (zero) expected.fill(0, g * GRAIN, (g + 1) * GRAIN)
          else fillGrain(expected, g * GRAIN, layer, first + g)
        }
        if (!device.readSync(into, 0, first * GRAIN, count * GRAIN))
          await device.read(into, 0, first * GRAIN, count * GRAIN)
        const isRight = into.compare(expected, 0, count * GRAIN, 0, count * GRAIN) === 0
        expect(isRight, `${replay} (version ${i + 1}, ${count} grains from ${first})`).toBe(true)
      }
    }
    for (const device of devices) await device.close()
  })

  it("never take more than the budget, however much of them is looked at: pages leave and come again", async () => {
    const r = random(seed + 1)
    const newest = maps.at(-1)!
    // Every page of the newest version once, and half as many of all of them.
    for (let page = 0; page < SIZE / (8192 * GRAIN); page++) newest.pageAt(page)
    for (let i = 0; i < 70_000; i++) maps[r.int(VERSIONS)]!.contentOf(r.int(SIZE / 65_536))
    expect(budget.stats.evicted).toBeGreaterThan(0)
    expect(budget.bytes).toBeLessThanOrEqual(limits.layerMapBytesMax)
    expect((await arrays()) - before, "bytes of arrays in the process").toBeLessThanOrEqual(limits.layerMapBytesMax)
    for (let i = 0; i < 2000; i++) {
      const version = 1 + r.int(VERSIONS)
      const cluster = r.int(SIZE / 65_536)
      let newestLayer = 0
      for (let g = 0; g < CLUSTER_GRAINS; g++)
        newestLayer = Math.max(newestLayer, originOf(version, cluster * CLUSTER_GRAINS + g).layer)
      if (maps[version - 1]!.contentOf(cluster) !== newestLayer)
        expect.fail(`${replay} (version ${version}, cluster ${cluster})`)
    }
  }, 120_000)
})
