/**
 * Sorts a server's replies to the requests that wait for them.
 *
 *     header ─► simple: done, or the data of a READ
 *            └► chunk:  OFFSET_DATA straight into the reader's buffer · OFFSET_HOLE · BLOCK_STATUS · ERROR…; the DONE flag ends the reply
 *
 * No I/O. **Details** `feed` keeps nothing of the bytes it is given. Anything the protocol does not allow throws NbdError PROTOCOL, after which
 * the connection is of no more use ("the client MUST initiate a hard disconnect").
 */
import { readU32, readU64 } from "../../core/bytes.ts"
import { errnoError, NbdError } from "./nbd-error.ts"
import {
  CHUNK_HEADER_BYTES,
  type Descriptor,
  decodeBlockStatus,
  decodeErrorChunk,
  decodeReply,
  emptyReply,
  REPLY_BLOCK_STATUS,
  REPLY_ERROR_BIT,
  REPLY_FLAG_DONE,
  REPLY_NONE,
  REPLY_OFFSET_DATA,
  REPLY_OFFSET_HOLE,
} from "./transmission.ts"

export interface Waiting {
  readonly offset: number
  readonly length: number
  /** Where a READ's bytes go. */
  readonly into: Uint8Array | undefined
  readonly at: number
  filled: number
  runs: ReadonlyArray<Descriptor> | undefined
  error: NbdError | undefined
  readonly resolve: (w: Waiting) => void
  readonly reject: (e: NbdError) => void
}

/** The longest payload that is not data: 2^20 descriptors ("Structured reply types"). */
const payloadBytesMax = 4 + 8 * 2 ** 20

export class Replies {
  private readonly waiting = new Map<number, Waiting>()
  private readonly reply = emptyReply()
  private readonly head = Buffer.alloc(CHUNK_HEADER_BYTES)
  private headFill = 0
  private payload: Buffer | undefined
  private payloadFill = 0
  /** Data of a READ still to come, and where they go. */
  private dataBytes = 0
  private dataAt = 0

  get size(): number {
    return this.waiting.size
  }
  expect(cookie: number, w: Waiting): void {
    this.waiting.set(cookie, w)
  }
  /** Rejects everything that waits. */
  abandon(e: NbdError): void {
    const all = [...this.waiting.values()]
    this.waiting.clear()
    for (const w of all) w.reject(e)
  }

  feed(bytes: Uint8Array, end = bytes.length): void {
    let at = 0
    while (at < end) {
      if (this.dataBytes > 0) at = this.data(bytes, at, end)
      else if (this.payload !== undefined) at = this.collect(this.payload, bytes, at, end)
      else at = this.header(bytes, at, end)
    }
  }

  private header(bytes: Uint8Array, from: number, end: number): number {
    const before = this.headFill
    const taken = Math.min(CHUNK_HEADER_BYTES - before, end - from)
    this.head.set(bytes.subarray(from, from + taken), before)
    const length = decodeReply(this.reply, this.head, 0, before + taken)
    if (length === 0) {
      this.headFill = before + taken
      return end
    }
    this.headFill = 0
    this.begin()
    return from + length - before
  }

  private current(): Waiting {
    const w = this.reply.cookieHigh === 0 ? this.waiting.get(this.reply.cookieLow) : undefined
    if (w === undefined) throw new NbdError("PROTOCOL", "a reply to a request that was not sent")
    return w
  }

  private begin(): void {
    const { reply } = this
    if (reply.kind === "unknown") throw new NbdError("PROTOCOL", "a reply without its magic")
    const w = this.current()
    if (reply.kind === "simple") {
      if (reply.error !== 0) w.error ??= errnoError(reply.error, "")
      if (reply.error === 0 && w.into !== undefined && w.length > 0) this.expectData(w, w.offset, w.length)
      else this.finish(w)
      return
    }
    const longest = reply.type === REPLY_OFFSET_DATA ? w.length + 8 : payloadBytesMax
    if (reply.length > longest) throw new NbdError("PROTOCOL", `a chunk of ${reply.length} bytes`)
    if (reply.length > 0) {
      this.payload = Buffer.alloc(reply.type === REPLY_OFFSET_DATA ? 8 : reply.length)
      this.payloadFill = 0
    } else this.chunk(w, Buffer.alloc(0))
  }

  private collect(payload: Buffer, bytes: Uint8Array, at: number, end: number): number {
    const taken = Math.min(payload.length - this.payloadFill, end - at)
    payload.set(bytes.subarray(at, at + taken), this.payloadFill)
    this.payloadFill += taken
    if (this.payloadFill === payload.length) {
      this.payload = undefined
      this.chunk(this.current(), payload)
    }
    return at + taken
  }

  private chunk(w: Waiting, payload: Buffer): void {
    const { reply } = this
    const short = (bytes: number): void => {
      if (payload.length < bytes) throw new NbdError("PROTOCOL", `a chunk of type ${reply.type} that is too short`)
    }
    if (reply.type === REPLY_OFFSET_DATA) {
      short(8)
      this.expectData(w, readU64(payload, 0), reply.length - 8)
      return
    }
    if (reply.type === REPLY_OFFSET_HOLE) {
      short(12)
      const [from, length] = [readU64(payload, 0), readU32(payload, 8)]
      this.inside(w, from, length)
      w.into!.fill(0, w.at + from - w.offset, w.at + from - w.offset + length)
      w.filled += length
    } else if (reply.type === REPLY_BLOCK_STATUS) {
      short(12)
      w.runs = decodeBlockStatus(payload).runs
    } else if ((reply.type & REPLY_ERROR_BIT) !== 0) {
      short(6)
      const { error, text } = decodeErrorChunk(payload)
      w.error ??= errnoError(error, text)
    } else if (reply.type !== REPLY_NONE) throw new NbdError("PROTOCOL", `a chunk of unknown type ${reply.type}`)
    this.maybeFinish(w)
  }

  private inside(w: Waiting, offset: number, length: number): void {
    const fits = w.into !== undefined && offset >= w.offset && offset + length <= w.offset + w.length
    if (!fits || length === 0) throw new NbdError("PROTOCOL", "data outside what was asked for")
  }

  private expectData(w: Waiting, offset: number, length: number): void {
    this.inside(w, offset, length)
    this.dataBytes = length
    this.dataAt = w.at + offset - w.offset
  }

  private data(bytes: Uint8Array, at: number, end: number): number {
    const w = this.current()
    const taken = Math.min(this.dataBytes, end - at)
    w.into!.set(bytes.subarray(at, at + taken), this.dataAt)
    this.dataAt += taken
    this.dataBytes -= taken
    w.filled += taken
    if (this.dataBytes === 0) this.maybeFinish(w)
    return at + taken
  }

  private maybeFinish(w: Waiting): void {
    if (this.reply.kind === "simple" || (this.reply.flags & REPLY_FLAG_DONE) !== 0) this.finish(w)
  }

  private finish(w: Waiting): void {
    this.waiting.delete(this.reply.cookieLow)
    if (w.error !== undefined) w.reject(w.error)
    else if (w.into !== undefined && w.filled !== w.length) {
      w.reject(new NbdError("PROTOCOL", `${w.filled} of ${w.length} bytes came`))
    } else w.resolve(w)
  }
}
