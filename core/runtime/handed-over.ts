/**
 * Sockets that a service manager opened and passed to this process (sd_listen_fds(3)): descriptors from 3 on, counted in the environment.
 *
 *     LISTEN_PID=812 LISTEN_FDS=2 LISTEN_FDNAMES=dhcp:tftp
 *
 * **Details** What is meant for another process is not ours, for the variables are inherited. Which listener takes a socket is decided by the port
 * it is bound to, so that one `.socket` unit may hold them all; names are for messages. A socket that nobody takes is refused: whoever wrote the unit
 * expects it to be served.
 */
import type { Socket } from "node:dgram"
import { fail } from "../errors.ts"
import { limits } from "../limits.ts"
import { datagramSocket } from "./datagram-socket.ts"

export interface HandedOver {
  readonly fd: number
  readonly name: string
}

/** A UDP socket that is bound already. */
export interface HandedSocket extends HandedOver {
  readonly socket: Socket
}

const FIRST_FD = 3

/** What the environment says that this process was given. */
export const handedOver = (env: NodeJS.ProcessEnv, pid: number): ReadonlyArray<HandedOver> => {
  const count = Number(env.LISTEN_FDS ?? 0)
  if (env.LISTEN_PID !== String(pid) || !Number.isInteger(count) || count < 1) return []
  const names = env.LISTEN_FDNAMES?.split(":") ?? []
  return Array.from({ length: Math.min(count, limits.socketsHandedOverMax) }, (_, i) => ({
    fd: FIRST_FD + i,
    name: names[i] || "unknown",
  }))
}

const refuse = ({ fd, name }: HandedOver, why: string) =>
  fail("CONFIG_INVALID", { file: "the sockets handed over (LISTEN_FDS)", why: `${name} (descriptor ${fd}): ${why}` })

/** The sockets of this process, each to be taken once. */
export class HandedSockets {
  readonly #sockets: Array<HandedSocket>

  constructor(sockets: ReadonlyArray<HandedSocket> = []) {
    this.#sockets = [...sockets]
  }

  /** Those bound to a port, at most so many of them. */
  take(port: number, most = this.#sockets.length): ReadonlyArray<HandedSocket> {
    const taken = this.#sockets.filter(({ socket }) => socket.address().port === port).slice(0, most)
    for (const one of taken) this.#sockets.splice(this.#sockets.indexOf(one), 1)
    return taken
  }

  /** @throws CONFIG_INVALID where one was not taken */
  done(): void {
    const [left] = this.#sockets
    if (left === undefined) return
    const { address, port } = left.socket.address()
    throw refuse(left, `nothing is served over UDP at ${address}:${port}`)
  }

  close(): void {
    for (const { socket } of this.#sockets.splice(0)) socket.close()
  }
}

/** @throws CONFIG_INVALID where one is no UDP socket */
export const openHandedOver = async (given: ReadonlyArray<HandedOver>): Promise<HandedSockets> => {
  const opened: Array<HandedSocket> = []
  for (const one of given) {
    const socket = await bound(one).catch((e: Error) => {
      for (const { socket } of opened) socket.close()
      throw refuse(one, `it is no UDP socket of IPv4 (${e.message}); for DHCP and TFTP, ListenDatagram=`)
    })
    opened.push({ ...one, socket })
  }
  return new HandedSockets(opened)
}

const bound = ({ fd }: HandedOver): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = datagramSocket("0.0.0.0")
    socket.once("error", reject)
    socket.bind({ fd }, () => {
      socket.off("error", reject)
      resolve(socket)
    })
  })
