/**
 * Maps of layers against plain arrays: a tree of versions, each with random runs over its parent, each grain's origin written out beside.
 */
import { expect, it } from "vitest"
import type { Extent } from "../../../core/block/device.ts"
import { LayerMapBudget } from "../../../core/block/layers/budget.ts"
import { differences, differenceTotals } from "../../../core/block/layers/diff.ts"
import type { LayerMap } from "../../../core/block/layers/map.ts"
import { baseMap, extendMap, GRAIN, ownRuns, PAGE } from "../../support/layers.ts"
import { type Random, random } from "../../support/random.ts"

interface Version {
  readonly map: LayerMap
  readonly codes: Uint16Array
  readonly own: ReadonlyArray<Extent>
}

/** Runs in order; where pages meet and grains are many, more often than by chance. */
const randomRuns = (r: Random, sizeBytes: number): ReadonlyArray<Extent> => {
  const total = Math.ceil(sizeBytes / GRAIN)
  const runs: Array<Extent> = []
  const step = r.pick([4, 40, 4000, total])
  for (let g = r.int(step); g < total; g += 1 + r.int(step)) {
    const to = Math.min(total, r.chance(0.1) ? (Math.floor(g / PAGE) + 1) * PAGE : g + 1 + r.int(r.pick([1, 20, PAGE])))
    const end = Math.min(sizeBytes, to * GRAIN)
    runs.push({ offset: g * GRAIN, length: end - g * GRAIN, kind: r.pick(["data", "data", "zero", "absent"]) })
    g = to - 1
  }
  return runs
}

const child = (parent: Version, layer: number, runs: ReadonlyArray<Extent>): Version => {
  const codes = Uint16Array.from(parent.codes)
  for (const { offset, length, kind } of runs) {
    if (kind === "absent") continue
    codes.fill(2 * layer + (kind === "zero" ? 1 : 0), offset / GRAIN, Math.ceil((offset + length) / GRAIN))
  }
  return { map: extendMap(parent.map, layer, runs), codes, own: runs.filter((run) => run.kind !== "absent") }
}

const checkLookups = (r: Random, { map, codes }: Version): void => {
  for (let i = 0; i < 200; i++) {
    const grain = r.chance(0.2) ? Math.min(codes.length - 1, PAGE * r.int(4) + r.int(2)) : r.int(codes.length)
    const limit = grain + 1 + r.int(Math.min(3 * PAGE, codes.length - grain))
    let end = grain + 1
    while (end < limit && codes[end] === codes[grain]) end++
    expect([map.lookup(grain), map.runEnd(grain, limit)]).toEqual([codes[grain], end])
    const cluster = Math.floor(grain / 16)
    const newest = Math.max(...codes.subarray(cluster * 16, cluster * 16 + 16)) >> 1
    expect(map.contentOf(cluster)).toBe(newest)
  }
}

const joined = (runs: ReadonlyArray<Extent>): ReadonlyArray<Extent> => {
  const all: Array<Extent> = []
  for (const run of runs) {
    const last = all.at(-1)
    if (last !== undefined && last.kind === run.kind && last.offset + last.length === run.offset) {
      all[all.length - 1] = { ...last, length: last.length + run.length }
    } else all.push(run)
  }
  return all
}

const checkDifferences = (a: Version, b: Version, sizeBytes: number): void => {
  const differs = (g: number) => {
    const [was, is] = [a.codes[g]!, b.codes[g]!]
    return was !== is && (was & is & 1) === 0
  }
  const expected: Array<Extent> = []
  for (let g = 0; g < a.codes.length; g++) {
    const length = Math.min(GRAIN, sizeBytes - g * GRAIN)
    if (differs(g)) expected.push({ offset: g * GRAIN, length, kind: (b.codes[g]! & 1) === 1 ? "zero" : "data" })
  }
  const runs = joined(expected)
  expect([...differences(a.map, b.map)]).toEqual(runs)
  const bytes = (kind: string) => runs.filter((run) => run.kind === kind).reduce((sum, run) => sum + run.length, 0)
  expect(differenceTotals(a.map, b.map)).toEqual({
    runs: runs.length,
    dataBytes: bytes("data"),
    zeroBytes: bytes("zero"),
  })
}

const run = (seed: number): void => {
  const r = random(seed)
  const sizeBytes = r.pick([1, 16, PAGE - 1, PAGE, 3 * PAGE + 5]) * GRAIN + r.pick([0, 512, 4000])
  const budget = new LayerMapBudget(r.pick([60_000, 10_000_000]))
  const codes = new Uint16Array(Math.ceil(sizeBytes / GRAIN))
  const versions: Array<Version> = [{ map: baseMap(sizeBytes, budget), codes, own: [] }]
  const start = r.pick([0, 100, 125, 32_000])
  for (let layer = start + 1; layer <= start + 8; layer++) {
    const parent = r.chance(0.7) ? versions.at(-1)! : r.pick(versions)
    const next = child(parent, layer, randomRuns(r, sizeBytes))
    const own = [...ownRuns(next.map)]
    expect(own.map((e) => e.offset + e.length)).toEqual([...own.slice(1).map((e) => e.offset), sizeBytes])
    expect(own.filter((e) => e.kind !== "absent")).toEqual(joined(next.own))
    versions.push(next)
  }
  for (const version of versions) checkLookups(r, version)
  checkDifferences(r.pick(versions), r.pick(versions), sizeBytes)
  while (versions.length > 0) {
    const [gone] = versions.splice(r.int(versions.length), 1)
    gone!.map.release()
    if (versions.length > 0) checkLookups(r, r.pick(versions))
  }
  expect(budget.bytes).toBe(0)
}

const seeds = Number(process.env.IMAGELINK_SEEDS ?? 40)
const first = Number(process.env.IMAGELINK_SEED ?? 1)

it(`a map says of each grain what was last written to it, over ${seeds} seeded trees of versions`, () => {
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      run(seed)
    } catch (e) {
      throw new Error(
        `replay: IMAGELINK_SEEDS=1 IMAGELINK_SEED=${seed} npx vitest run specs/block/layers/map-model.spec.ts`,
        { cause: e },
      )
    }
  }
})
