/**
 * Memory for datagrams as the kernel takes and gives them, a line for each, laid out once.
 *
 *     0        64 bytes each    struct msghdr: name, its length, iovec, 1, no control data, flags (56 bytes); in a struct mmsghdr msg_len at 56
 *     64 n     16 bytes each    struct iovec: where the bytes are, how many
 *     80 n     16 bytes each    struct sockaddr_in: family, port and address in the order of the network
 *     96 n     `bytesMax` each  the bytes
 *
 * **Details** The layout is the one of 64-bit systems with little-endian numbers (libc.ts names them); with either C library, for what one of them calls padding
 * is zero here.
 *
 * **Gotchas** Addresses of the memory are in the memory, so it must be one that is never moved: a buffer of its own, not a slice of Node's pool.
 */
import { readU16, readU32, writeU16, writeU32 } from "../../core/bytes.ts"

const AF_INET = 2
const HEADER = 64
const NAME_LENGTH = 8
const IOVEC = 16
const NAME = 16
const MSG_LEN = 56
/** Not a length that comes. */
const nothing = new Uint8Array(0)

export class MessageLines {
  readonly count: number
  readonly bytesMax: number
  /** Where each header is, for the kernel. */
  readonly headers: ReadonlyArray<number>
  readonly memory: Uint8Array
  readonly #words: Uint32Array
  /** What came last to each line, as one who looks at it sees it: most are as long as those before. */
  readonly #views: Array<Uint8Array>

  constructor(addressOf: (memory: Uint8Array) => bigint, count: number, bytesMax: number) {
    this.count = count
    this.bytesMax = bytesMax
    const memory = Buffer.alloc(count * (HEADER + IOVEC + NAME + bytesMax), 0)
    this.memory = memory
    this.#words = new Uint32Array(memory.buffer, 0, Math.floor(memory.length / 4))
    this.#views = Array.from({ length: count }, () => nothing)
    const at = addressOf(memory)
    const place = (offset: number) => at + BigInt(offset)
    this.headers = Array.from({ length: count }, (_, n) => Number(place(n * HEADER)))
    for (let n = 0; n < count; n++) {
      memory.writeBigUInt64LE(place(this.#name(n)), n * HEADER)
      memory.writeUInt32LE(NAME, n * HEADER + NAME_LENGTH)
      memory.writeBigUInt64LE(place(this.#iovec(n)), n * HEADER + 16)
      memory.writeBigUInt64LE(1n, n * HEADER + 24)
      memory.writeBigUInt64LE(place(this.bytesAt(n)), this.#iovec(n))
      memory.writeUInt32LE(bytesMax, this.#iovec(n) + 8)
    }
  }

  /** Where the bytes of a line begin in `memory`. */
  bytesAt(n: number): number {
    return this.count * (HEADER + IOVEC + NAME) + n * this.bytesMax
  }

  /** So many bytes of a line are to be sent there. */
  addressed(n: number, length: number, address: number, port: number): void {
    this.#words[(this.#iovec(n) + 8) / 4] = length
    const name = this.#name(n)
    this.#words[name / 4] = AF_INET
    writeU16(this.memory, name + 2, port)
    writeU32(this.memory, name + 4, address)
  }

  /** Bytes that are to be sent, which fit. */
  put(n: number, bytes: Uint8Array, address: number, port: number): void {
    this.memory.set(bytes, this.bytesAt(n))
    this.addressed(n, bytes.length, address, port)
  }

  /** How many bytes came. The kernel wrote how long the sender's address is, where the next call reads how much room there is. */
  came(n: number, length = this.#length(n)): void {
    this.#words[(n * HEADER + MSG_LEN) / 4] = length
    this.#words[(n * HEADER + NAME_LENGTH) / 4] = NAME
  }

  /** Others when the line is used again. */
  bytes(n: number): Uint8Array {
    const length = this.#length(n)
    const view = this.#views[n]!
    if (view.length === length) return view
    const from = this.bytesAt(n)
    return (this.#views[n] = this.memory.subarray(from, from + length))
  }
  address(n: number): number {
    return readU32(this.memory, this.#name(n) + 4)
  }
  port(n: number): number {
    return readU16(this.memory, this.#name(n) + 2)
  }

  #length(n: number): number {
    return this.#words[(n * HEADER + MSG_LEN) / 4]!
  }
  #name(n: number): number {
    return this.count * (HEADER + IOVEC) + n * NAME
  }
  #iovec(n: number): number {
    return this.count * HEADER + n * IOVEC
  }
}
