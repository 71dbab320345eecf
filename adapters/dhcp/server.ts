/**
 * Serves DHCP on one interface: what its sockets (sockets.ts) hear is answered, once what must be on disk is there.
 *
 * **Details** An answer that lends an address waits until the lease is on disk; if it cannot be written, the machine hears nothing and asks again.
 * A datagram that cannot be sent is the network's loss like any other: told, not repeated.
 */
import type { Host } from "../../core/host.ts"
import { limits } from "../../core/limits.ts"
import { closeDatagram } from "../../core/runtime/datagram-socket.ts"
import { addressText, parseAddress } from "./address.ts"
import { type Answered, Answerer, type DhcpAnswer, type DhcpNote, type DhcpSite } from "./answer.ts"
import { Datagrams } from "./datagrams.ts"
import type { LeaseJournal } from "./lease-journal.ts"
import type { Leases } from "./leases.ts"
import type { DhcpPort } from "./reply.ts"
import { type DhcpPlace, openDhcpSockets } from "./sockets.ts"

export interface DhcpServerInput extends DhcpPlace {
  readonly site: () => DhcpSite
  readonly leases: Leases
  readonly journal: LeaseJournal
  readonly onEvent: (event: DhcpEvent) => void
  /** UTC milliseconds. */
  readonly now: () => number
  /** Without it, Node takes and sends them one by one. */
  readonly datagrams?: Host["datagrams"]
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
  const ofSocket = new Map(heard.map(({ socket }) => [socket, new Datagrams(socket, input.datagrams)]))
  for (const { socket, port, sender } of heard) running.hear(ofSocket.get(socket)!, port, ofSocket.get(sender)!)
  let closing: Promise<void> | undefined
  const close = async () => {
    await Promise.all(heard.map(({ socket }) => closeDatagram(socket)))
    await running.stop()
  }
  return {
    address: input.address,
    port: portOf(67),
    proxyPort: portOf(4011),
    listens: () => [...ofSocket.values()].every((datagrams) => datagrams.listens()),
    close: () => (closing ??= close()),
  }
}

class Running {
  readonly #input: DhcpServerInput
  readonly #answerer: Answerer
  readonly #writing = new Set<Promise<void>>()

  constructor(input: DhcpServerInput) {
    const { site, leases, onEvent: note } = input
    this.#input = input
    this.#answerer = new Answerer({ site, leases, server: parseAddress(input.address)!, note })
  }

  hear(heard: Datagrams, port: DhcpPort, sender: Datagrams): void {
    const { onEvent, now } = this.#input
    heard.hear({
      broken: (why) => onEvent({ type: "broken", why }),
      take: (bytes, from) => this.#act(this.#answerer.take(bytes, from, port, now()), sender),
    })
  }

  /** Settles when every lease under way is written. */
  async stop(): Promise<void> {
    await Promise.all(this.#writing)
  }

  #act({ answer, lease }: Answered, sender: Datagrams): void {
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

  #send({ bytes, address, port, mac, what, firmware, client }: DhcpAnswer, sender: Datagrams): void {
    const { onEvent } = this.#input
    const to = addressText(address)
    sender.send(bytes, { address, port }, (why) => onEvent({ type: "broken", why: `${what} to ${to}: ${why}` }))
    onEvent({ type: "answered", mac, what, firmware, client, to: `${to}:${port}` })
  }
}
