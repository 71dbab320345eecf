import { describe, expect, it } from "vitest"
import { extendMap, extendMapFrom } from "../../../core/block/layers/extend.ts"
import { LayerMapBudget } from "../../../core/block/layers/map.ts"
import { ownRuns } from "../../../core/block/layers/own.ts"
import { data, GRAIN, grains, PAGE, zero } from "../../support/layers.ts"

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
      const map = new LayerMapBudget().baseMap(sizeBytes)
      const last = Math.ceil(sizeBytes / GRAIN) - 1
      expect([map.chain, map.lookup(0), map.lookup(last), map.runEnd(0, last + 1)]).toEqual([[0], 0, 0, last + 1])
      expect(map.contentOf(Math.ceil(sizeBytes / 65_536) - 1)).toBe(0)
    }
  })

  it("says for each grain the newest layer that wrote or zeroed it", () => {
    const size = 20 * GRAIN
    const base = new LayerMapBudget().baseMap(size)
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
    const base = new LayerMapBudget().baseMap(size)
    const a = extendMap(base, 1, grains(size, [0, 4, "zero"]))
    const b = extendMap(a, 2, grains(size, [1, 2, "data"]))
    const c = extendMap(b, 3, grains(size, [2, 2, "zero"]))
    expect([0, 1, 2, 3].map((g) => c.lookup(g))).toEqual([zero(1), data(2), zero(3), zero(3)])
  })

  it("tells runs that go on from page to page, and stops them at the limit", () => {
    const size = 4 * PAGE_SPAN
    const map = extendMap(new LayerMapBudget().baseMap(size), 1, grains(size, [PAGE - 1, PAGE + 2, "data"]))
    expect(map.runEnd(0, 4 * PAGE)).toBe(PAGE - 1)
    expect(map.runEnd(PAGE - 1, 4 * PAGE)).toBe(2 * PAGE + 1)
    expect(map.runEnd(PAGE - 1, PAGE)).toBe(PAGE)
    expect(map.runEnd(PAGE - 1, PAGE + 5)).toBe(PAGE + 5)
    expect(map.runEnd(2 * PAGE + 1, 4 * PAGE)).toBe(4 * PAGE)
  })

  it("knows the newest layer of each cluster, zeros counting like data", () => {
    const size = PAGE_SPAN + 17 * GRAIN
    const base = new LayerMapBudget().baseMap(size)
    const one = extendMap(base, 1, grains(size, [15, 2, "data"], [PAGE, 1, "data"]))
    const two = extendMap(one, 2, grains(size, [16, 1, "zero"], [PAGE + 16, 1, "zero"]))
    const last = PAGE / 16 + 1
    expect([0, 1, 2, last - 1, last].map((c) => one.contentOf(c))).toEqual([1, 1, 0, 1, 0])
    expect([0, 1, 2, last - 1, last].map((c) => two.contentOf(c))).toEqual([1, 2, 0, 1, 2])
  })

  it("looks up past 2^31 grains", () => {
    const size = 64 * TiB
    const last = size / GRAIN - 1
    const map = extendMap(new LayerMapBudget().baseMap(size), 5, grains(size, [2 ** 33, 1, "data"], [last, 1, "zero"]))
    expect([2 ** 33 - 1, 2 ** 33, 2 ** 33 + 1, last].map((g) => map.lookup(g))).toEqual([0, data(5), 0, zero(5)])
    expect([map.contentOf(2 ** 29), map.contentOf(2 ** 29 + 1), map.contentOf((last - 15) / 16)]).toEqual([5, 0, 5])
    expect(map.runEnd(0, last + 1)).toBe(2 ** 33)
  })

  it("holds the largest layer number beside the smallest, and refuses one more", () => {
    const size = 3 * GRAIN
    const base = new LayerMapBudget().baseMap(size)
    const one = extendMap(base, 1, grains(size, [0, 1, "zero"]))
    const most = extendMap(one, 32_767, grains(size, [1, 2, "zero"]))
    expect([0, 1, 2].map((g) => most.lookup(g))).toEqual([zero(1), 65_535, 65_535])
    expect(() => extendMap(base, 32_768, [])).toThrow("a layer's number fits the map")
  })

  it("refuses a layer that is not newer than its parent, and runs out of order, outside, or of part of a grain", () => {
    const size = 3 * GRAIN + 512
    const map = extendMap(new LayerMapBudget().baseMap(size), 2, [])
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
        const map = extendMap(new LayerMapBudget().baseMap(size), layer, grains(size, ...runs))
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
    const map = extendMap(new LayerMapBudget().baseMap(size), 9, grains(size, ...runs))
    const wrong = runs.filter(
      ([g, , kind]) => map.lookup(g) !== (kind === "zero" ? zero(9) : data(9)) || map.lookup(g + 1) !== 0,
    )
    expect(wrong).toEqual([])
  })

  it("knows the newest layer of a page that one layer changed whole", () => {
    const size = 3 * PAGE_SPAN
    const map = extendMap(new LayerMapBudget().baseMap(size), 4, grains(size, [PAGE, PAGE, "zero"]))
    const clusters = PAGE / 16
    expect([clusters - 1, clusters, 2 * clusters - 1, 2 * clusters].map((c) => map.contentOf(c))).toEqual([0, 4, 4, 0])
  })

  it("is the same from runs that arrive one by one", async () => {
    const size = 3 * PAGE_SPAN
    const runs = grains(size, [5, 7, "data"], [PAGE, PAGE, "zero"], [3 * PAGE - 1, 1, "data"])
    const budget = new LayerMapBudget()
    const base = budget.baseMap(size)
    const arriving = async function* () {
      yield* runs
    }
    const map = await extendMapFrom(base, 1, arriving())
    expect([...ownRuns(map)].filter((run) => run.kind !== "absent")).toEqual(runs)
  })

  it("lets others have their turn while many runs arrive", async () => {
    const size = 8 * PAGE_SPAN
    const arriving = async function* () {
      yield* grains(size, ...Array.from({ length: 4 * PAGE }, (_, i) => [2 * i, 1, "data"] as const))
    }
    let turns = 0
    let done = false
    const others = () => {
      turns++
      if (!done) setImmediate(others)
    }
    setImmediate(others)
    const map = await extendMapFrom(new LayerMapBudget().baseMap(size), 1, arriving())
    done = true
    expect(turns).toBeGreaterThanOrEqual(2)
    expect([map.lookup(0), map.lookup(1), map.lookup(8 * PAGE - 2)]).toEqual([data(1), 0, data(1)])
  })
})

