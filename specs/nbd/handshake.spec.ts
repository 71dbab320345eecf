import { describe, expect, it } from "vitest"
import { type Answer, answer, initial, type Outcome, step } from "../../adapters/nbd/handshake.ts"
import type { ExportInfo } from "../../adapters/nbd/options.ts"
import { fail } from "../../core/errors.ts"
import { golden } from "../support/nbd-golden.ts"

const info: ExportInfo = {
  name: "client/PC-001/0",
  description: "PC-001 slot 0",
  sizeBytes: 0x10_0000,
  transmissionFlags: 0x0ded,
  minimumBytes: 512,
  preferredBytes: 4096,
  payloadBytesMax: 0x200_0000,
}

/** Feeds hex and answers what is wanted; the replies and the last outcome come back. */
const talk = (hex: string, reply: (o: Outcome) => Answer = () => ({ kind: "export", info })) => {
  let s = step(initial, Buffer.from(hex.replaceAll(/\s/gu, ""), "hex"))
  let replies = Buffer.concat(s.replies)
  while (s.outcome.want === "export" || s.outcome.want === "list") {
    s = answer(s.state, reply(s.outcome))
    replies = Buffer.concat([replies, ...s.replies])
  }
  return { replies: replies.toString("hex"), outcome: s.outcome, state: s.state }
}

const fixedFlags = "00000003"
const opt = (code: number, data = ""): string =>
  `49484156454f5054${code.toString(16).padStart(8, "0")}${(data.length / 2).toString(16).padStart(8, "0")}${data}`
const rep = (code: number, type: string, data = ""): string =>
  `0003e889045565a9${code.toString(16).padStart(8, "0")}${type}${(data.length / 2).toString(16).padStart(8, "0")}${data}`
const ack = (code: number): string => rep(code, "00000001")
const text = (s: string): string => Buffer.from(s).toString("hex")
const name = `0000000f${text("client/PC-001/0")}`
const ERR = { unsup: "80000001", policy: "80000002", invalid: "80000003", unknown: "80000006", tooBig: "80000009" }

const typeOf = (replies: string): string => replies.slice(24, 32)
const words = (replies: string): string => Buffer.from(replies.slice(40), "hex").toString()

describe("client flags", () => {
  it("all known ones lead to option haggling without a reply", () => {
    expect(talk("00000003")).toMatchObject({ replies: "", outcome: { want: "bytes" } })
  })
  it.each(["00000004", "80000003", "ffffffff"])("the unknown flags %s close the connection", (flags) => {
    expect(talk(flags)).toMatchObject({ replies: "", outcome: { want: "close" } })
  })
  it("without fixed newstyle EXPORT_NAME is served", () => {
    expect(talk(`00000000${opt(1, text("client/PC-001/0"))}`).outcome.want).toBe("transmission")
  })
  it("without fixed newstyle any other option closes the connection", () => {
    expect(talk(`00000002${opt(3)}`)).toMatchObject({ replies: "", outcome: { want: "close" } })
  })
})

describe("EXPORT_NAME", () => {
  it("answers size, flags and 124 zeroes", () => {
    const { replies, outcome } = talk(`00000001${opt(1, text("client/PC-001/0"))}`)
    expect(replies).toBe(`00000000001000000ded${"00".repeat(124)}`)
    expect(outcome).toMatchObject({ want: "transmission", structured: false, allocation: false })
  })
  it("leaves the zeroes out when that was agreed", () => {
    expect(talk(`00000003${opt(1, text("client/PC-001/0"))}`).replies).toBe("00000000001000000ded")
  })
  it("hands over what follows it as the first bytes of transmission", () => {
    const { outcome } = talk(`00000003${opt(1, text("image/win11"))}25609513aa`)
    expect(outcome.want === "transmission" && Buffer.from(outcome.rest).toString("hex")).toBe("25609513aa")
  })
  it.each(["", "nonsense", "\u0000"])("closes on the name %j, for it cannot answer an error", (n) => {
    expect(talk(`00000003${opt(1, text(n))}`)).toMatchObject({ replies: "", outcome: { want: "close" } })
  })
  it("closes when the disk cannot be attached", () => {
    const refused: Answer = { kind: "refused", error: fail("CLIENT_NOT_FOUND", { client: "PC-001" }) }
    const { replies, outcome } = talk(`00000003${opt(1, text("client/PC-001/0"))}`, () => refused)
    expect([replies, outcome.want]).toEqual(["", "close"])
  })
})

