import { describe, expect, it } from "vitest"
import { LayerMapBudget } from "../../../core/block/layers/budget.ts"
import { LayerMap, readMap } from "../../../core/block/layers/map.ts"
import { makeRuns } from "../../../core/block/layers/runs-builder.ts"
import { baseMap, data, extendMap, GRAIN, grains, PAGE, zero } from "../../support/layers.ts"

const TiB = 2 ** 40
const PAGE_SPAN = PAGE * GRAIN
const codeOf = (e: unknown) => (e as { code?: string }).code
const thrown = (work: () => unknown) => {
  try {
    work()
  } catch (e) {
    return e
  }
  return undefined
}

describe("a map of layers", () => {
  it("of a first version comes wholly from the base, whatever its size", () => {
    for (const sizeBytes of [512, GRAIN, GRAIN + 512, PAGE_SPAN, 64 * TiB]) {
      const map = baseMap(sizeBytes)
      const last = Math.ceil(sizeBytes / GRAIN) - 1
      expect([map.chain, map.lookup(0), map.lookup(last), map.runEnd(0, last + 1)]).toEqual([[0], 0, 0, last + 1])
      expect(map.contentOf(Math.ceil(sizeBytes / 65_536) - 1)).toBe(0)
    }
  })

  it("says for each grain the newest layer that wrote or zeroed it", () => {
    const size = 20 * GRAIN
    const base = baseMap(size)
    const two = extendMap(base, 2, grains(size, [1, 3, "data"], [4, 2, "zero"]))
    const three = extendMap(two, 3, grains(size, [0, 2, "absent"], [3, 1, "zero"], [5, 1, "data"]))
    const codes = (map: typeof base) => Array.from({ length: 8 }, (_, g) => map.lookup(g))
    expect(codes(base)).toEqual([0, 0, 0, 0, 0, 0, 0, 0])
    expect(codes(two)).toEqual([0, data(2), data(2), data(2), zero(2), zero(2), 0, 0])
    expect(codes(three)).toEqual([0, data(2), data(2), zero(3), zero(2), data(3), 0, 0])
    expect(three.chain).toEqual([0, 2, 3])
  })

  it("takes zeros over data over zeros, and gives none of them to the base", () => {
    const size = 4 * GRAIN
    const base = baseMap(size)
    const a = extendMap(base, 1, grains(size, [0, 4, "zero"]))
    const b = extendMap(a, 2, grains(size, [1, 2, "data"]))
    const c = extendMap(b, 3, grains(size, [2, 2, "zero"]))
    expect([0, 1, 2, 3].map((g) => c.lookup(g))).toEqual([zero(1), data(2), zero(3), zero(3)])
  })

  it("tells runs that go on from page to page, and stops them at the limit", () => {
    const size = 4 * PAGE_SPAN
    const map = extendMap(baseMap(size), 1, grains(size, [PAGE - 1, PAGE + 2, "data"]))
    expect(map.runEnd(0, 4 * PAGE)).toBe(PAGE - 1)
    expect(map.runEnd(PAGE - 1, 4 * PAGE)).toBe(2 * PAGE + 1)
    expect(map.runEnd(PAGE - 1, PAGE)).toBe(PAGE)
    expect(map.runEnd(PAGE - 1, PAGE + 5)).toBe(PAGE + 5)
    expect(map.runEnd(2 * PAGE + 1, 4 * PAGE)).toBe(4 * PAGE)
  })

  it("knows the newest layer of each cluster, zeros counting like data", () => {
    const size = PAGE_SPAN + 17 * GRAIN
    const base = baseMap(size)
    const one = extendMap(base, 1, grains(size, [15, 2, "data"], [PAGE, 1, "data"]))
    const two = extendMap(one, 2, grains(size, [16, 1, "zero"], [PAGE + 16, 1, "zero"]))
    const last = PAGE / 16 + 1
    expect([0, 1, 2, last - 1, last].map((c) => one.contentOf(c))).toEqual([1, 1, 0, 1, 0])
    expect([0, 1, 2, last - 1, last].map((c) => two.contentOf(c))).toEqual([1, 2, 0, 1, 2])
  })

  it("looks up past 2^31 grains", () => {
    const size = 64 * TiB
    const last = size / GRAIN - 1
    const map = extendMap(baseMap(size), 5, grains(size, [2 ** 33, 1, "data"], [last, 1, "zero"]))
    expect([2 ** 33 - 1, 2 ** 33, 2 ** 33 + 1, last].map((g) => map.lookup(g))).toEqual([0, data(5), 0, zero(5)])
    expect([map.contentOf(2 ** 29), map.contentOf(2 ** 29 + 1), map.contentOf((last - 15) / 16)]).toEqual([5, 0, 5])
    expect(map.runEnd(0, last + 1)).toBe(2 ** 33)
  })

  it("holds the largest layer number beside the smallest, and refuses one more", () => {
    const size = 3 * GRAIN
    const base = baseMap(size)
    const one = extendMap(base, 1, grains(size, [0, 1, "zero"]))
    const most = extendMap(one, 32_767, grains(size, [1, 2, "zero"]))
    expect([0, 1, 2].map((g) => most.lookup(g))).toEqual([zero(1), 65_535, 65_535])
    expect(() => extendMap(base, 32_768, [])).toThrow("a layer's number fits the map")
  })

  it("refuses a layer that is not newer than its parent, and runs out of order, outside, or of part of a grain", () => {
    const size = 3 * GRAIN + 512
    const map = extendMap(baseMap(size), 2, [])
    expect(() => extendMap(map, 2, [])).toThrow("newer")
    const refused = (offset: number, length: number) => () => extendMap(map, 3, [{ offset, length, kind: "data" }])
    expect(refused(512, GRAIN)).toThrow("whole grains")
    expect(refused(0, 512)).toThrow("whole grains")
    expect(refused(3 * GRAIN, GRAIN)).toThrow("inside the disk")
    expect(refused(0, 0)).toThrow("in order")
    expect(() => extendMap(map, 3, grains(size, [1, 1, "data"], [0, 1, "data"]))).toThrow("in order")
    expect(refused(3 * GRAIN, 512)).not.toThrow()
  })

  it("keeps a page exactly, however many runs are in it and however large their layers' numbers", () => {
    const size = PAGE_SPAN
    for (const every of [2, 3, 8, 9, 16]) {
      for (const layer of [1, 127, 128, 32_767]) {
        const runs = Array.from({ length: Math.floor(PAGE / every) }, (_, i) => [i * every, 1, "data"] as const)
        const map = extendMap(baseMap(size), layer, grains(size, ...runs))
        const wrong = Array.from({ length: runs.length * every }, (_, g) => g).filter(
          (g) => map.lookup(g) !== (g % every === 0 ? data(layer) : 0),
        )
        expect(wrong, `every ${every}, layer ${layer}`).toEqual([])
        expect([map.runEnd(0, PAGE), map.runEnd(1, PAGE)]).toEqual([1, every])
      }
    }
  })

  it("keeps every page of a leaf that is full of runs", () => {
    const size = 256 * PAGE_SPAN
    const runs = Array.from(
      { length: 256 * 256 },
      (_, i) => [i * 32 + (i % 7), 1, i % 3 === 0 ? "zero" : "data"] as const,
    )
    const map = extendMap(baseMap(size), 9, grains(size, ...runs))
    const wrong = runs.filter(
      ([g, , kind]) => map.lookup(g) !== (kind === "zero" ? zero(9) : data(9)) || map.lookup(g + 1) !== 0,
    )
    expect(wrong).toEqual([])
  })

  it("knows the newest layer of a page that one layer changed whole", () => {
    const size = 3 * PAGE_SPAN
    const map = extendMap(baseMap(size), 4, grains(size, [PAGE, PAGE, "zero"]))
    const clusters = PAGE / 16
    expect([clusters - 1, clusters, 2 * clusters - 1, 2 * clusters].map((c) => map.contentOf(c))).toEqual([0, 4, 4, 0])
  })

  it("is read layer by layer, and lets others have their turn while many runs arrive", async () => {
    const size = 8 * PAGE_SPAN
    const arriving = async function* () {
      yield* grains(size, ...Array.from({ length: 4 * PAGE }, (_, i) => [2 * i, 1, "data"] as const))
    }
    const layers = async function* () {
      yield { layer: 1, runs: arriving }
      yield {
        layer: 2,
        runs: async function* () {
          yield* grains(size, [1, 1, "zero"])
        },
      }
    }
    let turns = 0
    let done = false
    const others = () => {
      turns++
      if (!done) setImmediate(others)
    }
    setImmediate(others)
    const budget = new LayerMapBudget()
    const map = await readMap(budget, size, layers())
    done = true
    expect(turns).toBeGreaterThanOrEqual(2)
    expect([map.lookup(0), map.lookup(1), map.lookup(8 * PAGE - 2)]).toEqual([data(1), zero(2), data(1)])
    map.release()
    expect(budget.bytes).toBe(0)
  })

  it("whose runs end in an error gives everything back, also what layers before that took", async () => {
    const size = 300 * PAGE_SPAN
    const budget = new LayerMapBudget()
    const layers = async function* () {
      yield {
        layer: 1,
        runs: async function* () {
          yield* grains(size, [1, 1, "data"])
        },
      }
      yield {
        layer: 2,
        runs: async function* () {
          yield* grains(size, [1, 1, "data"], [299 * PAGE, 1, "data"])
          throw new Error("the file went away")
        },
      }
    }
    await expect(readMap(budget, size, layers())).rejects.toThrow("the file went away")
    expect(budget.bytes).toBe(0)
  })
})

