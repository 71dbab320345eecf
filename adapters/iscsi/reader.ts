/**
 * Cuts a stream of bytes into PDUs.
 *
 *     state      on                          to
 *     header     BHS, AHS, header digest     data, or the PDU is whole
 *     data       segment, padding, digest    the PDU is whole
 *
 * **Details** A PDU that lies wholly in the received chunk is handed over where it lies. One that is cut is put together: its header in a
 * buffer of the reader, its data in a borrowed slab, or, when small, in a buffer of its own. Whatever is handed over is the receiver's only
 * until it returns.
 *
 * **Gotchas** `feed` stops when the receiver takes no more, and answers where; the rest of the chunk is the caller's to keep.
 */
import { crc32c } from "../../core/bytes.ts"
import type { Slabs } from "../../core/slab-output.ts"
import { ahsBytes, BHS_BYTES, DIGEST_BYTES, dataSegmentBytes, padded } from "./pdu.ts"

export interface PduReceiver {
  /** Asked before each PDU. */
  mayTake(): boolean
  /** Header and AHS at `h`, `bytes` of data at `d`. */
  pdu(head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): void
  /** The stream cannot be followed any more (RFC 7143 §7.7, §7.8: a format or header digest error). */
  lostSync(why: string): void
  /** The data does not match its digest (§7.8). */
  badData(head: Uint8Array, h: number): void
}

/** Memory that all connections share for PDUs that came in part. */
export interface Budget {
  /** False: there is no room now. */
  take(bytes: number): boolean
  give(bytes: number): void
}
const unbounded: Budget = { take: () => true, give: () => {} }

const none = new Uint8Array(0)
const HEAD_BYTES_MAX = BHS_BYTES + 255 * 4 + DIGEST_BYTES
const SMALL_BYTES = 16_384

export class PduReader {
  private readonly receiver: PduReceiver
  private readonly slabs: Slabs
  private readonly budget: Budget
  private readonly segmentBytesMax: number
  private readonly held = Buffer.alloc(HEAD_BYTES_MAX)
  private heldFill = 0
  private headerDigest = 0
  private dataDigest = 0
  /** Of a PDU whose data is being put together; 0: none. */
  private wanted = 0
  private segment = 0
  private data: Uint8Array = none
  private dataFill = 0
  private stopped = false

  constructor(receiver: PduReceiver, slabs: Slabs, segmentBytesMax: number, budget: Budget = unbounded) {
    this.receiver = receiver
    this.slabs = slabs
    this.budget = budget
    this.segmentBytesMax = segmentBytesMax
  }

  /** From the next PDU on. */
  useDigests(header: boolean, data: boolean): void {
    this.headerDigest = header ? DIGEST_BYTES : 0
    this.dataDigest = data ? DIGEST_BYTES : 0
  }

  /** Takes no more, and gives back what it borrowed. */
  stop(): void {
    this.stopped = true
    this.giveBack()
  }

  /** Answers how far it came. */
  feed(chunk: Uint8Array, from: number, end: number): number {
    let at = from
    while (at < end && !this.stopped) {
      if (this.wanted > 0) at = this.gather(chunk, at, end)
      else if (this.heldFill === 0 && !this.receiver.mayTake()) return at
      else at = this.header(chunk, at, end)
    }
    return this.stopped ? end : at
  }

  private header(chunk: Uint8Array, from: number, end: number): number {
    if (this.heldFill === 0 && end - from >= BHS_BYTES) {
      const bytes = BHS_BYTES + ahsBytes(chunk, from) + this.headerDigest
      if (end - from >= bytes) return this.begin(chunk, from, bytes, chunk, from + bytes, end)
    }
    const { held } = this
    const goal = this.heldFill < BHS_BYTES ? BHS_BYTES : BHS_BYTES + ahsBytes(held, 0) + this.headerDigest
    const taken = Math.min(goal - this.heldFill, end - from)
    held.set(chunk.subarray(from, from + taken), this.heldFill)
    this.heldFill += taken
    if (this.heldFill < goal) return from + taken
    const bytes = BHS_BYTES + ahsBytes(held, 0) + this.headerDigest
    if (this.heldFill < bytes) return from + taken
    this.heldFill = 0
    return this.begin(held, 0, bytes, chunk, from + taken, end)
  }

  /** A whole header stands at `h`; its data begins at `at` of the chunk. */
  private begin(head: Uint8Array, h: number, bytes: number, chunk: Uint8Array, at: number, end: number): number {
    if (this.headerDigest !== 0 && !digestHolds(head, h, h + bytes - DIGEST_BYTES)) {
      this.lost("a header does not match its digest")
      return end
    }
    const segment = dataSegmentBytes(head, h)
    if (segment > this.segmentBytesMax) {
      this.lost(`a data segment of ${segment} bytes is longer than agreed`)
      return end
    }
    if (segment === 0) {
      this.receiver.pdu(head, h, none, 0, 0)
      return at
    }
    const wanted = padded(segment) + this.dataDigest
    if (end - at >= wanted) {
      this.whole(head, h, chunk, at, segment)
      return at + wanted
    }
    if (wanted > SMALL_BYTES && !this.budget.take(this.slabs.slabBytes)) {
      this.lost("the server holds as much of what is on its way as it may")
      return end
    }
    if (head !== this.held) this.held.set(head.subarray(h, h + bytes), 0)
    this.segment = segment
    this.wanted = wanted
    this.data = wanted <= SMALL_BYTES ? Buffer.allocUnsafe(wanted) : this.slabs.take()
    this.dataFill = 0
    return this.gather(chunk, at, end)
  }

  private gather(chunk: Uint8Array, at: number, end: number): number {
    const taken = Math.min(this.wanted - this.dataFill, end - at)
    this.data.set(chunk.subarray(at, at + taken), this.dataFill)
    this.dataFill += taken
    if (this.dataFill === this.wanted) {
      const { data } = this
      this.wanted = 0
      this.data = none
      this.whole(this.held, 0, data, 0, this.segment)
      this.handBack(data)
    }
    return at + taken
  }

  private whole(head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): void {
    if (this.dataDigest !== 0 && !digestHolds(data, d, d + padded(bytes))) this.receiver.badData(head, h)
    else this.receiver.pdu(head, h, data, d, bytes)
  }

  private lost(why: string): void {
    this.stop()
    this.receiver.lostSync(why)
  }

  private giveBack(): void {
    this.handBack(this.data)
    this.data = none
    this.wanted = 0
  }

  private handBack(data: Uint8Array): void {
    if (data.length !== this.slabs.slabBytes) return
    this.slabs.give(data)
    this.budget.give(data.length)
  }
}

const digestHolds = (b: Uint8Array, from: number, to: number): boolean => {
  const crc = crc32c(b.subarray(from, to))
  return (
    b[to] === (crc & 0xff) &&
    b[to + 1] === ((crc >>> 8) & 0xff) &&
    b[to + 2] === ((crc >>> 16) & 0xff) &&
    b[to + 3] === crc >>> 24
  )
}
