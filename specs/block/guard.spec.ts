import { expect, it } from "vitest"
import { swappable } from "../../core/block/box.ts"
import { ReadCache } from "../../core/block/cache.ts"
import type { BlockDevice } from "../../core/block/device.ts"
import { guardDevice } from "../../core/block/guard.ts"
import { openVersion } from "../../core/block/version.ts"
import { MemoryVolume } from "../support/memory-volume.ts"

const MiB = 1024 * 1024
const device = (sizeBytes: number): BlockDevice =>
  openVersion({
    id: "v",
    contentId: "v",
    cache: new ReadCache({ bytes: 65_536 }),
    below: new MemoryVolume(sizeBytes),
    sizeBytes,
  })
/** The same with blocks that may not be cut. */
const blocky = (inner: BlockDevice): BlockDevice =>
  Object.create(inner, { features: { value: { ...inner.features, byteGranular: false } } }) as BlockDevice
const code = (c: string) => expect.objectContaining({ code: c })

it("takes a read of the largest length, and refuses one block more", async () => {
  const guard = guardDevice(device(64 * MiB))
  const into = Buffer.alloc(33 * MiB)
  await guard.read(into, 0, 0, 32 * MiB)
  expect(() => guard.readSync(into, 0, 0, 32 * MiB + 512)).toThrow(code("OUT_OF_RANGE"))
})

it("names the offset and the size of the disk in a refusal", () => {
  const guard = guardDevice(device(MiB))
  expect(() => guard.readSync(Buffer.alloc(1024), 0, MiB - 512, 1024)).toThrow(
    expect.objectContaining({
      code: "OUT_OF_RANGE",
      offset: MiB - 512,
      message: "request at byte 1048064 (+1024) is outside the disk of 1048576 bytes",
    }),
  )
})

it("judges alignment above 2^32 as below, unless the device takes any byte", () => {
  const size = 4 * 2 ** 40
  const inner = device(size)
  const into = Buffer.alloc(512)
  expect(guardDevice(inner).readSync(into, 0, size - 513, 512)).toBe(true)
  const guard = guardDevice(Object.assign(blocky(inner), { readSync: () => true }))
  expect(guard.readSync(into, 0, size - 512, 512)).toBe(true)
  expect(() => guard.readSync(into, 0, size - 513, 512)).toThrow(code("OUT_OF_RANGE"))
  expect(() => guard.readSync(into, 0, size - 512, 511)).toThrow(code("OUT_OF_RANGE"))
})

it("judges by the size that the device has now, because a box may be given another", async () => {
  const box = swappable(device(512))
  const guard = guardDevice(box)
  const into = Buffer.alloc(512)
  expect(() => guard.readSync(into, 0, 512, 512)).toThrow(code("OUT_OF_RANGE"))
  await box.swap(device(1024))
  expect(guard.readSync(into, 0, 512, 512)).toBe(true)
  await box.swap(device(512))
  expect(() => guard.readSync(into, 0, 512, 512)).toThrow(code("OUT_OF_RANGE"))
})

it("tells of the first read of any bytes, once, by whichever door it comes", async () => {
  for (const door of ["readSync", "read"] as const) {
    let told = 0
    const guard = guardDevice(device(MiB), () => told++)
    const into = Buffer.alloc(512)
    guard.readSync(into, 0, 0, 0)
    await guard.read(into, 0, 0, 0)
    expect(() => guard.readSync(into, 0, MiB, 512)).toThrow(code("OUT_OF_RANGE"))
    expect(told).toBe(0)
    await guard[door](into, 0, 0, 512)
    expect(told).toBe(1)
    guard.readSync(into, 0, 512, 512)
    await guard.read(into, 0, 512, 512)
    expect(told).toBe(1)
  }
})
