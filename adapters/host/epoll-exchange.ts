/**
 * Datagrams on many sockets, each taken by itself: epoll(7), and the calls of datagrams.ts.
 *
 *     struct epoll_event: events, 4 bytes, and what is told back, 8 bytes; packed on x86-64 (12), else the second at 8 (16)
 *
 * **Details** What one socket sends before another one does, or before the next is taken, goes together.
 *
 * **Gotchas** A socket that is closed is forgotten by the kernel.
 */
import type { DatagramBatch, DatagramExchange } from "../../core/host.ts"
import { openUdp, type SocketCalls } from "./udp-sockets.ts"

/** The C library's, by number. */
export interface EpollCalls extends SocketCalls {
  readonly create: (flags: number) => number
  readonly control: (epoll: number, operation: number, fd: number, event: Uint8Array | null) => number
  readonly wait: (epoll: number, events: number, count: number, millis: number) => number
  readonly addressOf: (memory: Uint8Array) => bigint
}

const EPOLL_CLOEXEC = 0x80000
const EPOLL_CTL_ADD = 1
const EPOLL_CTL_DEL = 2
const EPOLLIN = 1
const atOnce = 64

export class EpollExchange implements DatagramExchange {
  readonly #calls: EpollCalls
  readonly #batch: DatagramBatch
  #epoll: number
  readonly #eventBytes = process.arch === "x64" ? 12 : 16
  readonly #toldAt = this.#eventBytes - 8
  readonly memory: Uint8Array
  readonly #events: Buffer
  readonly #at: number
  /** Its own sockets. */
  readonly #own = new Set<number>()
  /** Whose line waits. */
  #sending = -1

  constructor(calls: EpollCalls, batch: DatagramBatch, bytesMax: number) {
    this.#calls = calls
    this.memory = Buffer.alloc(bytesMax)
    this.#batch = batch
    this.#epoll = calls.create(EPOLL_CLOEXEC)
    this.#events = Buffer.alloc(atOnce * this.#eventBytes, 0)
    this.#at = Number(calls.addressOf(this.#events))
  }

  watch(fd: number): boolean {
    const event = Buffer.alloc(this.#eventBytes)
    event.writeUInt32LE(EPOLLIN, 0)
    event.writeInt32LE(fd, this.#toldAt)
    return this.#calls.control(this.#epoll, EPOLL_CTL_ADD, fd, event) === 0
  }

  forget(fd: number): void {
    this.#calls.control(this.#epoll, EPOLL_CTL_DEL, fd, null)
  }

  open(address: number): number {
    const fd = openUdp(this.#calls, address)
    if (fd < 0) return fd
    this.#own.add(fd)
    this.watch(fd)
    return fd
  }

  shut(fd: number): void {
    this.flush()
    if (this.#own.delete(fd)) this.#calls.close(fd)
  }

  get bytesMax(): number {
    return this.memory.length
  }
  line(): number {
    return 0
  }
  sendLine(fd: number, length: number, address: number, port: number): void {
    if (this.#sending !== fd || this.#batch.full) this.flush()
    this.#sending = fd
    this.#batch.put(this.memory.subarray(0, length), address, port)
  }

  flush(): void {
    this.#batch.send(this.#sending, lost)
  }

  wait(millis: number): number {
    this.flush()
    return Math.max(0, this.#calls.wait(this.#epoll, this.#at, atOnce, millis))
  }

  fd(n: number): number {
    return this.#events.readInt32LE(n * this.#eventBytes + this.#toldAt)
  }

  /** One: most have no more, and whoever has is ready again. */
  take(n: number): boolean {
    this.flush()
    return this.#batch.receive(this.fd(n), 1) === 1
  }
  get bytes(): Uint8Array {
    return this.#batch.bytes(0)
  }
  get address(): number {
    return this.#batch.address(0)
  }
  get port(): number {
    return this.#batch.port(0)
  }

  /** Its number is somebody else's then. */
  close(): void {
    for (const fd of [...this.#own]) this.shut(fd)
    if (this.#epoll >= 0) this.#calls.close(this.#epoll)
    this.#epoll = -1
  }
}

const lost = () => {}
