/**
 * Reads of what the system holds in its page cache, which never wait for a disk: preadv2(2) with RWF_NOWAIT, over one piece.
 *
 *     struct iovec: where the bytes go, how many; 8 bytes each
 *
 * **Details** Where the first byte is not there it answers EAGAIN, where it is and a later one is not, how many came; a file system that cannot tell answers EOPNOTSUPP.
 *
 * **Gotchas** The kernel writes to an address, so the buffer's memory must be its own: a small typed array may live among V8's objects, which move, until its
 * `buffer` is asked for. One that was detached has no bytes, and nothing is read into it.
 */
export interface CachedReadCalls {
  readonly preadv2: (fd: number, vector: number, count: number, offset: number, flags: number) => number
  readonly addressOf: (memory: Uint8Array) => bigint
}

const RWF_NOWAIT = 8
const IOVEC_BYTES = 16

export const cachedReads = ({ preadv2, addressOf }: CachedReadCalls) => {
  const vector = Buffer.alloc(IOVEC_BYTES, 0)
  const words = new Uint32Array(vector.buffer, vector.byteOffset, IOVEC_BYTES / 4)
  const vectorAt = Number(addressOf(vector))
  /** Below 2^53, as is all that a process can address. */
  const addresses = new WeakMap<ArrayBufferLike, number>()

  const addressIn = (buffer: ArrayBufferLike): number => {
    const known = addresses.get(buffer)
    if (known !== undefined) return known
    const address = Number(addressOf(new Uint8Array(buffer)))
    addresses.set(buffer, address)
    return address
  }

  return (fd: number, into: Uint8Array, at: number, length: number, offset: number): number => {
    if (at < 0 || length <= 0 || at + length > into.length) return -1
    const address = addressIn(into.buffer) + into.byteOffset + at
    words[0] = address
    words[1] = address / 2 ** 32
    words[2] = length
    return preadv2(fd, vectorAt, 1, offset, RWF_NOWAIT)
  }
}
