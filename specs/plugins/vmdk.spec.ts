/** The VMDK format on files built from the specification: every kind of extent, delta disks, descriptors, and what is refused. */
import { formatPluginSuite } from "imagelink/conformance/format-plugin"
import { describe, expect, it } from "vitest"
import { isImagelinkError } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import { pickFormat } from "../../core/storage/probe.ts"
import raw from "../../plugins/formats/raw/index.ts"
import vmdk from "../../plugins/formats/vmdk/index.ts"
import { ends, openDisk } from "../conformance/format/subject.ts"
import { type Files, sampleBytes } from "../conformance/format-plugin.ts"
import { readRange } from "../conformance/support/volumes.ts"
import { patterned } from "../support/random.ts"
import { extentText, type Grain, monolithicVmdk, sparseVmdk, streamVmdk } from "../support/vmdk.ts"

const KiB = 1024
const GRAIN = 4096
const subject = { format: vmdk, samples: [] }

/** Grains by their kind, one letter each: `d`ata, `z`ero, `.` not here; and what the guest sees over a parent. */
const make = (kinds: string, seed: number, parent?: Buffer) => {
  const grains = new Map<number, Grain>()
  const guest = Buffer.alloc(kinds.length * GRAIN)
  parent?.copy(guest)
  // Backwards, so that no grain is where a reader that guesses would look.
  for (const [i, kind] of [...[...kinds].entries()].reverse()) {
    if (kind === "d") {
      const bytes = patterned(GRAIN, seed + i)
      bytes.copy(guest, i * GRAIN)
      grains.set(i, bytes)
    } else if (kind === "z") {
      grains.set(i, "zero")
      guest.fill(0, i * GRAIN, (i + 1) * GRAIN)
    }
  }
  return { grains, guest, sizeBytes: guest.length }
}

const text = (lines: ReadonlyArray<string>, fields?: Readonly<Record<string, string>>) =>
  Buffer.from(extentText(lines, fields))

const plain = make("d.d..dddd.zdz.d.".repeat(3), 10)
const { sizeBytes } = plain
const single = monolithicVmdk(plain)
const short = { ...plain, sizeBytes: sizeBytes - 3 * 512 }
const stream = streamVmdk({ ...make("dd..d.d.dd.....d", 50), tableEntries: 128 })
const streamGuest = make("dd..d.d.dd.....d", 50).guest
const tables = monolithicVmdk({ ...plain, tableEntries: 16 })
const sectors = sizeBytes / 512

const delta = make("..ddz...", 70, plain.guest.subarray(0, 8 * GRAIN))
const child = (fields: Readonly<Record<string, string>> = {}) =>
  monolithicVmdk(
    { ...delta, sizeBytes: 8 * GRAIN },
    { CID: "aabbccdd", parentCID: "12345678", parentFileNameHint: '"base.vmdk"', ...fields },
  ).bytes
const base = monolithicVmdk({ ...make("d.d..ddd", 10), sizeBytes: 8 * GRAIN })
const deltaGuest = make("..ddz...", 70, make("d.d..ddd", 10).guest).guest

const split: Files = {
  "disk.vmdk": text([
    `RW ${sectors} SPARSE "disk-s001.vmdk"`,
    `RW 24 FLAT "disk-f002.vmdk" 8`,
    "RW 16 ZERO",
    `RDONLY 8 VMFS "disk-f003.vmdk"`,
    `RW ${sectors} SPARSE "disk-s004.vmdk"`,
  ]),
  "disk-s001.vmdk": sparseVmdk(plain).bytes,
  "disk-f002.vmdk": sampleBytes(32 * 512),
  "disk-f003.vmdk": sampleBytes(8 * 512, { seed: 2 }),
  "disk-s004.vmdk": sparseVmdk({ ...plain, tableEntries: 16 }).bytes,
}
const splitGuest = Buffer.concat([
  plain.guest,
  sampleBytes(32 * 512).subarray(8 * 512),
  Buffer.alloc(16 * 512),
  sampleBytes(8 * 512, { seed: 2 }),
  plain.guest,
])

