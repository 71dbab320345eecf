import { expect, it } from "vitest"
import { HeatRecording } from "../../../core/block/heat/recording.ts"
import { limits } from "../../../core/limits.ts"
import { random } from "../../support/random.ts"

const C = limits.clusterBytes
/** Clusters in a row that are a scan. */
const SCAN = limits.heatScanBytes / C
const one = { contentIdOf: () => "a" }
const clustersOf = (recording: HeatRecording) => [...recording.reads().clusters]
const touch = (recording: HeatRecording, ...clusters: ReadonlyArray<number>) => {
  for (const cluster of clusters) recording.touch(one, cluster * C, 512)
}
const scan = (recording: HeatRecording, from: number, count: number) => {
  for (let i = 0; i < count; i++) recording.touch(one, (from + i) * C, C)
}

it("clusters are kept in the order of their first read, each once", () => {
  const recording = new HeatRecording()
  touch(recording, 7, 7, 3, 7, 900, 3)
  expect([clustersOf(recording), recording.count]).toEqual([[7, 3, 900], 3])
})

it("a read touches every cluster that it lies in, from its first byte to its last", () => {
  const recording = new HeatRecording()
  recording.touch(one, 2 * C - 1, 2)
  recording.touch(one, 10 * C, C)
  recording.touch(one, 20 * C + C - 1, 1)
  recording.touch(one, 30 * C, C + 1)
  expect(clustersOf(recording)).toEqual([1, 2, 10, 20, 30, 31])
})

it("each cluster is kept with the content that brought it, and the last cluster of the largest disk is one", () => {
  const recording = new HeatRecording()
  const source = { contentIdOf: (cluster: number) => (cluster % 2 === 0 ? "even" : "odd") }
  const last = limits.imageBytesMax / C - 1
  for (const cluster of [1, 2, 3, last]) recording.touch(source, cluster * C, 512)
  const { contents, contentOf, clusters } = recording.reads()
  expect([...clusters].map((c, i) => [c, contents[contentOf[i]!]])).toEqual([
    [1, "odd"],
    [2, "even"],
    [3, "odd"],
    [last, "odd"],
  ])
})

it("nothing read is an empty recording, and its first read is told once", () => {
  let firsts = 0
  const recording = new HeatRecording(() => firsts++)
  expect([clustersOf(recording), firsts]).toEqual([[], 0])
  touch(recording, 5, 6, 7)
  expect(firsts).toBe(1)
})

it("what is read after it is full is left out, and nothing else", () => {
  const recording = new HeatRecording(undefined, 3)
  touch(recording, 10, 20, 30, 40, 10, 50)
  expect([clustersOf(recording), recording.count]).toEqual([[10, 20, 30], 3])
})

it("a run that ends just short of a scan is kept whole; one cluster more, and all of it is left out", () => {
  const [short, long] = [new HeatRecording(), new HeatRecording()]
  scan(short, 100, SCAN - 1)
  scan(long, 100, SCAN)
  expect([clustersOf(short).length, clustersOf(long).length]).toEqual([SCAN - 1, 0])
})

it("a scan over what was read before it takes nothing of that away, and what is read beside it and after it is kept", () => {
  const recording = new HeatRecording()
  touch(recording, 150, 90, 3000)
  for (let i = 0; i < 4 * SCAN; i++) {
    recording.touch(one, (100 + i) * C, C)
    if (i === 5) touch(recording, 4000)
    if (i % 1000 === 500) touch(recording, 900_000 + i)
  }
  touch(recording, 50, 110)
  const beside = Array.from({ length: (4 * SCAN) / 1000 }, (_, k) => 900_500 + 1000 * k).filter(
    (c) => c < 900_000 + 4 * SCAN,
  )
  expect(clustersOf(recording)).toEqual([150, 90, 3000, 4000, ...beside, 50])
})

it("scans side by side are told from each other, and from a boot that goes on between them", () => {
  const recording = new HeatRecording()
  const boot = Array.from({ length: 500 }, (_, i) => 5_000_000 + i * 7)
  for (let i = 0; i < 2 * SCAN; i++) {
    for (const start of [1_000_000, 2_000_000, 3_000_000]) recording.touch(one, (start + i) * C, C)
    const next = boot[i]
    if (next !== undefined && i < SCAN / 2) touch(recording, next)
  }
  expect(clustersOf(recording)).toEqual(boot)
})

it("reading a whole disk of 4 TiB leaves room for the boot that comes after it", () => {
  const recording = new HeatRecording(undefined, SCAN + 10)
  scan(recording, 0, 2 ** 42 / C / 64)
  touch(recording, 70_000_000, 80_000_000)
  expect(clustersOf(recording)).toEqual([70_000_000, 80_000_000])
})

it("no more scans are looked for than there is room for: what is read then counts", () => {
  const recording = new HeatRecording()
  for (let i = 0; i <= limits.heatScansMax; i++)
    if (recording.count + SCAN <= limits.heatClustersMax) scan(recording, i * 10 * SCAN, SCAN)
  expect(recording.count).toBeLessThanOrEqual(limits.heatClustersMax)
  expect(clustersOf(recording).length % SCAN).toBe(0)
})

it("random reads are what a set of clusters makes of them", () => {
  for (const seed of [1, 2, 3]) {
    const r = random(seed)
    const recording = new HeatRecording(undefined, 400)
    const model: Array<number> = []
    for (let i = 0; i < 3000; i++) {
      const cluster = r.chance(0.3) ? r.int(60) * 3 : r.int(1 << 30)
      touch(recording, cluster)
      if (!model.includes(cluster) && model.length < 400) model.push(cluster)
    }
    expect(clustersOf(recording), `seed ${seed}`).toEqual(model)
  }
})
