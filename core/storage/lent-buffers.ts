/**
 * Buffers that a plugin is lent in place of its callers', so that what it does late, or beside the part it was given, happens nowhere else.
 *
 * **Details** A caller's buffer is used again as soon as its request has settled: a slot of the cache, the reply of another client. A plugin that
 * answers after its deadline would write into that. So it fills one of these, which is copied once it is known to be good, and which is
 * kept from further use if its request expired. Copying 64 KiB takes a few microseconds, where the read itself takes tens.
 *
 * **Gotchas** A buffer is not cleared between two uses; `mark` is how a read that stops short is noticed.
 */

const LEAST_BYTES = 4096
const MARK_BYTES = 8
const KEPT_BYTES_MAX = 1_048_576

export class LentBuffers {
  #spare: Array<Buffer> = []
  #spareBytes = 0

  /** A buffer of at least this length. */
  take(length: number): Buffer {
    for (let i = this.#spare.length - 1; i >= 0; i--) {
      const buffer = this.#spare[i]!
      if (buffer.length < length) continue
      this.#spare.splice(i, 1)
      this.#spareBytes -= buffer.length
      return buffer
    }
    return Buffer.allocUnsafeSlow(Math.max(LEAST_BYTES, 2 ** Math.ceil(Math.log2(length))))
  }

  /** Gives one back that nobody else may write to any more. */
  give(buffer: Buffer): void {
    if (this.#spareBytes + buffer.length > KEPT_BYTES_MAX) return
    this.#spare.push(buffer)
    this.#spareBytes += buffer.length
  }

  clear(): void {
    this.#spare = []
    this.#spareBytes = 0
  }
}

/** Puts a mark where the last bytes of an answer belong: no byte of it is like the one before, as those of fillings are. */
export const mark = (buffer: Uint8Array, length: number, seed: number): void => {
  for (let i = Math.max(0, length - MARK_BYTES); i < length; i++) buffer[i] = markAt(seed, length - i)
}

/** Whether the mark is still there: then the answer stopped short, or really ends like this. */
export const isMarked = (buffer: Uint8Array, length: number, seed: number): boolean => {
  for (let i = Math.max(0, length - MARK_BYTES); i < length; i++)
    if (buffer[i] !== markAt(seed, length - i)) return false
  return true
}

const markAt = (seed: number, place: number): number => (seed ^ Math.imul(place, 0x95)) & 0xff
