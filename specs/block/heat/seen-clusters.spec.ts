import { expect, it } from "vitest"
import { SeenClusters } from "../../../core/block/heat/seen-clusters.ts"
import { random } from "../../support/random.ts"

it("a set has what was added, up to the largest disk's last cluster, and no more than it was made for", () => {
  const set = new SeenClusters(3)
  const last = 2 ** 30 - 1
  expect([0, last].map((cluster) => set.has(cluster))).toEqual([false, false])
  for (const cluster of [0, last, 0, 31, 31]) set.add(cluster)
  expect([0, 1, 31, 32, last - 1, last].map((cluster) => set.has(cluster))).toEqual([
    true,
    false,
    true,
    false,
    false,
    true,
  ])
  expect(() => set.add(32)).toThrow("a set is made for all its clusters")
  const one = new SeenClusters(1)
  one.add(77)
  expect([one.has(77), one.has(78), one.has(109)]).toEqual([true, false, false])
})

it("a full set answers as a set does, whether clusters lie in runs, apart by any step, or anywhere", () => {
  const r = random(6)
  const max = 4096
  const shapes: ReadonlyArray<readonly [string, (i: number) => number]> = [
    ["runs", (i) => (i >> 6) * 1_000_000 + (i & 63)],
    ...[1, 31, 32, 33, 8192, 131_072].map((step) => [`step ${step}`, (i: number) => (i * step) % 2 ** 30] as const),
    ["anywhere", () => r.int(2 ** 30)],
  ]
  for (const [shape, clusterOf] of shapes) {
    const set = new SeenClusters(max)
    const model = new Set<number>()
    for (let i = 0; i < max; i++) {
      const cluster = clusterOf(i)
      set.add(cluster)
      model.add(cluster)
    }
    for (const cluster of model) if (!set.has(cluster)) expect.fail(`${shape}: ${cluster}`)
    for (let i = 0; i < max; i++) {
      const other = r.int(2 ** 30)
      if (set.has(other) !== model.has(other)) expect.fail(`${shape}: ${other}`)
    }
  }
})
