/** What real clients sent (specs/wire/dhcp, with the program that captures it again), read by two codecs, and what each is to be answered. */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import { describe, expect, it, vi } from "vitest"
import { addressText } from "../../adapters/dhcp/address.ts"
import { Answerer, type DhcpSite } from "../../adapters/dhcp/answer.ts"
import { firmwareOf } from "../../adapters/dhcp/firmware.ts"
import { Leases } from "../../adapters/dhcp/leases.ts"
import { type DhcpMessage, decode, encode } from "../../adapters/dhcp/message.ts"
import { OPTION, text, within } from "../../adapters/dhcp/options.ts"
import type { DhcpPort } from "../../adapters/dhcp/reply.ts"
import { MODEL_QUERY } from "../../core/runtime/machine-model.ts"
import { random } from "../support/random.ts"
import { at, lan, plan } from "./support/messages.ts"

interface Golden {
  readonly title: string
  readonly port: DhcpPort
  readonly bytes: Buffer
  readonly message: DhcpMessage
}

const read = (bytes: Uint8Array): DhcpMessage => {
  const decoded = decode(bytes)
  if (!decoded.ok) throw new Error(decoded.why)
  return decoded.message
}

const typeOf = (m: DhcpMessage): number | undefined => m.options.get(OPTION.messageType)?.[0]
const names: Record<number, string> = { 1: "DISCOVER", 3: "REQUEST" }

const goldensOf = (file: string): ReadonlyArray<Golden> =>
  readFileSync(join(import.meta.dirname, `../wire/dhcp/${file}.txt`), "utf8")
    .split("\n")
    .filter((line) => /^(67|4011) /u.test(line))
    .map((line, i) => {
      const [port, hex = ""] = line.split(" ")
      const bytes = Buffer.from(hex, "hex")
      const message = read(bytes)
      const what = `${names[typeOf(message) ?? 0]} to ${port}, ${firmwareOf(message).kind}`
      return { title: `${file} ${i + 1}: ${what}`, port: Number(port) as DhcpPort, bytes, message }
    })

const files = [
  ...["udhcpc", "ipxe-rom-bios", "undionly", "ovmf", "ovmf-boot-server", "snponly"],
  ...["plain-rom", "plain-rom-proxy", "plain-rom-menu"],
]
const all = files.flatMap((file) => goldensOf(file))

const serverAddress = at("10.77.0.1")
const site: DhcpSite = {
  ...{ mode: "full", subnets: [{ ...lan, network: at("10.77.0.0") }], answers: "boot" },
  boot: { ...plan.boot, tftp: serverAddress, http: "http://10.77.0.1:8080" },
  machine: () => ({ name: "PC-001", address: at("10.77.0.11"), liveAddress: undefined, program: undefined }),
  liveHolder: () => undefined,
}
const answered = ({ bytes, port }: Golden, more: Partial<DhcpSite> = {}) => {
  const answerer = new Answerer({
    ...{ site: () => ({ ...site, ...more }), server: serverAddress, note: () => {} },
    leases: new Leases({ ranges: [], reserved: () => true }),
  })
  return answerer.take(bytes, { address: at("10.77.0.11"), port: port === 67 ? 68 : 4011 }, port, 0).answer
}

const hex = (value: Uint8Array | undefined) => (value === undefined ? undefined : Buffer.from(value).toString("hex"))

it("the captures have what they are to show", () => {
  for (const file of files) {
    const types = goldensOf(file).map(({ message }) => typeOf(message))
    expect([file, types.includes(1), types.includes(3)]).toEqual([file, true, true])
  }
  expect(new Set(all.map(({ message }) => firmwareOf(message).kind))).toEqual(
    new Set(["system", "ipxe", "pxe", "http"]),
  )
})

it("iPXE is iPXE however it was begun; only where it uses a card through its ROM (UNDI) does it ask for broadcast", () => {
  const told = (["ipxe-rom-bios", "undionly", "snponly"] as const).flatMap((file) =>
    goldensOf(file).map(({ message }) => {
      const { kind, architecture } = firmwareOf(message)
      return [file, kind, architecture, message.broadcast].join(" ")
    }),
  )
  expect([...new Set(told)]).toEqual(["ipxe-rom-bios ipxe 0 false", "undionly ipxe 0 true", "snponly ipxe 7 false"])
})

