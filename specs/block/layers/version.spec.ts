import { describe, expect, it } from "vitest"
import { ReadCache } from "../../../core/block/cache.ts"
import { guardDevice } from "../../../core/block/guard.ts"
import { openLayeredVersion } from "../../../core/block/layers/version.ts"
import { openVersion } from "../../../core/block/version.ts"
import { baseMap, GRAIN, grains, layeredDisk } from "../../support/layers.ts"
import { MemoryVolume } from "../../support/memory-volume.ts"
import { patterned } from "../../support/random.ts"

const C = 65_536
const slow = { misses: () => true }
const filled =
  (byte: number) =>
  ({ length }: { length: number }) =>
    Buffer.alloc(length, byte)
const get = async (
  device: { read: (i: Buffer, a: number, o: number, l: number) => Promise<void> },
  o: number,
  l: number,
) => {
  const into = Buffer.alloc(l)
  await device.read(into, 0, o, l)
  return into
}

/** Version 1 is the base; 2 changes cluster 1, 3 cluster 2, and 4 cluster 1 again, with zeros. */
const chain = (behaviour = {}) => {
  const disk = layeredDisk(patterned(4 * C, 9), behaviour)
  disk.commit(0, 2, grains(4 * C, [16, 1, "data"]), filled(2))
  disk.commit(2, 3, grains(4 * C, [33, 2, "data"]), filled(3))
  disk.commit(3, 4, grains(4 * C, [17, 1, "zero"]), filled(4))
  return disk
}

describe("the cache", () => {
  it("holds what versions share once, and loads it once", async () => {
    const disk = chain(slow)
    const cache = new ReadCache({ bytes: 16 * C })
    for (const version of [0, 2, 3, 4, 4, 0]) {
      const device = disk.open(version, cache)
      expect((await get(device, 0, 4 * C)).equals(disk.content.get(version)!)).toBe(true)
      await device.close()
    }
    // Clusters 0 and 3 once; cluster 1 as of the base, layer 2 and layer 4; cluster 2 as of the base and layer 3.
    expect(cache.stats.loads).toBe(2 + 3 + 2)
  })

  it("answers a version at once from what another one loaded", async () => {
    const disk = chain(slow)
    const cache = new ReadCache({ bytes: 16 * C })
    await get(disk.open(3, cache), 0, 4 * C)
    const device = disk.open(4, cache)
    const into = Buffer.alloc(2 * C)
    expect(device.readSync(into, 0, 2 * C, 2 * C)).toBe(true)
    expect(into.equals(disk.content.get(4)!.subarray(2 * C))).toBe(true)
    into.fill(7)
    expect(device.readSync(into, 0, 0, 2 * C)).toBe(false)
    expect(into.every((b) => b === 7)).toBe(true)
    expect(device.readSync(into, 0, C, 1)).toBe(false)
  })

  it("is shared with the version that was opened without layers", async () => {
    const disk = chain(slow)
    const cache = new ReadCache({ bytes: 16 * C })
    const plain = openVersion({
      id: "i@1",
      contentId: "i@0",
      cache,
      below: disk.files.get(0)!,
      sizeBytes: disk.sizeBytes,
    })
    await get(plain, 0, 4 * C)
    await get(disk.open(3, cache), 0, 4 * C)
    expect(cache.stats.loads).toBe(4 + 2)
  })

  it("judges a cluster by the version that owns it, and fails for that range alone", async () => {
    const disk = chain(slow)
    const judged: Array<string> = []
    const device = disk.open(4, new ReadCache({ bytes: 16 * C }), (layer, cluster) => {
      judged.push(`${cluster} by ${layer}`)
      return layer !== 3
    })
    await expect(get(device, 2 * C + 10, 20)).rejects.toMatchObject({ code: "MEDIUM_ERROR", offset: 2 * C + 10 })
    expect((await get(device, 0, 2 * C)).equals(disk.content.get(4)!.subarray(0, 2 * C))).toBe(true)
    expect((await get(device, 3 * C, C)).equals(disk.content.get(4)!.subarray(3 * C))).toBe(true)
    expect(judged.sort()).toEqual(["0 by 0", "1 by 4", "2 by 3", "3 by 0"])
  })

  it("forgets where it found a cluster when the slot is another cluster's, and when it is another version's", async () => {
    const disk = chain(slow)
    const cache = new ReadCache({ bytes: C })
    const [two, four] = [disk.open(2, cache), disk.open(4, cache)]
    const into = Buffer.alloc(C)
    const at = (device: typeof two, cluster: number) => device.readSync(into, 0, cluster * C, C)
    await get(two, C, 1)
    expect([at(two, 1), at(two, 1)]).toEqual([true, true])
    await get(two, 0, 1)
    expect([at(two, 0), at(two, 1)]).toEqual([true, false])
    await get(two, 3 * C, 1)
    expect([at(two, 3), at(two, 0)]).toEqual([true, false])
    await get(two, C, 1)
    expect(at(two, 1)).toBe(true)
    await get(four, C, 1)
    expect(at(four, 1)).toBe(true)
    expect(into.equals(disk.content.get(4)!.subarray(C, 2 * C))).toBe(true)
    expect(at(two, 1)).toBe(false)
  })

  it("is told of the heat of each cluster under the content that it is held as, hit or miss", async () => {
    const disk = chain(slow)
    const cache = new ReadCache({ bytes: 16 * C })
    const heat: Array<readonly [number, number]> = []
    const map = disk.maps.get(4)!
    const parts = map.chain.map((n) => ({ layer: n, contentId: `i@${n}`, source: disk.files.get(n)! }))
    const device = openLayeredVersion({ id: "i", cache, map, parts, heat: (...one) => heat.push(one) })
    await get(device, 0, 4 * C)
    expect(device.readSync(Buffer.alloc(4 * C), 0, 0, 4 * C)).toBe(true)
    // Contents are numbered as they are first asked for: the base, layer 4, layer 3.
    const once = [
      [0, 0],
      [1, 1],
      [2, 2],
      [0, 3],
    ]
    expect(heat).toEqual([...once, ...once])
  })

  it("keeps its clusters apart from those of a version on the other side of a rollback", async () => {
    const disk = layeredDisk(patterned(C, 1), slow)
    disk.commit(0, 2, grains(C, [0, 1, "data"]), filled(2))
    disk.commit(0, 3, grains(C, [0, 1, "data"]), filled(3))
    const cache = new ReadCache({ bytes: 16 * C })
    expect((await get(disk.open(2, cache), 0, 1))[0]).toBe(2)
    expect((await get(disk.open(3, cache), 0, 1))[0]).toBe(3)
  })
})

