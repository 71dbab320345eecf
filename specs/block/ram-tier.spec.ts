import { describe, expect, it } from "vitest"
import { ReadCache } from "../../core/block/cache.ts"
import { ClusterSet } from "../../core/block/cluster-set.ts"
import { openVersion } from "../../core/block/version.ts"
import { grains, layeredDisk } from "../support/layers.ts"
import { MemoryVolume } from "../support/memory-volume.ts"
import { patterned, random } from "../support/random.ts"

const C = 65_536
const MiB = 2 ** 20
const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

interface Setup {
  readonly ramBytes?: number
  readonly cacheClusters?: number
  readonly verify?: (cluster: number, bytes: Uint8Array) => boolean
  readonly zeroed?: ReadonlyArray<number>
}

const setup = (sizeBytes: number, { ramBytes = MiB, cacheClusters = 1, verify, zeroed = [] }: Setup = {}) => {
  const bytes = patterned(sizeBytes, 7)
  for (const cluster of zeroed) bytes.fill(0, cluster * C, Math.min(sizeBytes, (cluster + 1) * C))
  const gates: Array<() => void> = []
  const state = { holds: false }
  const volume = MemoryVolume.of(bytes, {
    waits: () => (state.holds ? new Promise<void>((open) => gates.push(open)) : undefined),
  })
  const cache = new ReadCache({ bytes: cacheClusters * C, ramBytes })
  const below = { read: volume.read.bind(volume) }
  const open = (id = "a") => openVersion({ id, contentId: id, cache, below, sizeBytes, verify })
  const device = open()
  const isHit = (cluster: number) => device.readSync(Buffer.alloc(1), 0, cluster * C, 1)
  return { bytes, volume, cache, device, open, gates, state, isHit }
}

const readAll = async (device: ReturnType<typeof openVersion>): Promise<Buffer> => {
  const into = Buffer.alloc(device.sizeBytes)
  if (!device.readSync(into, 0, 0, into.length)) await device.read(into, 0, 0, into.length)
  return into
}

it("what is kept is answered at once, however much goes through the cache, and the rest as before", async () => {
  const { device, bytes, isHit, volume } = setup(6 * C + 512)
  for (const cluster of [0, 2, 6]) expect(await device.keep(cluster)).toBe(true)
  expect(volume.counts.read).toBe(3)
  for (let i = 0; i < 3; i++) expect((await readAll(device)).equals(bytes)).toBe(true)
  expect([0, 2, 6].map(isHit)).toEqual([true, true, true])
  for (const cluster of [1, 3, 4, 5]) await device.read(Buffer.alloc(1), 0, cluster * C, 1)
  expect([0, 1, 2, 3, 4, 5, 6].map(isHit)).toEqual([true, false, true, false, false, true, true])
})

it("a read over kept clusters is answered at once as a whole, to the last byte of the disk", async () => {
  const { device, bytes } = setup(3 * C + 512)
  for (let cluster = 0; cluster < 4; cluster++) await device.keep(cluster)
  const into = Buffer.alloc(3 * C + 512)
  expect(device.readSync(into, 0, 0, into.length)).toBe(true)
  expect(into.equals(bytes)).toBe(true)
})

it("a cluster that the cache has moves, so that it is held once and its room is free", async () => {
  const { device, cache, volume, bytes } = setup(2 * C)
  await device.read(Buffer.alloc(1), 0, 0, 1)
  expect(cache.stats).toMatchObject({ bytes: C, ramBytes: 0 })
  await device.keep(0)
  expect(cache.stats).toMatchObject({ bytes: 0, ramBytes: C, loads: 1 })
  await device.read(Buffer.alloc(1), 0, C, 1)
  expect(cache.stats).toMatchObject({ bytes: C, ramBytes: C, evictions: 0 })
  expect((await readAll(device)).equals(bytes)).toBe(true)
  expect(volume.counts.read).toBe(2)
})

it("clusters of zeros are kept and take no room", async () => {
  const { device, cache, bytes, isHit } = setup(40 * C, { zeroed: [0, ...Array.from({ length: 38 }, (_, i) => i + 2)] })
  for (let cluster = 0; cluster < 40; cluster++) expect(await device.keep(cluster)).toBe(true)
  expect(cache.stats).toMatchObject({ ramBytes: C, bytes: 0 })
  expect(cache.ram.bytesOf("a")).toBe(MiB)
  expect(isHit(0)).toBe(true)
  expect((await readAll(device)).equals(bytes)).toBe(true)
  cache.letGo("a")
  expect([isHit(0), isHit(1), isHit(39), cache.ram.bytesOf("a")]).toEqual([false, false, false, 0])
})

