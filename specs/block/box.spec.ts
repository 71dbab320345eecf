import { expect, it } from "vitest"
import { swappable } from "../../core/block/box.ts"
import { ReadCache } from "../../core/block/cache.ts"
import { openVersion } from "../../core/block/version.ts"
import { MemoryVolume } from "../support/memory-volume.ts"
import { patterned } from "../support/random.ts"

const C = 65_536
const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

const version = (id: string, bytes: Buffer, waits?: () => Promise<void>) => {
  const volume = MemoryVolume.of(bytes, { misses: () => true, ...(waits ? { waits } : {}) })
  const cache = new ReadCache({ bytes: C })
  return openVersion({ id, contentId: id, cache, below: volume, sizeBytes: bytes.length })
}

it("serves the new device at once, and gives the old one back when its last read has ended", async () => {
  const [before, after] = [patterned(C, 1), patterned(C, 2)]
  let open = () => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const old = version("v", before, () => gate)
  const box = swappable(old)
  const slow = Buffer.alloc(10)
  const reading = box.read(slow, 0, 0, 10)
  let done = false
  const swapping = box.swap(version("v", after)).then((device) => {
    done = true
    return device
  })
  const quick = Buffer.alloc(10)
  await box.read(quick, 0, 0, 10)
  expect(quick.equals(after.subarray(0, 10))).toBe(true)
  expect(done).toBe(false)
  open()
  await reading
  expect(slow.equals(before.subarray(0, 10))).toBe(true)
  expect(await swapping).toBe(old)
  await old.close()
  expect(box.readSync(quick, 0, 0, 10)).toBe(true)
})

it("announces what changed, and nothing for the same bytes from another place", async () => {
  const heard: Array<string> = []
  const box = swappable(version("v1", patterned(C, 1)))
  const stop = box.onChange((change) => heard.push(change))
  await box.swap(version("v1", patterned(C, 1)))
  expect(heard).toEqual([])
  await box.swap(version("v2", patterned(C, 2)))
  expect(heard).toEqual(["media"])
  await box.swap(version("v3", patterned(2 * C, 2)))
  expect(heard).toEqual(["media", "capacity", "media"])
  expect(box.sizeBytes).toBe(2 * C)
  stop()
  await box.swap(version("v4", patterned(C, 2)))
  expect(heard.length).toBe(3)
})

it("keeps a lock through a swap", async () => {
  const box = swappable(version("v", patterned(C, 1)))
  const unlock = await box.lock(0, 512)
  await box.swap(version("v", patterned(C, 1)))
  let granted = false
  const second = box.lock(0, 512).then((u) => {
    granted = true
    u()
  })
  await settle()
  expect(granted).toBe(false)
  unlock()
  await second
})

it("closes what is inside, once", async () => {
  const inside = version("v", patterned(C, 1))
  const box = swappable(inside)
  await box.close()
  await box.close()
  expect(() => inside.readSync(Buffer.alloc(1), 0, 0, 1)).toThrow(expect.objectContaining({ code: "CLOSED" }))
})
