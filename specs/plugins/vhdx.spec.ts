/** The VHDX format on files built from the specification: chains, sectors of 4 KiB, chunks, logs to replay, and what is refused. */
import { formatPluginSuite } from "imagelink/conformance/format-plugin"
import { describe, expect, it } from "vitest"
import { isImagelinkError } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import vhdx from "../../plugins/formats/vhdx/index.ts"
import { openDisk } from "../conformance/format/subject.ts"
import { type Files, sampleBytes } from "../conformance/format-plugin.ts"
import { readRange } from "../conformance/support/volumes.ts"
import type { MemoryVolume } from "../support/memory-volume.ts"
import { patterned } from "../support/random.ts"
import {
  BAT_AT,
  LOG_AT,
  logEntry,
  METADATA_AT,
  sealCrc,
  type VhdxFields,
  vhdxBytes,
  vhdxChain,
  vhdxHeader,
  vhdxId,
  vhdxVolume,
} from "../support/vhdx.ts"

const KiB = 1024
const MiB = 1024 * KiB
const subject = { format: vhdx, samples: [] }

const chain = vhdxChain({ sizeBytes: 4 * MiB + 512, layers: 3, seed: 7 })
const files = (top: number): Files =>
  Object.fromEntries(
    chain
      .slice(0, top + 1)
      .reverse()
      .map(({ name, fields }) => [name, vhdxBytes(fields)]),
  )
const base = vhdxBytes(chain[0]!.fields)

/** A copy of a good base with some bytes replaced, and the checksums of headers and region tables right again. */
const changed = (at: number, bytes: ReadonlyArray<number>, from: Uint8Array = base, seal = true): Buffer => {
  const copy = Buffer.from(from)
  copy.set(bytes, at)
  if (seal) {
    for (const header of [64 * KiB, 128 * KiB]) sealCrc(copy.subarray(header, header + 4 * KiB))
    for (const table of [192 * KiB, 256 * KiB]) sealCrc(copy.subarray(table, table + 64 * KiB))
  }
  return copy
}
/** Both copies of a region table's byte. */
const region = (at: number, bytes: ReadonlyArray<number>) =>
  changed(256 * KiB + at, bytes, changed(192 * KiB + at, bytes))
const item = (index: number, at: number, bytes: ReadonlyArray<number>) =>
  changed(METADATA_AT + 32 + index * 32 + at, bytes)
const value = (at: number, bytes: ReadonlyArray<number>) => changed(METADATA_AT + 64 * KiB + at, bytes)

