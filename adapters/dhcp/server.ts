/**
 * Serves DHCP on one interface: what its sockets (sockets.ts) hear is answered, once what must be on disk is there.
 *
 * **Details** An answer that lends an address waits until the lease is on disk; if it cannot be written, the machine hears nothing and asks again.
 * A datagram that cannot be sent is the network's loss like any other: told, not repeated.
 */
import type { Socket } from "node:dgram"
import { limits } from "../../core/limits.ts"
import { closeDatagram } from "../../core/runtime/datagram-socket.ts"
import { watchListener } from "../../core/runtime/listening.ts"
import { addressText, parseAddress } from "./address.ts"
import { type Answered, Answerer, type DhcpAnswer, type DhcpNote, type DhcpSite } from "./answer.ts"
import type { LeaseJournal } from "./lease-journal.ts"
import type { Leases } from "./leases.ts"
import { type DhcpPlace, type HeardSocket, openDhcpSockets } from "./sockets.ts"

export interface DhcpServerInput extends DhcpPlace {
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
  /** Whether it still hears its peers. */
  listens(): boolean
  /** Answers nothing more and closes; leases under way are written. A second close is the first. */
  close(): Promise<void>
}

/** @throws PORT_IN_USE LISTEN_FAILED DHCP_UNCONFINED */
export const listenDhcp = async (input: DhcpServerInput): Promise<DhcpServer> => {
  const heard = await openDhcpSockets(input)
  const portOf = (port: number) => heard.find((one) => one.port === port)!.socket.address().port
  const running = new Running(input)
  for (const one of heard) running.hear(one)
  let closing: Promise<void> | undefined
  const close = async () => {
    await Promise.all(heard.map(({ socket }) => closeDatagram(socket)))
    await running.stop()
  }
  return {
    address: input.address,
    port: portOf(67),
    proxyPort: portOf(4011),
    listens: () => running.hears(),
    close: () => (closing ??= close()),
  }
}

class Running {
  readonly #input: DhcpServerInput
  readonly #answerer: Answerer
  readonly #writing = new Set<Promise<void>>()
  readonly #hearing: Array<() => boolean> = []

  constructor(input: DhcpServerInput) {
    const { site, leases, onEvent: note } = input
    this.#input = input
    this.#answerer = new Answerer({ site, leases, server: parseAddress(input.address)!, note })
  }

  hear({ socket, port, sender }: HeardSocket): void {
    const { onEvent, now } = this.#input
    const hears = watchListener(socket, "message", (e) => onEvent({ type: "broken", why: e.message }))
    this.#hearing.push(hears)
    socket.on("message", (bytes, peer) => {
      const from = { address: parseAddress(peer.address) ?? 0, port: peer.port }
      this.#act(this.#answerer.take(bytes, from, port, now()), sender)
    })
  }

  hears(): boolean {
    return this.#hearing.every((hears) => hears())
  }

  /** Settles when every lease under way is written. */
  async stop(): Promise<void> {
    await Promise.all(this.#writing)
  }

  #act({ answer, lease }: Answered, sender: Socket): void {
    const toWrite = answer?.lease ?? lease
    if (toWrite === undefined) {
      if (answer !== undefined) this.#send(answer, sender)
      return
    }
    // More would be answered too late anyway; they ask again.
    if (this.#writing.size >= limits.dhcpLeasesWritingMax) return
    const written = this.#input.journal
      .write(toWrite)
      .then(
        () => answer !== undefined && this.#send(answer, sender),
        (e: unknown) => this.#input.onEvent({ type: "notWritten", mac: toWrite.mac, why: String(e) }),
      )
      .then(() => void this.#writing.delete(written))
    this.#writing.add(written)
  }

  #send({ bytes, address, port, mac, what, firmware, client }: DhcpAnswer, sender: Socket): void {
    const { onEvent } = this.#input
    const to = addressText(address)
    sender.send(bytes, port, to, (e) => {
      if (e) onEvent({ type: "broken", why: `${what} to ${to}: ${e.message}` })
    })
    onEvent({ type: "answered", mac, what, firmware, client, to: `${to}:${port}` })
  }
}
