/** Sealing a layer, with the file's bytes written out. */
import { describe, expect, it } from "vitest"
import type { SealInput } from "../../core/storage/format.ts"
import qcow2 from "../../plugins/formats/qcow2/index.ts"

type Extent = ReturnType<SealInput["extents"]> extends Iterable<infer E> ? E : never
const CLUSTER = 16_384

/** Seals with grains of 512 bytes, so clusters of 16 KiB; answers the file, and where it was written in order. */
const seal = async (parts: Partial<SealInput> & { readonly of?: ReadonlyArray<Extent> }) => {
  const { of = [], ...rest } = parts
  const writes: Array<readonly [number, number]> = []
  let file = Buffer.alloc(0)
  const write = async (bytes: Uint8Array, offset: number) => {
    writes.push([offset, bytes.length])
    const grown = Buffer.alloc(Math.max(file.length, offset + bytes.length))
    grown.set(file)
    grown.set(bytes, offset)
    file = grown
  }
  await qcow2.seal!({ sizeBytes: 65_536, grainBytes: 512, dataFile: "d", extents: () => of, ...rest }, { write })
  const hex = (offset: number, length: number) => file.toString("hex", offset, offset + length)
  return { file, writes, hex }
}
const run = (offset: number, length: number, kind: Extent["kind"]): Extent => ({ offset, length, kind })

