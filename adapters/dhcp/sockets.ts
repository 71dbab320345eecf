/**
 * The sockets that DHCP listens on, opened here or handed over by a service manager.
 *
 *     0.0.0.0:67    hears broadcasts
 *     ADDRESS:67    hears what is sent to us; everything is sent from here, so that it leaves by this interface
 *     ADDRESS:4011  firmware that asks its boot server (Intel PXE 2.1 §2.1)
 *
 * All three are kept to the interface (SO_BINDTODEVICE): what comes in by another is not heard, also when it is sent to ADDRESS, and nothing leaves by it.
 *
 * **Details** A wildcard socket that was handed over and is kept to the interface hears and sends everything, so ADDRESS:67 is not opened beside it: the process
 * then needs no privileges. A broadcast from a socket that is bound to an address leaves by the interface of that address, whatever the routes say.
 *
 * **Gotchas** A wildcard socket that is not kept to one interface would answer strangers on another with addresses of this one. Where the host cannot keep it, a
 * machine with several interfaces is refused, unless the operator allows it.
 */
import type { Socket } from "node:dgram"
import { fail } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import { bindDatagram, closeDatagram, fileDescriptor } from "../../core/runtime/datagram-socket.ts"
import type { HandedSocket } from "../../core/runtime/handed-over.ts"
import type { DhcpPort } from "./reply.ts"

export interface DhcpPlace {
  /** One of the interface's own. */
  readonly address: string
  /** 67; 0 for any free one, heard on the address alone. */
  readonly port: number
  /** 4011; 0 for any free one. */
  readonly proxyPort: number
  /** How to hear broadcasts. Undefined: only what is sent to the address is heard. */
  readonly interface: KeptInterface | undefined
  /** Bound to one of the two ports already. */
  readonly handed?: ReadonlyArray<HandedSocket>
}

export interface KeptInterface {
  readonly name: string
  /** Other interfaces with broadcasts, from which a socket that is not kept would be heard. */
  readonly others: ReadonlyArray<string>
  /** Listens although the socket cannot be kept. */
  readonly force: boolean
  /** False when the host cannot. */
  readonly keep: (fd: number) => boolean
  /** Which interface a socket is kept to: empty for none, undefined where the host cannot tell. */
  readonly keptTo: (fd: number) => string | undefined
}

export interface HeardSocket {
  readonly socket: Socket
  readonly port: DhcpPort
  /** From where what it hears is answered. */
  readonly sender: Socket
}

/** @throws PORT_IN_USE LISTEN_FAILED DHCP_UNCONFINED */
export const openDhcpSockets = async (place: DhcpPlace): Promise<ReadonlyArray<HeardSocket>> => {
  const { address, handed = [] } = place
  const opened: Array<Socket> = handed.map(({ socket }) => socket)
  const open = async (at: string, port: number): Promise<Socket> => {
    const socket = await bindDatagram({ protocol: "dhcp", address: at, port, shared: true })
    opened.push(socket)
    return socket
  }
  try {
    const proxies = handed.filter(({ socket }) => socket.address().port === place.proxyPort)
    const given = handed.filter((one) => !proxies.includes(one))
    const wildcard = given.find(({ socket }) => isWildcard(socket))
    for (const one of handed) if (isWildcard(one.socket)) confineHanded(one, place)
    const own = given.find((one) => one !== wildcard)?.socket ?? wildcard?.socket ?? (await open(address, place.port))
    const hearing = given.map(({ socket }) => socket)
    if (hearing.length === 0) hearing.push(own)
    if (wildcard === undefined && place.interface !== undefined) hearing.push(await open("0.0.0.0", own.address().port))
    const proxy = proxies.length > 0 ? proxies.map(({ socket }) => socket) : [await open(address, place.proxyPort)]
    // One that was handed over is its unit's to keep, and beside a wildcard one there may be no privileges to keep ours.
    if (wildcard === undefined && place.interface !== undefined)
      for (const socket of opened.slice(handed.length)) confine(fileDescriptor(socket), place.interface)
    for (const socket of opened) {
      socket.setBroadcast(true)
      socket.setRecvBufferSize(limits.dhcpReceiveBytes)
    }
    return [
      ...hearing.map((socket) => ({ socket, port: 67, sender: own }) as const),
      // The answer of port 4011 comes from there (captured: firmware takes no other).
      ...proxy.map((socket) => ({ socket, port: 4011, sender: socket }) as const),
    ]
  } catch (e) {
    await Promise.all(opened.map(closeDatagram))
    throw e
  }
}

const isWildcard = (socket: Socket): boolean => socket.address().address === "0.0.0.0"

const confine = (fd: number, { name, others, force, keep }: KeptInterface): void => {
  if (keep(fd) || others.length === 0 || force) return
  throw fail("DHCP_UNCONFINED", { interface: name, others: others.join(", ") })
}

/** One that is kept to an interface already cannot be told so again without privileges. Where the host cannot tell, its unit is believed. */
const confineHanded = ({ fd, socket }: HandedSocket, { address, interface: kept }: DhcpPlace): void => {
  if (kept === undefined) return
  const device = kept.keptTo(fd)
  if (device === "") confine(fd, kept)
  if (device === undefined || device === "" || device === kept.name) return
  const why = `the socket handed over is kept to ${device}, and DHCP serves ${kept.name}`
  throw fail("LISTEN_FAILED", { protocol: "dhcp", address, port: socket.address().port, why })
}
