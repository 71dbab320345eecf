/**
 * What comes to a UDP socket and goes out of it, many datagrams with one call of the system where the host can.
 *
 * **Details** Node says that something came by handing over the first datagram; whatever waits behind it is taken here, up to a bound, so that a flood leaves
 * others their turn. What is sent waits in line until the callback that sent it ends, and goes together. A room of PCs that is switched on then costs
 * a tenth of the calls, and none of Node's objects for each datagram.
 */
import type { Socket } from "node:dgram"
import type { DatagramBatch, Host } from "../../core/host.ts"
import { limits } from "../../core/limits.ts"
import { fileDescriptor } from "../../core/runtime/datagram-socket.ts"
import { watchListener } from "../../core/runtime/listening.ts"
import { type Address, addressText, parseAddress } from "./address.ts"

export interface Peer {
  readonly address: Address
  readonly port: number
}

interface Hearing {
  /** The bytes are others afterwards. */
  readonly take: (bytes: Uint8Array, from: Peer) => void
  readonly broken: (why: string) => void
}

type Failed = (why: string) => void

export class Datagrams {
  readonly #socket: Socket
  readonly #batch: DatagramBatch | undefined
  /** Of each in the batch's line. */
  #failed: Array<Failed> = []
  #listens = () => true

  constructor(socket: Socket, datagrams: Host["datagrams"]) {
    this.#socket = socket
    // One byte more, so that what is too long is seen to be.
    this.#batch = datagrams?.(limits.datagramsTogether, limits.dhcpMessageBytesMax + 1)
  }

  hear({ take, broken }: Hearing): void {
    this.#listens = watchListener(this.#socket, "message", (e) => broken(e.message))
    this.#socket.on("message", (bytes, { address, port }) => {
      take(bytes, { address: parseAddress(address) ?? 0, port })
      if (this.#batch !== undefined) this.#takeMore(this.#batch, take)
    })
  }

  /** Whether it still hears its peers. */
  listens(): boolean {
    return this.#listens()
  }

  /** `failed` is told when it could not be sent. */
  send(bytes: Uint8Array, { address, port }: Peer, failed: Failed): void {
    if (this.#batch?.full) this.#sendLine()
    if (this.#batch?.put(bytes, address, port)) {
      if (this.#failed.push(failed) === 1) process.nextTick(() => this.#sendLine())
    } else this.#socket.send(bytes, port, addressText(address), (e) => e && failed(e.message))
  }

  #takeMore(batch: DatagramBatch, take: Hearing["take"]): void {
    let count: number = limits.datagramsTogether
    for (let all = 0; all < limits.datagramsInARowMax && count === limits.datagramsTogether; all += count) {
      count = batch.receive(fileDescriptor(this.#socket))
      for (let n = 0; n < count; n++) take(batch.bytes(n), { address: batch.address(n), port: batch.port(n) })
    }
  }

  #sendLine(): void {
    const failed = this.#failed
    if (failed.length === 0) return
    this.#failed = []
    this.#batch?.send(fileDescriptor(this.#socket), (n, why) => failed[n]?.(why))
  }
}
