import { expect, it } from "vitest"
import { BOOT, type Heat, noHeat } from "../../../core/block/heat/heat.ts"
import { decodeHeat, encodeHeat, heatFileBytesMax } from "../../../core/block/heat/heat-file.ts"
import { crc32c, writeU32 } from "../../../core/bytes.ts"
import { limits } from "../../../core/limits.ts"

const id = "0190a6b4-0000-7000-8000-000000000001"
const C = limits.clusterBytes
const sample: Heat = {
  imageId: id,
  sizeBytes: 10 * C + 512,
  labels: [
    { label: BOOT, recorded: 9 },
    { label: "x".repeat(limits.heatLabelCharsMax), recorded: 1 },
  ],
  kept: [
    { label: BOOT, at: 1_700_000_000_000, versions: Uint32Array.of(1, 3, 1), clusters: Uint32Array.of(4, 10, 0) },
    { label: "x".repeat(limits.heatLabelCharsMax), at: 0, versions: Uint32Array.of(2), clusters: Uint32Array.of(7) },
  ],
}
const why = (bytes: Uint8Array) => {
  const decoded = decodeHeat(bytes)
  return decoded.ok ? "taken" : decoded.why
}
/** Changed, with checksums that fit again. */
const forged = (change: (bytes: Buffer) => void) => {
  const bytes = Buffer.from(encodeHeat(sample))
  change(bytes)
  writeU32(bytes, 80, crc32c(bytes.subarray(0, 80)))
  writeU32(bytes, bytes.length - 4, crc32c(bytes.subarray(84, bytes.length - 4)))
  return bytes
}

it("heat is read as it was written, and so is none", () => {
  expect(decodeHeat(encodeHeat(sample))).toEqual({ ok: true, heat: sample })
  expect(decodeHeat(encodeHeat(noHeat(id)))).toEqual({ ok: true, heat: noHeat(id) })
})

it("the first bytes are the magic and the format version, for good", () => {
  const bytes = Buffer.from(encodeHeat(sample))
  expect(bytes.subarray(0, 24).toString("hex")).toBe("494c484541543634000000010000000000000000" + "00000000")
  expect(bytes.length).toBe(84 + 2 * 36 + 2 * 16 + 4 * 8 + 4)
})

it("a file that was cut anywhere, or had any one byte changed, is refused", () => {
  const bytes = Buffer.from(encodeHeat(sample))
  for (let length = 0; length < bytes.length; length++)
    expect(why(bytes.subarray(0, length)), `cut to ${length}`).not.toBe("taken")
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes)
    changed[at]! ^= 0x10
    expect(why(changed), `byte ${at}`).not.toBe("taken")
  }
  expect(why(Buffer.concat([bytes, Buffer.alloc(1)]))).not.toBe("taken")
})

it("fields that cannot be are refused, though the checksums fit", () => {
  const entries = 84 + 2 * 36
  expect(why(forged(() => {}))).toBe("taken")
  expect(why(forged((b) => writeU32(b, 8, 2)))).toBe("its format version is 2; only 1 is known")
  expect(why(forged((b) => writeU32(b, 12, 1)))).toBe("it needs features of a newer Imagelink")
  expect(why(forged((b) => writeU32(b, 68, 4096)))).toBe("its clusters are 4096 bytes, not 65536")
  const odd: ReadonlyArray<readonly [string, (b: Buffer) => void]> = [
    ["an image id that is none", (b) => b.fill(0, 24, 60)],
    ["a disk that ends before its clusters", (b) => writeU32(b, 64, 9 * C)],
    ["a disk larger than any", (b) => writeU32(b, 60, 0x7fff_ffff)],
    ["more labels than there may be", (b) => writeU32(b, 72, 0xffff_ffff)],
    ["more recordings than there are", (b) => writeU32(b, 76, 3)],
    ["fewer recordings than there are", (b) => writeU32(b, 76, 1)],
    ["a label with other characters", (b) => b.write("Boot", 84, "latin1")],
    ["two labels alike", (b) => b.copy(b, 84, 84 + 36, 84 + 72)],
    ["a recording of no label", (b) => writeU32(b, entries, 2)],
    ["a time that is no number", (b) => writeU32(b, entries + 4, 0xffff_ffff)],
    ["a recording longer than the file", (b) => writeU32(b, entries + 12, 0xffff_ffff)],
    ["version 0", (b) => writeU32(b, entries + 16, 0)],
    ["one cluster twice", (b) => writeU32(b, entries + 20, 10)],
  ]
  for (const [what, change] of odd) expect(why(forged(change)), what).toBe("its entries do not fit together")
})

it("the fullest heat fits the longest file", () => {
  const count = limits.heatClustersMax
  const clusters = Uint32Array.from({ length: count }, (_, i) => i)
  const labels = Array.from({ length: limits.heatLabelsMax }, (_, i) => ({ label: `label-${i}`, recorded: 1 }))
  const kept = labels.map(({ label }) => ({ label, at: 1, versions: new Uint32Array(count).fill(1), clusters }))
  const bytes = encodeHeat({ imageId: id, sizeBytes: count * C, labels, kept })
  expect(bytes.length).toBeLessThanOrEqual(heatFileBytesMax)
  expect(why(bytes)).toBe("taken")
})
