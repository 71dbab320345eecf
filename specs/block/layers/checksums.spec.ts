import { expect, it } from "vitest"
import { computeChecksums } from "../../../core/block/checksums.ts"
import { extendChecksums, ownClusters } from "../../../core/block/layers/checksums.ts"
import { layeredVolume } from "../../../core/block/layers/volume.ts"
import { baseMap, extendMap, grains, layeredDisk, PAGE } from "../../support/layers.ts"
import { patterned } from "../../support/random.ts"

const C = 65_536
const size = 40 * C + 512
/** Version 2 touches clusters 1 and 20 to 39, version 3 cluster 1, by zeros, and the last, of 512 bytes. */
const committed = () => {
  const disk = layeredDisk(patterned(size, 3))
  const fill = ({ length }: { length: number }) => patterned(length, length)
  disk.commit(0, 2, grains(size, [31, 1, "data"], [320, 320, "data"]), fill)
  disk.commit(2, 3, grains(size, [16, 1, "zero"], [640, 1, "data"]), fill)
  return disk
}

it("the clusters a layer touched are told in runs, to the last of them", () => {
  const disk = committed()
  expect([...ownClusters(disk.maps.get(2)!)]).toEqual([
    { first: 1, end: 2 },
    { first: 20, end: 40 },
  ])
  expect([...ownClusters(disk.maps.get(3)!)]).toEqual([
    { first: 1, end: 2 },
    { first: 40, end: 41 },
  ])
})

it("pages that a layer did not touch are passed by, whole disks are one run", () => {
  const bytes = 100 * PAGE * 4096
  const base = baseMap(bytes)
  const map = extendMap(base, 1, grains(bytes, [50 * PAGE - 1, 2, "data"], [99 * PAGE, PAGE, "zero"]))
  const page = PAGE / 16
  expect([...ownClusters(map)]).toEqual([
    { first: 50 * page - 1, end: 50 * page + 1 },
    { first: 99 * page, end: 100 * page },
  ])
  expect([...ownClusters(extendMap(base, 1, []))]).toEqual([])
  const all = extendMap(base, 1, [{ offset: 0, length: bytes, kind: "zero" }])
  expect([...ownClusters(all)]).toEqual([{ first: 0, end: 100 * page }])
})

it("a version's checksums are the same out of its parent's as by reading all of it, and only what changed is read", async () => {
  const disk = committed()
  const whole = (layer: number) => layeredVolume(disk.maps.get(layer)!, disk.files)
  let parent = await computeChecksums(whole(0))
  for (const [layer, clusters] of [
    [2, 21],
    [3, 2],
  ] as const) {
    let read = 0
    const volume = whole(layer)
    const counting = {
      read: (into: Uint8Array, at: number, offset: number, length: number) => {
        read += Math.ceil(length / C)
        return volume.read(into, at, offset, length)
      },
    }
    const progress: Array<number> = []
    const table = await extendChecksums(parent, disk.maps.get(layer)!, counting, {
      onProgress: (done, total) => progress.push(done / total),
    })
    expect(table).toEqual(await computeChecksums(volume))
    expect(read).toBe(clusters)
    expect(progress).toEqual(progress.toSorted((a, b) => a - b))
    expect(progress.at(-1)).toBe(1)
    parent = table
  }
})

it("what a layer zeroed is not read, but for what a mebibyte that begins with data has of it", async () => {
  const bytes = 3 * PAGE * 4096 + 512
  const disk = layeredDisk(patterned(bytes, 3))
  const runs = grains(bytes, [8, 2 * PAGE, "zero"], [3 * PAGE - 16, 17, "zero"])
  disk.commit(0, 1, runs, ({ length }) => patterned(length, 1))
  const [map, volume] = [disk.maps.get(1)!, layeredVolume(disk.maps.get(1)!, disk.files)]
  const read: Array<number> = []
  const counting = {
    read: (into: Uint8Array, at: number, offset: number, length: number) => {
      read.push(offset / C, length / C)
      return volume.read(into, at, offset, length)
    },
  }
  const parent = await computeChecksums(layeredVolume(disk.maps.get(0)!, disk.files))
  const table = await extendChecksums(parent, map, counting)
  expect(table).toEqual(await computeChecksums(volume))
  expect(read).toEqual([0, 16, (2 * PAGE) / 16, 1])
})

it("computing them stops when it is cancelled, and is refused over a table of another disk", async () => {
  const disk = committed()
  const [map, volume] = [disk.maps.get(2)!, layeredVolume(disk.maps.get(2)!, disk.files)]
  const parent = await computeChecksums(layeredVolume(disk.maps.get(0)!, disk.files))
  const cancelled = extendChecksums(parent, map, volume, { signal: AbortSignal.abort() })
  await expect(cancelled).rejects.toMatchObject({ code: "CANCELLED" })
  await expect(extendChecksums(parent.subarray(1), map, volume)).rejects.toThrow("the same disk")
})
