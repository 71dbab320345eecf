/** Disks made of runs: whatever the runs, one array of bytes; and nothing is left writing into a buffer that was given back. */
import { expect, it } from "vitest"
import type { Extent } from "../../../core/block/device.ts"
import { limits } from "../../../core/limits.ts"
import { type DiskMap, mappedDisk, type Run } from "../../../core/storage/mapped-disk.ts"
import { MemoryVolume } from "../../support/memory-volume.ts"
import { patterned } from "../../support/random.ts"

const BLOCK = 1000
const bytes = patterned(64 * BLOCK, 1)
const packed: Run["kind"] = "packed"

/** `kinds` says what each block of 1000 bytes is; data lie where the guest has them. */
const make = (kinds: ReadonlyArray<Run["kind"]>, volume = MemoryVolume.of(bytes)) => {
  const map: DiskMap = {
    sizeBytes: kinds.length * BLOCK,
    dependsOn: [],
    volumes: [volume],
    *find(offset, most) {
      const kind = kinds[Math.floor(offset / BLOCK)]!
      const length = Math.min(most, BLOCK - (offset % BLOCK))
      if (kind === "zero") return { kind, length }
      if (kind === "data") return { kind, length, volume, at: offset }
      return { kind, length, read: (into, at, from, n) => volume.read(into, at, from, n) }
    },
  }
  return { disk: mappedDisk(map), volume }
}
const expected = (kinds: ReadonlyArray<Run["kind"]>) => {
  const guest = Buffer.from(bytes.subarray(0, kinds.length * BLOCK))
  for (const [i, kind] of kinds.entries()) if (kind === "zero") guest.fill(0, i * BLOCK, (i + 1) * BLOCK)
  return guest
}

it("reads across many runs of every kind, more than go out at once", async () => {
  const kinds = Array.from({ length: 64 }, (_, i) => (["data", "zero", packed] as const)[i % 3]!)
  const { disk } = make(kinds)
  const into = Buffer.alloc(disk.sizeBytes, 0xee)
  await disk.read(into, 0, 0, into.length)
  expect(into.equals(expected(kinds))).toBe(true)
})

it("settles a failed read only after its other pieces, and throws the first failure", async () => {
  let settled = 0
  let asked = 0
  const volume = MemoryVolume.of(bytes, {
    fails: (_request, offset) => {
      asked++
      if (offset === BLOCK || offset === 2 * BLOCK) throw new Error(`no ${offset}`)
    },
    waits: () => new Promise((resolve) => setImmediate(resolve)).then(() => void settled++),
  })
  const { disk } = make(Array(10).fill("data"), volume)
  await expect(disk.read(Buffer.alloc(10 * BLOCK), 0, 0, 10 * BLOCK)).rejects.toThrow(`no ${BLOCK}`)
  expect([asked, settled]).toEqual([10, 8])
})

it("reads at once zeros around one run of data, and leaves the buffer alone when it cannot", () => {
  const kinds = ["zero", "data", "zero", "zero", "data", packed] as const
  const { disk, volume } = make(kinds)
  const into = Buffer.alloc(4 * BLOCK, 0xee)
  expect(disk.readSync?.(into, 0, 0, 3500)).toBe(true)
  expect(into.equals(Buffer.concat([expected(kinds).subarray(0, 3500), Buffer.alloc(500, 0xee)]))).toBe(true)
  into.fill(0xee)
  for (const [offset, length] of [
    [BLOCK, 3001],
    [4 * BLOCK, 1001],
    [5 * BLOCK, 1],
  ] as const)
    expect(disk.readSync?.(into, 0, offset, length)).toBe(false)
  volume.behaviour.misses = () => true
  expect(disk.readSync?.(into, 0, 0, 3500)).toBe(false)
  expect(into.every((b) => b === 0xee)).toBe(true)
})

it("joins equal runs to extents, looks into the file for holes, and stops at `max`", async () => {
  const volume = new MemoryVolume(64 * BLOCK)
  volume.put(bytes, 0, 2 * 4096, 4096)
  const { disk } = make(["zero", "zero", ...Array(30).fill("data"), packed, "zero"], volume)
  const all: ReadonlyArray<Extent> = (await disk.extents?.(0, disk.sizeBytes, 100)) ?? []
  expect(all).toEqual([
    { offset: 0, length: 8192, kind: "zero" },
    { offset: 8192, length: 4096, kind: "data" },
    { offset: 12_288, length: 32_000 - 12_288, kind: "zero" },
    { offset: 32_000, length: 1000, kind: "data" },
    { offset: 33_000, length: 1000, kind: "zero" },
  ])
  for (let max = 1; max < 5; max++) expect(await disk.extents?.(0, disk.sizeBytes, max)).toEqual(all.slice(0, max))
})

it("looks up a bounded number of runs for one question", async () => {
  const { disk } = make(Array(limits.formatExtentLookupsMax + 10).fill("zero"))
  expect(await disk.extents?.(0, disk.sizeBytes, 10)).toEqual([
    { offset: 0, length: limits.formatExtentLookupsMax * BLOCK, kind: "zero" },
  ])
})
