import { expect, it } from "vitest"
import { ClusterTable } from "../../../core/block/heat/cluster-table.ts"
import { random } from "../../support/random.ts"

it("a table keeps the first value of each cluster, up to the largest disk's last one, and no more than it was made for", () => {
  const table = new ClusterTable(3)
  const last = 2 ** 30 - 1
  expect([table.get(0), table.get(last)]).toEqual([-1, -1])
  expect([table.add(0, 7), table.add(last, 8), table.add(0, 9), table.add(1, 0)]).toEqual([true, true, false, true])
  expect([table.get(0), table.get(last), table.get(1), table.get(2), table.size]).toEqual([7, 8, 0, -1, 3])
  expect(table.add(1, 5)).toBe(false)
  expect(() => table.add(2, 5)).toThrow("a table is made for all its entries")
})

it("a full table answers as a map does, whether clusters lie in runs, apart by any step, or anywhere", () => {
  const r = random(5)
  const max = 4096
  const shapes: ReadonlyArray<readonly [string, (i: number) => number]> = [
    ["runs", (i) => (i >> 6) * 1_000_000 + (i & 63)],
    ...[1, 31, 32, 33, 8192, 131_072].map((step) => [`step ${step}`, (i: number) => (i * step) % 2 ** 30] as const),
    ["anywhere", () => r.int(2 ** 30)],
  ]
  for (const [shape, clusterOf] of shapes) {
    const table = new ClusterTable(max)
    const model = new Map<number, number>()
    for (let i = 0; i < max; i++) {
      const cluster = clusterOf(i)
      expect(table.add(cluster, i)).toBe(!model.has(cluster))
      if (!model.has(cluster)) model.set(cluster, i)
    }
    for (const [cluster, value] of model) if (table.get(cluster) !== value) expect.fail(`${shape}: ${cluster}`)
    for (let i = 0; i < max; i++) {
      const other = r.int(2 ** 30)
      if (table.get(other) !== (model.get(other) ?? -1)) expect.fail(`${shape}: ${other}`)
    }
    expect(table.size).toBe(model.size)
  }
})