const changed = (at: number, bytes: ReadonlyArray<number>, from: Uint8Array = single.bytes): Buffer => {
  const copy = Buffer.from(from)
  copy.set(bytes, at)
  return copy
}
const flatOf = (line: string, fields?: Readonly<Record<string, string>>): Files => ({
  a: text([line], fields),
  "f.vmdk": sampleBytes(16 * 512),
})

formatPluginSuite(
  { describe, it },
  {
    format: vmdk,
    samples: [
      { name: "monolithicSparse", files: { "disk.vmdk": single.bytes }, guest: plain.guest },
      { name: "many grain tables", files: { a: tables.bytes }, guest: plain.guest },
      {
        name: "a last grain in part",
        files: { a: monolithicVmdk(short).bytes },
        guest: plain.guest.subarray(0, short.sizeBytes),
      },
      { name: "streamOptimized", files: { a: stream.bytes }, guest: streamGuest },
      { name: "flat", files: flatOf('RW 16 FLAT "f.vmdk" 0'), guest: sampleBytes(16 * 512) },
      { name: "split", files: split, guest: splitGuest },
      { name: "delta", files: { "child.vmdk": child(), "base.vmdk": base.bytes }, guest: deltaGuest },
    ],
    damaged: [
      { name: "line feeds changed", files: { a: changed(75, [0x0a]) } },
      { name: "version 4", files: { a: changed(4, [4]) } },
      { name: "an ESXi extent", files: { a: changed(0, [0x43, 0x4f, 0x57, 0x44]) } },
      { name: "grains of 0 bytes", files: { a: changed(20, [0, 0]) } },
      { name: "grains of 3 sectors", files: { a: changed(20, [3]) } },
      { name: "grains of 128 MiB", files: { a: changed(20, [0, 0, 4]) } },
      { name: "tables of no entries", files: { a: changed(44, [0, 0]) } },
      { name: "tables of 2^24 entries", files: { a: changed(46, [0, 1]) } },
      { name: "no capacity", files: { a: changed(12, [0, 0, 0]) } },
      { name: "a capacity of 2^60 sectors", files: { a: changed(19, [0x10]) } },
      { name: "a directory past the end", files: { a: changed(60, [1]) } },
      { name: "a table past the end", files: { a: changed(single.directoryAt + 2, [1]) } },
      { name: "a grain past the end", files: { a: changed(single.tablesAt + 2, [1]) } },
      { name: "its last grain cut off", files: { a: single.bytes.subarray(0, -512) } },
      { name: "a descriptor past the end", files: { a: changed(30, [1]) } },
      { name: "a descriptor that is too long", files: { a: changed(36, [0, 1]) } },
      { name: "no descriptor where one should be", files: { a: changed(512, [0x41]) } },
      { name: "one extent of a disk", files: { a: sparseVmdk(plain).bytes } },
      { name: "a stream without its footer", files: { a: stream.bytes.subarray(0, -512) } },
      { name: "another compression", files: { a: changed(77, [2], stream.bytes) } },
      { name: "no extents", files: { a: text([]) } },
      { name: "a version of the descriptor", files: flatOf('RW 16 FLAT "f.vmdk" 0', { version: "9" }) },
      { name: "an extent of another kind", files: flatOf('RW 16 SESPARSE "f.vmdk"') },
      { name: "an extent that may not be read", files: flatOf('NOACCESS 16 FLAT "f.vmdk" 0') },
      { name: "an extent without a file", files: flatOf("RW 16 FLAT") },
      { name: "an extent of nothing", files: flatOf('RW 0 FLAT "f.vmdk" 0') },
      { name: "an extent of 2^60 sectors", files: flatOf("RW 1152921504606846976 ZERO") },
      { name: "a flat extent longer than its file", files: flatOf('RW 16 FLAT "f.vmdk" 1') },
      {
        name: "a sparse extent larger than its file",
        files: { ...split, "disk.vmdk": text([`RW ${sectors + 8} SPARSE "disk-s001.vmdk"`]) },
      },
      { name: "a sparse extent that is none", files: flatOf('RW 16 SPARSE "f.vmdk"') },
      { name: "an extent that is not there", files: flatOf('RW 16 FLAT "g.vmdk" 0') },
      { name: "an extent outside the folder", files: flatOf('RW 16 FLAT "../f.vmdk" 0') },
      { name: "an extent anywhere on the server", files: flatOf('RW 16 FLAT "/etc/passwd" 0') },
      { name: "no parent beside it", files: { a: child() } },
      { name: "a parent that changed", files: { a: child({ parentCID: "1" }), "base.vmdk": base.bytes } },
      { name: "a parent without a name", files: { a: child({ parentFileNameHint: '""' }) } },
      { name: "a parent that is itself", files: { a: child({ CID: "12345678", parentFileNameHint: '"a"' }) } },
    ],
    others: [
      { name: "a raw disk", bytes: sampleBytes(8192) },
      { name: "a script", bytes: Buffer.from("#!/bin/sh\n# comment\nversion=1\necho $version\n") },
      { name: "4096 line feeds", bytes: Buffer.alloc(4096, 10) },
    ],
  },
)