it("what leaves some at a time is read right all the while, and its room is free at once", async () => {
  const { device, cache, bytes, isHit } = setup(33 * C, { ramBytes: 2 * MiB, zeroed: [0] })
  for (let cluster = 0; cluster < 33; cluster++) await device.keep(cluster)
  const steps: Array<readonly [boolean, number, number]> = []
  for (let gone = false; !gone; ) {
    gone = cache.letGo("a", 1)
    steps.push([gone, cache.stats.ramBytes / C, cache.ram.allocatedBytes / MiB])
    expect((await readAll(device)).equals(bytes)).toBe(true)
  }
  // Two chunks of sixteen clusters; zeros, which take none, leave at the end.
  expect(steps).toEqual([
    [false, 16, 1],
    [false, 0, 0],
    [true, 0, 0],
  ])
  expect([cache.letGo("a", 1), isHit(0)]).toEqual([true, false])
})

it("a cluster that is not what was recorded is not kept; it can be later", async () => {
  let bad = true
  const { device, cache, isHit } = setup(2 * C, { verify: (cluster) => !(bad && cluster === 1) })
  await device.keep(0)
  await expect(device.keep(1)).rejects.toMatchObject({ code: "MEDIUM_ERROR" })
  await expect(device.read(Buffer.alloc(C), 0, C, C)).rejects.toMatchObject({ code: "MEDIUM_ERROR", offset: C })
  expect([isHit(1), cache.stats.ramBytes]).toEqual([false, C])
  bad = false
  expect(await device.keep(1)).toBe(true)
  expect([isHit(1), cache.stats.ramBytes]).toEqual([true, 2 * C])
})

it("without room nothing is kept, to the last slot; what was let go makes room for another", async () => {
  const { device, open, isHit, cache } = setup(17 * C)
  for (let cluster = 0; cluster < 16; cluster++) expect(await device.keep(cluster)).toBe(true)
  expect([await device.keep(16), isHit(16)]).toEqual([false, false])
  const other = open("b")
  expect(await other.keep(0)).toBe(false)
  cache.letGo("a")
  cache.letGo("a")
  expect([isHit(0), cache.stats.ramBytes]).toEqual([false, 0])
  expect([await other.keep(0), cache.stats.ramBytes]).toEqual([true, C])
  expect(await device.keep(0)).toBe(false)
})

it("a budget of less than a mebibyte keeps nothing", async () => {
  const { device, bytes } = setup(2 * C, { ramBytes: MiB - 1 })
  expect([await device.keep(0), await device.keep(1)]).toEqual([false, false])
  expect((await readAll(device)).equals(bytes)).toBe(true)
})

it("is loaded once, whether it is kept twice or read and kept at the same time", async () => {
  const { device, volume, gates, state, bytes, cache } = setup(2 * C)
  state.holds = true
  const into = Buffer.alloc(100)
  const reading = device.read(into, 0, 50, 100)
  const keeping = [device.keep(0), device.keep(0), device.keep(1), device.keep(1)]
  await settle()
  const late = device.read(Buffer.alloc(1), 0, C, 1)
  for (const open of gates) open()
  await Promise.all([reading, late])
  expect(await Promise.all(keeping)).toEqual([true, true, true, true])
  expect(volume.counts.read).toBe(2)
  expect(into.equals(bytes.subarray(50, 150))).toBe(true)
  expect(cache.stats).toMatchObject({ bytes: 0, ramBytes: 2 * C })
})

it("closing waits for what is on its way; what is kept outlives the device, until it is forgotten", async () => {
  const { device, open, cache, gates, state } = setup(2 * C)
  state.holds = true
  const keeping = device.keep(0)
  await settle()
  expect(() => cache.letGo("a")).toThrow(/stops before/)
  const closing = device.close()
  for (const go of gates) go()
  expect(await keeping).toBe(true)
  await closing
  await expect(device.keep(1)).rejects.toMatchObject({ code: "CLOSED" })
  const again = open()
  expect(again.readSync(Buffer.alloc(1), 0, 0, 1)).toBe(true)
  await again.close()
  cache.forget("a")
  expect([cache.stats.ramBytes, cache.ram.bytesOf("a")]).toEqual([0, 0])
  expect(open().readSync(Buffer.alloc(1), 0, 0, 1)).toBe(false)
})

