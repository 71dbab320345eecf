/** The tar that an archive is: what GNU tar reads and writes, and no other. */
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "vitest"
import { decodeHeader, encodeHeader, paddingOf } from "../../../core/log/archive/tar.ts"

const sizes = [0, 1, 511, 512, 513, 1024, 8 ** 11 - 1]

it.each(sizes)("a header of %d bytes reads back", (size) => {
  expect(decodeHeader(encodeHeader("tlog/tile/entries/x001/x234/067.p/255", size))).toEqual({
    name: "tlog/tile/entries/x001/x234/067.p/255",
    size,
  })
})

it("pads to whole blocks", () => {
  expect(sizes.slice(0, 6).map(paddingOf)).toEqual([0, 511, 1, 0, 511, 0])
})

it("is the header that GNU tar writes, to the byte", () => {
  const dir = mkdtempSync(join(tmpdir(), "imagelink-tar-"))
  try {
    mkdirSync(join(dir, "tlog"))
    writeFileSync(join(dir, "tlog/checkpoint"), "x".repeat(700), { mode: 0o644 })
    const flags = [
      "--format=ustar",
      "--numeric-owner",
      "--owner=0",
      "--group=0",
      "--mtime=@0",
      "--mode=0644",
      "-cf",
      join(dir, "t.tar"),
    ]
    expect(spawnSync("tar", [...flags, "-C", dir, "tlog/checkpoint"]).status).toBe(0)
    const header = readFileSync(join(dir, "t.tar")).subarray(0, 512)
    expect(Buffer.from(encodeHeader("tlog/checkpoint", 700))).toEqual(header)
  } finally {
    rmSync(dir, { recursive: true })
  }
})

it("refuses a header with any byte changed", () => {
  const header = encodeHeader("tlog/key", 60)
  for (let at = 0; at < header.length; at++) {
    const wrong = Uint8Array.from(header)
    wrong[at]! ^= 1
    const read = decodeHeader(wrong)
    expect(read, `byte ${at}`).toBeUndefined()
  }
})

it("refuses names that do not fit", () => {
  expect(() => encodeHeader("x".repeat(101), 0)).toThrow()
  expect(() => encodeHeader("", 0)).toThrow()
  expect(decodeHeader(encodeHeader("x".repeat(100), 0))?.name).toHaveLength(100)
})
