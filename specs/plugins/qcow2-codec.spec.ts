/** The tables and parts of qcow2 with their bytes written out, and the limits of what is kept of them. */
import { deflateRawSync, zstdCompressSync } from "node:zlib"
import { describe, expect, it } from "vitest"
import { BoundedCache } from "../../plugins/formats/qcow2/bounded-cache.ts"
import { ABSENT, DAMAGED, DATA, newEntry, PACKED, readEntry, ZERO } from "../../plugins/formats/qcow2/entry.ts"
import { formatOfQemu, qemuFormatOf } from "../../plugins/formats/qcow2/format-names.ts"
import type { Geometry } from "../../plugins/formats/qcow2/geometry.ts"
import { unpack, zstdFrameBytes } from "../../plugins/formats/qcow2/unpack.ts"

const geometry = (clusterBits: number, parts: Partial<Geometry> = {}): Geometry => ({
  version: 3,
  clusterBits,
  clusterBytes: 2 ** clusterBits,
  extended: false,
  entryBytes: 8,
  unitBytes: 2 ** clusterBits,
  unitsPerCluster: 1,
  tableSpanBytes: 2 ** (2 * clusterBits - 3),
  sliceBytes: 2 ** Math.min(clusterBits, 16),
  sliceSpanBytes: 2 ** (clusterBits + Math.min(clusterBits, 16) - 3),
  externalData: false,
  fileBytes: 2 ** 45,
  dataBytes: 2 ** 45,
  ...parts,
})
const subclusters = (clusterBits: number, parts: Partial<Geometry> = {}) =>
  geometry(clusterBits, {
    extended: true,
    entryBytes: 16,
    unitBytes: 2 ** (clusterBits - 5),
    unitsPerCluster: 32,
    ...parts,
  })

const entryOf = (g: Geometry, hex: string, { unit = 0, guest = 0 } = {}) => {
  const entry = newEntry()
  readEntry(entry, g, Buffer.from(hex, "hex"), 0, unit, guest)
  return entry
}
const read = (g: Geometry, hex: string, place = {}) => {
  const { kind, host, packedBytes } = entryOf(g, hex, place)
  return kind === DATA ? [kind, host] : kind === PACKED ? [kind, host, packedBytes] : [kind]
}

