/** A flood on DHCP's ports: what is kept of it is bounded, and a real client is answered in the middle of it. */
import { createSocket } from "node:dgram"
import { once } from "node:events"
import { afterEach, describe, expect, it } from "vitest"
import { type Address, addressText } from "../../adapters/dhcp/address.ts"
import { Answerer, type DhcpNote, type DhcpSite } from "../../adapters/dhcp/answer.ts"
import { Leases } from "../../adapters/dhcp/leases.ts"
import { decode, encode } from "../../adapters/dhcp/message.ts"
import { type DhcpEvent, listenDhcp } from "../../adapters/dhcp/server.ts"
import { limits } from "../../core/limits.ts"
import { type Random, random } from "../support/random.ts"
import { at, lan, MAC, message, plan, sends } from "./support/messages.ts"

const site: DhcpSite = {
  ...{
    mode: "full",
    subnets: [lan, { ...lan, network: at("127.0.0.0"), prefix: 8 }],
    boot: plan.boot,
    answers: "boot",
  },
  machine: (mac) =>
    mac === MAC ? { name: "PC-001", address: at("127.0.0.11"), liveAddress: undefined, program: undefined } : undefined,
  liveHolder: () => undefined,
}

const macOf = (r: Random): string => {
  const bytes = Array.from({ length: 5 }, () => r.int(256).toString(16).padStart(2, "0"))
  return ["02", ...bytes].join(":")
}

/** Noise, halves of messages, wrong messages, and right ones of machines that are not there. */
const garbage = (r: Random): Buffer => {
  const kind = r.int(5)
  if (kind === 0) return Buffer.from(Array.from({ length: r.int(400) }, () => r.int(256)))
  const whole = encode(message({ mac: macOf(r), xid: r.int(2 ** 31), options: sends.biosRom, giaddr: "127.0.0.1" }))
  if (kind === 1) return whole.subarray(0, r.int(whole.length))
  if (kind === 2) whole[r.int(whole.length)] = r.int(256)
  if (kind === 3) whole[0] = 2
  return whole
}

const seed = Number(process.env.IMAGELINK_SEED ?? 1)
const pool = () => new Leases({ ranges: [{ from: at("127.0.1.0"), to: at("127.0.1.63") }], reserved: () => false })

describe("what is kept of a flood", () => {
  it("is a second's strangers, the addresses there are to lend, and sixteen other servers", () => {
    const r = random(seed)
    const leases = pool()
    const notes: Array<DhcpNote> = []
    const note = (n: DhcpNote) => void notes.push(n)
    const answerer = new Answerer({ site: () => site, leases, server: at("127.0.0.1"), note })
    const from = { address: at("127.0.0.1"), port: 67 }
    for (let n = 0; n < 60_000; n++) answerer.take(garbage(r), from, n % 2 === 0 ? 67 : 4011, Math.floor(n / 20))
    const { strangers, otherServers } = answerer.remembered()
    expect(strangers, `seed ${seed}`).toBeLessThanOrEqual(2 * limits.dhcpStrangersPerSecond)
    expect(strangers, "the flood was one").toBeGreaterThan(limits.dhcpStrangersPerSecond)
    expect(otherServers).toBeLessThanOrEqual(limits.dhcpOtherServersMax)
    expect(leases.size).toBeLessThanOrEqual(64)
    // What an operator is told at each level is bounded too, else the log would be the flood.
    expect(notes.filter(({ type }) => type === "full").length).toBeLessThanOrEqual(3)
  })

  it("on one port leaves strangers' places on the other", () => {
    const r = random(seed)
    const answerer = new Answerer({ site: () => site, leases: pool(), server: at("127.0.0.1"), note: () => {} })
    const from = { address: at("127.0.0.1"), port: 4011 }
    for (let n = 0; n < 5000; n++)
      answerer.take(encode(message({ mac: macOf(r), options: sends.uefiPxe, giaddr: "127.0.0.1" })), from, 4011, 5)
    const asked = encode(message({ mac: macOf(r), options: sends.uefiPxe, giaddr: "127.0.0.1" }))
    expect(answerer.take(asked, from, 67, 5).answer?.what).toBe("offer")
  })
})

const closers: Array<() => Promise<unknown>> = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

const bare = async () => {
  const socket = createSocket("udp4")
  socket.bind(0, "127.0.0.1")
  await once(socket, "listening")
  closers.push(() => new Promise<void>((resolve) => socket.close(() => resolve())))
  return socket
}

it("a registered client that asks again as clients do is answered while garbage comes in, and leases wait in a bounded line", async () => {
  const r = random(seed)
  let waiting = 0
  const never = async () => {
    waiting++
    await new Promise(() => {})
  }
  const events: Array<DhcpEvent> = []
  const server = await listenDhcp({
    ...{ address: "127.0.0.1", port: 0, proxyPort: 0, interface: undefined, site: () => site, leases: pool() },
    ...{ journal: { kept: [], write: never }, onEvent: (e) => void events.push(e), now: () => Date.now() },
  })
  // A lease that is never written holds up the end; nothing else waits for it.
  closers.push(async () => void server.close())
  const flood = await bare()
  const client = await bare()
  const heard: Array<Address> = []
  client.on("message", (bytes) => {
    const answer = decode(bytes)
    if (answer.ok) heard.push(answer.message.yiaddr)
  })
  // On 4011 answers come back to whoever asked; there a flood of everything arrives too.
  const asked = encode(message({ type: "request", ciaddr: "127.0.0.11", options: sends.uefiPxe }))
  let rounds = 0
  for (; heard.length === 0 && rounds < 400; rounds++) {
    for (let n = 0; n < 50; n++) flood.send(garbage(r), rounds % 2 === 0 ? server.port : server.proxyPort, "127.0.0.1")
    client.send(asked, server.proxyPort, "127.0.0.1")
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  expect(heard.map(addressText)[0], `seed ${seed}, after ${rounds} rounds`).toBe("0.0.0.0")
  expect(waiting).toBeLessThanOrEqual(limits.dhcpLeasesWritingMax)
}, 60_000)
