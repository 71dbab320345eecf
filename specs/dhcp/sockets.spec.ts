/** Which sockets DHCP opens, which it takes, and when it would rather not listen. */
import type { Socket } from "node:dgram"
import type { NetworkInterfaceInfo } from "node:os"
import { afterEach, describe, expect, it } from "vitest"
import { interfaceState } from "../../adapters/dhcp/interface.ts"
import { type DhcpPlace, type HeardSocket, type KeptInterface, openDhcpSockets } from "../../adapters/dhcp/sockets.ts"
import { isImagelinkError } from "../../core/errors.ts"
import { bindDatagram } from "../../core/runtime/datagram-socket.ts"

const open: Array<Socket> = []
afterEach(() => {
  for (const socket of new Set(open.splice(0))) socket.close()
})

const place = (more: Partial<DhcpPlace> = {}): DhcpPlace => ({
  ...{ address: "127.0.0.1", port: 0, proxyPort: 0, interface: undefined },
  ...more,
})

const eth1 = (more: Partial<KeptInterface> = {}): KeptInterface => ({
  ...{ name: "eth1", others: ["eth0", "wlan0"], force: false, keep: () => false, keptTo: () => undefined },
  ...more,
})

const opened = async (at: DhcpPlace): Promise<ReadonlyArray<HeardSocket>> => {
  const heard = await openDhcpSockets(at)
  open.push(...heard.map(({ socket }) => socket))
  return heard
}

const why = async (at: DhcpPlace): Promise<string> => {
  try {
    await opened(at)
    return ""
  } catch (e) {
    return isImagelinkError(e) ? `${e.code}: ${e.reason}` : String(e)
  }
}

const shown = (heard: ReadonlyArray<HeardSocket>) =>
  heard.map(({ socket, port, sender }) => `${port} at ${socket.address().address} from ${sender.address().address}`)

describe("without a socket from elsewhere", () => {
  it("loopback has one for each port", async () => {
    expect(shown(await opened(place()))).toEqual(["67 at 127.0.0.1 from 127.0.0.1", "4011 at 127.0.0.1 from 127.0.0.1"])
  })

  it("an interface has one more, for broadcasts, answered from the address, and all three are kept to it", async () => {
    const kept: Array<number> = []
    const keep = (fd: number) => kept.push(fd) > 0
    expect(shown(await opened(place({ interface: eth1({ keep }) })))).toEqual([
      "67 at 127.0.0.1 from 127.0.0.1",
      "67 at 0.0.0.0 from 127.0.0.1",
      "4011 at 127.0.0.1 from 127.0.0.1",
    ])
    expect([new Set(kept).size, Math.min(...kept) > 2]).toEqual([3, true])
  })

  it("a host that cannot keep it is refused where there are other interfaces, unless it is allowed", async () => {
    expect(await why(place({ interface: eth1() }))).toBe(
      "DHCP_UNCONFINED: this host does not let the socket be bound to one interface, and who asks on eth0, wlan0 would be answered with addresses of eth1",
    )
    expect(await why(place({ interface: eth1({ force: true }) }))).toBe("")
    expect(await why(place({ interface: eth1({ others: [] }) }))).toBe("")
  })
})

describe("a socket that was handed over", () => {
  const handed = async (address: string) => {
    const socket = await bindDatagram({ protocol: "dhcp", address, port: 0, shared: true })
    const { port } = socket.address()
    return { port, handed: [{ fd: 3, name: "dhcp", socket }] }
  }
  const never = () => {
    throw new Error("it was kept again")
  }

  it("on every address, and kept to the interface, is the only one for port 67", async () => {
    const keptTo = (fd: number) => (fd === 3 ? "eth1" : undefined)
    const at = place({ ...(await handed("0.0.0.0")), interface: eth1({ keptTo, keep: never }) })
    expect(shown(await opened(at))).toEqual(["67 at 0.0.0.0 from 0.0.0.0", "4011 at 127.0.0.1 from 127.0.0.1"])
  })

  it("is believed where the host cannot tell, and kept where it is not yet", async () => {
    const at = place({ ...(await handed("0.0.0.0")), interface: eth1({ keep: never }) })
    expect(await why(at)).toBe("")
    const keptTo = () => ""
    const other = await handed("0.0.0.0")
    expect(await why(place({ ...other, interface: eth1({ keptTo, keep: (fd) => fd === 3 }) }))).toBe("")
    expect(await why(place({ ...(await handed("0.0.0.0")), interface: eth1({ keptTo }) }))).toContain("DHCP_UNCONFINED")
  })

  it("that is kept to another interface is refused", async () => {
    const at = place({ ...(await handed("0.0.0.0")), interface: eth1({ keptTo: () => "eth2" }) })
    expect(await why(at)).toBe("LISTEN_FAILED: the socket handed over is kept to eth2, and DHCP serves eth1")
  })

  it("on the address is sent from, and broadcasts are heard on one of ours", async () => {
    const at = place({ ...(await handed("127.0.0.1")), interface: eth1({ keep: () => true }) })
    expect(shown(await opened(at)).slice(0, 2)).toEqual([
      "67 at 127.0.0.1 from 127.0.0.1",
      "67 at 0.0.0.0 from 127.0.0.1",
    ])
  })

  it("on 4011 answers from there", async () => {
    const { port: proxyPort, handed: sockets } = await handed("0.0.0.0")
    expect(shown(await opened(place({ proxyPort, handed: sockets })))).toEqual([
      "67 at 127.0.0.1 from 127.0.0.1",
      "4011 at 0.0.0.0 from 0.0.0.0",
    ])
  })
})

describe("an interface", () => {
  const listed = (...addresses: ReadonlyArray<string>) => ({
    eth1: addresses.map((address) => ({ address, cidr: `${address}/24`, family: "IPv4" }) as NetworkInterfaceInfo),
  })
  const state = (of: Partial<Parameters<typeof interfaceState>[0]>) =>
    interfaceState({ name: "eth1", address: "10.0.0.1", listed: {}, devices: ["lo", "eth1"], ...of })
  const refusal = (of: Parameters<typeof state>[0]): string => {
    try {
      return state(of).type
    } catch (e) {
      return isImagelinkError(e) ? e.reason : String(e)
    }
  }

  it("with the address is ready", () => {
    expect(state({ listed: listed("10.9.0.1", "10.0.0.1") })).toEqual({ type: "ready", cidr: "10.0.0.1/24" })
  })
  it("without a link, or without an IPv4 address, is waited for", () => {
    expect(state({})).toEqual({
      type: "waits",
      why: "eth1 has no link, or no address, yet; look at its cable, and at 'ip addr show eth1'",
    })
    const six = { eth1: [{ address: "fe80::1", cidr: "fe80::1/64", family: "IPv6" } as NetworkInterfaceInfo] }
    expect(state({ listed: six })).toEqual({ type: "waits", why: "eth1 has no IPv4 address yet" })
  })
  it("that is not there, or has another address, is refused", () => {
    expect(refusal({ name: "eth7" })).toBe("interface: eth7 is not there; there are lo, eth1")
    expect(refusal({ listed: listed("10.9.0.1") })).toBe(
      "address: PCs on eth1 cannot reach 10.0.0.1; give one of its own with --address (it has 10.9.0.1)",
    )
  })
})
