import { describe, expect, it } from "vitest"
import type { Extent } from "../../../core/block/device.ts"
import { type LayerMap, LayerMapBudget } from "../../../core/block/layers/map.ts"
import { VersionMaps } from "../../../core/block/layers/version-maps.ts"
import { data, GRAIN, PAGE } from "../../support/layers.ts"

const PAGES = 600
const sizeBytes = PAGES * PAGE * GRAIN
const base = { key: "i@1", sizeBytes }
const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Version `v` changes one grain on every page, number `v` of each; how often its runs were read is counted. */
const setup = (bytesMax?: number) => {
  const budget = new LayerMapBudget(bytesMax)
  const maps = new VersionMaps(budget)
  const read: Array<number> = []
  const step = (v: number, keep = false, fails = () => false) => ({
    key: `i@${v}`,
    layer: v,
    keep,
    runs: async function* (): AsyncGenerator<Extent> {
      read.push(v)
      for (let page = 0; page < PAGES; page++) {
        yield { offset: (page * PAGE + v) * GRAIN, length: GRAIN, kind: "data" }
        if (fails()) throw new Error("unreadable")
      }
    },
  })
  return { budget, maps, read, step }
}
const codes = (map: LayerMap, ...grains: ReadonlyArray<number>) => grains.map((g) => map.lookup(g))

describe("the maps of open versions", () => {
  it("are made along their path, and what was passed on the way is let go", async () => {
    const { budget, maps, read, step } = setup()
    const held = await maps.hold(base, [step(2), step(3), step(4)])
    expect(codes(held.map, 1, 2, 3, 4)).toEqual([0, data(2), data(3), data(4)])
    await settle()
    expect([maps.keys(), read]).toEqual([["i@4"], [2, 3, 4]])
    held.release()
    held.release()
    await settle()
    expect([maps.keys(), budget.bytes]).toEqual([[], 0])
  })

  it("of the first version is that of its base", async () => {
    const { budget, maps } = setup()
    const held = await maps.hold(base, [])
    expect([held.map.chain, codes(held.map, 0)]).toEqual([[0], [0]])
    held.release()
    await settle()
    expect(budget.bytes).toBe(0)
  })

  it("are made from the nearest ancestor that is open, and each once however many ask", async () => {
    const { budget, maps, read, step } = setup()
    const two = await maps.hold(base, [step(2)])
    const path = [step(2), step(3), step(4)]
    const all = await Promise.all([maps.hold(base, path), maps.hold(base, path), maps.hold(base, path.slice(0, 2))])
    expect(read).toEqual([2, 3, 4])
    expect(all[0].map).toBe(all[1].map)
    for (const held of [...all, two]) held.release()
    await settle()
    expect([maps.keys(), budget.bytes]).toEqual([[], 0])
  })

  it("on two sides of a rollback share what they have in common", async () => {
    const { budget, maps, read, step } = setup()
    const [left, right] = await Promise.all([maps.hold(base, [step(2), step(3)]), maps.hold(base, [step(2), step(4)])])
    expect(read.toSorted()).toEqual([2, 3, 4])
    expect([codes(left.map, 2, 3, 4), codes(right.map, 2, 3, 4)]).toEqual([
      [data(2), data(3), 0],
      [data(2), 0, data(4)],
    ])
    left.release()
    expect(codes(right.map, 2)).toEqual([data(2)])
    right.release()
    await settle()
    expect(budget.bytes).toBe(0)
  })

  it("are kept for a newer one's sake where that is wanted, and go with it", async () => {
    const { budget, maps, read, step } = setup()
    const four = await maps.hold(base, [step(2), step(3, true), step(4)])
    await settle()
    expect(maps.keys()).toEqual(["i@3", "i@4"])
    const three = await maps.hold(base, [step(2), step(3, true)])
    expect(read).toEqual([2, 3, 4])
    four.release()
    await settle()
    expect(maps.keys()).toEqual(["i@3"])
    expect(codes(three.map, 3, 4)).toEqual([data(3), 0])
    three.release()
    await settle()
    expect([maps.keys(), budget.bytes]).toEqual([[], 0])
  })

  it("that are only kept are given up when memory runs out, and then what is asked for fits", async () => {
    const measure = setup()
    const one = await measure.maps.hold(base, [measure.step(2)])
    await settle()
    const each = measure.budget.bytes
    one.release()
    const { budget, maps, step } = setup(Math.floor(3.6 * each))
    const held = await maps.hold(base, [step(2, true), step(3, true), step(4, true), step(5)])
    await settle()
    expect(maps.keys()).not.toContain("i@2")
    expect(codes(held.map, 2, 3, 4, 5)).toEqual([data(2), data(3), data(4), data(5)])
    held.release()
    await settle()
    expect([maps.keys(), budget.bytes]).toEqual([[], 0])
  })

  it("that do not fit at all are refused to everyone who waits, and leave nothing behind", async () => {
    const { budget, maps, step } = setup(20_000)
    const path = [step(2, true), step(3)]
    const answers = await Promise.allSettled([maps.hold(base, path), maps.hold(base, path), maps.hold(base, [])])
    expect(answers.map((a) => (a.status === "rejected" ? a.reason.code : "held"))).toEqual([
      "LAYER_MAPS_FULL",
      "LAYER_MAPS_FULL",
      "held",
    ])
    for (const a of answers) if (a.status === "fulfilled") a.value.release()
    await settle()
    expect([maps.keys(), budget.bytes]).toEqual([[], 0])
  })

  it("that cannot be read now are tried anew by the next who asks, and others are not harmed", async () => {
    const { budget, maps, read, step } = setup()
    let broken = true
    const two = await maps.hold(base, [step(2)])
    const path = [step(2), step(3, false, () => broken), step(4)]
    await expect(maps.hold(base, path)).rejects.toThrow("unreadable")
    broken = false
    const four = await maps.hold(base, path)
    expect(read).toEqual([2, 3, 3, 4])
    expect([codes(two.map, 2), codes(four.map, 2, 3)]).toEqual([[data(2)], [data(2), data(3)]])
    four.release()
    two.release()
    await settle()
    expect([maps.keys(), budget.bytes]).toEqual([[], 0])
  })

  it("that are asked for again while they are let go are held by the one who asked", async () => {
    const { budget, maps, step } = setup()
    const first = await maps.hold(base, [step(2)])
    const asking = maps.hold(base, [step(2)])
    first.release()
    const second = await asking
    expect(codes(second.map, 2)).toEqual([data(2)])
    expect(second.map.released).toBe(false)
    second.release()
    const third = await maps.hold(base, [step(2)])
    expect([third.map.released, codes(third.map, 2)]).toEqual([false, [data(2)]])
    third.release()
    await settle()
    expect([maps.keys(), budget.bytes]).toEqual([[], 0])
  })
})