const codeOf = async (files: Files): Promise<string> => {
  try {
    await (await openDisk(subject, files)).disk.close()
    return "opened"
  } catch (thrown) {
    return isImagelinkError(thrown) ? `${thrown.code}: ${thrown.reason}` : String(thrown)
  }
}
const guestOf = async (files: Files): Promise<Buffer> => {
  const { disk } = await openDisk(subject, files)
  return Buffer.from(await readRange(disk, 0, disk.sizeBytes))
}

describe("a VMDK descriptor", () => {
  const flat = sampleBytes(16 * 512)
  const as = (change: (given: string) => string): Files => ({
    a: Buffer.from(change(extentText(['RW 16 FLAT "f.vmdk" 0']))),
    "f.vmdk": flat,
  })

  it.each<readonly [string, (given: string) => string]>([
    ["as it is", (t) => t],
    ["with Windows' line ends", (t) => t.replaceAll("\n", "\r\n")],
    ["with a byte order mark", (t) => `\ufeff${t}`],
    [
      "with spaces round the equals signs, and at the ends of lines",
      (t) => t.replaceAll("=", " = ").replaceAll("\n", "  \n"),
    ],
    ["without its first line", (t) => t.slice(t.indexOf("\n") + 1)],
    ["after comments and empty lines", (t) => `\n# made by hand\n\n${t.slice(t.indexOf("\n") + 1)}`],
    [
      "with lower-case words",
      (t) => t.replace("RW 16 FLAT", "rw 16 flat").replace("Disk DescriptorFile", "disk descriptorfile"),
    ],
    ["filled up with NULs", (t) => `${t}${"\0".repeat(3000)}RW 99 FLAT "x" 0\n`],
  ])("is read %s", async (_, change) => {
    const files = as(change)
    expect(pickFormat([raw, vmdk], ends(files.a!), "a").format).toBe("vmdk")
    expect(Buffer.compare(await guestOf(files), flat)).toBe(0)
  })

  it("names files in UTF-8, and in one byte a character otherwise", async () => {
    const line = 'RW 16 FLAT "плоский.vmdk" 0'
    expect(await codeOf({ a: text([line]), "плоский.vmdk": flat })).toBe("opened")
    const latin = Buffer.from(extentText(['RW 16 FLAT "fläche.vmdk" 0']), "latin1")
    expect(await codeOf({ a: latin, "fläche.vmdk": flat })).toBe("opened")
  })

  it("may lie in the folder above its extents", async () => {
    expect(await codeOf({ a: text(['RW 16 FLAT "parts/f.vmdk" 0']), "parts/f.vmdk": flat })).toBe("opened")
  })

  it("of one file more than an image may have is refused, and says so", async () => {
    const of = (count: number): Files => {
      const names = Array.from({ length: count }, (_, i) => `f${i}`)
      const files = Object.fromEntries(names.map((name) => [name, flat]))
      return { a: text(names.map((name) => `RW 16 FLAT "${name}" 0`)), ...files }
    }
    const most = limits.formatSiblingsMax
    expect((await guestOf(of(most))).length).toBe(most * flat.length)
    expect(await codeOf(of(most + 1))).toMatch(/^IMAGE_DEPENDENCY_REFUSED/)
  })

  it("says what a single extent is, and what the program does not read", async () => {
    const lone =
      "IMAGE_FORMAT_UNSUPPORTED: it is one extent of a disk; the file that describes the disk is what to give"
    expect(await codeOf({ a: sparseVmdk(plain).bytes })).toBe(lone)
    expect(await codeOf({ a: changed(512, new Array(512).fill(0)) })).toBe(lone)
    expect(await codeOf(flatOf('RW 16 VMFSRDM "f.vmdk"'))).toBe(
      "IMAGE_FORMAT_UNSUPPORTED: it has an extent of the kind VMFSRDM",
    )
    expect(await codeOf({ a: changed(0, [0x43, 0x4f, 0x57, 0x44]) })).toBe(
      "IMAGE_FORMAT_UNSUPPORTED: it is an ESXi host sparse extent (COWD)",
    )
  })
})

