import { expect, it } from "vitest"
import { decodeHeader, encodeHeader, type OverlayHeader } from "../../../core/block/overlay/header.ts"
import { crc32c, writeU32 } from "../../../core/bytes.ts"

const header: OverlayHeader = {
  generation: "g-1",
  clientId: "client",
  slot: 15,
  imageId: "bild-ä",
  version: 7,
  policy: "super",
  sizeBytes: 40 * 2 ** 30,
  hostBootId: "",
}

it("writes the drawn layout and reads it back", () => {
  const bytes = Buffer.from(encodeHeader(header))
  expect(bytes.toString("latin1", 0, 8)).toBe("ILOVRLAY")
  expect(bytes.subarray(8, 24).toString("hex")).toBe("00000001000000000000000000000000")
  expect(bytes.subarray(24, 44).toString("hex")).toBe("0000000a00000000" + "00001000" + "00000007" + "0f020000")
  expect(bytes.subarray(44, 49).toString("latin1")).toBe("\0\x03g-1")
  expect(decodeHeader(bytes)).toEqual({ ok: true, header })
})

it("believes no header with any one byte changed, cut or added", () => {
  const good = encodeHeader(header)
  for (let i = 0; i < good.length; i++) {
    const bad = Uint8Array.from(good)
    bad[i]! ^= 1
    expect(decodeHeader(bad).ok, `byte ${i}`).toBe(false)
    expect(decodeHeader(good.subarray(0, i)).ok, `first ${i} bytes`).toBe(false)
  }
  expect(decodeHeader(Buffer.concat([good, Buffer.alloc(1)])).ok).toBe(false)
})

it("refuses what a newer program sealed properly, and says why", () => {
  const sealed = (change: (bytes: Uint8Array) => void) => {
    const bytes = Uint8Array.from(encodeHeader(header))
    change(bytes)
    writeU32(bytes, bytes.length - 4, crc32c(bytes.subarray(0, bytes.length - 4)))
    return decodeHeader(bytes)
  }
  expect(sealed((b) => writeU32(b, 8, 2))).toEqual({ ok: false, why: "its format version is 2; only 1 is known" })
  expect(sealed((b) => writeU32(b, 12, 1))).toEqual({ ok: false, why: "it needs features of a newer Imagelink" })
  expect(sealed((b) => writeU32(b, 32, 8192))).toEqual({ ok: false, why: "its grains are 8192 bytes, not 4096" })
  expect(sealed((b) => b.fill(3, 41, 42))).toEqual({ ok: false, why: "its policy is not known" })
  expect(sealed((b) => b.fill(255, 44, 46))).toEqual({ ok: false, why: "its header is cut short" })
  expect(sealed((b) => writeU32(b, 16, 1)).ok).toBe(true)
  expect(sealed((b) => writeU32(b, 20, 1)).ok).toBe(true)
})
