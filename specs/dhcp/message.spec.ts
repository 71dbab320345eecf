/** The codec: what it writes, an independent implementation reads; what is cut, mixed up or at random never harms it. */
import { describe, expect, it } from "vitest"
import { addressText, parseAddress, parseSubnet } from "../../adapters/dhcp/address.ts"
import { decode, encode } from "../../adapters/dhcp/message.ts"
import { classlessRoutes, OPTION, text, u8, u32, within } from "../../adapters/dhcp/options.ts"
import { random } from "../log/support/random.ts"
import { at, message, sends } from "./support/messages.ts"

const seeds = Array.from({ length: Number(process.env.IMAGELINK_SEEDS ?? 20) }, (_, i) => i + 1)

const decoded = (bytes: Uint8Array) => {
  const d = decode(bytes)
  if (!d.ok) throw new Error(d.why)
  return d.message
}

describe("addresses", () => {
  it.each(["0.0.0.0", "10.0.0.1", "255.255.255.255", "192.168.100.200"])("%s is itself again", (dotted) => {
    expect(addressText(parseAddress(dotted)!)).toBe(dotted)
  })
  it.each(["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.x", "1.2.3.-4", " 1.2.3.4"])(
    "%j is none",
    (no) => {
      expect(parseAddress(no)).toBeUndefined()
    },
  )
  it("a subnet has nothing beyond its prefix", () => {
    expect(parseSubnet("10.1.2.3/8")).toEqual({ network: at("10.0.0.0"), prefix: 8 })
    expect(parseSubnet("10.1.2.3/0")).toEqual({ network: 0, prefix: 0 })
    expect(parseSubnet("10.1.2.3/33")).toBeUndefined()
    expect(parseSubnet("10.1.2.3")).toBeUndefined()
  })
})

describe("a message", () => {
  it("is 300 bytes at least, with the type first and the relay's option last (RFC 3046 §2.2)", () => {
    const options = [
      [OPTION.relayAgent, Uint8Array.of(1, 1, 7)],
      [OPTION.hostName, text("pc")],
    ] as const
    const bytes = encode(message({ type: "offer", options }))
    expect(bytes.length).toBe(300)
    expect(bytes.subarray(236, 253).toString("hex")).toBe("63825363" + "350102" + "0c027063" + "5203010107" + "ff")
  })

  it("is itself again when it is read", () => {
    const m = message({ ciaddr: "1.2.3.4", giaddr: "10.9.8.7", broadcast: true, xid: 0xfedcba98, options: sends.ipxe })
    const again = decoded(encode({ ...m, file: "snponly.efi", sname: "boot" }))
    expect({ ...again, chaddr: Buffer.from(again.chaddr) }).toMatchObject({
      ...{ xid: 0xfedcba98, ciaddr: at("1.2.3.4"), giaddr: at("10.9.8.7"), broadcast: true },
      ...{ file: "snponly.efi", sname: "boot", chaddr: m.chaddr },
    })
    expect([...again.options].map(([code, v]) => [code, Buffer.from(v).toString("hex")])).toEqual(
      [...m.options].map(([code, v]) => [code, Buffer.from(v).toString("hex")]),
    )
  })

  it.each([0, 1, 254, 255, 256, 510, 511, 600])(
    "carries an option of %i bytes, split where it must be (RFC 3396)",
    (n) => {
      const value = Uint8Array.from({ length: n }, (_, i) => i)
      const bytes = encode(message({ options: [[OPTION.vendorSpecific, value]] }), 1472)
      expect(decoded(bytes).options.get(OPTION.vendorSpecific)).toEqual(value)
    },
  )

  it("has its type however much a relay added", () => {
    const options = [
      [OPTION.serverId, u32(1)],
      [OPTION.relayAgent, new Uint8Array(1000)],
    ] as const
    expect([...decoded(encode(message({ options }), 548)).options.keys()]).toEqual([53, 82])
  })

  it("holds options in file and sname too where it says so (option 52)", () => {
    const bytes = encode(
      message({
        options: [
          [OPTION.overload, u8(3)],
          [OPTION.hostName, text("a")],
        ],
      }),
    )
    bytes.set([OPTION.hostName, 1, 0x62, 255], 108)
    bytes.set([OPTION.hostName, 1, 0x63, 255], 44)
    const m = decoded(bytes)
    expect(Buffer.from(m.options.get(OPTION.hostName)!).toString()).toBe("abc")
    expect([m.file, m.sname]).toEqual(["", ""])
  })

  it("is taken without an end, and with padding", () => {
    const bytes = encode(message()).subarray(0, 243)
    expect(decoded(bytes).options.get(OPTION.messageType)).toEqual(u8(1))
    expect(decoded(Buffer.concat([bytes.subarray(0, 240), Buffer.alloc(9), bytes.subarray(240)])).options.size).toBe(1)
  })

  it.each([
    ["nothing", Buffer.alloc(0), "it is too short"],
    ["235 bytes", Buffer.alloc(235), "it is too short"],
    ["BOOTP without a vendor area", Buffer.alloc(236), "it has no options: BOOTP is not served"],
    ["BOOTP", Buffer.alloc(300), "it has no magic cookie: BOOTP is not served"],
    ["1501 bytes", Buffer.alloc(1501), "it is too long"],
  ])("%s is refused", (_, bytes, why) => expect(decode(bytes)).toEqual({ ok: false, why }))

  it("with a hardware address longer than its field is refused", () => {
    const bytes = encode(message())
    bytes[2] = 17
    expect(decode(bytes)).toEqual({ ok: false, why: "its hardware address has 17 bytes" })
  })

  it("cut anywhere is refused or read, and never throws", () => {
    const bytes = encode(message({ options: sends.ipxe }), 1472)
    for (let length = 0; length <= bytes.length; length++) decode(bytes.subarray(0, length))
    expect(decode(bytes.subarray(0, 242))).toEqual({ ok: false, why: "an option is cut short" })
  })

  it.each(seeds)("mutated with seed %i is refused, or is itself again when written and read", (seed) => {
    const draw = random(seed)
    const whole = encode(message({ options: sends.ipxe, broadcast: true }), 1472)
    for (let n = 0; n < 500; n++) {
      const bytes = Buffer.from(whole)
      for (let i = draw.below(8); i >= 0; i--) bytes[draw.below(bytes.length)] = draw.below(256)
      const d = decode(bytes.subarray(0, 240 + draw.below(bytes.length - 239)))
      if (!d.ok) continue
      const again = decode(encode(d.message, 1472))
      expect(again.ok && again.message.xid, `seed ${seed}, ${n}`).toBe(d.message.xid)
    }
  })
})

