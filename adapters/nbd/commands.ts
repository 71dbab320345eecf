/**
 * Carries out judged requests on a disk and gathers their replies.
 *
 *     READ WRITE WRITE_ZEROES  the synchronous door first, when the request is short; a miss goes to the asynchronous one
 *     TRIM FLUSH CACHE BLOCK_STATUS   the asynchronous door
 *
 * **Details** On a hit nothing is allocated: the bytes go from the device straight into the output slab behind their header. A miss
 * allocates its state and its buffer. Replies of misses may come in any order ("Ordering of messages and writes"); those that settle together
 * leave together. What is in flight is counted here and bounded by session.ts.
 *
 * Success of anything but READ and BLOCK_STATUS is a simple reply even when structured ones were agreed ("Simple reply message" allows it
 * and it is shorter); errors are structured then, because they can carry words.
 */
import { type BlockDevice, type Extent, FAST_ONLY, FUA, MAY_UNMAP } from "../../core/block/device.ts"
import { limits } from "../../core/limits.ts"
import { EINVAL, ENOSPC, EOVERFLOW, EPERM, ESHUTDOWN, errnoNames, errnoOf, ours, textOf } from "./errno.ts"
import { ALLOCATION_CONTEXT } from "./handshake.ts"
import { allowed, type Terms } from "./judge.ts"
import type { Output } from "./output.ts"
import {
  CHUNK_HEADER_BYTES,
  CMD_BLOCK_STATUS,
  CMD_CACHE,
  CMD_FLAG_FAST_ZERO,
  CMD_FLAG_FUA,
  CMD_FLAG_NO_HOLE,
  CMD_FLAG_REQ_ONE,
  CMD_FLUSH,
  CMD_READ,
  CMD_TRIM,
  CMD_WRITE_ZEROES,
  type Descriptor,
  encodeBlockStatus,
  encodeChunkHeader,
  encodeErrorChunk,
  encodeOffsetData,
  encodeSimpleReply,
  OFFSET_DATA_BYTES,
  REPLY_NONE,
  type Request,
  SIMPLE_REPLY_BYTES,
  STATE_HOLE,
  STATE_ZERO,
} from "./transmission.ts"

const words: Readonly<Record<number, string>> = {
  [EPERM]: "the export is read-only",
  [EINVAL]:
    "the request is not valid here: outside the disk, not aligned, or with a flag or command that was not agreed",
  [ENOSPC]: "the write goes past the end of the disk",
  [EOVERFLOW]: "the read is longer than the largest payload",
  [ESHUTDOWN]: "the disk was taken away, or the server is stopping",
}

export class Commands {
  inFlightRequests = 0
  inFlightBytes = 0
  private readonly device: BlockDevice
  private readonly output: Output
  private readonly terms: Terms
  private readonly settled: () => void
  private readonly headBytes: number
  private readonly gone = new AbortController()

  /** `settled` is called after each asynchronous reply was gathered. */
  constructor(device: BlockDevice, output: Output, terms: Terms, settled: () => void) {
    this.device = device
    this.output = output
    this.terms = terms
    this.settled = settled
    this.headBytes = terms.structured ? OFFSET_DATA_BYTES : SIMPLE_REPLY_BYTES
  }

  /** Lets reads in flight stop early; what writes goes on to its end. */
  abandon(): void {
    this.gone.abort()
  }

  /** Everything but WRITE. */
  run(r: Request): void {
    if (r.length === 0 && r.type !== CMD_FLUSH) this.nothing(r)
    else if (r.type === CMD_READ) this.read(r)
    else if (r.type === CMD_WRITE_ZEROES) this.zero(r)
    else void this.later({ ...r }, 0)
  }

  /** WRITE of `payload[at, at + length)`: in use until `done` is called, or, without one, until this returns. */
  write(r: Request, payload: Uint8Array, at: number, done: ((payload: Uint8Array) => void) | undefined): void {
    const flags = r.flags & CMD_FLAG_FUA ? FUA : 0
    try {
      if (r.length <= limits.syncIoBytesMax && this.device.writeSync(payload, at, r.offset, r.length, flags)) {
        this.output.simple(r, 0)
        done?.(payload)
        return
      }
    } catch (e) {
      this.fail(r, e)
      done?.(payload)
      return
    }
    if (done !== undefined) void this.writeLater({ ...r }, payload, at, flags, done)
    else void this.writeLater({ ...r }, Buffer.from(payload.subarray(at, at + r.length)), 0, flags, undefined)
  }

  refuse(r: Request, error: number): void {
    if (!this.terms.structured) this.output.simple(r, error)
    else this.output.whole(encodeErrorChunk(r, error, words[error] ?? errnoNames[error] ?? "", undefined))
  }

  private read(r: Request): void {
    if (r.length > limits.syncIoBytesMax || !this.readNow(r)) void this.readLater({ ...r })
  }

  /** False: a miss. */
  private readNow(r: Request): boolean {
    const { output, headBytes } = this
    const at = output.room(headBytes + r.length)
    try {
      if (!this.device.readSync(output.slab, at + headBytes, r.offset, r.length)) return false
    } catch (e) {
      this.fail(r, e)
      return true
    }
    this.readHead(r, output.slab, at)
    output.commit(headBytes + r.length)
    return true
  }

