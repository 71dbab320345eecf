/** The packets of TFTP: golden bytes, boundaries, and a fuzzer that looks for anything that throws. */
import { describe, expect, it } from "vitest"
import { decode, encode, type Packet } from "../../adapters/tftp/packet.ts"
import { shown } from "../../adapters/tftp/shown.ts"
import { random } from "../support/random.ts"

const ascii = (text: string) => Buffer.from(text, "latin1")
const golden: ReadonlyArray<readonly [what: string, bytes: Buffer, packet: Packet]> = [
  ["RRQ", ascii("\0\x01a/b.efi\0octet\0"), { type: "RRQ", file: "a/b.efi", mode: "octet", options: [] }],
  [
    "RRQ with options",
    ascii("\0\x01f\0octet\0blksize\x001468\0tsize\x000\0"),
    {
      type: "RRQ",
      file: "f",
      mode: "octet",
      options: [
        ["blksize", "1468"],
        ["tsize", "0"],
      ],
    },
  ],
  ["WRQ", ascii("\0\x02f\0netascii\0"), { type: "WRQ", file: "f", mode: "netascii", options: [] }],
  ["empty DATA", ascii("\0\x03\xff\xff"), { type: "DATA", blockNumber: 65535, data: Buffer.alloc(0) }],
  ["DATA", ascii("\0\x03\0\x01xyz"), { type: "DATA", blockNumber: 1, data: ascii("xyz") }],
  ["ACK", ascii("\0\x04\x01\x02"), { type: "ACK", blockNumber: 258 }],
  ["ERROR", ascii("\0\x05\0\x01no file\0"), { type: "ERROR", code: 1, message: "no file" }],
  ["OACK", ascii("\0\x06windowsize\x004\0"), { type: "OACK", options: [["windowsize", "4"]] }],
]

describe("a packet", () => {
  it.each(golden)("%s is encoded and decoded byte for byte", (_, bytes, packet) => {
    expect(encode(packet).toString("hex")).toBe(bytes.toString("hex"))
    expect(decode(bytes)).toEqual(packet)
  })

  it.each([
    ["nothing", "", undefined],
    ["half an opcode", "\0", undefined],
    ["opcode 0", "\0\0", 0],
    ["opcode 7", "\0\x07x", 7],
    ["a request without anything", "\0\x01", 1],
    ["a file name without end", "\0\x01file", 1],
    ["a mode without end", "\0\x01file\0octet", 1],
    ["DATA with half a block number", "\0\x03\0", 3],
    ["ACK with half a block number", "\0\x04\0", 4],
    ["ERROR without code", "\0\x05", 5],
  ])("that is %s is unknown", (_, text, opcode) => {
    expect(decode(ascii(text))).toMatchObject({ type: "unknown", opcode })
  })

  it("that is a request has 512 bytes at most", () => {
    const request = (length: number) => ascii(`\0\x01${"f".repeat(length - 9)}\0octet\0`)
    expect([request(512).length, decode(request(512)).type]).toEqual([512, "RRQ"])
    expect([request(513).length, decode(request(513)).type]).toEqual([513, "unknown"])
  })

  it("is read as firmware writes it: any case, an option twice, padding, an ERROR without its NUL", () => {
    expect(decode(ascii("\0\x01F\0OcTeT\0BLKSIZE\x008\0blksize\x009\0tsize\0"))).toEqual({
      type: "RRQ",
      file: "F",
      mode: "octet",
      options: [["blksize", "8"]],
    })
    expect(decode(ascii("\0\x01f\0octet\0\0\0\0\0"))).toMatchObject({ type: "RRQ", options: [] })
    expect(decode(ascii("\0\x05\0\x08abort"))).toEqual({ type: "ERROR", code: 8, message: "abort" })
    expect(decode(ascii("\0\x05\0\x08"))).toEqual({ type: "ERROR", code: 8, message: "" })
  })
})

describe("what a client sent, in the log", () => {
  it("is printable and not long", () => {
    expect(shown("a\n\x1b[31m\u0085é\u202e")).toBe("a??[31m???")
    expect(shown("x".repeat(128))).toBe("x".repeat(128))
    expect(shown("x".repeat(129))).toBe(`${"x".repeat(128)}...`)
  })
})

const seeds = process.env.IMAGELINK_SEED
  ? [Number(process.env.IMAGELINK_SEED)]
  : Array.from({ length: Number(process.env.IMAGELINK_SEEDS ?? 200) }, (_, i) => i + 1)

describe("a fuzzer of packets", () => {
  it("finds nothing that throws, and nothing that decodes differently once it was encoded again", () => {
    for (const seed of seeds) {
      const r = random(seed)
      for (let i = 0; i < 20; i++) {
        const [, from] = r.pick(golden)
        const bytes = Buffer.concat([from, Buffer.alloc(r.int(8), r.int(256))]).subarray(0, 1 + r.int(from.length + 8))
        for (let n = r.int(4); n > 0; n--) bytes[r.int(bytes.length)] = r.int(256)
        const what = `IMAGELINK_SEED=${seed}: ${bytes.toString("hex")}`
        const packet = decode(bytes)
        if (packet.type !== "unknown") expect(decode(encode(packet)), what).toEqual(packet)
      }
    }
  })
})
