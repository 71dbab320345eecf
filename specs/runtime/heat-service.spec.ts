/** When a boot begins and ends, and what is recorded at the same time, with a clock that the spec turns. */
import { expect, it } from "vitest"
import { BOOT } from "../../core/block/heat/heat.ts"
import type { Version } from "../../core/block/version.ts"
import { limits } from "../../core/limits.ts"
import { makeHeat, type TappedDisk } from "../../core/runtime/heat.ts"
import { makeHeatStore } from "../../core/runtime/heat-store.ts"
import { MemoryFolder } from "../support/memory-volume.ts"

const C = limits.clusterBytes
const image = { id: "0190a6b4-0000-7000-8000-000000000001", name: "os" }
const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

const setup = () => {
  let now = 0
  const waiting = new Set<{ readonly at: number; readonly run: () => void }>()
  const later = (run: () => void, millis: number) => {
    const timer = { at: now + millis, run }
    waiting.add(timer)
    return () => void waiting.delete(timer)
  }
  const pass = async (millis: number) => {
    now += millis
    for (const timer of [...waiting]) if (timer.at <= now && waiting.delete(timer)) timer.run()
    await settle()
    await settle()
  }
  const problems: Array<string> = []
  const failing = { now: false }
  const files = new MemoryFolder("memory", () => ({}))
  const replace = files.folder("heat").replaceFile.bind(files.folder("heat"))
  files.folder("heat").replaceFile = async (...args) => {
    if (failing.now) throw new Error("no space")
    return replace(...args)
  }
  const store = makeHeatStore(files)
  const clock = () => now
  const heat = makeHeat({ store, now: clock, monotonic: clock, later, onProblem: (e) => problems.push(e.code) })
  const device = {
    id: `${image.id}@1`,
    sizeBytes: 1000 * C,
    contentIdOf: () => `${image.id}@1`,
    readSync: () => true,
    prefetch: async () => {},
  } as unknown as Version
  const open = (key: string, more: Partial<TappedDisk> = {}) => heat.tap({ image, device, key, isBoot: true, ...more })
  const read = (tap: ReturnType<typeof open>, ...clusters: ReadonlyArray<number>) => {
    for (const cluster of clusters) tap.readSync(Buffer.alloc(0), 0, cluster * C, 512)
  }
  const kept = async () => (await store.load(image.id, "os")).kept.map((k) => [k.label, k.at, ...k.clusters])
  const context = (signal = new AbortController().signal) => ({ signal, progress: () => {} })
  return { heat, open, read, pass, kept, waiting, problems, context, failing }
}

it("a boot lasts its time from its first read on, over its sessions, and is kept when that is over", async () => {
  const { heat, open, read, pass, kept, waiting } = setup()
  const first = open("a")
  await pass(1000)
  read(first, 7, 3)
  await pass(limits.heatBootMillis - 1)
  heat.untap(first)
  const second = open("a", { isBoot: false })
  read(second, 9)
  expect([heat.booting(image.id), await kept()]).toEqual([1, []])
  await pass(1)
  read(second, 11)
  expect([heat.booting(image.id), await kept(), waiting.size]).toEqual([
    0,
    [[BOOT, 1000 + limits.heatBootMillis, 7, 3, 9]],
    0,
  ])
})

it("a boot that reads nothing ends all the same, and leaves nothing", async () => {
  const { heat, open, pass, kept, waiting } = setup()
  open("a")
  await pass(limits.heatBootMillis)
  expect([heat.booting(image.id), await kept(), waiting.size]).toEqual([0, [], 0])
})

it("only a few boots of one image are recorded at the same time; others are served all the same", async () => {
  const { heat, open, read, kept } = setup()
  const taps = Array.from({ length: limits.heatBootsAtOnceMax + 1 }, (_, i) => open(`pc-${i}`))
  for (const [i, tap] of taps.entries()) read(tap, 100 + i)
  expect(heat.booting(image.id)).toBe(limits.heatBootsAtOnceMax)
  await heat.close()
  expect((await kept()).map((k) => k[2])).toEqual([100, 101, 102, 103])
})

it("no more is recorded at the same time than there is memory for", async () => {
  const { heat, open, context, pass } = setup()
  const windows = Array.from({ length: limits.heatRecordingsMax }, (_, i) =>
    heat.record(image, `game-${i}`, 1000, context()).catch((e) => e.code),
  )
  await expect(heat.record(image, "one-more", 1000, context())).rejects.toMatchObject({ code: "HEAT_NOT_RECORDED" })
  open("a")
  expect(heat.booting(image.id)).toBe(0)
  await pass(1000)
  expect(await Promise.all(windows)).toEqual(windows.map(() => "HEAT_NOT_RECORDED"))
  open("b")
  expect(heat.booting(image.id)).toBe(1)
})

it("a window sees all slots of its image and no other image, and ends to the millisecond", async () => {
  const { heat, open, read, context, pass } = setup()
  const [game, other] = [open("a/1", { isBoot: false }), open("b/0", { isBoot: false, image: { id: "x", name: "x" } })]
  const recorded = heat.record(image, "launch", 5000, context())
  read(game, 1)
  read(other, 2)
  await pass(4999)
  read(game, 3)
  await pass(1)
  read(game, 4)
  expect(await recorded).toEqual({ label: "launch", clients: 1, clusters: 2, bytes: 2 * C })
})

it("a boot that runs is part of the heat that is asked for; an image that is removed takes it along", async () => {
  const { heat, open, read, kept, waiting, pass } = setup()
  read(open("a"), 5)
  expect((await heat.of(image)).kept.map((k) => [...k.clusters])).toEqual([[5]])
  await heat.removed(image.id)
  expect([(await heat.of(image)).kept, heat.booting(image.id), waiting.size]).toEqual([[], 0, 0])
  await pass(limits.heatBootMillis)
  expect(await kept()).toEqual([])
})

it("what a boot read and could not be kept is told", async () => {
  const { open, read, pass, problems, failing } = setup()
  read(open("a"), 5)
  failing.now = true
  await pass(limits.heatBootMillis)
  expect(problems).toEqual(["INTERNAL_ERROR"])
})