describe("an L2 entry", () => {
  it.each([
    ["0000000000000000", [ABSENT]],
    ["8000000000050000", [DATA, 0x5_0000]],
    // Bit 63 is for writers, and reserved bits are not looked at.
    ["0000000000050000", [DATA, 0x5_0000]],
    ["bf000000000501fe", [DATA, 0x5_0000]],
    ["80000fffffff0000", [DATA, 0x0fff_ffff_0000]],
    ["0000000000000001", [ZERO]],
    // Zero, with a cluster reserved for it.
    ["8000000000050001", [ZERO]],
    ["8000000000050200", [DAMAGED]],
    ["8000200000000000", [DAMAGED]],
    ["80ffffffffff0000", [DAMAGED]],
  ])("%s of a cluster of 64 KiB", (hex, expected) => {
    expect(read(geometry(16), hex)).toEqual(expected)
  })

  it.each([
    // Offset in bits 0 to 60, at most two sectors.
    [9, "4000000000001234", [PACKED, 0x1234, 512 - 0x34]],
    [9, "6000000000001234", [PACKED, 0x1234, 1024 - 0x34]],
    // Offset in bits 0 to 53, eight bits of sectors.
    [16, "4000000000000200", [PACKED, 0x200, 512]],
    [16, "4001000000050001", [PACKED, 0x1_0000_0005_0001 % 2 ** 54, 511]],
    [16, "7fc0000000050001", [PACKED, 0x5_0001, 256 * 512 - 1]],
    // Offset in bits 0 to 48, thirteen bits of sectors.
    [21, "7ffe0000000001ff", [PACKED, 0x1ff, 8192 * 512 - 511]],
  ])("of a compressed cluster of 2^%i bytes: %s", (clusterBits, hex, expected) => {
    expect(read(geometry(clusterBits, { fileBytes: 2 ** 50 }), hex)).toEqual(expected)
  })

  it("of a compressed cluster ends with the file at the latest, and may not begin behind it", () => {
    const g = geometry(16, { fileBytes: 0x5_0010 })
    expect(read(g, "7fc0000000050000")).toEqual([PACKED, 0x5_0000, 16])
    expect(read(g, "7fc000000005000f")).toEqual([PACKED, 0x5_000f, 1])
    expect(read(g, "7fc0000000050010")).toEqual([DAMAGED])
  })

  it("of version 2 knows no zero clusters", () => {
    expect(entryOf(geometry(16, { version: 2 }), "0000000000000001").why).toContain("version 2")
  })

  it.each([
    // The low word says what is here, from its lowest bit on; the high word what is zero.
    ["8000000000010000 80000000 00000001", 0, [DATA, 0x1_0000]],
    ["8000000000010000 80000000 00000001", 1, [ABSENT]],
    ["8000000000010000 80000000 00000001", 31, [ZERO]],
    ["8000000000010000 00000000 80000000", 31, [DATA, 0x1_0000 + 31 * 512]],
    ["0000000000000000 ffffffff 00000000", 17, [ZERO]],
    ["0000000000000000 00000000 00000000", 17, [ABSENT]],
    // Both at once, here without a cluster, the zero bit of a plain entry.
    ["8000000000010000 00000001 00000001", 5, [DAMAGED]],
    ["0000000000000000 00000000 00000001", 0, [DAMAGED]],
    ["0000000000000001 00000000 00000000", 0, [DAMAGED]],
    // A compressed cluster has no subclusters, whatever the second half says.
    ["4000000000000200 ffffffff ffffffff", 9, [PACKED, 0x200, 512]],
  ])("with subclusters: %s, number %i", (hex, unit, expected) => {
    expect(read(subclusters(14), hex.replaceAll(" ", ""), { unit })).toEqual(expected)
  })

  it("of an external data file stays where the guest has it, may be at 0, and is never compressed", () => {
    const g = geometry(16, { externalData: true })
    expect(read(g, "8000000000000000")).toEqual([DATA, 0])
    expect(read(g, "0000000000000000")).toEqual([ABSENT])
    expect(read(g, "8000000000030000", { guest: 0x3_0000 })).toEqual([DATA, 0x3_0000])
    expect(read(g, "8000000000030000", { guest: 0x4_0000 })).toEqual([DAMAGED])
    expect(read(g, "4000000000000200")).toEqual([DAMAGED])
  })
})

