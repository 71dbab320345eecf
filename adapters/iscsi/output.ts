/**
 * Gathers the PDUs of a connection in one slab, digests and padding included, so that a burst of commands is answered by one write.
 *
 *     room(n) ─► header and data written into `slab` ─► seal(n): padding, digests ─► … ─► rest(): one send
 *
 * **Details** A slab is borrowed from the server's `Slabs` when the first PDU of a burst is made and given back when the burst has left, so idle
 * connections hold no memory and busy ones share slabs that are warm in the processor's cache. Only when the peer takes its replies too slowly
 * does the wire keep a slab; it comes back once the wire is empty. Digests are CRC-32C, sent least significant byte first (RFC 7143 §13.1,
 * appendix A).
 */
import assert from "node:assert"
import { crc32c } from "../../core/bytes.ts"
import { BHS_BYTES, padded } from "./pdu.ts"
import type { Wire } from "./wire.ts"

/** Buffers of one size for all connections of a server. */
export class Slabs {
  readonly slabBytes: number
  private readonly keptMax: number
  private readonly free: Array<Uint8Array> = []

  constructor(slabBytes: number, keptMax: number) {
    this.slabBytes = slabBytes
    this.keptMax = keptMax
  }
  take(): Uint8Array {
    return this.free.pop() ?? Buffer.allocUnsafeSlow(this.slabBytes)
  }
  give(slab: Uint8Array): void {
    if (this.free.length < this.keptMax) this.free.push(slab)
  }
}

const none = new Uint8Array(0)

export const putDigest = (b: Uint8Array, at: number, from: number, to: number): void => {
  const crc = crc32c(b.subarray(from, to))
  b[at] = crc
  b[at + 1] = crc >>> 8
  b[at + 2] = crc >>> 16
  b[at + 3] = crc >>> 24
}

export class Output {
  /** Where a PDU goes after `room`. */
  slab: Uint8Array = none
  /** From the start of a PDU to its data. */
  dataOffset = BHS_BYTES
  private fill = 0
  private headerDigest = 0
  private dataDigest = 0
  private readonly wire: Wire
  private readonly slabs: Slabs
  /** Slabs that the wire still reads from. */
  private readonly lent: Array<Uint8Array> = []
  private open = true
  /** What the wire held after the last look; it may have sent some of that since. */
  queuedBytes = 0

  constructor(wire: Wire, slabs: Slabs) {
    this.wire = wire
    this.slabs = slabs
  }

  /** From the next PDU on. */
  useDigests(header: boolean, data: boolean): void {
    this.headerDigest = header ? 4 : 0
    this.dataDigest = data ? 4 : 0
    this.dataOffset = BHS_BYTES + this.headerDigest
  }

  /** Bytes of a PDU with so much data. */
  pduBytes(dataBytes: number): number {
    return this.dataOffset + (dataBytes === 0 ? 0 : padded(dataBytes) + this.dataDigest)
  }

  /** Makes room for PDUs of `bytes` together and answers where the first goes. They must fit a slab. */
  room(bytes: number): number {
    if (this.fill + bytes > this.slab.length) this.makeRoom(bytes)
    return this.fill
  }

  /** A PDU stands at `at`, with so much data: pads it, adds the digests, and counts it as gathered. */
  seal(at: number, dataBytes: number): void {
    const { slab } = this
    if (this.headerDigest !== 0) putDigest(slab, at + BHS_BYTES, at, at + BHS_BYTES)
    let end = at + this.dataOffset
    if (dataBytes > 0) {
      const from = end
      end = from + dataBytes
      while (((end - from) & 3) !== 0) slab[end++] = 0
      if (this.dataDigest !== 0) {
        putDigest(slab, end, from, end)
        end += 4
      }
    }
    this.fill = end
  }

  /** A finished PDU without digests, as login has them. */
  whole(pdu: Uint8Array): void {
    const at = this.room(pdu.length)
    this.slab.set(pdu, at)
    this.fill += pdu.length
  }

  /** Sends what was gathered; the slab stays for more, unless the wire kept it. */
  flush(): void {
    if (this.fill === 0) return
    const bytes = this.slab.subarray(0, this.fill)
    this.fill = 0
    if (!this.open || this.wire.send(bytes)) return
    this.lent.push(this.slab)
    this.slab = none
    this.queuedBytes = this.wire.queuedBytes()
  }

  /** Ends a burst: sends, and gives back every slab the wire is done with. */
  rest(): void {
    this.flush()
    if (this.slab !== none) {
      this.slabs.give(this.slab)
      this.slab = none
    }
    this.reclaim()
  }

  /** From now on PDUs go nowhere: the peer has gone. */
  discard(): void {
    this.open = false
    this.fill = 0
    this.slab = none
    // The wire may still read from what it was lent; the garbage collector knows when it no longer does.
    this.lent.length = 0
    this.queuedBytes = 0
  }

  private makeRoom(bytes: number): void {
    assert(bytes <= this.slabs.slabBytes, "a PDU fits a slab")
    this.flush()
    if (this.slab !== none) return
    this.reclaim()
    this.slab = this.slabs.take()
  }

  private reclaim(): void {
    if (this.queuedBytes === 0) return
    this.queuedBytes = this.open ? this.wire.queuedBytes() : 0
    if (this.queuedBytes !== 0) return
    for (const slab of this.lent) this.slabs.give(slab)
    this.lent.length = 0
  }
}