formatPluginSuite(
  { describe, it },
  {
    format: vhdx,
    samples: [
      { name: "dynamic", files: files(0), guest: chain[0]!.guest },
      { name: "differencing", files: files(1), guest: chain[1]!.guest },
    ],
    damaged: [
      {
        name: "no whole header",
        files: { a: changed(64 * KiB + 9, [9], changed(128 * KiB + 9, [9], base, false), false) },
      },
      {
        name: "two headers that differ and are equally new",
        files: { a: changed(64 * KiB + 8, [2, 0, 0, 0, 0, 0, 0, 0, 1]) },
      },
      { name: "a header of version 2", files: { a: changed(128 * KiB + 66, [2]) } },
      { name: "no region table", files: { a: changed(192 * KiB, [0], changed(256 * KiB, [0])) } },
      { name: "a region past the end", files: { a: region(32 + 3, [0x10]) } },
      { name: "a region in the header section", files: { a: region(32, [0, 0, 0, 0]) } },
      { name: "a region of no length", files: { a: region(40, [0, 0, 0, 0]) } },
      { name: "two regions in one place", files: { a: region(32, [0, 0, 0x20, 0]) } },
      { name: "a region twice", files: { a: region(48, [...base.subarray(192 * KiB + 16, 192 * KiB + 32)]) } },
      { name: "a region that is needed and not known", files: { a: region(48, [1]) } },
      { name: "a region missing", files: { a: region(8, [1]) } },
      { name: "a metadata table without its signature", files: { a: changed(METADATA_AT, [0]) } },
      { name: "more metadata than fit", files: { a: changed(METADATA_AT + 10, [0xff, 0xff]) } },
      { name: "a metadata item outside its region", files: { a: item(0, 18, [0xff]) } },
      { name: "a metadata item that is needed and not known", files: { a: item(2, 0, [1]) } },
      { name: "no disk size", files: { a: item(1, 20, [7]) } },
      { name: "blocks of 3 MiB", files: { a: value(0, [0, 0, 0x30, 0]) } },
      { name: "blocks of 512 KiB", files: { a: value(0, [0, 0, 8, 0]) } },
      { name: "a disk of a sector and a half", files: { a: value(8, [0, 3, 0, 0, 0, 0, 0, 0]) } },
      { name: "a disk of more than 64 TiB", files: { a: value(8, [0, 0, 0, 0, 0, 0x50, 0, 0]) } },
      { name: "sectors of 1 KiB", files: { a: value(32, [0, 4]) } },
      { name: "a parent, and no word which", files: { a: value(4, [2]) } },
      { name: "a block in a reserved state", files: { a: changed(BAT_AT, [5]) } },
      { name: "a block that is there in part, without a parent", files: { a: changed(BAT_AT + 8, [7]) } },
      { name: "a block past the end", files: { a: changed(BAT_AT + 8 + 4, [1]) } },
      { name: "a block in the header section", files: { a: changed(BAT_AT + 8, [6, 0, 0, 0]) } },
      { name: "its last block cut off", files: { a: base.subarray(0, -MiB) } },
      { name: "no parent beside it", files: { a: vhdxBytes(chain[1]!.fields) } },
      {
        name: "no vhdx file for a parent",
        files: { a: vhdxBytes(chain[1]!.fields), "layer-0.vhdx": sampleBytes(4096) },
      },
    ],
    others: [
      { name: "a raw disk", bytes: sampleBytes(8192) },
      { name: "a signature cut short", bytes: base.subarray(0, 7) },
    ],
  },
)

const codeOf = async (given: Files): Promise<string> => {
  try {
    await (await openDisk(subject, given)).disk.close()
    return "opened"
  } catch (thrown) {
    return isImagelinkError(thrown) ? `${thrown.code}: ${thrown.reason}` : String(thrown)
  }
}
const guestOf = async (given: Files): Promise<Buffer> => {
  const { disk } = await openDisk(subject, given)
  try {
    return Buffer.from(await readRange(disk, 0, disk.sizeBytes))
  } finally {
    await disk.close()
  }
}
const same = (one: Uint8Array, other: Uint8Array) => expect(Buffer.compare(one, other)).toBe(0)

/** Opens one file that is too large to be an array. */
const openVolume = (volume: MemoryVolume) =>
  vhdx.open(volume, {
    signal: new AbortController().signal,
    limits,
    path: "a.vhdx",
    sibling: () => Promise.reject(new Error("no siblings")),
    disk: () => Promise.reject(new Error("no disks")),
  })

describe("the headers of a VHDX", () => {
  it("count by their sequence numbers, and one whole header is enough", async () => {
    same(await guestOf({ a: changed(64 * KiB + 100, [1], base, false) }), chain[0]!.guest)
    same(await guestOf({ a: changed(128 * KiB + 100, [1], base, false) }), chain[0]!.guest)
    const newer = Buffer.from(base)
    vhdxHeader(0x1_0000_0000, 77, undefined).copy(newer, 64 * KiB)
    const child = vhdxBytes({ ...chain[1]!.fields, parent: { id: 77, paths: { relative_path: "b" } } })
    same(await guestOf({ a: child, b: newer }), chain[1]!.guest)
  })
  it("may both say the same", async () => {
    const copy = Buffer.from(base)
    base.copy(copy, 64 * KiB, 128 * KiB, 132 * KiB)
    same(await guestOf({ a: copy }), chain[0]!.guest)
  })
  it("leave the second region table when the first is broken", async () => {
    same(await guestOf({ a: changed(192 * KiB + 20, [1], base, false) }), chain[0]!.guest)
  })
})

