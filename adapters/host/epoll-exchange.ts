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

/** The C library's, by number. */
export interface EpollCalls {
  readonly create: (flags: number) => number
  readonly control: (epoll: number, operation: number, fd: number, event: Uint8Array | null) => number
  readonly wait: (epoll: number, events: number, count: number, millis: number) => number
  readonly close: (fd: number) => number
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
  readonly #memory: Buffer
  readonly #at: number
  /** Whose line waits. */
  #sending = -1

  constructor(calls: EpollCalls, batch: DatagramBatch) {
    this.#calls = calls
    this.#batch = batch
    this.#epoll = calls.create(EPOLL_CLOEXEC)
    this.#memory = Buffer.alloc(atOnce * this.#eventBytes, 0)
    this.#at = Number(calls.addressOf(this.#memory))
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

  send(fd: number, bytes: Uint8Array, address: number, port: number): void {
    if (this.#sending !== fd || this.#batch.full) this.flush()
    this.#sending = fd
    this.#batch.put(bytes, address, port)
  }

  flush(): void {
    this.#batch.send(this.#sending, lost)
  }

  wait(millis: number): number {
    this.flush()
    return Math.max(0, this.#calls.wait(this.#epoll, this.#at, atOnce, millis))
  }

  fd(n: number): number {
    return this.#memory.readInt32LE(n * this.#eventBytes + this.#toldAt)
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
    if (this.#epoll >= 0) this.#calls.close(this.#epoll)
    this.#epoll = -1
  }
}

const lost = () => {}