describe("a delta disk", () => {
  it.each([
    ["a name beside it", '"base.vmdk"', "base.vmdk"],
    ["a path into a folder", '"bases/base.vmdk"', "bases/base.vmdk"],
    ["the last part of a Windows path", '"C:\\\\vm\\\\base.vmdk"', "base.vmdk"],
    ["the last part of a path that leads out", '"../base.vmdk"', "base.vmdk"],
  ])("finds its parent by %s", async (_, hint, name) => {
    const files = { a: child({ parentFileNameHint: hint }), [name]: base.bytes }
    const { disk } = await openDisk(subject, files)
    expect(disk.dependsOn).toEqual([name])
    expect(Buffer.compare(await readRange(disk, 0, disk.sizeBytes), deltaGuest)).toBe(0)
  })

  it("compares content ids as numbers", async () => {
    const parent = monolithicVmdk({ ...make("d.d..ddd", 10), sizeBytes: 8 * GRAIN }, { CID: "0000AbCd" }).bytes
    expect(await codeOf({ a: child({ parentCID: "abcd" }), "base.vmdk": parent })).toBe("opened")
    expect(await codeOf({ a: child({ parentCID: "abce" }), "base.vmdk": parent })).toBe(
      "IMAGE_DEPENDENCY_REFUSED: it was written to since the child was made, or is another disk: the child names another CID",
    )
  })

  it("reads a chain whose files are split differently", async () => {
    const top = text([`RW 24 SPARSE "t-s001.vmdk"`, `RW 40 SPARSE "t-s002.vmdk"`], {
      CID: "1",
      parentCID: "12345678",
      parentFileNameHint: '"base.vmdk"',
    })
    const one = make(".d.", 90)
    const two = make("d...d", 95)
    const files = {
      a: top,
      "base.vmdk": base.bytes,
      "t-s001.vmdk": sparseVmdk({ ...one, sizeBytes: 3 * GRAIN }).bytes,
      "t-s002.vmdk": sparseVmdk({ ...two, sizeBytes: 5 * GRAIN }).bytes,
    }
    const below = make("d.d..ddd", 10).guest
    const expected = Buffer.concat([
      make(".d.", 90, below.subarray(0, 3 * GRAIN)).guest,
      make("d...d", 95, below.subarray(3 * GRAIN)).guest,
    ])
    expect(Buffer.compare(await guestOf(files), expected)).toBe(0)
  })
})

describe("a compressed grain", () => {
  const at = stream.grainsAt[0]!
  const grainAt = 15 * GRAIN
  it.each([
    ["of another grain", changed(at, [8], stream.bytes)],
    ["of no length", changed(at + 8, [0, 0], stream.bytes)],
    ["longer than the file", changed(at + 10, [0x10], stream.bytes)],
    ["that does not unpack", changed(at + 40, [1, 2, 3, 4, 5, 6, 7, 8], stream.bytes)],
  ])("%s is an error of its own range only", async (_, bytes) => {
    const { disk } = await openDisk(subject, { a: bytes })
    await expect(readRange(disk, grainAt, 512)).rejects.toMatchObject({ code: "IO_ERROR", offset: grainAt })
    expect(Buffer.compare(await readRange(disk, 0, grainAt), streamGuest.subarray(0, grainAt))).toBe(0)
  })
  it("that unpacks to more than a grain is refused without unpacking it all", async () => {
    const bomb = make("d", 1)
    bomb.grains.set(0, Buffer.alloc(64 * KiB))
    const { disk } = await openDisk(subject, { a: streamVmdk({ ...bomb, tableEntries: 128 }).bytes })
    await expect(readRange(disk, 0, 512)).rejects.toMatchObject({ code: "IO_ERROR" })
  })
})
