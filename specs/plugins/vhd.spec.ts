/** The VHD format on files built from the specification: every kind of disk, where parents are found, and what is refused. */
import { formatPluginSuite } from "imagelink/conformance/format-plugin"
import { describe, expect, it } from "vitest"
import { isImagelinkError } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import vhd from "../../plugins/formats/vhd/index.ts"
import { ends, openDisk } from "../conformance/format/subject.ts"
import { type Files, sampleBytes } from "../conformance/format-plugin.ts"
import { readRange } from "../conformance/support/volumes.ts"
import { patterned } from "../support/random.ts"
import { type Block, dynamicVhd, fixedVhd, sealFooter, vhdChain, vhdFooter } from "../support/vhd.ts"

const KiB = 1024
const subject = { format: vhd, samples: [] }

const chain = vhdChain({ sizeBytes: 300 * KiB + 512, blockBytes: 64 * KiB, layers: 4, seed: 7 })
const chainFiles = (from = chain.length - 1): Files =>
  Object.fromEntries(
    chain
      .slice(0, from + 1)
      .reverse()
      .map(({ name, file }) => [name, file]),
  )
const dynamicGuest = patterned(200 * KiB, 3)
dynamicGuest.fill(0, 64 * KiB, 128 * KiB)
const dynamicBlocks = (): Map<number, Block> => {
  const block = (n: number): Block => {
    const bytes = Buffer.alloc(64 * KiB)
    dynamicGuest.copy(bytes, 0, n * 64 * KiB)
    return { bytes }
  }
  return new Map([3, 0, 2].map((n) => [n, block(n)]))
}
const dynamic = dynamicVhd({ sizeBytes: 200 * KiB, blockBytes: 64 * KiB, id: 1, blocks: dynamicBlocks() })
const fixed = fixedVhd(sampleBytes(100 * KiB))

/** A copy with some bytes replaced, and the checksums set right again. */
const changed = (file: Uint8Array, at: number, bytes: ReadonlyArray<number>, seal = true): Buffer => {
  const copy = Buffer.from(file)
  copy.set(bytes, at < 0 ? copy.length + at : at)
  if (!seal) return copy
  if (copy.toString("latin1", 0, 8) === "conectix") {
    sealFooter(copy.subarray(0, 512))
    sealFooter(copy.subarray(512, 1536), 36)
  }
  sealFooter(copy.subarray(-512))
  return copy
}

