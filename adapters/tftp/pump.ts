/**
 * Sockets of transfers that are served as fast as the host can, by a thread that has nothing else to do.
 *
 *     send the blocks, wait for ACKs (one call of the system) ─► the transfers' next blocks ─► …
 *                  └─► now and then, and while a file is read: a turn of Node's event loop
 *
 * **Details** A client that has one block at a time waits for the server each time, so what a block costs is how fast its file comes. Through the event loop
 * waiting, taking and sending are several calls each, and objects besides. The server's own socket is heard through both, because it must be heard when no transfer
 * runs. Timers are late by no more than one wait.
 *
 * **Gotchas** While a transfer runs, this thread waits inside of a call, so it must be one of its own (thread.ts).
 */
import type { Socket } from "node:dgram"
import type { DatagramExchange, Host } from "../../core/host.ts"
import { limits } from "../../core/limits.ts"
import type { BootFiles, BootPeer } from "../../core/runtime/boot-files.ts"
import { datagramSocket, fileDescriptor, hearNoMore } from "../../core/runtime/datagram-socket.ts"
import type { OpenedFile } from "../../core/runtime/held-file.ts"
import type { OpenTransferSocket, TransferSocket, TransferSocketEvents } from "./sockets.ts"

type Take = TransferSocketEvents["message"]

interface Watched {
  readonly take: Take
  /** Who sent last, as the kernel has it and as it is handed on. */
  address: number
  from: BootPeer
}

export class Pump {
  readonly #exchange: DatagramExchange
  readonly #watched = new Map<number, Watched>()
  #turning = false
  /** Transfers' sockets; while there is none, the event loop does it all. */
  #running = 0
  /** What the event loop has to finish. */
  #awaited = 0
  /** Waits in a row that brought nothing. */
  #fruitless = 0
  /** The last wait brought something within `limits.tftpSoonMillis`. */
  #comesSoon = false

  constructor(open: NonNullable<Host["datagramExchange"]>) {
    // One more is the server's, for requests.
    this.#exchange = open(limits.tftpTransfersMax + 1, limits.tftpBlksizeMax + 4)
  }

  /** IPv4. */
  readonly open: OpenTransferSocket = (address) => new PumpedSocket(this, address)

  /** The same files; while one is opened or read, the event loop has more turns. */
  files(files: BootFiles): BootFiles {
    return {
      open: async (name, peer) => {
        const file = await this.#while(files.open(name, peer))
        return file === undefined ? undefined : this.#file(file)
      },
    }
  }

  /** What comes to a socket is taken here too, while transfers run. */
  watch(fd: number, take: Take): boolean {
    const watches = this.#exchange.watch(fd)
    if (watches) this.#watched.set(fd, { take, address: 0, from: { address: textOf(0), port: 0 } })
    return watches
  }

  /** To be called before it is closed. */
  forget(fd: number): void {
    if (this.#watched.delete(fd)) this.#exchange.forget(fd)
  }

  began(): void {
    this.#running++
    if (this.#turning) return
    this.#turning = true
    setImmediate(() => this.#turn())
  }

  ended(): void {
    this.#running--
  }

  send(fd: number, bytes: Uint8Array, address: number, port: number): void {
    this.#exchange.send(fd, bytes, address, port)
  }

  /** What was sent leaves, what was forgotten is, and what has come until now is taken: no turn may follow. */
  finish(): void {
    this.#exchangeAll(0)
  }

  close(): void {
    this.#exchange.close()
  }

  #turn(): void {
    if (this.#running === 0) {
      this.#turning = false
      return
    }
    const until = performance.now() + limits.tftpTurnMillis
    do {
      const patience = this.#awaited === 0 ? limits.tftpWaitMillis : Math.min(this.#fruitless, limits.tftpWaitMillis)
      const count = this.#exchangeNow() || this.#exchangeAll(patience)
      this.#fruitless = count === 0 ? this.#fruitless + 1 : 0
    } while (this.#fruitless === 0 && this.#awaited === 0 && this.#running > 0 && performance.now() < until)
    setImmediate(() => this.#turn())
  }

  /** Asks for a moment without sleeping, as long as that brings something: to be woken costs more than the answer, where it comes so soon. */
  #exchangeNow(): number {
    if (!this.#comesSoon) return 0
    const until = performance.now() + limits.tftpSoonMillis
    do {
      const count = this.#exchangeAll(0)
      if (count > 0) return count
    } while (performance.now() < until)
    return 0
  }

  #exchangeAll(millis: number): number {
    const began = performance.now()
    const count = this.#exchange.wait(millis)
    this.#comesSoon = count > 0 && performance.now() - began < limits.tftpSoonMillis
    for (let n = 0; n < count; n++) this.#take(n)
    return count
  }

  #take(n: number): void {
    const exchange = this.#exchange
    const watched = this.#watched.get(exchange.fd(n))
    if (watched === undefined || !exchange.take(n)) return
    const { address, port } = exchange
    if (watched.address !== address || watched.from.port !== port) {
      watched.address = address
      watched.from = { address: textOf(address), port }
    }
    watched.take(exchange.bytes, watched.from)
  }

  async #while<A>(work: Promise<A>): Promise<A> {
    this.#awaited++
    try {
      return await work
    } finally {
      this.#awaited--
    }
  }

  #file(file: OpenedFile): OpenedFile {
    return {
      sizeBytes: file.sizeBytes,
      read: (offset, length) => this.#while(file.read(offset, length)),
      readNow: (offset, least) => file.readNow?.(offset, least),
      close: () => file.close(),
    }
  }
}

class PumpedSocket implements TransferSocket {
  readonly copies = true
  readonly #pump: Pump
  readonly #socket: Socket
  readonly #address: string
  /** -1 while it is not bound, and again when it is closed: the number is somebody else's then. */
  #fd = -1
  /** Whom it sent to last, and that address as a number. */
  #to = ""
  #toNumber = 0

  constructor(pump: Pump, address: string) {
    this.#pump = pump
    this.#address = address
    this.#socket = datagramSocket(address)
  }

  start({ bound, message, failed }: TransferSocketEvents): void {
    this.#socket.on("error", (e) => failed(e.message))
    this.#socket.on("message", message)
    this.#socket.bind({ address: this.#address, port: 0 }, () => {
      this.#fd = fileDescriptor(this.#socket)
      // The event loop would look at each of its packets too.
      if (this.#pump.watch(this.#fd, message)) hearNoMore(this.#socket)
      this.#pump.began()
      bound()
    })
  }

  send(bytes: Uint8Array, { address, port }: BootPeer): void {
    if (this.#fd < 0) return
    if (address !== this.#to) {
      this.#to = address
      this.#toNumber = numberOf(address)
    }
    this.#pump.send(this.#fd, bytes, this.#toNumber, port)
  }

  close(): void {
    const fd = this.#fd
    if (fd >= 0) {
      this.#pump.ended()
      this.#pump.forget(fd)
    }
    // Its last packet may wait in line.
    setImmediate(() => {
      this.#fd = -1
      this.#pump.finish()
      this.#socket.close()
    })
  }
}

const numberOf = (address: string): number =>
  address.split(".").reduce((number, part) => number * 256 + Number(part), 0)

const textOf = (a: number): string => `${a >>> 24}.${(a >>> 16) & 255}.${(a >>> 8) & 255}.${a & 255}`