describe("INFO and GO", () => {
  const exportInfo = (code: number): string => rep(code, "00000003", "000000000000001000000ded")

  it("GO without wishes answers the export's size and flags alone, with no padding", () => {
    const { replies, outcome } = talk(`00000001${opt(7, `${name}0000`)}`)
    expect(replies).toBe(exportInfo(7) + ack(7))
    expect(outcome.want).toBe("transmission")
  })
  it("GO answers name, description and block sizes to who asks", () => {
    const { replies } = talk(`${fixedFlags}${opt(7, `${name}0003000100020003`)}`)
    const infos = [
      rep(7, "00000003", `0001${text("client/PC-001/0")}`),
      rep(7, "00000003", `0002${text("PC-001 slot 0")}`),
      rep(7, "00000003", "0003000002000000100002000000"),
    ]
    expect(replies).toBe(exportInfo(7) + infos.join("") + ack(7))
  })
  it("ignores wishes it does not know, and wishes made twice", () => {
    expect(talk(`${fixedFlags}${opt(6, `${name}000400000000ffff0009`)}`).replies).toBe(exportInfo(6) + ack(6))
  })
  it("INFO stays in option haggling", () => {
    expect(talk(`${fixedFlags}${opt(6, `${name}0000`)}`).outcome).toEqual({ want: "bytes" })
  })
  it("says what export names look like when asked for one that is none", () => {
    const { replies, outcome } = talk(`${fixedFlags}${opt(7, `00000003${text("foo")}0000`)}`)
    expect(typeOf(replies)).toBe(ERR.unknown)
    expect(words(replies)).toContain("client/NAME/SLOT")
    expect(outcome.want).toBe("bytes")
  })
  it("says that there is no default export", () => {
    const { replies } = talk(`${fixedFlags}${opt(7, "000000000000")}`)
    expect(typeOf(replies)).toBe(ERR.unknown)
    expect(words(replies)).toContain("there is no default export")
  })
  it("a disk that is not there is ERR_UNKNOWN, with cause and fix as the text", () => {
    const error = fail("CLIENT_NOT_FOUND", { client: "PC-001" })
    const { replies, outcome } = talk(`${fixedFlags}${opt(7, `${name}0000`)}`, () => ({ kind: "refused", error }))
    expect(typeOf(replies)).toBe(ERR.unknown)
    expect(words(replies)).toBe(`${error.message}: ${error.reason}; ${error.fix}`)
    expect(outcome.want).toBe("bytes")
  })
  it("a disk this peer may not open is ERR_POLICY", () => {
    const error = fail("EXPORT_DENIED", { name: "client/PC-001/0", peer: "10.0.0.9" })
    expect(typeOf(talk(`${fixedFlags}${opt(7, `${name}0000`)}`, () => ({ kind: "refused", error })).replies)).toBe(
      ERR.policy,
    )
  })
  it.each([
    ["a name longer than the data", "000000ff61"],
    ["no count of wishes", name],
    ["fewer wishes than announced", `${name}00020003`],
    ["more wishes than announced", `${name}000100030003`],
    ["a NUL in the name", "00000002 6100 0000".replaceAll(" ", "")],
    ["a name that is not UTF-8", "00000001ff0000"],
    ["no data at all", ""],
  ])("%s is ERR_INVALID and the next option is understood", (_why, data) => {
    const { replies, outcome } = talk(`${fixedFlags}${opt(7, data)}${opt(2)}`)
    expect(typeOf(replies)).toBe(ERR.invalid)
    expect(replies.endsWith(ack(2))).toBe(true)
    expect(outcome.want).toBe("close")
  })
  it("a name of 4097 bytes is ERR_TOO_BIG, one of 4096 is only unknown", () => {
    const of = (n: number): string =>
      typeOf(talk(`${fixedFlags}${opt(6, `${n.toString(16).padStart(8, "0")}${"61".repeat(n)}0000`)}`).replies)
    expect([of(4096), of(4097)]).toEqual([ERR.unknown, ERR.tooBig])
  })
})

