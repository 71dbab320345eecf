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

export class MessageLines {
  readonly count: number
  readonly bytesMax: number
  /** Where each header is, for the kernel. */
  readonly headers: ReadonlyArray<number>
  readonly #memory: Buffer

  constructor(addressOf: (memory: Uint8Array) => bigint, count: number, bytesMax: number) {
    this.count = count
    this.bytesMax = bytesMax
    this.#memory = Buffer.alloc(count * (HEADER + IOVEC + NAME + bytesMax), 0)
    const at = addressOf(this.#memory)
    const place = (offset: number) => at + BigInt(offset)
    this.headers = Array.from({ length: count }, (_, n) => Number(place(n * HEADER)))
    for (let n = 0; n < count; n++) {
      this.#memory.writeBigUInt64LE(place(this.#name(n)), n * HEADER)
      this.#memory.writeUInt32LE(NAME, n * HEADER + NAME_LENGTH)
      this.#memory.writeBigUInt64LE(place(this.#iovec(n)), n * HEADER + 16)
      this.#memory.writeBigUInt64LE(1n, n * HEADER + 24)
      this.#memory.writeBigUInt64LE(place(this.#bytes(n)), this.#iovec(n))
      this.#memory.writeUInt32LE(bytesMax, this.#iovec(n) + 8)
    }
  }

  /** Bytes that are to be sent, which fit. */
  put(n: number, bytes: Uint8Array, address: number, port: number): void {
    const memory = this.#memory
    memory.set(bytes, this.#bytes(n))
    memory.writeUInt32LE(bytes.length, this.#iovec(n) + 8)
    const name = this.#name(n)
    memory.writeUInt16LE(AF_INET, name)
    writeU16(memory, name + 2, port)
    writeU32(memory, name + 4, address)
  }

  /** How many bytes came. The kernel wrote how long the sender's address is, where the next call reads how much room there is. */
  came(n: number, length = this.#memory.readUInt32LE(n * HEADER + MSG_LEN)): void {
    this.#memory.writeUInt32LE(length, n * HEADER + MSG_LEN)
    this.#memory.writeUInt32LE(NAME, n * HEADER + NAME_LENGTH)
  }

  bytes(n: number): Uint8Array {
    const from = this.#bytes(n)
    return this.#memory.subarray(from, from + this.#memory.readUInt32LE(n * HEADER + MSG_LEN))
  }
  address(n: number): number {
    return readU32(this.#memory, this.#name(n) + 4)
  }
  port(n: number): number {
    return readU16(this.#memory, this.#name(n) + 2)
  }

  #name(n: number): number {
    return this.count * (HEADER + IOVEC) + n * NAME
  }
  #bytes(n: number): number {
    return this.count * (HEADER + IOVEC + NAME) + n * this.bytesMax
  }
  #iovec(n: number): number {
    return this.count * HEADER + n * IOVEC
  }
}