/** RFC 2131 §4.3.1 table 3, and what extends it. */
describe.each(all.filter(({ port }) => port === 67).map((g) => [g.title, g] as const))(
  "the answer to %s",
  (_, golden) => {
    const answer = answered(golden)
    const out = answer === undefined ? undefined : read(answer.bytes)
    const asked = golden.message

    it("MUST be an OFFER to a DISCOVER, an ACK to a REQUEST for its address (RFC 2131 §4.3.1, §4.3.2)", () => {
      expect(out === undefined ? undefined : typeOf(out)).toBe(typeOf(asked) === 1 ? 2 : 5)
      expect(addressText(out!.yiaddr)).toBe("10.77.0.11")
    })
    it("MUST have the xid, flags, giaddr and chaddr of the question (RFC 2131 table 3)", () => {
      const of = ({ xid, broadcast, giaddr, chaddr }: DhcpMessage) => [xid, broadcast, giaddr, hex(chaddr)]
      expect(of(out!)).toEqual(of(asked))
    })
    it("MUST name the server and the lease (RFC 2131 table 3)", () => {
      expect([hex(out!.options.get(OPTION.serverId)), hex(out!.options.get(OPTION.leaseSeconds))]).toEqual([
        "0a4d0001",
        "00000e10",
      ])
    })
    it("MUST NOT have what only clients send (RFC 2131 table 3)", () => {
      const clients = [OPTION.requestedAddress, OPTION.parameterList, OPTION.messageBytesMax, OPTION.userClass]
      expect(clients.filter((code) => out!.options.has(code))).toEqual([])
    })
    it("MUST have the client identifier as it came, and none where none came (RFC 6842 §3)", () => {
      expect(hex(out!.options.get(OPTION.clientId))).toBe(hex(asked.options.get(OPTION.clientId)))
    })
    it("MUST be no longer than the client takes, and SHOULD be 300 bytes at least (RFC 2132 §9.10, RFC 951 §3)", () => {
      const most = asked.options.get(OPTION.messageBytesMax)
      expect(answer!.bytes.length).toBeLessThanOrEqual(most === undefined ? 548 : most[0]! * 256 + most[1]! - 28)
      expect(answer!.bytes.length).toBeGreaterThanOrEqual(300)
    })
    it("SHOULD name what boots the client: its script for iPXE, its program for firmware (RFC 2131 §2, RFC 4578)", () => {
      const { kind, architecture } = firmwareOf(asked)
      const mac = Buffer.from(asked.chaddr)
        .toString("hex")
        .replaceAll(/..(?!$)/gu, "$&-")
      const program = architecture === 0 ? "undionly.kpxe" : "snponly.efi"
      const expected = {
        ipxe: `http://10.77.0.1:8080/boot/${mac}.ipxe?${MODEL_QUERY}`,
        pxe: program,
        system: "",
      } as Record<string, string>
      const url = `http://10.77.0.1:8080/${program}`
      expect(out!.file).toBe(kind === "http" ? url : expected[kind])
    })
    it("SHOULD have the class of firmware, and its machine's id (Intel PXE 2.1 §2.2.1, UEFI 2.10 §24.7, RFC 4578 §2.3)", () => {
      const { kind } = firmwareOf(asked)
      const vendorClass = { pxe: hex(text("PXEClient")), http: hex(text("HTTPClient")) }[kind as string]
      expect(hex(out!.options.get(OPTION.vendorClass))).toBe(vendorClass)
      const machineId = vendorClass === undefined ? undefined : asked.options.get(OPTION.machineId)
      expect(hex(out!.options.get(OPTION.machineId))).toBe(hex(machineId))
    })
  },
)

describe("beside a server that gives the addresses", () => {
  it.each(all.map((g) => [g.title, g] as const))("%s is told no address, and firmware what it boots", (_, golden) => {
    const answer = answered(golden, { mode: "proxy" })
    const boots = firmwareOf(golden.message).kind !== "system"
    const wanted = boots && (golden.port === 4011 ? typeOf(golden.message) === 3 : typeOf(golden.message) === 1)
    expect(answer !== undefined).toBe(wanted)
    if (answer === undefined) return
    const out = read(answer.bytes)
    expect([out.yiaddr, out.options.has(OPTION.leaseSeconds), addressText(out.siaddr)]).toEqual([0, false, "10.77.0.1"])
    expect(out.file).not.toBe("")
  })
})

it("a REQUEST to port 4011 of firmware that was named no boot file is answered with one, to the port it came from", () => {
  const [golden, ...more] = goldensOf("ovmf-boot-server").filter(({ port }) => port === 4011)
  expect([typeOf(golden!.message), addressText(golden!.message.ciaddr), more.length]).toEqual([3, "10.77.0.11", 0])
  const answer = answered(golden!, { mode: "proxy" })
  const out = read(answer!.bytes)
  expect([typeOf(out), out.file, addressText(out.siaddr), addressText(answer!.address), answer!.port]).toEqual([
    ...[5, "snponly.efi", "10.77.0.1", "10.77.0.11", 4011],
  ])
})

