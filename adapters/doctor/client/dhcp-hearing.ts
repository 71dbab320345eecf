/**
 * Asks DHCP as a PC would, and hears everybody who answers.
 *
 *     a network      0.0.0.0:68, kept to the interface ─► 255.255.255.255:67 ─► offers, broadcast to port 68
 *     loopback       a relay at 127.0.0.1, which has no broadcasts ─► the server's own address
 *
 * **Details** A DISCOVER binds nobody: no address is taken, and no server is asked for what it offered. Linux gives a host's own broadcasts back to it, so a server on this very
 * machine hears and is heard, and so does every other one on the wire. Who wants to know of all has to wait: the slowest may be the one that should not be there.
 */
import { randomInt } from "node:crypto"
import type { Socket } from "node:dgram"
import type { Host } from "../../../core/host.ts"
import { limits } from "../../../core/limits.ts"
import { bindDatagram, closeDatagram, fileDescriptor } from "../../../core/runtime/datagram-socket.ts"
import type { Place } from "../exam.ts"
import { bootRequest, discover, readAck, readOffer } from "./dhcp-codec.ts"
import { type Ask, asks, type Hearing, type Offer, unasked } from "./offers.ts"

export interface Asking {
  readonly mac: string
  readonly host: Host
  /** The interface to ask on; undefined: through a relay on loopback. */
  readonly interface: string | undefined
  readonly server: Place
  /** Ends the hearing before its time is over. */
  readonly isEnough: (offers: Hearing["offers"]) => boolean
}

const CLIENT_PORT = 68

export const hear = async (asking: Asking): Promise<Hearing> => {
  const where = asking.interface ?? asking.server.address
  let socket: Socket
  try {
    socket = await opened(asking)
  } catch (e) {
    return unasked(`port ${CLIENT_PORT} cannot be had on ${where}: ${(e as Error).cause ?? (e as Error).message}`)
  }
  const offers: Record<Ask, Array<Offer>> = { bios: [], uefi: [], ipxe: [] }
  const first = randomInt(2 ** 31)
  const sent = asks.map((ask, i) => ({ ask, xid: first + i }))
  socket.on("error", () => {})
  socket.on("message", (bytes, { address }) => {
    const heard = readOffer(bytes, address)
    const ask = sent.find(({ xid }) => xid === heard?.xid)?.ask
    if (heard === undefined || ask === undefined) return
    const known = offers[ask].some((o) => o.server === heard.offer.server && o.address === heard.offer.address)
    if (!known) offers[ask].push(heard.offer)
  })
  const send = () => {
    for (const { ask, xid } of sent) {
      const relay = asking.interface === undefined ? { address: asking.server.address } : undefined
      const to = relay === undefined ? "255.255.255.255" : asking.server.address
      socket.send(discover(ask, asking.mac, xid, relay), asking.server.port, to, () => {})
    }
  }
  send()
  const again = setTimeout(send, limits.doctorDhcpAgainMillis)
  await passed(limits.doctorDhcpMillis, () => asking.isEnough(offers))
  clearTimeout(again)
  await closeDatagram(socket)
  return { silent: undefined, where, offers }
}

const LOOK_MILLIS = 50

/** Settles when the time is over, or before that when there is nothing left to wait for. */
const passed = (millis: number, isOver: () => boolean): Promise<void> =>
  new Promise((resolve) => {
    const end = () => {
      clearTimeout(late)
      clearInterval(look)
      resolve()
    }
    const late = setTimeout(end, millis)
    const look = setInterval(() => {
      if (isOver()) end()
    }, LOOK_MILLIS)
  })

/** @throws what binding throws, and where the socket cannot be kept to its interface */
const opened = async ({ host, interface: name, server }: Asking): Promise<Socket> => {
  if (name === undefined) return bindDatagram({ protocol: "dhcp", address: server.address, port: 0 })
  const socket = await bindDatagram({ protocol: "dhcp", address: "0.0.0.0", port: CLIENT_PORT, shared: true })
  socket.setBroadcast(true)
  if (host.bindToDevice?.(fileDescriptor(socket), name)) return socket
  await closeDatagram(socket)
  throw new Error(`the socket cannot be kept to ${name}; run doctor as root`)
}

/** Asks the boot server's port from an address of this machine, as firmware does that has one. */
export const askBootServer = async (mac: string, address: string, server: Place): Promise<Offer | "silent"> => {
  const socket = await bindDatagram({ protocol: "dhcp", address, port: 0 })
  const xid = randomInt(2 ** 31)
  let answer: Offer | undefined
  socket.on("error", () => {})
  socket.on("message", (bytes, from) => {
    const heard = readAck(bytes, from.address)
    if (heard?.xid === xid) answer = heard.offer
  })
  const send = () => socket.send(bootRequest(mac, xid, address), server.port, server.address, () => {})
  send()
  const again = setTimeout(send, limits.doctorDhcpAgainMillis)
  await passed(limits.doctorDhcpMillis, () => answer !== undefined)
  clearTimeout(again)
  await closeDatagram(socket)
  return answer ?? "silent"
}