describe("a differencing VHDX", () => {
  const child = (paths: Readonly<Record<string, string>>, id = 0) =>
    vhdxBytes({ sizeBytes: chain[0]!.guest.length, id: 60, blocks: new Map(), parent: { id, paths } })

  it("reads a chain of three, sector by sector", async () => {
    same(await guestOf(files(2)), chain[2]!.guest)
  })
  it.each([
    ["its relative path", { relative_path: ".\\b.vhdx" }, "b.vhdx"],
    ["a relative path into a folder", { relative_path: "bases\\b.vhdx" }, "bases/b.vhdx"],
    ["the last part of a path that leads out", { relative_path: "..\\b.vhdx" }, "b.vhdx"],
    ["the last part of the volume's path", { volume_path: "\\\\?\\Volume{26A21BDA}\\x\\b.vhdx" }, "b.vhdx"],
    ["the last part of the absolute path", { absolute_win32_path: "\\\\?\\C:\\x\\b.vhdx" }, "b.vhdx"],
  ])("finds its parent by %s", async (_, paths, name) => {
    const { disk } = await openDisk(subject, { a: child(paths as Record<string, string>), [name]: base })
    expect(disk.dependsOn).toEqual([name])
    same(await readRange(disk, 0, disk.sizeBytes), chain[0]!.guest)
  })
  it("refuses a parent that was written to since, takes its second linkage, and names what is missing", async () => {
    const paths = { relative_path: "b.vhdx" }
    expect(await codeOf({ a: child(paths, 3), "b.vhdx": base })).toBe(
      "IMAGE_DEPENDENCY_REFUSED: it was written to since the child was made, or is another disk: the child names another data write id",
    )
    const second = child({ ...paths, parent_linkage2: `{${vhdxId(0).toUpperCase()}}` }, 3)
    expect(await codeOf({ a: second, "b.vhdx": base })).toBe("opened")
    expect(await codeOf({ a: child(paths) })).toMatch(/^IMAGE_FILE_NOT_FOUND/)
    expect(await codeOf({ a: child({}) })).toBe("IMAGE_DAMAGED: it is a differencing disk, and names no parent")
  })
  it("may not be its own parent", async () => {
    const own = vhdxBytes({
      sizeBytes: MiB,
      id: 4,
      blocks: new Map(),
      parent: { id: 4, paths: { relative_path: "a" } },
    })
    expect(await codeOf({ a: own })).toBe("IMAGE_DAMAGED: it is its own parent's parent")
  })
  it("answers an error for a block in part whose bitmap is not there", async () => {
    const { fields, guest } = chain[1]!
    const bytes = vhdxBytes(fields)
    const bitmapEntry = BAT_AT + 4096 * 8
    bytes.fill(0, bitmapEntry, bitmapEntry + 8)
    const { disk } = await openDisk(subject, { a: bytes, "layer-0.vhdx": base })
    const partly = [...fields.blocks].find(([, block]) => block.present !== undefined)![0]
    await expect(readRange(disk, partly * MiB, 512)).rejects.toMatchObject({ code: "IO_ERROR" })
    same(await readRange(disk, 0, MiB), guest.subarray(0, MiB))
  })
  it("has sectors of 4 KiB like its parent", async () => {
    const wide = vhdxChain({ sizeBytes: 3 * MiB + 4096, layers: 3, seed: 9, sectorBytes: 4096 })
    const given = Object.fromEntries(wide.toReversed().map(({ name, fields }) => [name, vhdxBytes(fields)]))
    same(await guestOf(given), wide[2]!.guest)
  })
})

