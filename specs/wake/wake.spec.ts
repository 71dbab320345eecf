/** The magic packet, who hears it, and that it is really sent. */
import { createSocket } from "node:dgram"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import type { NetworkInterfaceInfo } from "node:os"
import { describe, expect, it } from "vitest"
import { networksOf } from "../../adapters/wake/networks.ts"
import { magicPacket } from "../../adapters/wake/packet.ts"
import { sendWake } from "../../adapters/wake/send.ts"

describe("a magic packet", () => {
  it("is six bytes of FF and sixteen times the MAC", () => {
    const packet = Buffer.from(magicPacket("52:54:00:0a:bb:01"))
    expect(packet.toString("hex")).toBe(`ffffffffffff${"5254000abb01".repeat(16)}`)
    expect(packet).toHaveLength(102)
  })
})

const ipv4 = (address: string, netmask: string, internal = false) =>
  ({ address, netmask, family: "IPv4", internal }) as NetworkInterfaceInfo
const listed = {
  lo: [ipv4("127.0.0.1", "255.0.0.0", true)],
  eth0: [
    { address: "fe80::1", netmask: "ffff::", family: "IPv6", internal: false } as NetworkInterfaceInfo,
    ipv4("10.0.3.7", "255.255.254.0"),
  ],
  eth1: [ipv4("200.1.2.3", "255.255.255.255")],
}

describe("the networks it goes to", () => {
  it("are that of the server's own address, by its mask", () => {
    expect(networksOf(listed, "10.0.3.7")).toEqual([{ name: "eth0", address: "10.0.3.7", broadcast: "10.0.3.255" }])
    expect(networksOf(listed, "127.0.0.1")).toEqual([
      { name: "lo", address: "127.0.0.1", broadcast: "127.255.255.255" },
    ])
  })
  it("are all but loopback for a server that listens everywhere, and none for an address of nobody", () => {
    expect(networksOf(listed, "0.0.0.0").map(({ name, broadcast }) => [name, broadcast])).toEqual([
      ["eth0", "10.0.3.255"],
      ["eth1", "200.1.2.3"],
    ])
    expect(networksOf(listed, "10.0.3.8")).toEqual([])
  })
})

describe("sending it", () => {
  const lo = { name: "lo", address: "127.0.0.1", broadcast: "127.255.255.255" }
  it("reaches whoever listens in that network", async () => {
    const socket = createSocket("udp4")
    socket.bind(0, "127.255.255.255")
    await once(socket, "listening")
    const heard = once(socket, "message")
    await sendWake("52:54:00:00:00:01", lo, (socket.address() as AddressInfo).port)
    const [message, from] = (await heard) as [Buffer, { readonly address: string }]
    socket.close()
    expect([message, from.address]).toEqual([Buffer.from(magicPacket("52:54:00:00:00:01")), "127.0.0.1"])
  })
  it("is refused with its cause where it cannot be", async () => {
    const elsewhere = { ...lo, address: "192.0.2.1" }
    await expect(sendWake("52:54:00:00:00:01", elsewhere)).rejects.toMatchObject({
      code: "WAKE_FAILED",
      reason: expect.stringContaining("lo: "),
    })
  })
})
