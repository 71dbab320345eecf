/**
 * The maps of open versions under a random crowd: versions of a tree are held and released at any time, reading runs fails now and then, memory is
 * short now and then. Whoever holds a map has the right one, and when everybody has left nothing is counted.
 */
import { expect, it } from "vitest"
import type { Extent } from "../../../core/block/device.ts"
import { LayerMapBudget } from "../../../core/block/layers/map.ts"
import { type LayerStep, type MapHold, VersionMaps } from "../../../core/block/layers/version-maps.ts"
import { isImagelinkError } from "../../../core/errors.ts"
import { data, GRAIN, PAGE } from "../../support/layers.ts"
import { type Random, random } from "../../support/random.ts"

const PAGES = 40
const base = { key: "1", sizeBytes: PAGES * PAGE * GRAIN }

/** Version `v` writes grain `v` of every page. */
const stepOf = (r: Random, v: number, failures: number): LayerStep => ({
  key: `${v}`,
  layer: v,
  keep: r.chance(0.4),
  runs: async function* (): AsyncGenerator<Extent> {
    for (let page = 0; page < PAGES; page++) {
      if (r.chance(0.3)) await new Promise<void>((resolve) => setImmediate(resolve))
      if (r.chance(failures / PAGES)) throw new Error("unreadable")
      yield { offset: (page * PAGE + v) * GRAIN, length: GRAIN, kind: "data" }
    }
  },
})

const run = async (seed: number): Promise<void> => {
  const r = random(seed)
  const budget = new LayerMapBudget(r.pick([30_000, 60_000, 10_000_000]))
  const maps = new VersionMaps(budget)
  const paths: Array<ReadonlyArray<LayerStep>> = [[]]
  const failures = r.pick([0, 0.2])
  for (let v = 2; v < 10; v++) paths.push([...(r.chance(0.6) ? paths.at(-1)! : r.pick(paths)), stepOf(r, v, failures)])
  const held: Array<MapHold> = []
  const check = ({ map }: MapHold, path: ReadonlyArray<LayerStep>) => {
    expect(map.released).toBe(false)
    expect(map.chain).toEqual([0, ...path.map((step) => step.layer)])
    const page = r.int(PAGES) * PAGE
    for (let v = 2; v < 10; v++) expect(map.lookup(page + v)).toBe(map.chain.includes(v) ? data(v) : 0)
  }
  const client = async () => {
    for (let turn = 0; turn < 6; turn++) {
      const path = r.pick(paths)
      try {
        const hold = await maps.hold(base, path)
        held.push(hold)
        check(hold, path)
        for (let i = r.int(4); i > 0; i--) await new Promise<void>((resolve) => setImmediate(resolve))
        check(hold, path)
        hold.release()
      } catch (e) {
        const expected = (isImagelinkError(e) && e.code === "LAYER_MAPS_FULL") || (e as Error).message === "unreadable"
        if (!expected) throw e
      }
    }
  }
  await Promise.all(Array.from({ length: 5 }, client))
  for (const hold of held) hold.release()
  expect([maps.keys(), budget.bytes]).toEqual([[], 0])
}

const seeds = Number(process.env.IMAGELINK_SEEDS ?? 40)
const first = Number(process.env.IMAGELINK_SEED ?? 1)

it(`everybody holds the right map and nothing is left over, over ${seeds} seeded crowds`, async () => {
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      await run(seed)
    } catch (e) {
      throw new Error(
        `replay: IMAGELINK_SEEDS=1 IMAGELINK_SEED=${seed} npx vitest run specs/block/layers/version-maps-model.spec.ts`,
        { cause: e },
      )
    }
  }
})
