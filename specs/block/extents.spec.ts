import { expect, it } from "vitest"
import type { Extent } from "../../core/block/device.ts"
import { clipExtents, ExtentList, extentsOf, mergeExtents } from "../../core/block/extents.ts"

const e = (offset: number, length: number, kind: Extent["kind"]): Extent => ({ offset, length, kind })
const source = (list: ReadonlyArray<Extent>) => ({
  asked: [] as Array<number>,
  async extents(offset: number, length: number, max: number) {
    this.asked.push(offset)
    return clipExtents(list, offset, length).slice(0, max)
  },
})

it("joins equal neighbours and drops empty runs", () => {
  expect(mergeExtents([e(0, 1, "data"), e(1, 2, "data"), e(3, 0, "zero"), e(3, 1, "data"), e(4, 1, "zero")])).toEqual([
    e(0, 4, "data"),
    e(4, 1, "zero"),
  ])
  expect(mergeExtents([])).toEqual([])
})

it("takes as many runs as it may, and still lengthens the last", () => {
  const list = new ExtentList(2)
  expect(list.push(0, 1, "data")).toBe(true)
  expect(list.push(1, 1, "zero")).toBe(true)
  expect(list.push(2, 1, "zero")).toBe(true)
  expect(list.push(3, 1, "data")).toBe(false)
  expect(list.list).toEqual([e(0, 1, "data"), e(1, 2, "zero")])
  expect(list.end(9)).toBe(3)
})

it("clips to a range, and to nothing outside it", () => {
  const list = [e(0, 10, "data"), e(10, 10, "zero")]
  expect(clipExtents(list, 9, 2)).toEqual([e(9, 1, "data"), e(10, 1, "zero")])
  expect(clipExtents(list, 20, 5)).toEqual([])
  expect(clipExtents(list, 10, 10)).toEqual([e(10, 10, "zero")])
})

it("walks a range a batch at a time, to its end and not past it", async () => {
  const s = source([e(0, 5, "data"), e(5, 5, "zero"), e(10, 5, "data"), e(15, 100, "zero")])
  const got: Array<Extent> = []
  for await (const x of extentsOf(s, 2, 20, 2)) got.push(x)
  expect(got).toEqual([e(2, 3, "data"), e(5, 5, "zero"), e(10, 5, "data"), e(15, 7, "zero")])
  expect(s.asked).toEqual([2, 10])
})

it("takes for data what a source says nothing about", async () => {
  const got: Array<Extent> = []
  for await (const x of extentsOf(source([]), 0, 7)) got.push(x)
  expect(got).toEqual([e(0, 7, "data")])
})