describe("a VHDX of many chunks", () => {
  it("finds blocks on both sides of the bitmaps' entries, with blocks of 256 MiB", async () => {
    const block = 256 * MiB
    const numbers = [0, 15, 16, 31, 32, 40]
    // Only the first bytes of a block are there; the rest of the volume is zeros.
    const blocks = new Map(numbers.map((n) => [n, { bytes: patterned(4096, n + 1) }]))
    const volume = vhdxVolume({ sizeBytes: 41 * block, blockBytes: block, id: 1, blocks })
    const disk = await openVolume(volume)
    for (const n of numbers) same(await readRange(disk, n * block, 4096), patterned(4096, n + 1))
    for (const n of [1, 14, 17, 33]) same(await readRange(disk, n * block, 4096), Buffer.alloc(4096))
    same(
      await readRange(disk, 16 * block - 100, 300),
      Buffer.concat([Buffer.alloc(100), patterned(4096, 17).subarray(0, 200)]),
    )
  })
  it("of 64 TiB in blocks of 1 MiB opens by reading little, and keeps little", async () => {
    const sizeBytes = limits.imageBytesMax
    const numbers = [0, 4095, 4096, 50_000_000, sizeBytes / MiB - 1]
    const blocks = new Map(numbers.map((n) => [n, { bytes: patterned(4096, n % 100) }]))
    const volume = vhdxVolume({ sizeBytes, id: 1, blocks })
    const disk = await openVolume(volume)
    expect(volume.counts.read).toBeLessThan(40)
    for (const n of numbers) same(await readRange(disk, n * MiB, 4096), patterned(4096, n % 100))
    const found = (await disk.extents?.(2 * MiB, sizeBytes - 2 * MiB, 10))!
    expect(found.slice(0, 4)).toEqual([
      { offset: 2 * MiB, length: 4093 * MiB, kind: "zero" },
      { offset: 4095 * MiB, length: 4096, kind: "data" },
      { offset: 4095 * MiB + 4096, length: MiB - 4096, kind: "zero" },
      { offset: 4096 * MiB, length: 4096, kind: "data" },
    ])
    const last = found[4]!
    expect([last.kind, last.offset, last.offset + last.length < 50_000_000 * MiB]).toEqual([
      "zero",
      4096 * MiB + 4096,
      true,
    ])
  })
})

