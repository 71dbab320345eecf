/**
 * Takes and sends IPv4 datagrams, many at a time: recvmmsg(2), sendmmsg(2), and for one recvmsg(2), sendmsg(2), over memory that is laid out once.
 *
 *     0        64 bytes each    struct mmsghdr: msghdr (name, its length, iovec, 1, no control data, flags), msg_len at 56
 *     64 n     16 bytes each    struct iovec: where the bytes are, how many
 *     80 n     16 bytes each    struct sockaddr_in: family, port and address in the order of the network
 *     96 n     `bytesMax` each  the bytes
 *
 * **Details** The layout is the one of 64-bit systems with little-endian numbers (libc.ts names them); with either C library, for what one of them calls padding
 * is zero here. The kernel writes only into lines that a call hands it, and only while the call runs.
 *
 * **Gotchas** Addresses of the memory are in the memory, so it must be one that is never moved: a buffer of its own, not a slice of Node's pool.
 */
import { getSystemErrorName } from "node:util"
import { readU16, readU32, writeU16, writeU32 } from "../../core/bytes.ts"
import type { DatagramBatch } from "../../core/host.ts"

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

const AF_INET = 2
const MSG_DONTWAIT = 0x40
const HEADER = 64
const NAME_LENGTH = 8
const IOVEC = 16
const NAME = 16
const MSG_LEN = 56

class Lines {
  readonly count: number
  /** Where each header is, for the kernel. */
  readonly headers: ReadonlyArray<number>
  readonly memory: Buffer
  readonly #bytesMax: number

  constructor(calls: DatagramCalls, count: number, bytesMax: number) {
    this.count = count
    this.#bytesMax = bytesMax
    this.memory = Buffer.alloc(count * (HEADER + IOVEC + NAME + bytesMax), 0)
    const at = calls.addressOf(this.memory)
    const place = (offset: number) => at + BigInt(offset)
    this.headers = Array.from({ length: count }, (_, n) => Number(place(n * HEADER)))
    for (let n = 0; n < count; n++) {
      this.memory.writeBigUInt64LE(place(this.name(n)), n * HEADER)
      this.memory.writeUInt32LE(NAME, n * HEADER + NAME_LENGTH)
      this.memory.writeBigUInt64LE(place(this.#iovec(n)), n * HEADER + 16)
      this.memory.writeBigUInt64LE(1n, n * HEADER + 24)
      this.memory.writeBigUInt64LE(place(this.bytes(n)), this.#iovec(n))
      this.length(n, bytesMax)
    }
  }

  name(n: number): number {
    return this.count * (HEADER + IOVEC) + n * NAME
  }
  bytes(n: number): number {
    return this.count * (HEADER + IOVEC + NAME) + n * this.#bytesMax
  }
  /** How many bytes the kernel may fill, or is to send. */
  length(n: number, bytes: number): void {
    this.memory.writeUInt32LE(bytes, this.#iovec(n) + 8)
  }
  #iovec(n: number): number {
    return this.count * HEADER + n * IOVEC
  }
}

export class LibcDatagrams implements DatagramBatch {
  readonly #calls: DatagramCalls
  readonly #in: Lines
  readonly #out: Lines
  readonly #bytesMax: number
  #waiting = 0

  constructor(calls: DatagramCalls, count: number, bytesMax: number) {
    this.#calls = calls
    this.#bytesMax = bytesMax
    this.#in = new Lines(calls, count, bytesMax)
    this.#out = new Lines(calls, count, bytesMax)
  }

  receive(fd: number, most = this.#in.count): number {
    const { memory, headers, count } = this.#in
    const got =
      most === 1
        ? this.#receiveOne(fd)
        : this.#calls.recvmmsg(fd, headers[0]!, Math.min(most, count), MSG_DONTWAIT, null)
    // The kernel wrote there how long the sender's address is; the next call reads how much room there is.
    for (let n = 0; n < got; n++) memory.writeUInt32LE(NAME, n * HEADER + NAME_LENGTH)
    return Math.max(0, got)
  }

  /** The kernel does less for it than for one of many. */
  #receiveOne(fd: number): number {
    const bytes = this.#calls.recvmsg(fd, this.#in.headers[0]!, MSG_DONTWAIT)
    if (bytes >= 0) this.#in.memory.writeUInt32LE(bytes, MSG_LEN)
    return bytes < 0 ? 0 : 1
  }

  bytes(n: number): Uint8Array {
    const { memory } = this.#in
    const from = this.#in.bytes(n)
    return memory.subarray(from, from + memory.readUInt32LE(n * HEADER + MSG_LEN))
  }
  address(n: number): number {
    return readU32(this.#in.memory, this.#in.name(n) + 4)
  }
  port(n: number): number {
    return readU16(this.#in.memory, this.#in.name(n) + 2)
  }

  get full(): boolean {
    return this.#waiting === this.#out.count
  }

  put(bytes: Uint8Array, address: number, port: number): boolean {
    if (this.full || bytes.length > this.#bytesMax) return false
    const n = this.#waiting++
    const { memory } = this.#out
    memory.set(bytes, this.#out.bytes(n))
    this.#out.length(n, bytes.length)
    const name = this.#out.name(n)
    memory.writeUInt16LE(AF_INET, name)
    writeU16(memory, name + 2, port)
    writeU32(memory, name + 4, address)
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
