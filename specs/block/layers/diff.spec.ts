import { expect, it } from "vitest"
import { differences, differenceTotals } from "../../../core/block/layers/diff.ts"
import { baseMap, extendMap, GRAIN, grains, PAGE } from "../../support/layers.ts"

const size = 3 * PAGE * GRAIN + 512
const base = baseMap(size)
const two = extendMap(base, 2, grains(size, [0, 2, "data"], [PAGE - 1, 2, "data"], [3 * PAGE, 1, "zero"]))
const three = extendMap(two, 3, grains(size, [1, 1, "zero"], [2, 1, "data"]))
const other = extendMap(base, 4, grains(size, [0, 1, "data"], [1, 1, "zero"], [3 * PAGE, 1, "zero"]))

it("a version differs from itself in nothing", () => {
  for (const map of [base, two, three]) expect([...differences(map, map)]).toEqual([])
  expect(differenceTotals(three, three)).toEqual({ runs: 0, dataBytes: 0, zeroBytes: 0 })
})

it("a child differs from its parent in what its layer wrote, in runs over pages and to the disk's last bytes", () => {
  expect([...differences(base, two)]).toEqual([
    { offset: 0, length: 2 * GRAIN, kind: "data" },
    { offset: (PAGE - 1) * GRAIN, length: 2 * GRAIN, kind: "data" },
    { offset: 3 * PAGE * GRAIN, length: 512, kind: "zero" },
  ])
  expect(differenceTotals(base, two)).toEqual({ runs: 3, dataBytes: 4 * GRAIN, zeroBytes: 512 })
})

it("the same runs differ the other way round, as what they were before", () => {
  expect([...differences(two, base)].map((d) => d.kind)).toEqual(["data", "data", "data"])
  expect(differenceTotals(two, base)).toEqual({ runs: 3, dataBytes: 4 * GRAIN + 512, zeroBytes: 0 })
})

it("versions on two sides of a rollback are compared by who wrote last, and zeros are zeros whoever wrote them", () => {
  expect([...differences(three, other)]).toEqual([
    { offset: 0, length: GRAIN, kind: "data" },
    { offset: 2 * GRAIN, length: GRAIN, kind: "data" },
    { offset: (PAGE - 1) * GRAIN, length: 2 * GRAIN, kind: "data" },
  ])
})

it("versions of disks of different sizes are not compared", () => {
  expect(() => [...differences(base, baseMap(size + 512))]).toThrow("one size")
})
