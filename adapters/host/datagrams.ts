/**
 * Takes and sends IPv4 datagrams, many at a time: recvmmsg(2), sendmmsg(2), and for one recvmsg(2), sendmsg(2), over lines of memory (message-lines.ts).
 *
 * **Details** The kernel writes only into lines that a call hands it, and only while the call runs.
 */
import { getSystemErrorName } from "node:util"
import type { DatagramBatch } from "../../core/host.ts"
import { MessageLines } from "./message-lines.ts"

/** The C library's, by number; `vector` is the memory from a header on. */
export interface DatagramCalls {
  readonly recvmmsg: (fd: number, vector: number, count: number, flags: number, timeout: null) => number
  readonly sendmmsg: (fd: number, vector: number, count: number, flags: number) => number
  /** Of one: a header begins with what these take. */
  readonly recvmsg: (fd: number, header: number, flags: number) => number
  readonly sendmsg: (fd: number, header: number, flags: number) => number
  readonly addressOf: (memory: Uint8Array) => bigint
  readonly errno: () => number
}

export const MSG_DONTWAIT = 0x40

export class LibcDatagrams implements DatagramBatch {
  readonly #calls: DatagramCalls
  readonly #in: MessageLines
  readonly #out: MessageLines
  #waiting = 0

  constructor(calls: DatagramCalls, count: number, bytesMax: number) {
    this.#calls = calls
    this.#in = new MessageLines(calls.addressOf, count, bytesMax)
    this.#out = new MessageLines(calls.addressOf, count, bytesMax)
  }

  receive(fd: number, most = this.#in.count): number {
    if (most === 1) return this.#receiveOne(fd)
    const { headers, count } = this.#in
    const got = this.#calls.recvmmsg(fd, headers[0]!, Math.min(most, count), MSG_DONTWAIT, null)
    for (let n = 0; n < got; n++) this.#in.came(n)
    return Math.max(0, got)
  }

  /** The kernel does less for it than for one of many. */
  #receiveOne(fd: number): number {
    const bytes = this.#calls.recvmsg(fd, this.#in.headers[0]!, MSG_DONTWAIT)
    if (bytes < 0) return 0
    this.#in.came(0, bytes)
    return 1
  }

  bytes(n: number): Uint8Array {
    return this.#in.bytes(n)
  }
  address(n: number): number {
    return this.#in.address(n)
  }
  port(n: number): number {
    return this.#in.port(n)
  }

  get full(): boolean {
    return this.#waiting === this.#out.count
  }

  put(bytes: Uint8Array, address: number, port: number): boolean {
    if (this.full || bytes.length > this.#out.bytesMax) return false
    this.#out.put(this.#waiting++, bytes, address, port)
    return true
  }

  send(fd: number, failed: (n: number, why: string) => void): void {
    const count = this.#waiting
    this.#waiting = 0
    for (let n = 0; n < count; ) {
      const sent = this.#sendFrom(fd, n, count - n)
      if (sent > 0) n += sent
      // An error is about the first of those that it was to send.
      else failed(n++, getSystemErrorName(-this.#calls.errno()))
    }
  }

  #sendFrom(fd: number, n: number, count: number): number {
    const { sendmsg, sendmmsg } = this.#calls
    if (count > 1) return sendmmsg(fd, this.#out.headers[n]!, count, MSG_DONTWAIT)
    return sendmsg(fd, this.#out.headers[n]!, MSG_DONTWAIT) < 0 ? -1 : 1
  }
}
