/** All installed formats asked about one file: exactly one takes it, and a file that is two things at once is refused. */
import { describe, expect, it } from "vitest"
import { isImagelinkError } from "../../core/errors.ts"
import { pickFormat } from "../../core/storage/probe.ts"
import raw from "../../plugins/formats/raw/index.ts"
import vhd from "../../plugins/formats/vhd/index.ts"
import vhdx from "../../plugins/formats/vhdx/index.ts"
import vmdk from "../../plugins/formats/vmdk/index.ts"
import { ends } from "../conformance/format/subject.ts"
import { sampleBytes } from "../conformance/format-plugin.ts"
import { fixedVhd, vhdChain, vhdFooter } from "../support/vhd.ts"
import { vhdxBytes } from "../support/vhdx.ts"
import { extentText, monolithicVmdk } from "../support/vmdk.ts"

const formats = [raw, vhd, vhdx, vmdk]
const pick = (bytes: Uint8Array): string => {
  try {
    return pickFormat(formats, ends(bytes), "the file").format
  } catch (thrown) {
    return isImagelinkError(thrown) ? `${thrown.code}: ${thrown.reason}` : String(thrown)
  }
}

const footer = vhdFooter({ type: 2, sizeBytes: 4096, id: 1 })
const grain = new Map([[0, Buffer.concat([sampleBytes(3584), footer])]])
const block = new Map([[0, { bytes: Buffer.concat([sampleBytes(1024 * 1024 - 512), footer]) }]])

describe("exactly one format takes", () => {
  it.each<readonly [string, Uint8Array, string]>([
    ["a raw disk", sampleBytes(8192), "raw"],
    ["a fixed VHD", fixedVhd(sampleBytes(8192)), "vhd"],
    ["a dynamic VHD", vhdChain({ sizeBytes: 4096, blockBytes: 4096, layers: 1, seed: 1 })[0]!.file, "vhd"],
    ["a VHDX", vhdxBytes({ sizeBytes: 4096, id: 1, blocks: new Map() }), "vhdx"],
    ["a sparse VMDK", monolithicVmdk({ sizeBytes: 4096, grains: new Map() }).bytes, "vmdk"],
    ["a VMDK descriptor", Buffer.from(extentText(["RW 8 ZERO"])), "vmdk"],
    [
      "a VMDK whose guest's last bytes are a VHD's footer",
      monolithicVmdk({ sizeBytes: 4096, grains: grain }).bytes,
      "vmdk",
    ],
    [
      "a VHDX whose guest's last bytes are a VHD's footer",
      vhdxBytes({ sizeBytes: 1024 * 1024, id: 1, blocks: block }),
      "vhdx",
    ],
  ])("%s", (_, bytes, format) => {
    expect(pick(bytes)).toBe(format)
  })
})

it("a file that is two things at once is refused, and both are named", () => {
  const both = Buffer.concat([Buffer.from(`\n${extentText(["RW 8 ZERO"])}`), footer])
  expect(pick(both)).toBe("IMAGE_NOT_A_DISK: its content claims to be both vhd and vmdk")
})
