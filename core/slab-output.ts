/**
 * Gathers the replies of one connection in a slab, so that a burst of requests is answered by one write.
 *
 *     room(n) ─► written into `slab` ─► counted by the protocol's own Output ─► … ─► rest(): one send
 *
 * **Details** A slab is borrowed from the server's `Slabs` when the first reply of a burst is made and given back when the burst has left, so idle
 * connections hold no memory and busy ones share slabs that are warm in the processor's cache. Only when the peer takes its replies too
 * slowly does the wire keep a slab; it comes back once the wire is empty.
 *
 * **Gotchas** `room` may send what was gathered before. A protocol extends this with the framing of its replies, and moves `fill`.
 */
import assert from "node:assert"

/** What replies leave by: a socket, or arrays in a spec. */
export interface OutputWire {
  /**
   * Sends. True: the bytes have left and the buffer may be used again. False: the wire still reads from the buffer, until
   * `queuedBytes()` is 0.
   */
  send(bytes: Uint8Array): boolean
  /** Bytes sent that have not left yet. */
  queuedBytes(): number
}

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

export class SlabOutput {
  /** Where a reply goes after `room`. */
  slab: Uint8Array = none
  /** How much of the slab is gathered. */
  protected fill = 0
  protected open = true
  protected readonly wire: OutputWire
  protected readonly slabs: Slabs
  /** Slabs that the wire still reads from. */
  private readonly lent: Array<Uint8Array> = []
  /** What the wire held after the last look; it may have sent some of that since. */
  queuedBytes = 0

  constructor(wire: OutputWire, slabs: Slabs) {
    this.wire = wire
    this.slabs = slabs
  }

  /** Makes room for `bytes` of replies and answers where they go. They must fit a slab. */
  room(bytes: number): number {
    if (this.fill + bytes > this.slab.length) this.makeRoom(bytes)
    return this.fill
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

  /** From now on replies go nowhere: the peer has gone. */
  discard(): void {
    this.open = false
    this.fill = 0
    this.slab = none
    // The wire may still read from what it was lent; the garbage collector knows when it no longer does.
    this.lent.length = 0
    this.queuedBytes = 0
  }

  private makeRoom(bytes: number): void {
    assert(bytes <= this.slabs.slabBytes, "a reply fits a slab")
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
