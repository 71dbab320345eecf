/** The tap as a device like any other, with and without a recording; and what it tells. */
import { blockDeviceConformance } from "imagelink/conformance/block-device"
import { describe, expect, it } from "vitest"
import { ReadCache } from "../../../core/block/cache.ts"
import { openDraft } from "../../../core/block/draft.ts"
import { guardDevice } from "../../../core/block/guard.ts"
import { ExpectedOrder, ReadAhead } from "../../../core/block/heat/read-ahead.ts"
import { HeatRecording } from "../../../core/block/heat/recording.ts"
import { HeatTap } from "../../../core/block/heat/tap.ts"
import { openVersion } from "../../../core/block/version.ts"
import { grains, layeredDisk } from "../../support/layers.ts"
import { type Behaviour, MemoryVolume } from "../../support/memory-volume.ts"
import { patterned } from "../../support/random.ts"

const C = 65_536
const SIZE = 16 * C + 512
const version = (bytes: Buffer, behaviour: Behaviour = {}) =>
  openVersion({
    id: "image@1",
    contentId: "image@1",
    cache: new ReadCache({ bytes: 3 * C }),
    below: MemoryVolume.of(bytes, behaviour),
    sizeBytes: SIZE,
  })
const ahead = (device: ReturnType<typeof version>) =>
  new ReadAhead({ order: new ExpectedOrder(Uint32Array.of(1, 0, 5, 3)), device, monotonic: () => 0 })

const slow: Behaviour = { misses: () => true, waits: () => Promise.resolve() }
const readable = { byteGranular: true, writable: false, durable: false, trim: false, fastZero: false }
for (const isOn of [false, true])
  blockDeviceConformance(
    { describe, it },
    {
      name: `a tap over a version, ${isOn ? "recording and reading ahead" : "off"}`,
      features: readable,
      make: async () => {
        const reference = patterned(SIZE, 3)
        const device = version(reference, slow)
        const tap = new HeatTap(device)
        if (isOn) tap.record(new HeatRecording())
        if (isOn) tap.follow(ahead(device))
        const guarded = guardDevice(tap)
        return { device: guarded, reference, dispose: () => guarded.close() }
      },
    },
  )
blockDeviceConformance(
  { describe, it },
  {
    name: "a tap over what can be written",
    features: { byteGranular: true, writable: true, durable: true, trim: true, fastZero: false },
    make: async () => {
      const reference = patterned(SIZE, 4)
      const draft = Object.assign(openDraft("draft", MemoryVolume.of(reference)), { contentIdOf: () => "draft" })
      const device = guardDevice(new HeatTap(draft))
      return { device, reference, dispose: () => device.close() }
    },
  },
)

it("a recording sees hits and misses alike from when it begins until it ends, and several see the same", async () => {
  const tap = new HeatTap(version(patterned(SIZE, 5), slow))
  const [first, second] = [new HeatRecording(), new HeatRecording()]
  const read = (cluster: number) => tap.read(Buffer.alloc(1), 0, cluster * C, 1)
  await read(1)
  tap.record(first)
  tap.record(first)
  expect(tap.readSync(Buffer.alloc(1), 0, C, 1)).toBe(true)
  expect(tap.readSync(Buffer.alloc(1), 0, 2 * C, 1)).toBe(false)
  tap.record(second)
  await read(3)
  tap.leave(first)
  await read(4)
  tap.leave(second)
  await read(5)
  expect([[...first.reads().clusters], [...second.reads().clusters]]).toEqual([
    [1, 2, 3],
    [3, 4],
  ])
})

it("what versions share is told with the version that brought it", async () => {
  const disk = layeredDisk(patterned(SIZE, 6))
  disk.commit(0, 1, grains(SIZE, [32, 1, "data"]), ({ length }) => Buffer.alloc(length, 9))
  const recording = new HeatRecording()
  const tap = new HeatTap(disk.open(1, new ReadCache({ bytes: 3 * C })))
  tap.record(recording)
  for (const cluster of [0, 2, 3]) await tap.read(Buffer.alloc(1), 0, cluster * C, 1)
  const { contents, contentOf } = recording.reads()
  const of = [...contentOf].map((i) => contents[i])
  expect(of).toEqual(["i@0", "i@1", "i@0"])
})
