/**
 * Takes and sends IPv4 datagrams many at a time: recvmmsg(2), sendmmsg(2), over memory that is laid out once.
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
  readonly recvmmsg: (fd: number, vector: bigint, count: number, flags: number, timeout: null) => number
  readonly sendmmsg: (fd: number, vector: bigint, count: number, flags: number) => number
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
  readonly at: bigint
  readonly memory: Buffer
  readonly #bytesMax: number

  constructor(calls: DatagramCalls, count: number, bytesMax: number) {
    this.count = count
    this.#bytesMax = bytesMax
    this.memory = Buffer.alloc(count * (HEADER + IOVEC + NAME + bytesMax), 0)
    this.at = calls.addressOf(this.memory)
    const place = (offset: number) => this.at + BigInt(offset)
    for (let n = 0; n < count; n++) {
      this.memory.writeBigUInt64LE(place(this.name(n)), n * HEADER)
      this.memory.writeUInt32LE(NAME, n * HEADER + NAME_LENGTH)
      this.memory.writeBigUInt64LE(place(this.#iovec(n)), n * HEADER + 16)
      this.memory.writeBigUInt64LE(1n, n * HEADER + 24)
      this.memory.writeBigUInt64LE(place(this.bytes(n)), this.#iovec(n))
      this.length(n, bytesMax)
    }
  }

  header(n: number): bigint {
    return this.at + BigInt(n * HEADER)
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

  receive(fd: number): number {
    const { memory, at, count } = this.#in
    const got = this.#calls.recvmmsg(fd, at, count, MSG_DONTWAIT, null)
    // The kernel wrote there how long the sender's address is; the next call reads how much room there is.
    for (let n = 0; n < got; n++) memory.writeUInt32LE(NAME, n * HEADER + NAME_LENGTH)
    return Math.max(0, got)
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
      const sent = this.#calls.sendmmsg(fd, this.#out.header(n), count - n, MSG_DONTWAIT)
      if (sent > 0) n += sent
      // An error is about the first of those that it was to send.
      else failed(n++, getSystemErrorName(-this.#calls.errno()))
    }
  }
}
