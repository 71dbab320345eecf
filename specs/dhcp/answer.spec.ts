/** Who is answered, where to, and how often; and whatever a network does to messages, no address is two machines'. */
import { describe, expect, it } from "vitest"
import { type Address, addressText } from "../../adapters/dhcp/address.ts"
import { Answerer, type DhcpNote, type DhcpSite, type RegisteredMachine } from "../../adapters/dhcp/answer.ts"
import { Leases } from "../../adapters/dhcp/leases.ts"
import { BOOTREPLY, decode, encode } from "../../adapters/dhcp/message.ts"
import { OPTION, u32 } from "../../adapters/dhcp/options.ts"
import { random } from "../log/support/random.ts"
import { at, lan, MAC, message, plan, type Sent, sends, shown } from "./support/messages.ts"

const seeds = Array.from({ length: Number(process.env.IMAGELINK_SEEDS ?? 20) }, (_, i) => i + 1)
const server = at("10.0.0.1")
const nobody = { address: 0, port: 68 }

const pc = (address: string | undefined, more: Partial<RegisteredMachine> = {}): RegisteredMachine => ({
  ...{ name: "PC-001", address: address === undefined ? undefined : at(address) },
  ...{ liveAddress: undefined, program: undefined, ...more },
})

const world = (
  machines: Record<string, RegisteredMachine> = {},
  more: Partial<DhcpSite> = {},
  pool = ["10.0.0.100", "10.0.0.103"],
) => {
  const notes: Array<DhcpNote> = []
  const site: DhcpSite = {
    ...{ mode: "full", subnets: [lan], boot: plan.boot, answers: "boot" },
    machine: (mac) => machines[mac],
    liveHolder: (a) => Object.keys(machines).find((mac) => machines[mac]!.liveAddress === a),
    ...more,
  }
  const reserved = (a: Address) => Object.values(machines).some((m) => m.address === a)
  const ranges = pool.length === 0 ? [] : [{ from: at(pool[0]!), to: at(pool[1]!) }]
  const leases = new Leases({ ranges, reserved })
  const answerer = new Answerer({ site: () => site, leases, server, note: (n) => notes.push(n) })
  const take = (sent: Sent, now = 0, port: 67 | 4011 = 67, from = nobody) => {
    const { answer, lease } = answerer.take(encode(message(sent), 1472), from, port, now)
    if (answer === undefined) return lease === undefined ? undefined : { lease }
    const d = decode(answer.bytes)
    if (!d.ok) throw new Error(d.why)
    return { ...shown(d.message), to: `${addressText(answer.address)}:${answer.port}`, lease: answer.lease }
  }
  return { take, notes, leases, answerer, machines }
}

describe("is answered", () => {
  const known = { [MAC]: pc("10.0.0.11") }
  it("a registered machine, whatever it runs", () => {
    expect(world(known).take({ options: sends.system })).toMatchObject({ type: "offer", yiaddr: "10.0.0.11" })
  })
  it("firmware that nobody registered, from the pool", () => {
    expect(world().take({ options: sends.uefiPxe })).toMatchObject({
      type: "offer",
      yiaddr: "10.0.0.100",
      file: "snponly.efi",
    })
  })
  it("a stranger's system only where everybody is", () => {
    const { take, notes } = world()
    expect(take({ options: sends.system })).toBeUndefined()
    expect(notes).toEqual([
      { type: "ignored", mac: MAC, why: "it is not registered, and does not boot over the network" },
    ])
    expect(world({}, { answers: "all" }).take({ options: sends.system })).toMatchObject({ yiaddr: "10.0.0.100" })
  })
  it("nobody in a subnet that is not served, nor without a message type, nor on another medium", () => {
    const { take, notes, answerer } = world(known)
    expect(take({ giaddr: "192.168.0.1" })).toBeUndefined()
    const bootp = message()
    answerer.take(encode({ ...bootp, options: new Map() }), nobody, 67, 0)
    answerer.take(encode({ ...bootp, htype: 32 }), nobody, 67, 0)
    expect(notes.map((n) => n.type)).toEqual(["ignored", "ignored", "malformed"])
  })
  it("nobody sixty-five times a second, but everybody in the next", () => {
    const { take } = world(known)
    const answers = Array.from({ length: 70 }, () => take({}, 500))
    expect(answers.filter((a) => a !== undefined)).toHaveLength(64)
    expect(take({}, 1000)).toBeDefined()
  })
  it("a registered machine also in a flood of strangers", () => {
    const { take, leases } = world(known)
    for (let n = 0; n < 5000; n++)
      take(
        {
          mac: `02:00:00:00:${(n >> 8).toString(16).padStart(2, "0")}:${(n & 255).toString(16).padStart(2, "0")}`,
          options: sends.biosRom,
        },
        1,
      )
    expect(take({}, 2)).toMatchObject({ yiaddr: "10.0.0.11" })
    expect(leases.size).toBe(4)
  })
})