describe("LIST", () => {
  it("shows every disk and then ends", () => {
    const disks = [
      { name: "client/a/0", description: "A" },
      { name: "image/b@1", description: "" },
    ]
    const { replies } = talk(`${fixedFlags}${opt(3)}`, () => ({ kind: "list", disks }))
    const servers = [`0000000a${text("client/a/0")}${text("A")}`, `00000009${text("image/b@1")}`]
    expect(replies).toBe(servers.map((s) => rep(3, "00000002", s)).join("") + ack(3))
  })
  it("of nothing is an empty list", () => {
    expect(talk(`${fixedFlags}${opt(3)}`, () => ({ kind: "list", disks: [] })).replies).toBe(ack(3))
  })
  it("with data is ERR_INVALID", () => {
    expect(typeOf(talk(`${fixedFlags}${opt(3, "00")}`).replies)).toBe(ERR.invalid)
  })
})

describe("other options", () => {
  it("ABORT is acknowledged, whatever it carries, and ends the handshake", () => {
    expect(talk(`${fixedFlags}${opt(2, "abcd")}`)).toMatchObject({ replies: ack(2), outcome: { want: "close" } })
  })
  it.each([
    ["STARTTLS", 5],
    ["PEEK_EXPORT", 4],
    ["EXTENDED_HEADERS", 11],
    ["an unknown one", 0x7fff_ffff],
  ])("%s is ERR_UNSUP and the next option is understood", (_name, code) => {
    const { replies } = talk(`${fixedFlags}${opt(code)}${opt(8)}`)
    expect(typeOf(replies)).toBe(ERR.unsup)
    expect(replies.endsWith(ack(8))).toBe(true)
  })
  it("STARTTLS with data is ERR_INVALID", () => {
    expect(typeOf(talk(`${fixedFlags}${opt(5, "00")}`).replies)).toBe(ERR.invalid)
  })
  it("STRUCTURED_REPLY is agreed, also twice, and holds in transmission", () => {
    const { replies, outcome } = talk(`${fixedFlags}${opt(8)}${opt(8)}${opt(7, `${name}0000`)}`)
    expect(replies.startsWith(ack(8) + ack(8))).toBe(true)
    expect(outcome).toMatchObject({ want: "transmission", structured: true, allocation: false })
  })
  it("STRUCTURED_REPLY with data is ERR_INVALID and not agreed", () => {
    const { replies, outcome } = talk(`${fixedFlags}${opt(8, "01")}${opt(7, `${name}0000`)}`)
    expect(typeOf(replies)).toBe(ERR.invalid)
    expect(outcome).toMatchObject({ structured: false })
  })
  it("a wrong magic closes at its first wrong byte", () => {
    expect(talk(`${fixedFlags}4949`).outcome.want).toBe("close")
    expect(talk(`${fixedFlags}49`).outcome.want).toBe("bytes")
  })
  it("an option of 65536 bytes is answered, one of 65537 closes before its data come", () => {
    const big = (n: number): string => `${fixedFlags}49484156454f505400000063${n.toString(16).padStart(8, "0")}`
    expect(typeOf(talk(big(65_536) + "00".repeat(65_536)).replies)).toBe(ERR.unsup)
    expect(talk(big(65_537)).outcome.want).toBe("close")
    expect(talk(big(0xffff_ffff)).outcome.want).toBe("close")
  })
  it("option number 16384 is answered, the next closes", () => {
    const many = (n: number): string => fixedFlags + opt(99).repeat(n)
    expect(talk(many(16_384)).outcome.want).toBe("bytes")
    expect(talk(many(16_385)).outcome.want).toBe("close")
  })
})