describe("the log of a VHDX that was not closed", () => {
  const { guest } = chain[0]!
  const batSector = base.subarray(BAT_AT, BAT_AT + 4096)
  /** The base, with its table spoilt on disk and right only in the log. */
  const dirty = (log: ReadonlyArray<Buffer>, more: Partial<VhdxFields> = {}): Buffer => {
    const bytes = vhdxBytes({ ...chain[0]!.fields, ...more, log })
    bytes.fill(0, BAT_AT, BAT_AT + 4096)
    return bytes
  }
  const entry = (sequence: number, tail: number, changes: Parameters<typeof logEntry>[0]["changes"], more = {}) =>
    logEntry({ sequence, tail, changes, flushed: base.length, last: base.length, ...more })
  const right = { at: BAT_AT, sector: batSector }
  const wrong = { at: BAT_AT, sector: patterned(4096, 5) }
  const sectors = (n: number) => Buffer.alloc(n * 4096)

  it("is replayed: one entry", async () => {
    same(await guestOf({ a: dirty([entry(1, 0, [right])]) }), guest)
  })
  it("is replayed in order: the last change of a sector counts, and zeros replace", async () => {
    same(await guestOf({ a: dirty([entry(7, 0, [wrong]), entry(8, 0, [right])]) }), guest)
    same(await guestOf({ a: dirty([entry(7, 0, [wrong, { at: BAT_AT, zeros: MiB }, right])]) }), guest)
    same(
      await guestOf({ a: dirty([entry(7, 0, [right]), entry(8, 0, [{ at: BAT_AT, zeros: 4096 }])]) }),
      sectorsOf(guest),
    )
  })
  it("is replayed from the tail on", async () => {
    // What lies before the tail was written to its place long ago, and written over since.
    const done = entry(3, 0, [{ at: base.length - MiB, sector: patterned(4096, 5) }])
    expect(done.length).toBe(8192)
    same(await guestOf({ a: dirty([done, entry(4, 8192, [right])]) }), guest)
  })
  it("is the sequence that ends with the greatest number, wherever it lies", async () => {
    const old = [entry(100, 0, [wrong]), entry(101, 0, [wrong])]
    same(await guestOf({ a: dirty([...old, sectors(3), entry(300, 7 * 4096, [right])]) }), guest)
    same(await guestOf({ a: dirty([sectors(1), entry(300, 4096, [right]), ...old.map(() => sectors(1))]) }), guest)
  })
  it("may go round the end of its region", async () => {
    const one = entry(5, 255 * 4096, [right])
    expect(one.length).toBe(8192)
    const ring = Buffer.concat([one.subarray(4096), sectors(254), one.subarray(0, 4096)])
    same(await guestOf({ a: dirty([ring]) }), guest)
  })
  it("leaves out entries that are torn, of another log, or not of their sequence", async () => {
    const torn = Buffer.from(entry(11, 0, [wrong]))
    torn[5000] = 1
    const broken = Buffer.from(entry(11, 0, [wrong]))
    broken.writeUInt32LE(99, 8188)
    const foreign = entry(11, 0, [wrong], { logId: vhdxId(1) })
    for (const next of [torn, sealCrc(broken), foreign, entry(13, 0, [wrong])])
      same(await guestOf({ a: dirty([entry(10, 0, [right]), next]) }), guest)
  })
  it("replays into the bitmaps and blocks as well", async () => {
    const place = base.length - MiB
    const at = [...chain[0]!.fields.blocks.keys()].at(-1)! * MiB
    const given = Buffer.from(guest)
    const sector = patterned(4096, 6)
    sector.copy(given, at, 0, Math.min(4096, guest.length - at))
    same(await guestOf({ a: dirty([entry(1, 0, [right, { at: place, sector }])]) }), given)
  })
  it("makes the file longer, with zeros, when it says so", async () => {
    const longer = base.length + MiB
    const table = Buffer.from(batSector)
    table.writeBigUInt64LE(BigInt(base.length) | 6n, 0)
    const expected = Buffer.from(guest)
    expected.fill(0, 0, MiB)
    const log = [entry(1, 0, [{ at: BAT_AT, sector: table }], { last: longer })]
    same(await guestOf({ a: dirty(log) }), expected)
  })
  it("is refused when no entry is whole, when the file is shorter than it says, or in an unknown version", async () => {
    expect(await codeOf({ a: dirty([sectors(4)]) })).toMatch(/^IMAGE_DAMAGED: its log is in use/)
    expect(await codeOf({ a: dirty([entry(1, 4096, [right])]) })).toMatch(/^IMAGE_DAMAGED: its log is in use/)
    expect(await codeOf({ a: dirty([entry(1, 0, [right], { flushed: base.length + 1 })]) })).toMatch(
      /it was cut short$/,
    )
    const version = changed(128 * KiB + 64, [1], dirty([entry(1, 0, [right])]))
    expect(await codeOf({ a: version })).toBe("IMAGE_FORMAT_UNSUPPORTED: its log is of version 1")
    const outside = changed(128 * KiB + 75, [0x10], dirty([entry(1, 0, [right])]))
    expect(await codeOf({ a: outside })).toMatch(/^IMAGE_DAMAGED: its log is said to be at byte/)
  })
  it("is left alone when the header says that there is none", async () => {
    const bytes = Buffer.from(base)
    entry(1, 0, [wrong]).copy(bytes, LOG_AT)
    same(await guestOf({ a: bytes }), guest)
  })
})

/** What is left of a disk whose table is all zeros. */
const sectorsOf = (guest: Buffer) => Buffer.alloc(guest.length)