it("a machine that takes an address of another server is not answered beside that one, and noted where it is", () => {
  const asked = { type: "request", server: "10.0.0.9", requested: "10.0.0.77", options: sends.uefiPxe } as const
  const proxy = world({}, { mode: "proxy" })
  expect(proxy.take(asked)).toBeUndefined()
  expect(proxy.notes).toContainEqual({ type: "chose", mac: MAC, address: at("10.0.0.77") })
  const full = world()
  expect(full.take(asked)).toBeUndefined()
  expect(full.notes.map(({ type }) => type)).not.toContain("chose")
})

describe("an answer goes", () => {
  const known = { [MAC]: pc("10.0.0.11") }
  it("to everybody, while the machine has no address", () =>
    expect(world(known).take({})).toMatchObject({ to: "255.255.255.255:68" }))
  it("to the relay, and for its subnet", () => {
    expect(world(known).take({ giaddr: "10.0.0.200" })).toMatchObject({ to: "10.0.0.200:67" })
  })
  it("to the port that a relay sent from, where the relay says so (RFC 8357 §5.2), with what it said", () => {
    const from = { address: at("10.0.0.200"), port: 40_067 }
    const relayed = (option: Uint8Array) => ({ giaddr: "10.0.0.200", options: [[OPTION.relayAgent, option]] as const })
    const told = world(known).take(relayed(Uint8Array.of(1, 1, 7, 19, 0)), 0, 67, from)
    expect(told).toMatchObject({ to: "10.0.0.200:40067", options: { 82: "0101071300" } })
    expect(world(known).take(relayed(Uint8Array.of(1, 1, 19)), 0, 67, from)).toMatchObject({ to: "10.0.0.200:67" })
  })
  it("to the address that a machine renews, but a NAK to everybody", () => {
    expect(world(known).take({ type: "request", ciaddr: "10.0.0.11" })).toMatchObject({
      type: "ack",
      to: "10.0.0.11:68",
    })
    expect(world(known).take({ type: "request", ciaddr: "10.0.0.12" })).toMatchObject({
      type: "nak",
      to: "255.255.255.255:68",
    })
  })
  it("on 4011 to where the question came from", () => {
    const from = { address: at("10.0.0.50"), port: 4011 }
    const asked = { type: "request", ciaddr: "10.0.0.50", options: sends.uefiPxe } as const
    expect(world({}, { mode: "proxy" }).take(asked, 0, 4011, from)).toMatchObject({
      to: "10.0.0.50:4011",
      file: "snponly.efi",
    })
  })
})

describe("an address", () => {
  it("of the pool is to be on disk before the machine hears of it, a recorded one is in the log", () => {
    const { take } = world({ [MAC]: pc("10.0.0.11") })
    expect(take({ type: "request", server: "10.0.0.1", requested: "10.0.0.11" })?.lease).toBeUndefined()
    const mac = "02:00:00:00:00:01"
    take({ mac, options: sends.biosRom })
    expect(
      take({ mac, type: "request", server: "10.0.0.1", requested: "10.0.0.100", options: sends.biosRom }),
    ).toMatchObject({
      type: "ack",
      lease: { mac, until: 3_600_000 },
    })
  })
  it("recorded for a machine that a stranger still has is not given to either", () => {
    const { take, notes, machines } = world()
    const mac = "02:00:00:00:00:01"
    take({ mac, options: sends.biosRom })
    take({ mac, type: "request", server: "10.0.0.1", requested: "10.0.0.100", options: sends.biosRom })
    machines[MAC] = pc("10.0.0.100")
    expect(take({}, 1000)).toBeUndefined()
    expect(notes.at(-1)).toMatchObject({ type: "taken", name: "PC-001", holder: mac })
    expect(take({ mac, type: "request", ciaddr: "10.0.0.100", options: sends.biosRom }, 2000)).toBeUndefined()
    expect(take({}, 3_600_001)).toMatchObject({ yiaddr: "10.0.0.100" })
  })
  it("that another client still uses in a session is not given to its new owner yet", () => {
    const before = "52:54:00:00:00:02"
    const { take, machines } = world({
      [MAC]: pc("10.0.0.11"),
      [before]: pc("10.0.0.12", { liveAddress: at("10.0.0.11") }),
    })
    expect(take({})).toBeUndefined()
    expect(take({ mac: before, type: "request", ciaddr: "10.0.0.11" })).toMatchObject({ type: "ack" })
    machines[before] = pc("10.0.0.12")
    expect(take({})).toMatchObject({ yiaddr: "10.0.0.11" })
  })
  it("declined is told: whose own it was, or that it is aside", () => {
    const { take, notes } = world({ [MAC]: pc("10.0.0.11") })
    expect(take({ type: "decline", server: "10.0.0.1", requested: "10.0.0.11" })).toBeUndefined()
    expect(notes).toEqual([{ type: "declined", mac: MAC, address: at("10.0.0.11"), registered: "PC-001" }])
    expect(take({ type: "decline", server: "10.0.0.2", requested: "10.0.0.11" })).toBeUndefined()
    expect(notes.filter((n) => n.type === "declined")).toHaveLength(1)
  })
  it("runs out aloud", () => {
    const { take, notes } = world({}, {}, ["10.0.0.100", "10.0.0.100"])
    take({ mac: "02:00:00:00:00:01", options: sends.biosRom })
    expect(take({ mac: "02:00:00:00:00:02", options: sends.biosRom })).toBeUndefined()
    expect(notes).toEqual([{ type: "full", mac: "02:00:00:00:00:02" }])
  })
})

