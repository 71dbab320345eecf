/**
 * Binds a UDP socket, or takes one that is bound already, as a server wants it: refusals with their code, and no name service on the way of a datagram.
 *
 * **Details** Node looks up the address of every datagram that is sent, which costs more than sending it; ours are addresses. The receive buffer holds a
 * burst, for what comes while the process collects garbage would be lost; the kernel gives what it allows (net.core.rmem_max).
 */
import { createSocket, type Socket } from "node:dgram"
import { isIPv6 } from "node:net"
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"

export interface DatagramPlace {
  /** For refusals. */
  readonly protocol: string
  readonly address: string
  /** 0 for any free one. */
  readonly port: number
  /** Others may bind the port too: on another address, or before a datagram's address decides. */
  readonly shared?: boolean
  /** Another socket of this program has the port, and shares it (core/host.ts, sharePort). */
  readonly besideAnother?: boolean
}

type Found = (error: null, address: string, family: number) => void

/** What it is asked for is an address already. */
const asItIs = (address: string, _: unknown, found: Found): void => found(null, address, 0)

export const datagramSocket = (address: string, shared = false, besideAnother = false): Socket =>
  createSocket({
    type: isIPv6(address) ? "udp6" : "udp4",
    reuseAddr: shared,
    reusePort: besideAnother,
    recvBufferSize: limits.datagramReceiveBytes,
    lookup: asItIs as never,
  })

/** @throws PORT_IN_USE LISTEN_FAILED */
export const bindDatagram = ({ protocol, address, port, shared, besideAnother }: DatagramPlace): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = datagramSocket(address, shared, besideAnother)
    const refused = (e: NodeJS.ErrnoException): void => {
      socket.close()
      const about = { protocol, address, port }
      reject(
        e.code === "EADDRINUSE"
          ? fail("PORT_IN_USE", about, { underlying: e })
          : fail("LISTEN_FAILED", { ...about, why: e.message }, { underlying: e }),
      )
    }
    socket.once("error", refused)
    socket.bind({ address, port }, () => {
      socket.off("error", refused)
      resolve(socket)
    })
  })

/** Settles when it is closed. */
export const closeDatagram = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.close(() => resolve())
  })

/** An inner part of Node's: what a socket of its own has beneath it. */
interface State {
  readonly handle?: { readonly fd?: number } | null
}

/** Node keeps it to itself, but for this; -1, which no host call takes, where the socket is closed or a later Node has hidden it. */
export const fileDescriptor = (socket: Socket): number => {
  stateOf ??= Object.getOwnPropertySymbols(socket).find((s) => s.description === "state symbol")
  if (stateOf === undefined) return -1
  return (socket as unknown as Record<symbol, State>)[stateOf]?.handle?.fd ?? -1
}

let stateOf: symbol | undefined