describe("values", () => {
  it("classless routes have as many bytes of the network as the prefix covers (RFC 3442)", () => {
    const routes = ["10.17.0.0/16", "0.0.0.0/0", "10.27.129.128/25"].map((s) => ({
      to: parseSubnet(s)!,
      router: at("10.0.0.1"),
    }))
    expect(Buffer.from(classlessRoutes(routes)).toString("hex")).toBe(
      "100a110a000001" + "000a000001" + "190a1b81800a000001",
    )
  })
  it("what is within an option is read without its end, and up to where it is cut", () => {
    expect([...within(Uint8Array.of(0xb0, 1, 1)).keys()]).toEqual([0xb0])
    expect([...within(Uint8Array.of(0, 6, 1, 8, 71, 4, 0)).keys()]).toEqual([6])
    expect([...within(new Uint8Array())]).toEqual([])
  })
})

/** The `dhcp` package of npm, which shares no line with ours. */
describe("the codec of another implementation", async () => {
  const other = (await import("dhcp/lib/protocol.js" as string)).default as {
    parse(bytes: Buffer): { xid: number; yiaddr: string; file: string; options: Record<number, unknown> }
    format(m: unknown): { _data: Buffer; _w: number }
  }
  it("reads what ours writes", () => {
    const options = [
      [OPTION.serverId, u32(at("10.0.0.1"))],
      [OPTION.subnetMask, u32(at("255.255.255.0"))],
      [OPTION.hostName, text("PC-001")],
      [OPTION.leaseSeconds, u32(3600)],
    ] as const
    const m = { ...message({ type: "offer", xid: 77, options }), op: 2, yiaddr: at("10.0.0.11"), file: "undionly.kpxe" }
    const read = other.parse(encode(m))
    expect(read).toMatchObject({ xid: 77, yiaddr: "10.0.0.11", file: "undionly.kpxe" })
    expect(read.options).toMatchObject({ 53: 2, 54: "10.0.0.1", 1: "255.255.255.0", 12: "PC-001", 51: 3600 })
  })
})