describe("the runs a layer brought itself", () => {
  it("cover the disk, join over pages, and pass by what its parents brought", () => {
    const size = 3 * PAGE_SPAN + 512
    const base = new LayerMapBudget().baseMap(size)
    const one = extendMap(base, 1, grains(size, [0, PAGE, "data"], [2 * PAGE, 1, "zero"]))
    const two = extendMap(one, 2, grains(size, [PAGE - 1, 2, "zero"], [3 * PAGE, 1, "data"]))
    expect([...ownRuns(two)]).toEqual([
      { offset: 0, length: PAGE_SPAN - GRAIN, kind: "absent" },
      { offset: PAGE_SPAN - GRAIN, length: 2 * GRAIN, kind: "zero" },
      { offset: PAGE_SPAN + GRAIN, length: 2 * PAGE_SPAN - GRAIN, kind: "absent" },
      { offset: 3 * PAGE_SPAN, length: 512, kind: "data" },
    ])
  })

  it("are one run of a layer that brought everything, or nothing", () => {
    const size = 2 * PAGE_SPAN + 512
    const base = new LayerMapBudget().baseMap(size)
    const all = { offset: 0, length: size }
    expect([...ownRuns(extendMap(base, 1, []))]).toEqual([{ ...all, kind: "absent" }])
    expect([...ownRuns(extendMap(base, 1, [{ ...all, kind: "zero" }]))]).toEqual([{ ...all, kind: "zero" }])
    expect([...ownRuns(extendMap(base, 1, [{ ...all, kind: "data" }]))]).toEqual([{ ...all, kind: "data" }])
  })
})