describe("unpacking a cluster", () => {
  const cluster = Uint8Array.from({ length: 4096 }, (_, i) => (i < 2000 ? i % 251 : 9))
  const rubbish = Buffer.from("the next cluster's data")
  const zstd = (bytes: Uint8Array) => zstdCompressSync(bytes)
  it.each([
    ["deflate", "zlib", deflateRawSync(cluster)],
    ["deflate, and something behind it", "zlib", Buffer.concat([deflateRawSync(cluster), rubbish])],
    ["zstd", "zstd", zstd(cluster)],
    ["zstd, and something behind it", "zstd", Buffer.concat([zstd(cluster), rubbish])],
    ["zstd, and the next cluster", "zstd", Buffer.concat([zstd(cluster), zstd(cluster)])],
    ["zstd in two frames", "zstd", Buffer.concat([zstd(cluster.slice(0, 1000)), zstd(cluster.slice(1000))])],
  ] as const)("of %s", async (_, compression, packed) => {
    expect(Buffer.from((await unpack(packed, compression, 4096)) ?? [])).toEqual(Buffer.from(cluster))
  })

  it.each([
    ["nothing", "zlib", Buffer.alloc(0)],
    ["nothing", "zstd", Buffer.alloc(0)],
    ["one byte too little", "zlib", deflateRawSync(cluster.slice(1))],
    ["one byte too little", "zstd", zstd(cluster.slice(1))],
    ["one byte too much", "zlib", deflateRawSync(Buffer.concat([cluster, rubbish.subarray(0, 1)]))],
    ["one byte too much", "zstd", zstd(Buffer.concat([cluster, rubbish.subarray(0, 1)]))],
    ["a cut end", "zlib", deflateRawSync(cluster).subarray(0, 200)],
    ["a cut end", "zstd", zstd(cluster).subarray(0, 200)],
    ["16 MiB of zeros", "zlib", deflateRawSync(Buffer.alloc(2 ** 24))],
    ["16 MiB of zeros", "zstd", zstd(Buffer.alloc(2 ** 24))],
    ["more frames than anybody writes", "zstd", Buffer.concat(Array(17).fill(zstd(new Uint8Array(10))))],
    ["the other method", "zlib", zstd(cluster)],
    ["the other method", "zstd", deflateRawSync(cluster)],
  ] as const)("fails on %s (%s)", async (_, compression, packed) => {
    expect(await unpack(packed, compression, 4096)).toBeUndefined()
  })

  it("measures a zstd frame of raw and RLE blocks, with and without a checksum", () => {
    const frame = (hex: string) => zstdFrameBytes(Buffer.from(hex.replaceAll(" ", ""), "hex"), 0)
    // Single segment of one byte's size; a raw block of 2 bytes, then a last RLE block.
    expect(frame("28b52ffd 20 05 100000 aabb 1b0000 cc 99")).toBe(15)
    expect(frame("28b52ffd 24 05 100000 aabb 1b0000 cc 00112233")).toBe(19)
    expect(frame("28b52ffd 24 05 100000 aabb 1b0000 cc 001122")).toBeUndefined()
    // Window descriptor, a dictionary's id of four bytes, a size of eight.
    expect(frame("28b52ffd c3 58 00000000 0000000000000000 010000")).toBe(21)
    expect(frame("28b52ffd 20 05 070000")).toBeUndefined()
    expect(frame("28b52ffe 20 05 010000")).toBeUndefined()
  })
})

describe("what is kept of a file", () => {
  const bytes = (length: number) => new Uint8Array(length)
  it("stays inside its budget, and lets the longest unused go", async () => {
    const cache = new BoundedCache(30)
    for (const key of [1, 2, 3]) await cache.load(key, async () => bytes(10))
    cache.get(1)
    await cache.load(4, async () => bytes(10))
    expect([1, 2, 3, 4].map((key) => cache.get(key) !== undefined)).toEqual([true, false, true, true])
    await cache.load(5, async () => bytes(30))
    expect([1, 3, 4, 5].map((key) => cache.get(key) !== undefined)).toEqual([false, false, false, true])
  })

  it("forgets what was asked for last when that has to go", async () => {
    const cache = new BoundedCache(10)
    await cache.load(1, async () => bytes(10))
    expect(cache.get(1)).toHaveLength(10)
    await cache.load(2, async () => bytes(10))
    expect([cache.get(1), cache.get(2)?.length]).toEqual([undefined, 10])
  })

  it("is loaded once for all who wait, and again after a failure", async () => {
    const cache = new BoundedCache(10)
    let loads = 0
    const load = async () => {
      loads += 1
      if (loads === 1) throw new Error("not now")
      return bytes(10)
    }
    const both = await Promise.allSettled([cache.load(1, load), cache.load(1, load)])
    expect([loads, ...both.map((one) => one.status)]).toEqual([1, "rejected", "rejected"])
    await Promise.all([cache.load(1, load), cache.load(1, load)])
    expect(loads).toBe(2)
  })
})

it("qemu's names of formats are ours, but for VHD", () => {
  expect(["raw", "qcow2", "vpc", "vhdx"].map(formatOfQemu)).toEqual(["raw", "qcow2", "vhd", "vhdx"])
  expect(["raw", "qcow2", "vhd", "vhdx"].map(qemuFormatOf)).toEqual(["raw", "qcow2", "vpc", "vhdx"])
  expect(["", "Raw", "a b", "../raw", "x".repeat(33)].map(formatOfQemu)).toEqual(Array(5).fill(undefined))
})
