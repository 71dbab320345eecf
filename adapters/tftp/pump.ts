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
import { getSystemErrorName } from "node:util"
import type { DatagramExchange, Host } from "../../core/host.ts"
import { limits } from "../../core/limits.ts"
import type { BootFiles, BootPeer } from "../../core/runtime/boot-files.ts"
import type { OpenedFile } from "../../core/runtime/held-file.ts"
import { type Clock, systemClock } from "./clock.ts"
import { putData } from "./packet.ts"
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
  /** When the last wait was over. */
  #waited = performance.now()
  /** What it brought is being handed on. */
  #taking = false
  /** The last wait brought something within `limits.tftpSoonMillis`. */
  #comesSoon = false
  /** How often in a row it was asked for in vain, and how often it is left out. */
  #vain = 0
  #passes = 0

  constructor(open: NonNullable<Host["datagramExchange"]>) {
    // One more is the server's, for requests.
    this.#exchange = open(limits.tftpTransfersMax + 1, limits.tftpBlksizeMax + 4)
  }

  /** What came with one call came at one time. */
  readonly clock: Clock = { now: () => (this.#taking ? this.#waited : performance.now()), later: systemClock.later }

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
    if (watches) this.#watched.set(fd, watchedBy(take))
    return watches
  }

  /** To be called before it is closed. */
  forget(fd: number): void {
    if (this.#watched.delete(fd)) this.#exchange.forget(fd)
  }

  /** A socket whose packets are taken from now on; negative for an error of errno(3). */
  begin(address: string, take: Take): number {
    const fd = this.#exchange.open(numberOf(address))
    if (fd < 0) return fd
    this.#watched.set(fd, watchedBy(take))
    this.#running++
    if (!this.#turning) setImmediate(() => this.#turn())
    this.#turning = true
    return fd
  }

  end(fd: number): void {
    this.#watched.delete(fd)
    this.#exchange.shut(fd)
    this.#running--
  }

  send(fd: number, bytes: Uint8Array, address: number, port: number): void {
    const exchange = this.#exchange
    const at = bytes.length > exchange.bytesMax ? -1 : exchange.line()
    if (at < 0) return
    exchange.memory.set(bytes, at)
    exchange.sendLine(fd, bytes.length, address, port)
  }

  /** A block of a file, laid down where the kernel takes it from. */
  sendBlock(fd: number, n: number, bytes: Uint8Array, from: number, to: number, address: number, port: number): void {
    const exchange = this.#exchange
    const at = exchange.line()
    if (at >= 0) exchange.sendLine(fd, putData(exchange.memory, at, n, bytes, from, to), address, port)
  }

  close(): void {
    this.#exchange.close()
  }

  #turn(): void {
    if (this.#running === 0) {
      this.#rest()
      return
    }
    const until = performance.now() + limits.tftpTurnMillis
    do {
      const patience = this.#awaited === 0 ? limits.tftpWaitMillis : Math.min(this.#fruitless, limits.tftpWaitMillis)
      const count = this.#exchangeNow() || this.#exchangeAll(patience)
      this.#fruitless = count === 0 ? this.#fruitless + 1 : 0
    } while (this.#fruitless === 0 && this.#awaited === 0 && this.#running > 0 && this.#waited < until)
    setImmediate(() => this.#turn())
  }

  /** What was sent last leaves and what was shut is closed, by a call that takes what has come until then, and no turn follows: it is handed on. */
  #rest(): void {
    this.#turning = false
    this.#exchangeAll(0)
  }

  /**
   * Asks for a moment without sleeping, as long as that brings something: to be woken costs more than the answer, where it comes so soon. In vain, it is left out ever more often: a
   * client that waits for this very processor gets it then.
   */
  #exchangeNow(): number {
    if (!this.#comesSoon || this.#running > limits.tftpSoonTransfersMax) return 0
    if (this.#passes > 0) {
      this.#passes--
      return 0
    }
    const until = performance.now() + limits.tftpSoonMillis
    do {
      const count = this.#exchangeAll(0)
      if (count > 0) {
        this.#vain = 0
        return count
      }
    } while (this.#waited < until)
    this.#vain = Math.min(this.#vain + 1, limits.tftpSoonVainMax)
    this.#passes = 2 ** this.#vain
    return 0
  }

  #exchangeAll(millis: number): number {
    const began = performance.now()
    const count = this.#exchange.wait(millis)
    this.#waited = performance.now()
    this.#comesSoon = count > 0 && this.#waited - began < limits.tftpSoonMillis
    this.#taking = true
    for (let n = 0; n < count; n++) this.#take(n)
    this.#taking = false
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
  readonly #pump: Pump
  readonly #address: string
  /** Negative while it is not bound, and again when it is closed: the number is somebody else's then. */
  #fd = -1
  /** Whom it sent to last, and that address as a number. */
  #to = ""
  #toNumber = 0

  constructor(pump: Pump, address: string) {
    this.#pump = pump
    this.#address = address
  }

  start({ bound, message, failed }: TransferSocketEvents): void {
    this.#fd = this.#pump.begin(this.#address, message)
    if (this.#fd >= 0) bound()
    else failed(`no socket (${getSystemErrorName(this.#fd)})`)
  }

  send(bytes: Uint8Array, { address, port }: BootPeer): void {
    if (this.#fd >= 0) this.#pump.send(this.#fd, bytes, this.#number(address), port)
  }
  sendBlock(blockNumber: number, bytes: Uint8Array, from: number, to: number, { address, port }: BootPeer): void {
    if (this.#fd >= 0) this.#pump.sendBlock(this.#fd, blockNumber, bytes, from, to, this.#number(address), port)
  }

  close(): void {
    if (this.#fd >= 0) this.#pump.end(this.#fd)
    this.#fd = -1
  }

  #number(address: string): number {
    if (address !== this.#to) {
      this.#to = address
      this.#toNumber = numberOf(address)
    }
    return this.#toNumber
  }
}

const watchedBy = (take: Take): Watched => ({ take, address: 0, from: { address: textOf(0), port: 0 } })

const numberOf = (address: string): number =>
  address.split(".").reduce((number, part) => number * 256 + Number(part), 0)

const textOf = (a: number): string => `${a >>> 24}.${(a >>> 16) & 255}.${(a >>> 8) & 255}.${a & 255}`