it("another server on the wire is told of once", () => {
  const { answerer, notes } = world()
  const offer = { ...message({ type: "offer" }), op: BOOTREPLY }
  const from = (s: string) => encode({ ...offer, options: new Map([...offer.options, [OPTION.serverId, u32(at(s))]]) })
  for (const s of ["10.0.0.9", "10.0.0.9", "10.0.0.1", "10.0.0.8"]) answerer.take(from(s), nobody, 67, 0)
  expect(notes.map((n) => n.type === "otherServer" && addressText(n.server))).toEqual(["10.0.0.9", "10.0.0.8"])
})

it("another server is known by whoever takes its offer, but not beside one, and not behind a relay", () => {
  const taken = { type: "request", server: "10.0.0.9", requested: "10.0.0.77" } as const
  const heard = (sent: Sent, more: Partial<DhcpSite> = {}) => {
    const { take, notes } = world({}, more)
    expect(take(sent)).toBeUndefined()
    return notes.flatMap((n) => (n.type === "otherServer" ? [addressText(n.server)] : []))
  }
  expect(heard(taken)).toEqual(["10.0.0.9"])
  expect(heard({ ...taken, server: "10.0.0.1" })).toEqual([])
  expect(heard(taken, { mode: "proxy" })).toEqual([])
  expect(heard({ ...taken, giaddr: "10.0.0.200" })).toEqual([])
})

/** Machines that believe what they are told, on a network that loses, repeats and mixes up. */
describe("no address is two machines' at once", () => {
  it.each(seeds)("seed %i", (seed) => {
    const draw = random(seed)
    const macs = Array.from({ length: 12 }, (_, i) => `02:00:00:00:00:${i.toString(16).padStart(2, "0")}`)
    const machines: Record<string, RegisteredMachine> = {}
    for (const [i, mac] of macs.slice(0, 4).entries()) machines[mac] = pc(`10.0.0.${11 + i}`, { name: mac })
    const { answerer } = world(machines, {}, ["10.0.0.100", "10.0.0.105"])
    const has = new Map<string, { address: Address; until: number }>()
    const wire: Array<{ mac: string; bytes: Uint8Array; asked: number }> = []
    let now = 0
    let acks = 0
    const hear = (mac: string, bytes: Uint8Array, asked: number): void => {
      const d = decode(bytes)
      if (!d.ok) throw new Error(d.why)
      const type = d.message.options.get(OPTION.messageType)?.[0]
      if (type === 6) has.delete(mac)
      if (type === 2 && draw.below(4) > 0)
        say(mac, { type: "request", server: "10.0.0.1", requested: addressText(d.message.yiaddr) })
      // RFC 2131 §4.4.1: the lease counts from when it was asked for.
      if (type === 5 && asked + 3_600_000 > now) {
        acks++
        has.set(mac, { address: d.message.yiaddr, until: asked + 3_600_000 })
      }
    }
    const say = (mac: string, sent: Sent): void => {
      const bytes = encode(message({ mac, options: sends.biosRom, ...sent }))
      for (let copies = draw.below(3); copies > 0; copies--) wire.push({ mac, bytes, asked: now })
    }
    for (let step = 0; step < 800; step++) {
      now += draw.below(20) === 0 ? draw.below(2_000_000) : draw.below(3000)
      for (const [mac, { until }] of has) if (until <= now) has.delete(mac)
      const mac = macs[draw.below(macs.length)]!
      const mine = has.get(mac)
      const what = draw.below(8)
      if (mine === undefined || what < 4) say(mac, { type: "discover" })
      else if (what < 6) say(mac, { type: "request", ciaddr: addressText(mine.address) })
      else if (what === 6) say(mac, { type: "request", requested: addressText(mine.address) })
      else {
        has.delete(mac)
        say(mac, { type: "release", server: "10.0.0.1", ciaddr: addressText(mine.address) })
      }
      while (wire.length > 0 && draw.below(3) > 0) {
        const [m] = wire.splice(draw.below(wire.length), 1)
        if (now - m!.asked > 120_000) continue
        const { answer } = answerer.take(m!.bytes, nobody, 67, now)
        // An answer reaches its machine late, or not at all.
        if (answer !== undefined && draw.below(5) > 0) hear(m!.mac, answer.bytes, m!.asked)
      }
      const all = [...has.values()].map(({ address }) => address)
      expect(new Set(all).size, `seed ${seed}, step ${step}`).toBe(all.length)
    }
    expect(acks, `seed ${seed} leased nothing`).toBeGreaterThan(20)
  })
})
