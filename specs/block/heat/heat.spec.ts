import { describe, expect, it } from "vitest"
import {
  BOOT,
  expectedOrder,
  type Heat,
  hotZone,
  isLabel,
  type KeptReads,
  noHeat,
  rank,
  withReads,
} from "../../../core/block/heat/heat.ts"
import { limits } from "../../../core/limits.ts"
import { random } from "../../support/random.ts"

const SIZE = 2 ** 42
const always = () => true
const turn = async () => {}
const reads = (clusters: ReadonlyArray<number>, label = BOOT, at = 0, version = 1): KeptReads => ({
  label,
  at,
  versions: new Uint32Array(clusters.length).fill(version),
  clusters: Uint32Array.from(clusters),
})
const heatOf = (...all: ReadonlyArray<KeptReads>): Heat =>
  all.reduce((heat, one) => withReads(heat, one, SIZE), noHeat("i"))
const zone = async (heat: Heat, share: number) => [...(await hotZone(heat, share, always, turn))]
const range = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i)

describe("what is kept", () => {
  it("is the newest recordings of a label; all are counted", () => {
    const heat = heatOf(...range(limits.heatKeptMax + 2).map((at) => reads([at], BOOT, at)))
    expect(heat.labels).toEqual([{ label: BOOT, recorded: limits.heatKeptMax + 2 }])
    expect(heat.kept.map((k) => k.at)).toEqual(range(limits.heatKeptMax, 2))
  })

  it("is not a boot that was cut short, nor an empty one; one of a quarter is kept", () => {
    const heat = heatOf(reads(range(8)), reads([1]), reads([]), reads([1, 2]))
    expect([heat.labels[0]?.recorded, heat.kept.map((k) => k.clusters.length)]).toEqual([4, [8, 2]])
  })

  it("is of the labels that were recorded last, and always boots", () => {
    const names = range(limits.heatLabelsMax + 1).map((i) => `game-${i}`)
    const heat = heatOf(reads([1]), ...names.map((label) => reads([2], label)), reads([3], "game-3"))
    expect(heat.labels.map((l) => l.label)).toEqual([BOOT, ...names.slice(2).filter((n) => n !== "game-3"), "game-3"])
    expect(new Set(heat.kept.map((k) => k.label))).toEqual(new Set(heat.labels.map((l) => l.label)))
  })

  it("fits the memory for one image: of the label with the most, the oldest goes", () => {
    const full = range(limits.heatClustersMax)
    const many = limits.heatEntriesMax / limits.heatClustersMax
    let heat = heatOf(reads([1], "game"))
    for (let at = 0; at <= many; at++) heat = withReads(heat, reads(full, BOOT, at), SIZE)
    const entries = heat.kept.reduce((sum, k) => sum + k.clusters.length, 0)
    expect(entries).toBeLessThanOrEqual(limits.heatEntriesMax)
    expect(heat.kept.map((k) => [k.label, k.at])).toEqual([["game", 0], ...range(many - 1, 2).map((at) => [BOOT, at])])
  })
})

describe("a hot zone", () => {
  it("of one boot is all of it, in its order", async () => {
    expect(await zone(heatOf(reads([9, 1, 5])), 99)).toEqual([9, 1, 5])
    expect(await zone(heatOf(reads([9, 1, 5])), 100)).toEqual([9, 1, 5])
  })

  it("of a share leaves out what fewest boots read, and is no larger than it must be", async () => {
    const heat = heatOf(reads([1, 2, 3]), reads([2, 3, 4]), reads([3, 2, 5]))
    expect(await zone(heat, 100)).toEqual([3, 2, 5, 4, 1])
    expect(await zone(heat, 66)).toEqual([3, 2])
    expect(await zone(heat, 67)).toEqual([3, 2, 5])
    expect(await zone(heat, 33)).toEqual([3])
    expect(await zone(heat, 34)).toEqual([3, 2])
    expect(await zone(heat, 1)).toEqual([3])
  })

  it("of nothing is nothing", async () => {
    expect(await zone(noHeat("i"), 99)).toEqual([])
  })

  it("covers each label by itself: a game that is read once is not lost among many boots", async () => {
    const boots = range(8).map(() => reads(range(100)))
    expect(await zone(heatOf(...boots, reads([500, 501], "game")), 99)).toEqual([...range(99), 500, 501])
  })

  it("holds only what a version still has", async () => {
    const heat = heatOf(reads([1, 2, 3]), { ...reads([1, 2, 4]), versions: Uint32Array.of(1, 2, 2) })
    const isOfTwo = (version: number, cluster: number) =>
      cluster === 2 || cluster === 4 ? version === 2 : version === 1
    expect([...(await hotZone(heat, 100, isOfTwo, turn))]).toEqual([1, 2, 4, 3])
  })

  it("covers its share with the fewest clusters, for random boots", async () => {
    for (const seed of [1, 2, 3, 4]) {
      const r = random(seed)
      const boots = range(1 + r.int(8)).map(() => [...new Set(range(40).map(() => r.int(60)))])
      const heat = heatOf(...boots.map((clusters) => reads(clusters)))
      const weight = (cluster: number) => boots.filter((b) => b.includes(cluster)).length
      const all = boots.reduce((sum, b) => sum + b.length, 0)
      for (const share of [1, 25, 50, 90, 99, 100]) {
        const found = await zone(heat, share)
        const covered = found.reduce((sum, cluster) => sum + weight(cluster), 0)
        const heaviest = range(60)
          .map(weight)
          .sort((a, b) => b - a)
        const best = range(61).find((n) => 100 * heaviest.slice(0, n).reduce((a, b) => a + b, 0) >= share * all)
        expect([found.length, new Set(found).size], `seed ${seed}, ${share} %`).toEqual([best, best])
        expect(100 * covered).toBeGreaterThanOrEqual(share * all)
      }
    }
  })
})

it("a ranking counts a cluster once for each recording that has it", async () => {
  const ranking = await rank(heatOf(reads([1, 2]), reads([2])), BOOT, always, turn)
  expect([ranking.reads, [...ranking.covering(100)]]).toEqual([3, [2, 1]])
})

it("a boot is expected to read as the newest one did, as far as the version still has that", () => {
  const heat = heatOf(reads([1, 2, 3]), reads([9, 8], "game"), reads([3, 1]))
  expect([...expectedOrder(heat, always)]).toEqual([3, 1])
  expect([...expectedOrder(heat, (_, cluster) => cluster !== 3)]).toEqual([1])
  expect([...expectedOrder(heatOf(reads([9], "game")), always)]).toEqual([])
})

it("a label is a name like an image's", () => {
  for (const good of ["a", "boot", "game-2", "a".repeat(limits.heatLabelCharsMax)])
    expect(isLabel(good), good).toBe(true)
  for (const bad of ["", "-a", "a-", "A", "a b", "é", "a".repeat(limits.heatLabelCharsMax + 1)])
    expect(isLabel(bad), bad).toBe(false)
})