describe("meta contexts", () => {
  const queries = (...qs: ReadonlyArray<string>): string =>
    name +
    qs.length.toString(16).padStart(8, "0") +
    qs.map((q) => q.length.toString(16).padStart(8, "0") + text(q)).join("")
  const context = (code: number, id: string): string => rep(code, "00000004", `${id}${text("base:allocation")}`)
  const structured = (hex: string) => talk(`${fixedFlags}${opt(8)}${hex}`).replies.slice(ack(8).length)

  it("need structured replies first", () => {
    expect(typeOf(talk(`${fixedFlags}${opt(10, queries("base:allocation"))}`).replies)).toBe(ERR.invalid)
    expect(typeOf(talk(`${fixedFlags}${opt(9, queries())}`).replies)).toBe(ERR.invalid)
  })
  it("SET selects base:allocation among strangers", () => {
    expect(structured(opt(10, queries("x-y:z", "base:allocation", "qemu:")))).toBe(context(10, "00000001") + ack(10))
  })
  it.each([[[]], [["base:"]], [["base:other"]], [["x-y:z"]], [["nocolon"]]])("SET %j selects nothing", (qs) => {
    expect(structured(opt(10, queries(...qs)))).toBe(ack(10))
  })
  it.each([[[]], [["base:"]], [["base:allocation"]]])("LIST %j shows base:allocation, under id 0", (qs) => {
    expect(structured(opt(9, queries(...qs)))).toBe(context(9, "00000000") + ack(9))
  })
  it("LIST of a stranger shows nothing", () => {
    expect(structured(opt(9, queries("qemu:")))).toBe(ack(9))
  })
  it("of an export that cannot be are ERR_UNKNOWN", () => {
    expect(typeOf(structured(opt(9, `00000000${"00000000"}`)))).toBe(ERR.unknown)
  })
  it.each(["00000000ffffffff", `${name}00000001`, `${name}0000000100000005aa`, `${name}00000000ff`])(
    "the malformed %s is ERR_INVALID",
    (data) => {
      expect(typeOf(structured(opt(10, data)))).toBe(ERR.invalid)
    },
  )

  const go = opt(7, `${name}0000`)
  const set = opt(10, queries("base:allocation"))
  const other = `0000000b${text("image/win11")}00000001${"0000000f"}${text("base:allocation")}`
  it.each([
    ["selected for this export", set + go, true],
    ["listed only", opt(9, queries()) + go, false],
    ["selected for another export", opt(10, other) + go, false],
    ["selected, then for another export", set + opt(10, other) + go, false],
    ["selected, then nothing", set + opt(10, queries()) + go, false],
    ["selected, then a failure", set + opt(10, `${name}00000001`) + go, false],
  ])("block status is agreed or not when %s", (_when, hex, allocation) => {
    expect(talk(`${fixedFlags}${opt(8)}${hex}`).outcome).toMatchObject({ want: "transmission", allocation })
  })
})

describe("while an answer is out", () => {
  it("further options are kept and worked off after it", () => {
    const first = step(initial, Buffer.from(`${fixedFlags}${opt(6, `${name}0000`)}`, "hex"))
    const second = step(first.state, Buffer.from(opt(2), "hex"))
    expect([first.outcome.want, second.outcome.want, second.replies]).toEqual(["export", "bytes", []])
    const third = answer(second.state, { kind: "export", info })
    expect(
      Buffer.concat(third.replies)
        .toString("hex")
        .endsWith(ack(6) + ack(2)),
    ).toBe(true)
    expect(third.outcome.want).toBe("close")
  })
})

describe("what known clients send", () => {
  it("libnbd 1.14 (nbdinfo) gets the answers nbdkit 1.32 gave it, apart from what is ours to say", () => {
    const runs = golden("libnbd-info")
    let state = initial
    const replies: Array<string> = []
    for (const run of runs.filter((r) => r.who === "C").slice(0, 4)) {
      let s = step(state, run.bytes)
      let got = Buffer.concat(s.replies)
      while (s.outcome.want === "export") {
        s = answer(s.state, { kind: "export", info: { ...info, description: "" } })
        got = Buffer.concat([got, ...s.replies])
      }
      state = s.state
      replies.push(got.toString("hex"))
    }
    const blockSize = (code: number): string => rep(code, "00000003", "0003000002000000100002000000")
    const description = (code: number): string => rep(code, "00000003", "0002")
    const theirs = runs
      .filter((r) => r.who === "S")
      .slice(1, 5)
      .map((r) => r.bytes.toString("hex"))
    // nbdkit sends no block sizes and no description of a memory disk; both stand in the order they were asked for: 3, 1, 2.
    const expected = theirs.map((hex, i) => {
      const code = i === 1 ? 6 : 7
      return i === 1 || i === 3
        ? hex.slice(0, 64) + blockSize(code) + hex.slice(64, -40) + description(code) + ack(code)
        : hex
    })
    expect(replies).toEqual(expected)
  })
  it("nbd-client 3.24 gets its list and its goodbye", () => {
    const bytes = Buffer.concat(
      golden("nbd-client-list")
        .filter((r) => r.who === "C")
        .map((r) => r.bytes),
    )
    const { replies, outcome } = talk(bytes.toString("hex"), () => ({ kind: "list", disks: [] }))
    expect([replies, outcome.want]).toEqual([ack(3) + ack(2), "close"])
  })
})