it("readers see the right bytes while clusters are kept and let go, over 20 seeded runs", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const r = random(seed)
    const count = 1 + r.int(40)
    const sizeBytes = count * C - r.pick([0, 512, C - 512])
    const zeroed = Array.from({ length: count }, (_, i) => i).filter(() => r.chance(0.2))
    const { device, bytes, cache, volume } = setup(sizeBytes, {
      ramBytes: r.pick([0, 1, 3]) * MiB,
      cacheClusters: 3,
      zeroed,
    })
    volume.behaviour.waits = () => (r.chance(0.5) ? settle() : undefined)
    let reading = true
    const reader = async () => {
      while (reading) {
        const offset = r.int(sizeBytes)
        const length = 1 + r.int(Math.min(3 * C, sizeBytes - offset))
        const into = Buffer.alloc(length)
        if (!device.readSync(into, 0, offset, length)) await device.read(into, 0, offset, length)
        expect(into.equals(bytes.subarray(offset, offset + length)), `seed ${seed}, ${offset}+${length}`).toBe(true)
        await settle()
      }
    }
    const readers = [reader(), reader(), reader()]
    for (let round = 0; round < 3; round++) {
      await Promise.all(Array.from({ length: count }, () => device.keep(r.int(count))))
      await settle()
      cache.letGo("a")
    }
    reading = false
    await Promise.all(readers)
    expect(cache.stats.ramBytes, `seed ${seed}`).toBe(0)
  }
})

describe("versions made of layers", () => {
  it("hold what they share once, and let go of their own alone", async () => {
    const SIZE = 4 * C
    const fine = () => true
    const disk = layeredDisk(patterned(SIZE, 1), { misses: () => true })
    disk.commit(0, 2, grains(SIZE, [16, 1, "data"]), ({ length }) => Buffer.alloc(length, 2))
    disk.commit(2, 3, grains(SIZE, [32, 16, "data"]), ({ length }) => Buffer.alloc(length, 3))
    const cache = new ReadCache({ bytes: C, ramBytes: 8 * MiB })
    const [two, three] = [disk.open(2, cache, fine), disk.open(3, cache, fine)]
    for (const device of [two, three]) for (let cluster = 0; cluster < 4; cluster++) await device.keep(cluster)
    expect([0, 1, 2, 3].map((cluster) => three.contentIdOf(cluster))).toEqual(["i@0", "i@2", "i@3", "i@0"])
    expect(cache.stats).toMatchObject({ ramBytes: 5 * C, bytes: 0 })
    const isHit = (device: typeof two) => [0, 1, 2, 3].map((c) => device.readSync(Buffer.alloc(1), 0, c * C, 1))
    expect([isHit(two), isHit(three)]).toEqual([Array(4).fill(true), Array(4).fill(true)])
    for (const [version, device] of [
      [2, two],
      [3, three],
    ] as const)
      expect((await readAll(device)).equals(disk.content.get(version)!), `version ${version}`).toBe(true)
    cache.letGo("i@3")
    expect([isHit(two), isHit(three)]).toEqual([Array(4).fill(true), [true, true, false, true]])
    expect((await readAll(three)).equals(disk.content.get(3)!)).toBe(true)
  })
})

describe("a set of clusters", () => {
  it("has what was added, once, over the edges of its pages", () => {
    const set = new ClusterSet()
    const added = [0, 7, 8, 32_767, 32_768, 2 ** 30]
    for (const cluster of [...added, ...added]) set.add(cluster)
    expect(set.size).toBe(6)
    expect([0, 1, 7, 8, 9, 32_766, 32_767, 32_768, 32_769, 2 ** 30].filter((c) => set.has(c))).toEqual(added)
    const other = new ClusterSet()
    other.add(8)
    other.add(100_000)
    set.addAll(other)
    expect([set.size, set.has(100_000), other.size]).toEqual([7, true, 2])
  })
})
