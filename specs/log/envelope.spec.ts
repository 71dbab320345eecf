import { describe, expect, it } from "vitest"
import { limits } from "../../core/limits.ts"
import { decodeCommand, encodeCommand } from "../../core/log/command-index.ts"
import { decodeBytes, decodeRecord, encodeRecord } from "../../core/log/envelope.ts"
import type { Recorded } from "../../core/log/event-log.ts"
import { commandKey, eventKey, positionOf, positionOfBytes } from "../../core/log/keys.ts"
import { commandId } from "./support/store.ts"

const event: Recorded = {
  type: "Noted",
  schemaVersion: 1,
  data: { text: "Grüße", n: 1 },
  position: 26,
  command: commandId(1),
  at: 1795000000001,
  actor: { name: "alice", kind: "cli" },
  server: "srv1",
}
const text =
  '{"actor":{"kind":"cli","name":"alice"},"at":1795000000001,"command":"0190b3a4-5c6d-7000-8000-000000000001",' +
  '"data":{"n":1,"text":"Grüße"},"position":26,"schemaVersion":1,"server":"srv1","type":"Noted"}'

/** CRC-32C bit by bit (RFC 3385 has the polynomial), to judge the library's by. */
const crc32c = (bytes: Uint8Array): number => {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return (crc ^ 0xffffffff) >>> 0
}

describe("the stored form of an event", () => {
  it("is the CRC-32C, big-endian, and the canonical JSON", () => {
    const bytes = Buffer.from(text, "utf8")
    const crc = Buffer.alloc(4)
    crc.writeUInt32BE(crc32c(bytes))
    expect(Buffer.from(encodeRecord(event)).toString("hex")).toBe(Buffer.concat([crc, bytes]).toString("hex"))
    expect(crc.toString("hex")).toBe("655d2925")
  })

  it("reads back as what was stored, and as its exact bytes", () => {
    const value = encodeRecord(event)
    expect(decodeRecord("db", 26, value)).toEqual(event)
    expect(Buffer.from(decodeBytes("db", 26, value)).toString("utf8")).toBe(text)
  })

  it("keeps the wall clock beside `at` where the two differ", () => {
    const value = encodeRecord({ ...event, wall: 5 })
    expect(Buffer.from(value.subarray(4)).toString("utf8")).toBe(`${text.slice(0, -1)},"wall":5}`)
  })

  it("is refused when any one bit of it is flipped", () => {
    const value = encodeRecord(event)
    for (let bit = 0; bit < value.length * 8; bit++) {
      const bad = value.slice()
      bad[bit >> 3]! ^= 1 << (bit & 7)
      expect(() => decodeRecord("db", 26, bad), `bit ${bit}`).toThrow("damaged")
    }
  })

  it.each([[0], [3], [4], [5]])("is refused when only %d bytes of it are there", (length) => {
    expect(() => decodeRecord("db", 26, encodeRecord(event).subarray(0, length))).toThrow("damaged")
  })

  it("is refused under another position's key", () => {
    expect(() => decodeRecord("db", 27, encodeRecord(event))).toThrow(
      expect.objectContaining({ code: "STORE_DAMAGED", reason: "event 27 is stored as if it were event 26" }),
    )
  })

  const sized = (bytes: number): Recorded => {
    const empty = encodeRecord({ ...event, data: { text: "" } }).length - 4
    return { ...event, data: { text: "x".repeat(bytes - empty) } }
  }

  it("holds at most 65,535 bytes of JSON, and not one more", () => {
    expect(encodeRecord(sized(65_535)).length).toBe(65_539)
    expect(() => encodeRecord(sized(65_536))).toThrow(expect.objectContaining({ code: "EVENT_TOO_LARGE" }))
    expect(limits.eventBytesMax).toBe(65_535)
  })
})

describe("keys", () => {
  it("of events are 14 hex digits, and their order is the order of positions", () => {
    expect(eventKey(26)).toBe("0000000000001a")
    expect(eventKey(2 ** 53 - 1)).toBe("1fffffffffffff")
    expect(positionOf("0000000000001a")).toBe(26)
    expect(positionOfBytes(Buffer.from("1fffffffffffff"))).toBe(2 ** 53 - 1)
  })

  it.each(["", "0000000000001A", "000000000001a", "00000000000001a", "0000000000001g", commandKey(commandId(1))])(
    "%s is no event's",
    (key) => {
      expect(positionOf(key)).toBeUndefined()
      expect(positionOfBytes(Buffer.from(key))).toBeUndefined()
    },
  )

  it("of commands sort below every event's", () => {
    expect(commandKey("ffffffff-ffff-7fff-bfff-ffffffffffff") < eventKey(0)).toBe(true)
  })
})

describe("the index entry of a command", () => {
  const entry = { command: commandId(1), fingerprint: "f", first: 3, count: 2 }

  it("reads back as what was stored", () => {
    expect(decodeCommand("db", commandId(1), encodeCommand(entry))).toEqual(entry)
  })

  it("is refused when damaged, or under another command's key", () => {
    const bad = encodeCommand(entry).slice()
    bad[10]! ^= 1
    expect(() => decodeCommand("db", commandId(1), bad)).toThrow("damaged")
    expect(() => decodeCommand("db", commandId(2), encodeCommand(entry))).toThrow("damaged")
  })
})