describe("the memory of maps", () => {
  const scattered = (size: number, pages: number, grain = 1) =>
    grains(size, ...Array.from({ length: pages }, (_, i) => [i * PAGE + grain, 1, "data"] as const))

  it("of 4 TiB that nobody changed, or that one layer zeroed, is that of a list of leaves", () => {
    const budget = new LayerMapBudget()
    const base = baseMap(4 * TiB, budget)
    expect(budget.bytes).toBe(512 * 8 + 256)
    const zeroed = extendMap(base, 1, [{ offset: 0, length: 4 * TiB, kind: "zero" }])
    expect(budget.bytes).toBe(3 * (512 * 8 + 256))
    expect([zeroed.lookup(0), zeroed.lookup(2 ** 30 - 1), budget.stats.derived]).toEqual([zero(1), zero(1), 0])
  })

  it("counts what pages need to be found when a map is made, and pages when they are first looked at, once", () => {
    const size = 600 * PAGE_SPAN
    const budget = new LayerMapBudget()
    const map = extendMap(baseMap(size, budget), 1, scattered(size, 300))
    const before = budget.bytes
    for (let i = 0; i < 3; i++) expect([map.lookup(1), map.lookup(2), map.lookup(599 * PAGE)]).toEqual([data(1), 0, 0])
    // three runs: what is before, the grain, what is behind
    expect(budget.bytes - before).toBe(136 + 240 + 3 * 4)
    expect(budget.stats).toEqual({ derived: 1, evicted: 0 })
  })

  it("of runs is one layer's, however many maps have it, and comes back with the last of them, in whatever order", () => {
    const size = 40 * PAGE_SPAN
    for (const order of [
      [0, 1, 2, 3],
      [3, 2, 1, 0],
      [1, 3, 0, 2],
    ]) {
      const budget = new LayerMapBudget()
      const runs = makeRuns(budget, size, grains(size, [3, 1, "data"], [9 * PAGE, 5, "zero"]))
      const one = budget.bytes
      const layers = [{ layer: 1, runs }]
      const more = makeRuns(budget, size, grains(size, [9 * PAGE + 2, 1, "data"]))
      const maps = [
        new LayerMap(budget, size, []),
        new LayerMap(budget, size, layers),
        new LayerMap(budget, size, [...layers, { layer: 2, runs: more }]),
        new LayerMap(budget, size, [...layers, { layer: 3, runs: more }]),
      ]
      runs.release()
      more.release()
      expect(budget.bytes, "runs of two layers, tables of four maps").toBeLessThan(2 * one + 4 * 3000)
      for (const map of maps) map.lookup(9 * PAGE)
      for (const i of order.slice(0, 3)) {
        maps[i]!.release()
        maps[i]!.release()
      }
      const left = maps[order[3]!]!
      expect(budget.bytes, `${order}`).toBeGreaterThan(0)
      expect(left.lookup(0)).toBe(0)
      left.release()
      expect(budget.bytes, `${order}`).toBe(0)
      expect(() => left.lookup(0)).toThrow("while somebody holds it")
    }
  })

  it("is never more than the budget: pages leave, those first that nobody looked at again, and are derived again", () => {
    const [pages, size] = [1000, 1000 * PAGE_SPAN]
    const budget = new LayerMapBudget(160_000)
    const base = baseMap(size, budget)
    const map = extendMap(base, 1, scattered(size, pages))
    base.release()
    const again = budget.stats
    for (let round = 0; round < 2; round++) {
      for (let page = 0; page < pages; page++) {
        expect([map.lookup(page * PAGE + 1), map.lookup(page * PAGE + 2)]).toEqual([data(1), 0])
        expect(budget.bytes).toBeLessThanOrEqual(budget.bytesMax)
        map.lookup(7 * PAGE)
      }
    }
    expect(again.derived).toBeGreaterThan(1900)
    expect(again.derived - again.evicted).toBeGreaterThan(200)
    const before = again.derived
    map.lookup(7 * PAGE)
    expect(again.derived, "a page that is looked at all the time stays").toBe(before)
    map.release()
    expect(budget.bytes).toBe(0)
  })

  it("that must stay makes pages leave, and is refused once they could not have any room", () => {
    const size = 600 * PAGE_SPAN
    const budget = new LayerMapBudget(160_000)
    const base = baseMap(size, budget)
    const map = extendMap(base, 1, scattered(size, 600))
    base.release()
    for (let page = 0; page < 600; page++) map.lookup(page * PAGE)
    expect(budget.bytes).toBeGreaterThan(159_000)
    const maps = [map]
    let refused: unknown
    while (refused === undefined) {
      const before = budget.bytes
      refused = thrown(() => maps.push(extendMap(maps.at(-1)!, maps.length + 1, scattered(size, 600, maps.length + 1))))
      if (refused !== undefined) expect(budget.bytes, "nothing is kept of the attempt").toBeLessThanOrEqual(before)
      expect(budget.bytes).toBeLessThanOrEqual(budget.bytesMax)
    }
    expect([codeOf(refused), maps.length]).toEqual(["LAYER_MAPS_FULL", 9])
    for (const [i, { layer }] of maps.entries()) expect(maps[8]!.lookup(599 * PAGE + i + 1)).toBe(data(layer))
    for (const one of maps) one.release()
    expect(budget.bytes).toBe(0)
    const fits = extendMap(baseMap(size, budget), 1, scattered(size, 600))
    expect(fits.lookup(1)).toBe(data(1))
  })

  it("of a layer that is refused on its way is given back, wherever it runs out", () => {
    const size = 600 * PAGE_SPAN
    const plenty = new LayerMapBudget()
    const runs = makeRuns(plenty, size, scattered(size, 600))
    for (const bytesMax of [plenty.bytes, Math.floor(plenty.bytes / 2), 300]) {
      const budget = new LayerMapBudget(bytesMax)
      expect(codeOf(thrown(() => makeRuns(budget, size, scattered(size, 600))))).toBe("LAYER_MAPS_FULL")
      expect(budget.bytes).toBe(0)
    }
    runs.release()
    expect(plenty.bytes).toBe(0)
  })
})