it("the ROM of a card that is no iPXE is told from one, and asks port 4011 where a ProxyDHCP names no file", () => {
  const [golden, ...more] = goldensOf("plain-rom-proxy").filter(({ port }) => port === 4011)
  const { kind, architecture, ipxeFeatures } = firmwareOf(golden!.message)
  expect([kind, architecture, ipxeFeatures.size, more.length]).toEqual(["pxe", 0, 0, 0])
  const out = read(answered(golden!, { mode: "proxy" })!.bytes)
  expect([typeOf(out), out.xid, out.file, addressText(out.siaddr)]).toEqual([
    ...[5, golden!.message.xid, "undionly.kpxe", "10.77.0.1"],
  ])
})

it("one that chose from a boot menu asks without a number or an architecture in its class, and hears which entry it is given (Intel PXE 2.1 §2.2.4)", () => {
  const [golden, ...more] = goldensOf("plain-rom-menu").filter(({ port }) => port === 4011)
  const { kind, vendorClass, architecture } = firmwareOf(golden!.message)
  expect([golden!.message.xid, kind, vendorClass, architecture, more.length]).toEqual([0, "pxe", "PXEClient", 0, 0])
  const out = read(answered(golden!, { mode: "proxy" })!.bytes)
  const item = (m: DhcpMessage) => hex(within(m.options.get(OPTION.vendorSpecific)!).get(71))
  expect([typeOf(out), out.xid, out.file, addressText(out.siaddr)]).toEqual([5, 0, "undionly.kpxe", "10.77.0.1"])
  expect([item(golden!.message), item(out)]).toEqual(["80010000", "80010000"])
})

interface Independent {
  parse(bytes: Buffer): { op: number; xid: number; yiaddr: string; chaddr: string; options: Record<number, unknown> }
}
const load = createRequire(import.meta.url)
/** The npm package's codec; it is taught the options of PXE, which it would drop with a complaint for each. */
const independent = (): Independent => {
  const dhcp = load("dhcp") as { addOption(code: number, option: object): void }
  for (const code of [43, 93, 94, 97, 175]) dhcp.addOption(code, { name: `option ${code}`, type: "UInt8s" })
  return load("dhcp/lib/protocol.js") as Independent
}

describe("the codec of another implementation", () => {
  const other = independent()
  it.each(all.map((g) => [g.title, g] as const))("reads of %s and of our answer what ours reads", (_, golden) => {
    const complaints = vi.spyOn(console, "error").mockImplementation(() => {})
    try {
      const answer = answered(golden)?.bytes
      for (const bytes of [golden.bytes, ...(answer === undefined ? [] : [Buffer.from(answer)])]) {
        const [theirs, ours] = [other.parse(bytes), read(bytes)]
        expect(theirs).toMatchObject({ op: ours.op, xid: ours.xid, yiaddr: addressText(ours.yiaddr) })
        expect(theirs.chaddr.toLowerCase().replaceAll("-", ":")).toBe(
          Buffer.from(ours.chaddr)
            .toString("hex")
            .replaceAll(/..(?!$)/gu, "$&:"),
        )
        expect(theirs.options[53]).toBe(typeOf(ours))
        const server = ours.options.get(OPTION.serverId)
        expect(theirs.options[54]).toBe(server === undefined ? undefined : server.join("."))
      }
    } finally {
      complaints.mockRestore()
    }
  })
})

const seeds = process.env.IMAGELINK_SEED
  ? [Number(process.env.IMAGELINK_SEED)]
  : Array.from({ length: Number(process.env.IMAGELINK_SEEDS ?? 20) }, (_, i) => i + 1)

it.each(seeds)(
  "what a real client sent, spoilt with seed %i, is refused or answered with a message that reads",
  (seed) => {
    const r = random(seed)
    for (let n = 0; n < 300; n++) {
      const golden = r.pick(all)
      const bytes = Buffer.from(golden.bytes.subarray(0, r.chance(0.2) ? r.int(golden.bytes.length) : undefined))
      for (let times = r.int(6); times >= 0 && bytes.length > 0; times--) bytes[r.int(bytes.length)] = r.int(256)
      const answer = answered({ ...golden, bytes })
      if (answer !== undefined)
        expect(encode(read(answer.bytes), 1472).length, `IMAGELINK_SEED=${seed}`).toBeGreaterThan(0)
    }
  },
)