  private readHead(r: Request, into: Uint8Array, at: number): void {
    if (this.terms.structured) encodeOffsetData(r, r.offset, r.length, into, at)
    else encodeSimpleReply(r, 0, into, at)
  }

  private zero(r: Request): void {
    const flags = zeroFlags(r)
    try {
      if (r.length > limits.syncIoBytesMax || !this.device.zeroSync(r.offset, r.length, flags)) {
        void this.later({ ...r }, flags)
      } else this.output.simple(r, 0)
    } catch (e) {
      this.fail(r, e)
    }
  }

  private async readLater(r: Request): Promise<void> {
    this.begin(r.length)
    try {
      const reply = Buffer.allocUnsafe(this.headBytes + r.length)
      await this.device.read(reply, this.headBytes, r.offset, r.length, this.gone.signal)
      this.readHead(r, reply, 0)
      this.output.whole(reply)
    } catch (e) {
      this.fail(r, e)
    }
    this.end(r.length)
  }

  private async writeLater(
    r: Request,
    payload: Uint8Array,
    at: number,
    flags: number,
    done: ((payload: Uint8Array) => void) | undefined,
  ): Promise<void> {
    this.begin(r.length)
    try {
      await this.device.write(payload, at, r.offset, r.length, flags)
      this.output.simple(r, 0)
    } catch (e) {
      this.fail(r, e)
    }
    done?.(payload)
    this.end(r.length)
  }

  private async later(r: Request, flags: number): Promise<void> {
    this.begin(0)
    try {
      if (r.type === CMD_BLOCK_STATUS) this.output.whole(await this.blockStatus(r))
      else {
        await this.perform(r, flags)
        this.output.simple(r, 0)
      }
    } catch (e) {
      this.fail(r, e)
    }
    this.end(0)
  }

  private perform(r: Request, flags: number): Promise<void> {
    const { device } = this
    switch (r.type) {
      case CMD_FLUSH:
        return device.flush()
      case CMD_TRIM:
        return device.trim(r.offset, r.length, r.flags & CMD_FLAG_FUA ? FUA : 0)
      case CMD_WRITE_ZEROES:
        return device.zero(r.offset, r.length, flags)
      case CMD_CACHE:
        return this.prefetch(r)
      default:
        throw new Error(`command ${r.type} was judged and is not known`)
    }
  }

  /** A hint: whole logical blocks around it, and no more than one read may bring. */
  private prefetch(r: Request): Promise<void> {
    const unit = this.terms.minimumBytes
    const from = r.offset - (r.offset % unit)
    const end = Math.min(r.offset + Math.min(r.length, limits.ioBytesMax), this.terms.sizeBytes)
    return this.device.prefetch(from, Math.ceil((end - from) / unit) * unit, this.gone.signal)
  }

  private async blockStatus(r: Request): Promise<Buffer> {
    const max = r.flags & CMD_FLAG_REQ_ONE ? 1 : limits.nbdExtentsMax
    const extents = await this.device.extents(r.offset, r.length, max, this.gone.signal)
    return encodeBlockStatus(r, ALLOCATION_CONTEXT, describe(extents, r.offset, r.offset + r.length))
  }

  /** A length of zero: "the behavior is unspecified although the server SHOULD NOT disconnect". Nothing was asked and nothing is done. */
  private nothing(r: Request): void {
    if (r.type !== CMD_READ || !this.terms.structured) {
      this.output.simple(r, 0)
      return
    }
    const at = this.output.room(CHUNK_HEADER_BYTES)
    encodeChunkHeader(r, REPLY_NONE, 0, this.output.slab, at)
    this.output.commit(CHUNK_HEADER_BYTES)
  }

  private fail(r: Request, thrown: unknown): void {
    const e = ours(thrown)
    const error = allowed(errnoOf(e), r)
    const inside = e.offset !== undefined && e.offset >= r.offset && e.offset < r.offset + r.length
    if (!this.terms.structured) this.output.simple(r, error)
    else this.output.whole(encodeErrorChunk(r, error, textOf(e), inside ? e.offset : undefined))
  }

  private begin(bytes: number): void {
    this.inFlightRequests++
    this.inFlightBytes += bytes
  }
  private end(bytes: number): void {
    this.inFlightRequests--
    this.inFlightBytes -= bytes
    this.settled()
  }
}

const zeroFlags = (r: Request): number =>
  (r.flags & CMD_FLAG_FUA ? FUA : 0) |
  (r.flags & CMD_FLAG_NO_HOLE ? 0 : MAY_UNMAP) |
  (r.flags & CMD_FLAG_FAST_ZERO ? FAST_ONLY : 0)

/**
 * Extents as runs of one state, inside `[offset, end)`.
 *
 * `absent` reads as zeros here: a leased disk has nothing below it that could show through.
 */
const describe = (extents: ReadonlyArray<Extent>, offset: number, end: number): ReadonlyArray<Descriptor> => {
  const runs: Array<{ length: number; state: number }> = []
  let at = offset
  for (const extent of extents) {
    const length = Math.min(extent.offset + extent.length, end) - at
    if (length <= 0) continue
    const state = extent.kind === "data" ? 0 : STATE_HOLE | STATE_ZERO
    const last = runs.at(-1)
    if (last?.state === state) last.length += length
    else runs.push({ length, state })
    at += length
  }
  // "The server MUST return at least one": unknown is always a safe answer.
  return runs.length > 0 ? runs : [{ length: end - offset, state: 0 }]
}
