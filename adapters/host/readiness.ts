/**
 * Waits for datagrams on many sockets, on the thread that calls: epoll(7).
 *
 *     struct epoll_event: events, 4 bytes, and what is told back, 8 bytes; packed on x86-64 (12), else the second at 8 (16)
 *
 * **Gotchas** A socket that is closed is forgotten by the kernel.
 */
import type { Readiness } from "../../core/host.ts"

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

export class LibcReadiness implements Readiness {
  readonly #calls: EpollCalls
  readonly #epoll: number
  readonly #eventBytes = process.arch === "x64" ? 12 : 16
  readonly #toldAt = this.#eventBytes - 8
  readonly #memory: Buffer
  readonly #at: number

  constructor(calls: EpollCalls) {
    this.#calls = calls
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

  wait(millis: number): number {
    return Math.max(0, this.#calls.wait(this.#epoll, this.#at, atOnce, millis))
  }

  fd(n: number): number {
    return this.#memory.readInt32LE(n * this.#eventBytes + this.#toldAt)
  }

  close(): void {
    this.#calls.close(this.#epoll)
  }
}
