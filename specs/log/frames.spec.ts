import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { maskedCrc } from "../../core/log/leveldb/coding.ts"
import { readLogFile } from "../../core/log/leveldb/frames.ts"
import { readWriteBatch } from "../../core/log/leveldb/write-batch.ts"
import { discard, temporary } from "./support/store.ts"

const block = 32 * 1024

/** A frame, as log_format.md draws it. */
const frame = (type: number, payload: string | Buffer): Buffer => {
  const body = Buffer.concat([Buffer.from([type]), Buffer.from(payload)])
  const header = Buffer.alloc(6)
  header.writeUInt32LE(maskedCrc(body))
  header.writeUInt16LE(body.length - 1, 4)
  return Buffer.concat([header, body])
}
const [full, first, middle, last] = [1, 2, 3, 4]

describe("reading a LevelDB log file", () => {
  let dir: string
  beforeAll(() => {
    dir = temporary("frames")
  })
  afterAll(() => discard(dir))

  const read = (...parts: ReadonlyArray<Buffer>) => {
    const path = join(dir, "000003.log")
    writeFileSync(path, Buffer.concat(parts))
    const records: Array<string> = []
    const end = readLogFile(path, (record) => records.push(Buffer.from(record).toString("latin1")))
    return { records, ...end }
  }
  const damage = (offset: number, reason: string) =>
    expect.objectContaining({ code: "STORE_DAMAGED", offset, reason: expect.stringContaining(reason) })

  it("an empty file has no records and is whole", () => {
    expect(read()).toEqual({ records: [], goodBytes: 0, sizeBytes: 0, torn: false })
  })

  it("a frame is a checksum, a length and a type before its bytes, and may hold none", () => {
    expect(frame(full, "foo").toString("hex")).toBe("dd5fb37a" + "0300" + "01" + "666f6f")
    expect(read(frame(full, "foo"), frame(full, ""))).toMatchObject({ records: ["foo", ""], torn: false })
  })

  it("a record over three blocks is put together, and the padding at a block's end is stepped over", () => {
    const [a, b, c] = ["a".repeat(block - 7), "b".repeat(block - 7), "c".repeat(block - 7 - 6)]
    const got = read(frame(first, a), frame(middle, b), frame(last, c), Buffer.alloc(6), frame(full, "next"))
    expect(got).toEqual({
      records: [a + b + c, "next"],
      goodBytes: 3 * block + 11,
      sizeBytes: 3 * block + 11,
      torn: false,
    })
  })

  it("a record may begin with an empty frame that fills its block exactly", () => {
    const got = read(frame(full, "a".repeat(block - 14)), frame(first, ""), frame(last, "b"))
    expect(got).toMatchObject({ records: ["a".repeat(block - 14), "b"], torn: false })
  })

  it.each([1, 6, 7, 9])("a frame of which %d bytes are there is a torn tail", (length) => {
    expect(read(frame(full, "foo"), frame(full, "bar").subarray(0, length))).toEqual({
      records: ["foo"],
      goodBytes: 10,
      sizeBytes: 10 + length,
      torn: true,
    })
  })

  it.each([1, 7, 500, block, 3 * block])("a tail of %d zeros is torn", (length) => {
    expect(read(frame(full, "foo"), Buffer.alloc(length))).toMatchObject({
      records: ["foo"],
      goodBytes: 10,
      torn: true,
    })
  })

  it("a record whose end is missing at the file's end is a torn tail", () => {
    expect(read(frame(full, "foo"), frame(first, "b".repeat(block - 17)))).toMatchObject({
      records: ["foo"],
      torn: true,
    })
  })

  const flipped = (bytes: Buffer, at: number, mask: number) => {
    const out = Buffer.from(bytes)
    out[at]! ^= mask
    return out
  }

  it("every flipped bit of the last frame is damage, its length's too", () => {
    const bar = frame(full, "bar")
    for (let bit = 0; bit < bar.length * 8; bit++) {
      const bad = flipped(bar, bit >> 3, 1 << (bit & 7))
      expect(() => read(frame(full, "foo"), bad), `bit ${bit}`).toThrow(
        expect.objectContaining({ code: "STORE_DAMAGED" }),
      )
    }
  })

  it.each([
    ["a length past the block", [flipped(frame(full, "foo"), 5, 0xff), Buffer.alloc(block)], 0, "reaches past"],
    ["a frame after zeros", [Buffer.alloc(7), frame(full, "foo")], 0, "data follows"],
    ["a frame in the block after zeros", [Buffer.alloc(block), frame(full, "foo")], 0, "data follows"],
    ["padding that is not zero", [frame(full, "a".repeat(block - 10)), Buffer.from([0, 0, 1])], block - 3, "padding"],
    ["a frame of type 5", [frame(5, "foo")], 0, "unknown type"],
    ["a middle without a beginning", [frame(full, "foo"), frame(middle, "b")], 10, "no beginning"],
    ["an end without a beginning", [frame(last, "b")], 0, "no beginning"],
    ["a beginning inside a record", [frame(first, "b"), frame(full, "foo")], 0, "no end"],
  ] as const)("%s is damage", (_name, parts, offset, reason) => {
    expect(() => read(...parts, frame(full, "later"))).toThrow(damage(offset, reason))
  })
})

describe("a WriteBatch", () => {
  const keys = (hex: string) => {
    const seen: Array<string> = []
    const header = readWriteBatch(Buffer.from(hex.replaceAll(" ", ""), "hex"), (key, kind) =>
      seen.push(`${kind} ${Buffer.from(key).toString("latin1")}`),
    )
    return { ...header, seen }
  }

  it("is read to its keys", () => {
    expect(keys("0700000000000000 02000000 01 03 666f6f 01 78 00 03 626172")).toEqual({
      sequence: 7,
      count: 2,
      seen: ["put foo", "delete bar"],
    })
  })

  it.each([
    ["shorter than its header", "0700000000000000 020000"],
    ["shorter than it counts", "0700000000000000 02000000 00 03 626172"],
    ["longer than it counts", "0700000000000000 00000000 00 03 626172"],
    ["of an unknown operation", "0700000000000000 01000000 02 03 626172"],
    ["with a key past its end", "0700000000000000 01000000 00 04 626172"],
  ])("that is %s is refused", (_name, hex) => {
    expect(() => keys(hex)).toThrow(expect.objectContaining({ name: "Malformed" }))
  })
})