describe("the memory of maps", () => {
  it("of 4 TiB that nobody changed, or that one layer zeroed, is that of a list of leaves", () => {
    const budget = new LayerMapBudget()
    const base = budget.baseMap(4 * TiB)
    expect(budget.bytes).toBe(512 * 8 + 256)
    extendMap(base, 1, [{ offset: 0, length: 4 * TiB, kind: "zero" }])
    expect(budget.bytes).toBe(2 * (512 * 8 + 256))
  })

  it("is shared with the parent wherever the layer changed nothing", () => {
    const size = 4 * TiB
    const budget = new LayerMapBudget()
    const everywhere = Array.from({ length: 2048 }, (_, i) => [i * 64 * PAGE, 1, "data"] as const)
    const one = extendMap(budget.baseMap(size), 1, grains(size, ...everywhere))
    const before = budget.bytes
    const two = extendMap(one, 2, grains(size, [7, 1, "data"]))
    const shared = one.leaves.filter((leaf, i) => leaf === two.leaves[i])
    expect(shared.length).toBe(511)
    expect(one.leaves[0]!.pages.filter((page, i) => page === two.leaves[0]!.pages[i]).length).toBe(255)
    expect(budget.bytes - before).toBeLessThan(10_000)
    expect(before).toBeGreaterThan(1_000_000)
  })

  it("comes back when maps are released, in whatever order, and once for each", () => {
    const size = 40 * PAGE_SPAN
    for (const order of [
      [0, 1, 2, 3],
      [3, 2, 1, 0],
      [1, 3, 0, 2],
    ]) {
      const budget = new LayerMapBudget()
      const base = budget.baseMap(size)
      const one = extendMap(base, 1, grains(size, [3, 1, "data"], [9 * PAGE, 5, "zero"]))
      const two = extendMap(one, 2, grains(size, [9 * PAGE + 2, 1, "data"]))
      const beside = extendMap(one, 3, grains(size, [3, 1, "zero"]))
      const maps = [base, one, two, beside]
      for (const i of order.slice(0, 3)) {
        maps[i]!.release()
        maps[i]!.release()
      }
      const left = maps[order[3]!]!
      expect(budget.bytes, `${order}`).toBeGreaterThan(0)
      expect(left.lookup(0)).toBe(0)
      left.release()
      expect(budget.bytes, `${order}`).toBe(0)
    }
  })

  it("is refused past the budget, wherever it runs out, and nothing is kept of the attempt", () => {
    const size = 600 * PAGE_SPAN
    const runs = grains(size, ...Array.from({ length: 600 }, (_, i) => [i * PAGE + 1, 1, "data"] as const))
    const plenty = new LayerMapBudget()
    extendMap(plenty.baseMap(size), 1, runs)
    const needed = plenty.bytes
    for (const bytesMax of [needed - 1, Math.floor(needed / 2), 1000]) {
      const budget = new LayerMapBudget(bytesMax)
      const base = budget.baseMap(size)
      const before = budget.bytes
      expect(codeOf(thrown(() => extendMap(base, 1, runs)))).toBe("LAYER_MAPS_FULL")
      expect(budget.bytes).toBe(before)
      expect(base.lookup(1)).toBe(0)
    }
    const budget = new LayerMapBudget(needed)
    expect(extendMap(budget.baseMap(size), 1, runs).lookup(1)).toBe(data(1))
    expect(codeOf(thrown(() => budget.baseMap(size)))).toBe("LAYER_MAPS_FULL")
  })

  it("of a parent that is released while its child is being made stays until the child is done", async () => {
    const size = 600 * PAGE_SPAN
    for (const fails of [false, true]) {
      const budget = new LayerMapBudget()
      const parent = extendMap(
        budget.baseMap(size),
        1,
        grains(size, [1, 1, "data"], [5, 1, "zero"], [300 * PAGE, 9, "data"]),
      )
      const arriving = async function* () {
        yield* grains(size, [0, 1, "data"])
        parent.release()
        yield* grains(size, [7, 1, "data"], [599 * PAGE, 1, "zero"])
        if (fails) throw new Error("the file went away")
      }
      const map = await extendMapFrom(parent, 2, arriving()).catch(() => undefined)
      if (map !== undefined) {
        expect([0, 1, 5, 7, 300 * PAGE].map((g) => map.lookup(g))).toEqual([
          data(2),
          data(1),
          zero(1),
          data(2),
          data(1),
        ])
        map.release()
      }
      // The base map is left.
      expect(budget.bytes).toBe(3 * 8 + 256)
    }
  })

  it("is given back when the runs end in an error", async () => {
    const size = 300 * PAGE_SPAN
    const budget = new LayerMapBudget()
    const base = budget.baseMap(size)
    const before = budget.bytes
    const failing = async function* () {
      yield* grains(size, [1, 1, "data"], [PAGE + 1, 1, "data"], [299 * PAGE, 1, "data"])
      throw new Error("the file went away")
    }
    await expect(extendMapFrom(base, 1, failing())).rejects.toThrow("the file went away")
    expect(budget.bytes).toBe(before)
  })
})
