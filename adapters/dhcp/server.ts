/**
 * Serves DHCP on one interface: hears broadcasts on one socket, and sends from another that has the server's address.
 *
 *     0.0.0.0:67   hears broadcasts
 *     ADDRESS:67   hears what is sent to us; everything is sent from here, so that it leaves by this interface
 *     ADDRESS:4011 firmware that asks its boot server (Intel PXE 2.1 §2.1)
 *
 * All three are kept to the interface (SO_BINDTODEVICE): what comes in by another is not heard, also when it is sent to ADDRESS, and nothing leaves by it.
 *
 * **Details** An answer that lends an address waits until the lease is on disk; if it cannot be written, the machine hears nothing and asks again.
 * A datagram that cannot be sent is the network's loss like any other: told, not repeated.
 *
 * **Gotchas** A wildcard socket that is not kept to one interface would answer strangers on another with addresses of this one. Where the host cannot keep it, a
 * machine with several interfaces is refused (`device`).
 */
import { createSocket, type Socket } from "node:dgram"
import { fail } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import { addressText, parseAddress } from "./address.ts"
import { type Answered, Answerer, type DhcpAnswer, type DhcpNote, type DhcpSite } from "./answer.ts"
import type { LeaseJournal } from "./lease-journal.ts"
import type { Leases } from "./leases.ts"
import type { DhcpPort } from "./reply.ts"

export interface DhcpServerInput {
  /** One of the interface's own. */
  readonly address: string
  /** 67; 0 for any free one, heard on the address alone. */
  readonly port: number
  /** 4011; 0 for any free one. */
  readonly proxyPort: number
  /** Keeps a socket to the interface; false when it cannot. Undefined: from any, but only what is sent to the address is heard. */
  readonly keepToInterface: ((fd: number) => boolean) | undefined
  readonly site: () => DhcpSite
  readonly leases: Leases
  readonly journal: LeaseJournal
  readonly onEvent: (event: DhcpEvent) => void
  /** UTC milliseconds. */
  readonly now: () => number
}

export type DhcpEvent =
  | DhcpNote
  | ({ readonly type: "answered"; readonly to: string } & Pick<DhcpAnswer, "mac" | "what" | "firmware" | "client">)
  | { readonly type: "notWritten"; readonly mac: string; readonly why: string }
  | { readonly type: "broken"; readonly why: string }

export interface DhcpServer {
  readonly address: string
  readonly port: number
  readonly proxyPort: number
  /** Answers nothing more and closes; leases under way are written. A second close is the first. */
  close(): Promise<void>
}

/** @throws PORT_IN_USE LISTEN_FAILED */
export const listenDhcp = async (input: DhcpServerInput): Promise<DhcpServer> => {
  const { address, keepToInterface } = input
  const own = await bound(address, input.port)
  const sockets = [own]
  try {
    const { port } = own.address()
    const proxy = await bound(address, input.proxyPort)
    sockets.push(proxy)
    if (keepToInterface !== undefined) {
      const all = await bound("0.0.0.0", port)
      sockets.push(all)
      if (!sockets.every((socket) => keepToInterface(fileDescriptor(socket))))
        throw fail("LISTEN_FAILED", { protocol: "dhcp", address, port, why: "it cannot be kept to one interface" })
    }
    const running = new Running(input, own)
    for (const socket of sockets) running.hear(socket, socket === proxy ? 4011 : 67)
    let closing: Promise<void> | undefined
    const close = async () => {
      await Promise.all(sockets.map(closed))
      await running.stop()
    }
    return { address, port, proxyPort: proxy.address().port, close: () => (closing ??= close()) }
  } catch (e) {
    await Promise.all(sockets.map(closed))
    throw e
  }
}

class Running {
  readonly #input: DhcpServerInput
  readonly #answerer: Answerer
  readonly #sender: Socket
  readonly #writing = new Set<Promise<void>>()

  constructor(input: DhcpServerInput, sender: Socket) {
    const { site, leases, onEvent: note } = input
    this.#input = input
    this.#sender = sender
    this.#answerer = new Answerer({ site, leases, server: parseAddress(input.address)!, note })
  }

  hear(socket: Socket, port: DhcpPort): void {
    const { onEvent, now } = this.#input
    socket.on("error", (e) => onEvent({ type: "broken", why: e.message }))
    socket.on("message", (bytes, sender) => {
      const from = { address: parseAddress(sender.address) ?? 0, port: sender.port }
      this.#act(this.#answerer.take(bytes, from, port, now()), socket)
    })
  }

  /** Settles when every lease under way is written. */
  async stop(): Promise<void> {
    await Promise.all(this.#writing)
  }

  #act({ answer, lease }: Answered, heard: Socket): void {
    const toWrite = answer?.lease ?? lease
    if (toWrite === undefined) {
      if (answer !== undefined) this.#send(answer, heard)
      return
    }
    // More would be answered too late anyway; they ask again.
    if (this.#writing.size >= limits.dhcpLeasesWritingMax) return
    const written = this.#input.journal
      .write(toWrite)
      .then(
        () => answer !== undefined && this.#send(answer, heard),
        (e: unknown) => this.#input.onEvent({ type: "notWritten", mac: toWrite.mac, why: String(e) }),
      )
      .then(() => void this.#writing.delete(written))
    this.#writing.add(written)
  }

  /** The answer of port 4011 comes from there (captured: firmware takes no other). */
  #send({ bytes, address, port, mac, what, firmware, client }: DhcpAnswer, heard: Socket): void {
    const { onEvent } = this.#input
    const to = addressText(address)
    const sender = heard.address().address === "0.0.0.0" ? this.#sender : heard
    sender.send(bytes, port, to, (e) => {
      if (e) onEvent({ type: "broken", why: `${what} to ${to}: ${e.message}` })
    })
    onEvent({ type: "answered", mac, what, firmware, client, to: `${to}:${port}` })
  }
}

const closed = (socket: Socket): Promise<void> => new Promise((resolve) => socket.close(() => resolve()))

/** Node keeps it to itself, but for this; -1, which no host call takes, where a later Node has hidden it. */
const fileDescriptor = (socket: Socket): number => {
  const symbol = Object.getOwnPropertySymbols(socket).find((s) => s.description === "state symbol")
  if (symbol === undefined) return -1
  return (socket as unknown as Record<symbol, { handle?: { fd?: number } }>)[symbol]?.handle?.fd ?? -1
}

const bound = (address: string, port: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = createSocket({ type: "udp4", reuseAddr: true })
    const refused = (e: NodeJS.ErrnoException): void => {
      socket.close()
      const about = { protocol: "dhcp", address, port }
      reject(
        e.code === "EADDRINUSE"
          ? fail("PORT_IN_USE", about, { underlying: e })
          : fail("LISTEN_FAILED", { ...about, why: e.message }, { underlying: e }),
      )
    }
    socket.once("error", refused)
    socket.bind({ address, port }, () => {
      socket.off("error", refused)
      socket.setBroadcast(true)
      resolve(socket)
    })
  })
