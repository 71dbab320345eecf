import { describe, expect, it } from "vitest"
import type { ExtentKind } from "../../../core/block/device.ts"
import { LayerMapBudget } from "../../../core/block/layers/budget.ts"
import { PageCanvas } from "../../../core/block/layers/canvas.ts"
import { NOTHING, PARTS } from "../../../core/block/layers/run-leaf.ts"
import { makeRuns } from "../../../core/block/layers/runs-builder.ts"
import { baseMap, extendMap, GRAIN, grains, ownRuns, PAGE } from "../../support/layers.ts"
import { random } from "../../support/random.ts"

const PAGE_SPAN = PAGE * GRAIN

describe("the runs a layer brought itself", () => {
  it("cover the disk, join over pages, and pass by what its parents brought", () => {
    const size = 3 * PAGE_SPAN + 512
    const base = baseMap(size)
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
    const base = baseMap(size)
    const all = { offset: 0, length: size }
    expect([...ownRuns(extendMap(base, 1, []))]).toEqual([{ ...all, kind: "absent" }])
    expect([...ownRuns(extendMap(base, 1, [{ ...all, kind: "zero" }]))]).toEqual([{ ...all, kind: "zero" }])
    expect([...ownRuns(extendMap(base, 1, [{ ...all, kind: "data" }]))]).toEqual([{ ...all, kind: "data" }])
  })
})

describe("the runs of one page", () => {
  /** Every `every`-th grain from `from` on, in turn of these kinds. */
  const combed = (every: number, from: number, ...kinds: ReadonlyArray<ExtentKind>) =>
    Array.from(
      { length: Math.floor((PAGE - from) / every) },
      (_, i) => [from + i * every, 1, kinds[i % kinds.length]!] as const,
    )

  it.each([
    ["one", combed(PAGE - 5, 5, "data"), 1],
    ["as many as a list takes", combed(32, 0, "data"), 256],
    ["one more, all written: a bit a grain", combed(31, 0, "data"), 256],
    ["every second grain", combed(2, 1, "data"), 256],
    ["many, of both kinds: still a list", combed(17, 0, "data", "zero"), 481],
    ["more of both kinds: two bits a grain", combed(15, 0, "data", "zero"), 512],
    ["every grain in turn, which is the most there can be", combed(1, 0, "data", "zero"), 512],
  ] as const)("are told as they came: %s", (_, runs, words) => {
    const size = 2 * PAGE_SPAN
    const budget = new LayerMapBudget()
    const made = makeRuns(budget, size, grains(size, ...runs))
    expect([...made.own()]).toEqual(grains(size, ...runs))
    expect([made.ofPage(0), made.ofPage(1), made.ofLeaf(0)]).toEqual([PARTS, NOTHING, PARTS])
    expect(budget.bytes).toBe(8 + 256 + 240 + 4 * (257 + words))
    const canvas = new PageCanvas()
    canvas.begin(9)
    made.paint(0, canvas, 4, 5)
    const expected = new Uint16Array(PAGE).fill(9)
    for (const [grain, , kind] of runs) expected[grain] = kind === "data" ? 4 : 5
    expect(canvas.codes).toEqual(expected)
    made.release()
    expect(budget.bytes).toBe(0)
  })

  it("that fill it, or a whole leaf, are known as one thing; neighbours of one kind are one run", () => {
    const size = 513 * PAGE_SPAN
    const whole = grains(
      size,
      [0, 256 * PAGE, "zero"],
      [300 * PAGE, PAGE - 1, "data"],
      [301 * PAGE - 1, 1, "data"],
      [512 * PAGE, 7, "data"],
    )
    const budget = new LayerMapBudget()
    const made = makeRuns(budget, size, whole)
    expect([made.ofLeaf(0), made.ofLeaf(1), made.ofLeaf(2)]).toEqual([1, PARTS, PARTS])
    expect([0, 255, 256, 299, 300, 301, 512].map((page) => made.ofPage(page))).toEqual([
      1,
      1,
      NOTHING,
      NOTHING,
      0,
      NOTHING,
      PARTS,
    ])
    expect([...made.own()]).toEqual(
      grains(size, [0, 256 * PAGE, "zero"], [300 * PAGE, PAGE, "data"], [512 * PAGE, 7, "data"]),
    )
  })

  it("that end with the disk fill its last page", () => {
    const size = PAGE_SPAN + 3 * GRAIN + 512
    const made = makeRuns(new LayerMapBudget(), size, [{ offset: PAGE_SPAN, length: 3 * GRAIN + 512, kind: "zero" }])
    expect([made.ofPage(0), made.ofPage(1)]).toEqual([NOTHING, 1])
    expect([...made.own()]).toEqual([{ offset: PAGE_SPAN, length: 3 * GRAIN + 512, kind: "zero" }])
  })

  it("come back the same whatever they are, over 200 seeds", () => {
    const size = 3 * PAGE_SPAN
    for (let seed = 1; seed <= 200; seed++) {
      const r = random(seed)
      const gaps = r.pick([0, 1, 3, 30, 3000])
      const runs: Array<readonly [number, number, ExtentKind]> = []
      const zeros = r.pick([0, 0.5, 1])
      for (let grain = r.int(gaps + 1); grain < 3 * PAGE; ) {
        const kind = r.chance(zeros) ? "zero" : "data"
        const before = runs.at(-1)
        const adjoins = before !== undefined && before[0] + before[1] === grain && before[2] === kind
        const count = Math.min(3 * PAGE - grain, 1 + r.int(r.pick([1, 4, 400])))
        if (!adjoins) runs.push([grain, count, kind])
        grain += count + (adjoins ? 1 : r.int(gaps + 1))
      }
      const made = makeRuns(new LayerMapBudget(), size, grains(size, ...runs))
      expect([...made.own()], `seed ${seed}`).toEqual(grains(size, ...runs))
    }
  })

  it("are let go once for each who held them", () => {
    const size = PAGE_SPAN
    const budget = new LayerMapBudget()
    const made = makeRuns(budget, size, grains(size, [0, 1, "data"]))
    made.hold()
    made.release()
    expect(budget.bytes).toBeGreaterThan(0)
    made.release()
    expect(budget.bytes).toBe(0)
    expect(() => made.release()).toThrow("was held")
    expect(() => made.hold()).toThrow("somebody has them")
  })
})