describe("a sealed layer's file", () => {
  it("begins with this header", async () => {
    const { hex, file } = await seal({ parent: { path: "parents/x-v1/base.vhd", format: "vhd" } })
    expect(hex(0, 112)).toBe(
      [
        "514649fb 00000003", // magic, version
        "0000000000000100 00000015 0000000e", // backing name at 256, 21 bytes; clusters of 2^14
        "0000000000010000 00000000 00000001", // 64 KiB, not encrypted, one L1 entry
        "0000000000004000 000000000000c000 00000001", // L1, refcount table of one cluster
        "00000000 0000000000000000", // no snapshots
        "0000000000000014 0000000000000000 0000000000000000", // external data file, extended L2
        "00000004 00000070 0000000000000000", // 16-bit refcounts, header of 112 bytes, deflate
      ]
        .join("")
        .replaceAll(" ", ""),
    )
    expect(hex(112, 32)).toBe("e2792aca00000003" + "7670630000000000" + "4441544100000001" + "6400000000000000")
    expect(hex(144, 8)).toBe("6803f85700000060")
    expect(file.toString("latin1", 152, 172)).toBe("\x00\x02external data file")
    expect(file.toString("latin1", 200, 221)).toBe("\x00\x04extended L2 entries")
    expect(file.toString("latin1", 248, 278)).toBe("\0\0\0\0\0\0\0\0parents/x-v1/base.vhd\0")
  })

  it("has its tables one after another, each counted once, and its header written last", async () => {
    const { writes, hex, file } = await seal({ of: [run(0, 512, "data")] })
    expect(writes).toEqual([
      [2 * CLUSTER, 4096], // the L2 table, as far as it says something
      [3 * CLUSTER, CLUSTER], // refcounts
      [4 * CLUSTER, CLUSTER], // their table
      [CLUSTER, CLUSTER], // the L1 table
      [0, CLUSTER],
    ])
    expect(file).toHaveLength(5 * CLUSTER)
    expect(hex(CLUSTER, 16)).toBe("80000000000080000000000000000000")
    expect(hex(3 * CLUSTER, 12)).toBe("000100010001000100010000")
    expect(hex(4 * CLUSTER, 16)).toBe("000000000000c0000000000000000000")
  })

  it.each([
    ["the first grain", [run(0, 512, "data")], "8000000000000000 00000000 00000001", 0],
    ["the last grain of a cluster", [run(CLUSTER - 512, 512, "data")], "8000000000000000 00000000 80000000", 0],
    ["a whole cluster", [run(CLUSTER, CLUSTER, "data")], "8000000000004000 00000000 ffffffff", 1],
    ["a whole cluster of zeros", [run(CLUSTER, CLUSTER, "zero")], "0000000000000000 ffffffff 00000000", 1],
    ["all but one grain", [run(512, CLUSTER - 512, "data")], "8000000000000000 00000000 fffffffe", 0],
    ["a run into the next cluster", [run(CLUSTER - 512, 1024, "data")], "8000000000004000 00000000 00000001", 1],
    [
      "data, zero and absent",
      [run(0, 512, "data"), run(512, 1024, "absent"), run(1536, 512, "zero"), run(2048, 512, "data")],
      "8000000000000000 00000008 00000011",
      0,
    ],
    ["zero before data", [run(0, 512, "zero"), run(512, 512, "data")], "8000000000000000 00000001 00000002", 0],
    ["a last grain that is not whole", [run(65_024, 100, "data")], "800000000000c000 00000000 80000000", 3],
  ] as const)("has %s as its entry", async (_, of, entry, cluster) => {
    const { hex } = await seal({ of, sizeBytes: of[0].length === 100 ? 65_124 : 65_536 })
    expect(hex(2 * CLUSTER + cluster * 16, 16)).toBe(entry.replaceAll(" ", ""))
  })

  it("has no L2 table for what is absent, and two for a run across their boundary", async () => {
    const span = (CLUSTER / 16) * CLUSTER
    const none = await seal({ sizeBytes: 3 * span, of: [run(0, 3 * span, "absent")] })
    expect([none.hex(CLUSTER, 24), none.file.length]).toEqual(["0".repeat(48), 4 * CLUSTER])
    const two = await seal({ sizeBytes: 3 * span, of: [run(2 * span - 512, 1024, "zero")] })
    expect(two.hex(CLUSTER, 24)).toBe("0000000000000000" + "8000000000008000" + "800000000000c000")
    expect(two.hex(2 * CLUSTER + CLUSTER - 16, 16)).toBe("00000000000000008000000000000000")
    expect(two.hex(3 * CLUSTER, 16)).toBe("00000000000000000000000100000000")
  })

  it("needs a second refcount block at 8192 clusters, and counts that too", async () => {
    const span = (CLUSTER / 16) * CLUSTER
    const every = (count: number) => Array.from({ length: count }, (_, i) => run(i * span, 512, "zero"))
    // Header, four clusters of L1, tables, one block and its table: 8192 in all.
    const sizeBytes = 8192 * span
    const count = async (tables: number) => {
      const offsets: Array<number> = []
      const write = async (bytes: Uint8Array, offset: number) => void offsets.push(offset + bytes.length)
      await qcow2.seal!({ sizeBytes, grainBytes: 512, dataFile: "d", extents: () => every(tables) }, { write })
      return Math.max(...offsets) / CLUSTER
    }
    expect(await count(8192 - 1 - 4 - 2)).toBe(8192)
    expect(await count(8192 - 1 - 4 - 1)).toBe(8194)
  })

  it.each([
    ["out of order", [run(512, 512, "data"), run(0, 512, "data")]],
    ["one over another", [run(0, 1024, "data"), run(512, 512, "zero")]],
    ["of no whole grain", [run(0, 513, "data")]],
    ["between two grains", [run(100, 512, "data")]],
    ["empty", [run(0, 0, "data")]],
    ["past the end", [run(65_024, 1024, "data")]],
  ])("is not written from extents %s", async (_, of) => {
    await expect(seal({ of })).rejects.toThrow("the extent at")
  })

  it("is not written with a parent's name of 1024 bytes, a data file of no name, or grains that do not fit", async () => {
    const parent = (length: number) => ({ path: "x".repeat(length), format: "raw" })
    expect((await seal({ parent: parent(1023) })).hex(16, 4)).toBe("000003ff")
    await expect(seal({ parent: parent(1024) })).rejects.toThrow("backing file's")
    await expect(seal({ dataFile: "" })).rejects.toThrow("first cluster")
    for (const grainBytes of [256, 513, 131_072]) await expect(seal({ grainBytes })).rejects.toThrow("a grain is")
  })
})
