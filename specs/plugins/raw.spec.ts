import { formatPluginSuite, sampleBytes } from "imagelink/conformance/format-plugin"
import { describe, expect, it } from "vitest"
import raw from "../../plugins/formats/raw/index.ts"
import { ends } from "../conformance/format/subject.ts"

const sector = (...parts: ReadonlyArray<readonly [offset: number, bytes: string]>): Uint8Array => {
  const bytes = new Uint8Array(8192)
  for (const [offset, text] of parts) bytes.set(Buffer.from(text, "latin1"), offset)
  return bytes
}

/** What the operator gives by mistake, each with the bytes its specification puts there. */
const foreign: ReadonlyArray<readonly [what: string, bytes: Uint8Array]> = [
  ["qcow2", sector([0, "QFI\xfb\0\0\0\x03"])],
  ["qed", sector([0, "QED\0"])],
  ["vhd", sector([0, "conectix"])],
  ["vhd", sector([8192 - 512, "conectix"])],
  ["vhdx", sector([0, "vhdxfile"])],
  ["vmdk", sector([0, "KDMV"])],
  ["vmdk", sector([0, "COWD"])],
  ["vmdk", sector([0, "# Disk DescriptorFile\nversion=1\n"])],
  ["vdi", sector([0, "<<< Oracle VM VirtualBox Disk Image >>>\n"], [64, "\x7f\x10\xda\xbe"])],
  ["parallels", sector([0, "WithoutFreeSpace"])],
  ["parallels", sector([0, "WithouFreSpacExt"])],
  ["gzip", sector([0, "\x1f\x8b\x08"])],
  ["xz", sector([0, "\xfd7zXZ\0"])],
  ["zstd", sector([0, "\x28\xb5\x2f\xfd"])],
  ["lz4", sector([0, "\x04\x22\x4d\x18"])],
  ["bzip2", sector([0, "BZh91AY&SY"])],
  ["zip", sector([0, "PK\x03\x04"])],
  ["7z", sector([0, "7z\xbc\xaf\x27\x1c"])],
  ["rar", sector([0, "Rar!\x1a\x07\x01\0"])],
  ["tar", sector([0, "win11.raw"], [257, "ustar\x0000"])],
  ["wim", sector([0, "MSWIM\0\0\0"])],
  ["pdf", sector([0, "%PDF-1.7"])],
  ["png", sector([0, "\x89PNG\r\n\x1a\n"])],
  ["elf", sector([0, "\x7fELF\x02"])],
  ["dmg", sector([8192 - 512, "koly"])],
  ["text", new Uint8Array(8192).fill(0x41)],
  ["text", new TextEncoder().encode("#!/bin/sh\necho\t1\r\n")],
]

const mbr = sector([0, "\xfa\x33\xc0"], [510, "\x55\xaa"])
const iso = new Uint8Array(65_536)
iso.set(Buffer.from("\x01CD001\x01", "latin1"), 32_768)

formatPluginSuite(
  { describe, it },
  {
    format: raw,
    samples: [
      { name: "bytes", files: { "disk.raw": sampleBytes(200_192) }, guest: sampleBytes(200_192) },
      { name: "a boot sector", files: { "disk.raw": mbr }, guest: mbr },
      { name: "an ISO 9660 image", files: { "disk.iso": iso }, guest: iso },
      { name: "one empty sector", files: { "disk.raw": new Uint8Array(512) }, guest: new Uint8Array(512) },
    ],
    others: foreign.map(([name, bytes]) => ({ name, bytes })),
  },
)

describe("the raw format", () => {
  it.each(foreign)("names %s by its magic bytes", (what, bytes) => {
    expect(raw.probe(ends(bytes))).toEqual({ match: "foreign", what })
  })

  it("takes a sector of text with one byte that is none for a disk", () => {
    const bytes = new Uint8Array(512).fill(0x41)
    bytes[511] = 0x80
    expect(raw.probe(ends(bytes))).toEqual({ match: "fallback" })
  })

  it("takes a magic in the wrong place, or cut off by the end, for a disk", () => {
    expect(raw.probe(ends(sector([512, "QFI\xfb"])))).toEqual({ match: "fallback" })
    expect(raw.probe(ends(Uint8Array.from([0x51, 0x46, 0x49])))).toEqual({ match: "foreign", what: "text" })
    expect(raw.probe(ends(Uint8Array.from([0x1f, 0x8b])))).toEqual({ match: "fallback" })
  })

  it("adds no readSync to a volume that has none, and hides a volume's write", async () => {
    const read = async () => {}
    const { signal } = new AbortController()
    const context = {
      signal,
      limits: {} as never,
      path: "a.raw",
      sibling: async () => never(),
      disk: async () => never(),
    }
    const disk = await raw.open({ sizeBytes: 512, read, write: read, flush: read, close: read }, context)
    expect(Object.keys(disk).sort()).toEqual(["close", "dependsOn", "read", "sizeBytes"])
  })
})

const never = (): never => {
  throw new Error("a raw disk has no siblings")
}