describe("a version of layers", () => {
  it("never serves what a layer's file holds where the layer zeroed", async () => {
    const disk = layeredDisk(patterned(C, 1))
    disk.commit(0, 1, grains(C, [0, 3, "data"]), filled(1))
    disk.commit(1, 2, grains(C, [1, 1, "zero"]), filled(0xbb))
    const device = disk.open(2)
    const wanted = Buffer.concat([Buffer.alloc(GRAIN, 1), Buffer.alloc(GRAIN), Buffer.alloc(GRAIN, 1)])
    const into = Buffer.alloc(3 * GRAIN)
    expect(device.readSync(into, 0, 0, 3 * GRAIN)).toBe(true)
    expect(into.equals(wanted)).toBe(true)
    expect((await get(device, 0, 3 * GRAIN)).equals(wanted)).toBe(true)
  })

  it("asks each file for nothing but its own runs", async () => {
    const disk = chain(slow)
    await get(disk.open(4), 0, 4 * C)
    const asked = [0, 2, 3, 4].map((layer) => disk.files.get(layer)!.counts.read)
    // Cluster 0, 1 after the two changed grains, 2 before and after them, 3: five of the base.
    expect(asked).toEqual([5, 1, 1, 0])
  })

  it("loads a cluster at once where every file has it at hand, and not where one has not", async () => {
    const [disk, some] = [chain(), chain(slow)]
    const cache = new ReadCache({ bytes: 16 * C })
    const device = disk.open(4, cache)
    const into = Buffer.alloc(4 * C)
    for (let c = 0; c < 4; c++) expect(device.readSync(into, c * C, c * C, C)).toBe(true)
    expect(into.equals(disk.content.get(4)!)).toBe(true)
    expect(cache.stats).toMatchObject({ misses: 4, loads: 4, hits: 0, bytes: 4 * C })
    expect(device.readSync(into, 0, 0, 4 * C)).toBe(true)
    expect(cache.stats).toMatchObject({ misses: 4, loads: 4, hits: 4 })
    expect(some.open(4, cache).readSync(into, 0, 0, C)).toBe(true)
    expect(some.open(4, new ReadCache({ bytes: C })).readSync(into, 0, 0, C)).toBe(false)
  })

  it("judges also what is at hand: what is wrong is not answered, and told by the read that waits", async () => {
    const cache = new ReadCache({ bytes: 16 * C })
    const device = chain().open(4, cache, (layer) => layer !== 3)
    expect([0, 1, 2, 3].map((c) => device.readSync(Buffer.alloc(1), 0, c * C, 1))).toEqual([true, true, false, true])
    await expect(get(device, 2 * C, 1)).rejects.toMatchObject({ code: "MEDIUM_ERROR" })
    expect(cache.stats).toMatchObject({ mismatches: 1, bytes: 3 * C })
  })

  it("tells the base's holes and the layers' zeros as zeros, everything else as data", async () => {
    const size = 8 * GRAIN
    const disk = layeredDisk(Buffer.alloc(size))
    const hole = new MemoryVolume(size)
    hole.put(Buffer.alloc(GRAIN, 1), 0, 2 * GRAIN, GRAIN)
    disk.files.set(0, hole)
    disk.commit(0, 1, grains(size, [0, 1, "data"], [4, 2, "data"], [6, 1, "zero"]), filled(1))
    const device = disk.open(1)
    const all = await device.extents(0, size, 100)
    expect(all).toEqual([
      { offset: 0, length: GRAIN, kind: "data" },
      { offset: GRAIN, length: GRAIN, kind: "zero" },
      { offset: 2 * GRAIN, length: GRAIN, kind: "data" },
      { offset: 3 * GRAIN, length: GRAIN, kind: "zero" },
      { offset: 4 * GRAIN, length: 2 * GRAIN, kind: "data" },
      { offset: 6 * GRAIN, length: 2 * GRAIN, kind: "zero" },
    ])
    expect(await device.extents(100, size - 100, 2)).toEqual([
      { offset: 100, length: GRAIN - 100, kind: "data" },
      { offset: GRAIN, length: GRAIN, kind: "zero" },
    ])
  })

  it("reports an error of one file with the disk's own offset", async () => {
    const disk = chain(slow)
    const broken = new MemoryVolume(4 * C, {
      misses: () => true,
      fails: (_, offset) => {
        throw Object.assign(new Error("broken"), { at: offset })
      },
    })
    disk.files.set(3, broken)
    const device = guardDevice(disk.open(4))
    await expect(get(device, 2 * C, C)).rejects.toMatchObject({ at: 33 * GRAIN })
    expect((await get(device, 0, 2 * C)).equals(disk.content.get(4)!.subarray(0, 2 * C))).toBe(true)
  })

  it("opens with exactly the layers of its map, each of the disk's size", () => {
    const map = baseMap(C)
    const part = (layer: number, bytes: number) => ({
      layer,
      contentId: `i@${layer}`,
      source: new MemoryVolume(bytes),
    })
    const open =
      (...parts: ReadonlyArray<ReturnType<typeof part>>) =>
      () =>
        openLayeredVersion({ id: "i", cache: new ReadCache({ bytes: C }), map, parts })
    expect(open()).toThrow("every layer of the version")
    expect(open(part(0, C), part(1, C))).toThrow("every layer of the version")
    expect(open(part(0, C), part(0, C))).toThrow("every layer of the version")
    expect(open(part(0, C - 512))).toThrow("has the size of its disk")
    expect(open(part(0, C))).not.toThrow()
  })

  it("waits for its loads when it closes, and closes none of its files", async () => {
    const gates: Array<() => void> = []
    const disk = chain({ ...slow, waits: () => new Promise<void>((open) => gates.push(open)) })
    const device = disk.open(4)
    const reading = get(device, 3 * C, 10)
    await new Promise((resolve) => setImmediate(resolve))
    let closed = false
    const closing = device.close().then(() => {
      closed = true
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect([closed, gates.length]).toEqual([false, 1])
    gates[0]!()
    await Promise.all([reading, closing])
    expect([...disk.files.values()].some((file) => file.closed)).toBe(false)
    expect(() => device.readSync(Buffer.alloc(1), 0, 0, 1)).toThrow("closed")
  })
})