formatPluginSuite(
  { describe, it },
  {
    format: vhd,
    samples: [
      { name: "fixed", files: { "a.vhd": fixed }, guest: sampleBytes(100 * KiB) },
      { name: "dynamic", files: { "a.vhd": dynamic }, guest: dynamicGuest },
      { name: "a base", files: chainFiles(0), guest: chain[0]!.guest },
      { name: "differencing", files: chainFiles(1), guest: chain[1]!.guest },
      { name: "differencing over three", files: chainFiles(), guest: chain[3]!.guest },
    ],
    damaged: [
      { name: "a fixed disk longer than its file", files: { "a.vhd": fixed.subarray(512) } },
      { name: "a footer alone", files: { "a.vhd": vhdFooter({ type: 2, sizeBytes: 512, id: 1 }) } },
      { name: "a wrong checksum", files: { "a.vhd": changed(fixed, -400, [1], false) } },
      { name: "a disk type that is reserved", files: { "a.vhd": changed(fixed, -449, [5]) } },
      { name: "a footer of version 2", files: { "a.vhd": changed(fixed, -499, [2]) } },
      { name: "no parent beside it", files: { "a.vhd": chain[1]!.file } },
      { name: "another parent beside it", files: { "a.vhd": chain[2]!.file, "layer-1.vhd": chain[0]!.file } },
      { name: "a table past the end", files: { "a.vhd": changed(dynamic, 512 + 20, [0, 0x10, 0, 0]) } },
      { name: "a block past the end", files: { "a.vhd": changed(dynamic, 1536, [0, 0, 0x10, 0]) } },
      { name: "a block at the very start", files: { "a.vhd": changed(dynamic, 1536, [0, 0, 0, 0]) } },
      { name: "blocks of 0 bytes", files: { "a.vhd": changed(dynamic, 512 + 32, [0, 0, 0, 0]) } },
      { name: "blocks of 3 sectors", files: { "a.vhd": changed(dynamic, 512 + 32, [0, 0, 6, 0]) } },
      { name: "a table for fewer blocks than the disk has", files: { "a.vhd": changed(dynamic, 512 + 31, [3]) } },
      { name: "more blocks than 2 TiB", files: { "a.vhd": changed(dynamic, 512 + 28, [255, 255, 255, 255]) } },
    ],
    others: [
      { name: "a raw disk", bytes: sampleBytes(8192) },
      { name: "a qcow2 file that ends in a footer", bytes: changed(fixed, 0, [0x51, 0x46, 0x49, 0xfb]) },
      { name: "a footer that is cut short", bytes: fixed.subarray(0, -1) },
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

describe("the size of a VHD's disk", () => {
  const guest = sampleBytes(64 * KiB)
  const sizeOf = async (creator: string, geometry: readonly [number, number, number]) => {
    const { disk } = await openDisk(subject, { "a.vhd": fixedVhd(guest, { creator, geometry }) })
    await disk.close()
    return disk.sizeBytes
  }

  it.each(["vpc ", "vs  ", "qemu"])("is its geometry's when %s made it", async (creator) => {
    expect(await sizeOf(creator, [5, 4, 5])).toBe(5 * 4 * 5 * 512)
  })
  it.each(["win ", "qem2", "d2v ", "tap\0", "wa\0\0", "CTXS", "vbox"])(
    "is the current size when %j made it",
    async (c) => {
      expect(await sizeOf(c, [5, 4, 5])).toBe(64 * KiB)
    },
  )
  it("is the current size when the geometry is the largest there is", async () => {
    expect(await sizeOf("vpc ", [65_535, 16, 255])).toBe(64 * KiB)
  })
  it("is refused when the geometry says more than the file has", async () => {
    expect(await codeOf({ "a.vhd": fixedVhd(guest, { creator: "vpc ", geometry: [9, 4, 5] }) })).toBe(
      "IMAGE_DAMAGED: its disk has 92160 bytes, and the file only 66048",
    )
  })
})

describe("the two footers", () => {
  it("a dynamic disk opens by the copy when the one at the end is gone", async () => {
    for (const file of [dynamic.subarray(0, -512), changed(dynamic, -300, [1], false)]) {
      const { disk } = await openDisk(subject, { "a.vhd": file })
      expect(Buffer.compare(await readRange(disk, 0, disk.sizeBytes), dynamicGuest)).toBe(0)
    }
  })
  it("a dynamic disk opens by the one at the end when the copy is gone", async () => {
    const file = Buffer.from(dynamic)
    file.fill(0, 0, 512)
    expect(vhd.probe(ends(file))).toEqual({ match: "magic" })
    expect(await codeOf({ "a.vhd": file })).toBe("opened")
  })
  it("a fixed disk stays one whatever its guest writes at its start", async () => {
    const guest = Buffer.alloc(1024 * KiB)
    chain[1]!.file.copy(guest)
    const { disk, traffic } = await openDisk(subject, { "a.vhd": fixedVhd(guest), "layer-0.vhd": chain[0]!.file })
    expect([disk.sizeBytes, disk.dependsOn, traffic.opened]).toEqual([guest.length, [], ["a.vhd"]])
  })
  it("both gone, or cut from a fixed disk, is refused", async () => {
    const file = changed(changed(dynamic, 300, [1], false), -300, [1], false)
    expect(await codeOf({ "a.vhd": file })).toBe("IMAGE_DAMAGED: the checksum of its footer is wrong")
    expect(await codeOf({ "a.vhd": fixed.subarray(0, -512) })).toBe("IMAGE_DAMAGED: there is no footer")
  })
})

describe("the parent of a differencing VHD", () => {
  const [base] = chain
  const child = (locators: Readonly<Record<string, string>>, name = "") =>
    dynamicVhd({
      sizeBytes: base!.guest.length,
      blockBytes: 64 * KiB,
      id: 50,
      blocks: new Map(),
      parent: { id: 0, locators, name },
    })
  const found = async (file: Buffer, name: string) => {
    const { disk } = await openDisk(subject, { "a.vhd": file, [name]: base!.file })
    expect(Buffer.compare(await readRange(disk, 0, disk.sizeBytes), base!.guest)).toBe(0)
    await disk.close()
    return disk.dependsOn
  }

  it.each([
    ["a relative path", { W2ru: ".\\base.vhd" }, "", "base.vhd"],
    ["a relative path into a folder", { W2ru: ".\\bases\\base.vhd" }, "", "bases/base.vhd"],
    ["a relative path closed by a NUL", { W2ru: "base.vhd\0junk" }, "", "base.vhd"],
    ["a relative path that leads out, by its last part", { W2ru: "..\\x\\base.vhd" }, "", "base.vhd"],
    ["an absolute path, by its last part", { W2ku: "C:\\disks\\base.vhd" }, "", "base.vhd"],
    ["a URL, as XenServer writes it", { MacX: "file://./ba%73e.vhd\0" }, "", "base.vhd"],
    ["a URL that cannot be decoded", { MacX: "file://./%zz.vhd" }, "", "%zz.vhd"],
    ["the name in the header", {}, "base.vhd", "base.vhd"],
    ["the absolute path when the relative one is stale", { W2ru: ".\\old.vhd", W2ku: "D:\\base.vhd" }, "", "base.vhd"],
    ["a name that is not ASCII", { W2ru: ".\\Базовый 基.vhd" }, "", "Базовый 基.vhd"],
  ])("is found by %s", async (_, locators, name, file) => {
    expect(await found(child(locators as Record<string, string>, name), file)).toEqual([file])
  })

  it("has its own parent's name relative to where it is", async () => {
    const files = { "a.vhd": chain[2]!.file, "sub/layer-1.vhd": chain[1]!.file, "sub/layer-0.vhd": chain[0]!.file }
    const top = changed(chain[2]!.file, 1536, [...Buffer.from(".\\sub\\layer-1.vhd", "utf16le")])
    const length = Buffer.byteLength(".\\sub\\layer-1.vhd", "utf16le")
    const { disk } = await openDisk(subject, { ...files, "a.vhd": changed(top, 512 + 576 + 11, [length]) })
    expect(disk.dependsOn).toEqual(["sub/layer-1.vhd", "sub/layer-0.vhd"])
    expect(Buffer.compare(await readRange(disk, 0, disk.sizeBytes), chain[2]!.guest)).toBe(0)
  })

  it("is named when it is not there, and when it is another disk", async () => {
    expect(await codeOf({ "a.vhd": child({ W2ru: ".\\base.vhd" }) })).toMatch(/^IMAGE_FILE_NOT_FOUND/)
    expect(await codeOf({ "a.vhd": child({ W2ru: ".\\base.vhd" }), "base.vhd": chain[1]!.file })).toBe(
      "IMAGE_DEPENDENCY_REFUSED: it is not the disk that the child was made from: their unique ids differ",
    )
    expect(await codeOf({ "a.vhd": child({}) })).toBe("IMAGE_DAMAGED: it is a differencing disk, and names no parent")
  })

  it("may not be the disk itself, nor one that has it for a parent", async () => {
    const own = (id: number, parent: number, name: string) =>
      dynamicVhd({ sizeBytes: 4096, blockBytes: 4096, id, blocks: new Map(), parent: { id: parent, name } })
    const loop = "IMAGE_DAMAGED: it is its own parent's parent"
    expect(await codeOf({ "a.vhd": own(1, 1, "a.vhd") })).toBe(loop)
    expect(await codeOf({ "a.vhd": own(1, 2, "b.vhd"), "b.vhd": own(2, 1, "a.vhd") })).toBe(loop)
  })

  it("may be shorter than its child: zeros follow", async () => {
    const guest = sampleBytes(6 * 512)
    const top = dynamicVhd({
      sizeBytes: 16 * KiB,
      blockBytes: 4096,
      id: 9,
      blocks: new Map([[0, { bytes: patterned(4096, 4), present: (s: number) => s === 7 }]]),
      parent: { id: 1, name: "base.vhd" },
    })
    const { disk } = await openDisk(subject, { "a.vhd": top, "base.vhd": fixedVhd(guest) })
    const expected = Buffer.alloc(16 * KiB)
    expected.set(guest)
    patterned(4096, 4).copy(expected, 7 * 512, 7 * 512)
    expect(Buffer.compare(await readRange(disk, 0, disk.sizeBytes), expected)).toBe(0)
  })

  it("may be as deep as an image may have files, and no deeper", async () => {
    const deep = (layers: number) => {
      const made = vhdChain({ sizeBytes: 4096, blockBytes: 4096, layers, seed: 1 })
      return {
        files: Object.fromEntries(made.toReversed().map(({ name, file }) => [name, file])),
        guest: made.at(-1)!.guest,
      }
    }
    const { files, guest } = deep(limits.formatSiblingsMax + 1)
    const { disk } = await openDisk(subject, files)
    expect(Buffer.compare(await readRange(disk, 0, 4096), guest)).toBe(0)
    expect(await codeOf(deep(limits.formatSiblingsMax + 2).files)).toMatch(/^IMAGE_DEPENDENCY_REFUSED/)
  })
})
