/**
 * The transmission phase of one NBD connection: bytes in, replies out, nothing else.
 *
 *     state        on                                     to
 *     header       28 bytes of a good request             header, or payload (WRITE), or skip (refused WRITE)
 *     payload      its last byte                          header, the write being under way
 *     skip         its last byte                          header, answered with the error
 *     any          DISC, or `finish`                      closing: no more input; ends when nothing is in flight
 *     any          a request without its magic            closed at once
 *
 * **Details** Every request in a received chunk is answered before the next chunk is looked at, and all those replies leave in one write.
 * A write's payload that lies wholly in the chunk is used in place; otherwise it is put together in a borrowed slab, or, when larger than
 * that, in a buffer of its own. A chunk is the receiver's again when it was handled: what has to wait is copied.
 *
 * **Back-pressure** Between two requests the session looks at what is in flight and what waits for the peer. Above its
 * budget it keeps the rest of the chunk and pauses the wire; it goes on when requests settle or the wire drains. So a peer that
 * does not read costs at most `outputBytesMax`, whatever it sends.
 *
 * **Not done** Handing parts of a long write to the disk as they arrive: it saves one copy and would leave torn writes behind a
 * lost connection.
 */
import type { BlockDevice } from "../../core/block/device.ts"
import { limits } from "../../core/limits.ts"
import type { Slabs } from "../../core/slab-output.ts"
import { Intake } from "../socket/intake.ts"
import type { Wire } from "../socket/wire.ts"
import { Commands } from "./commands.ts"
import { ESHUTDOWN } from "./errno.ts"
import { minimumBytes } from "./exports.ts"
import { judge, type Terms } from "./judge.ts"
import { Output } from "./output.ts"
import { CMD_DISC, CMD_WRITE, decodeRequest, emptyRequest, REQUEST_BYTES } from "./transmission.ts"

export interface Budget {
  readonly inFlightRequestsMax: number
  readonly inFlightBytesMax: number
  readonly outputBytesMax: number
  readonly outputPauseBytes: number
}

export const defaultBudget: Budget = {
  inFlightRequestsMax: limits.nbdInFlightRequestsMax,
  inFlightBytesMax: limits.nbdInFlightBytesMax,
  outputBytesMax: limits.nbdOutputBytesMax,
  outputPauseBytes: limits.nbdOutputPauseBytes,
}

export interface SessionInput {
  readonly device: BlockDevice
  readonly wire: Wire
  readonly slabs: Slabs
  readonly structured: boolean
  readonly allocation: boolean
  readonly budget?: Budget
  /** Called once, when nothing is in flight any more and nothing will be. `why` is for the log. */
  readonly ended: (why: string) => void
}

const none = new Uint8Array(0)

export class NbdSession {
  private readonly wire: Wire
  private readonly slabs: Slabs
  private readonly budget: Budget
  private readonly ended: (why: string) => void
  private readonly terms: Terms
  private readonly output: Output
  private readonly commands: Commands
  private readonly request = emptyRequest()

  private readonly head = Buffer.alloc(REQUEST_BYTES)
  private headFill = 0
  /** Of a write whose payload is being put together, or skipped. */
  private payload: Uint8Array = none
  private payloadFill = 0
  private payloadBytes = 0
  private skipBytes = 0
  private skipError = 0

  private readonly intake: Intake
  private refusing = false
  private closing: string | undefined
  private over = false
  private restScheduled = false

  constructor(input: SessionInput) {
    const { device } = input
    this.wire = input.wire
    this.slabs = input.slabs
    this.budget = input.budget ?? defaultBudget
    this.ended = input.ended
    this.terms = {
      sizeBytes: device.sizeBytes,
      minimumBytes: minimumBytes(device),
      payloadBytesMax: limits.ioBytesMax,
      writable: device.features.writable,
      structured: input.structured,
      allocation: input.allocation,
    }
    this.output = new Output(this.wire, this.slabs)
    this.intake = new Intake({
      socket: this.wire,
      take: (chunk) => (this.closing === undefined ? this.consume(chunk) : chunk.length),
      mayTake: () => !this.overBudget(),
    })
    this.commands = new Commands(device, this.output, this.terms, () => this.scheduleRest())
  }

  /** Takes what arrived. The chunk is the caller's again when this returns. */
  receive(chunk: Uint8Array): void {
    if (this.closing !== undefined) return
    this.intake.receive(chunk)
    this.output.rest()
    this.settle()
  }

  /** The wire has sent everything it held. */
  drained(): void {
    this.rest()
  }

  /** Every request from now on is answered ESHUTDOWN: the disk was taken away, or the server is stopping. */
  refuse(): void {
    this.refusing = true
  }

  /** Takes no more input, lets what is in flight come to its end, and closes. */
  finish(why: string): void {
    if (this.closing !== undefined) return
    this.closing = why
    this.intake.drop()
    this.dropPayload()
    this.settle()
  }

  /** The connection is gone: replies go nowhere, reads are given up, writes come to their end. */
  lost(why: string): void {
    this.output.discard()
    this.commands.abandon()
    this.finish(why)
  }

  /** Answers how much of the chunk was taken: not all of it when the budget is used up. */
  private consume(chunk: Uint8Array): number {
    const end = chunk.length
    let at = 0
    while (at < end) {
      if (this.payloadBytes > 0) {
        at = this.assemble(chunk, at, end)
      } else if (this.skipBytes > 0) {
        at = this.skip(at, end)
      } else {
        if (this.overBudget()) return at
        at = this.take(chunk, at, end)
        if (this.closing !== undefined) return end
      }
    }
    return end
  }

  /** Takes one request, or as much of its header as there is. Answers where the next begins. */
  private take(chunk: Uint8Array, from: number, end: number): number {
    let at = from
    let known: boolean
    if (this.headFill === 0 && end - at >= REQUEST_BYTES) {
      known = decodeRequest(this.request, chunk, at)
      at += REQUEST_BYTES
    } else {
      const taken = Math.min(REQUEST_BYTES - this.headFill, end - at)
      this.head.set(chunk.subarray(at, at + taken), this.headFill)
      this.headFill += taken
      at += taken
      if (this.headFill < REQUEST_BYTES) return at
      this.headFill = 0
      known = decodeRequest(this.request, this.head, 0)
    }
    if (!known) {
      this.breakOff("a request without its magic")
      return end
    }
    return this.dispatch(chunk, at, end)
  }

  private dispatch(chunk: Uint8Array, at: number, end: number): number {
    const r = this.request
    if (r.type === CMD_DISC) {
      this.finish("the client disconnected")
      return end
    }
    const error = this.refusing ? ESHUTDOWN : judge(r, this.terms)
    if (r.type !== CMD_WRITE || r.length === 0) {
      if (error === 0) this.commands.run(r)
      else this.commands.refuse(r, error)
      return at
    }
    if (error !== 0) {
      this.skipBytes = r.length
      this.skipError = error
      return this.skip(at, end)
    }
    if (end - at >= r.length) {
      this.commands.write(r, chunk, at, undefined)
      return at + r.length
    }
    this.payloadBytes = r.length
    this.payloadFill = 0
    this.payload = r.length <= this.slabs.slabBytes ? this.slabs.take() : Buffer.allocUnsafeSlow(r.length)
    return this.assemble(chunk, at, end)
  }

  private assemble(chunk: Uint8Array, at: number, end: number): number {
    const taken = Math.min(this.payloadBytes - this.payloadFill, end - at)
    this.payload.set(taken === chunk.length ? chunk : chunk.subarray(at, at + taken), this.payloadFill)
    this.payloadFill += taken
    if (this.payloadFill === this.payloadBytes) {
      const payload = this.payload
      this.payload = none
      this.payloadBytes = 0
      this.commands.write(this.request, payload, 0, this.giveBack)
    }
    return at + taken
  }

  private readonly giveBack = (payload: Uint8Array): void => {
    if (payload.length === this.slabs.slabBytes) this.slabs.give(payload)
  }

  private skip(at: number, end: number): number {
    const taken = Math.min(this.skipBytes, end - at)
    this.skipBytes -= taken
    if (this.skipBytes === 0) this.commands.refuse(this.request, this.skipError)
    return at + taken
  }

  /** One more request of the largest size must fit every budget. */
  private overBudget(): boolean {
    const { inFlightRequests, inFlightBytes } = this.commands
    const b = this.budget
    if (inFlightRequests >= b.inFlightRequestsMax) return true
    if (inFlightBytes > 0 && inFlightBytes + limits.ioBytesMax > b.inFlightBytesMax) return true
    const waiting = this.output.queuedBytes
    if (waiting === 0) return false
    return waiting > b.outputPauseBytes || waiting + inFlightBytes + limits.ioBytesMax > b.outputBytesMax
  }

  /** Sends what was gathered outside `receive`, and takes up what had to wait. */
  private rest(): void {
    this.output.rest()
    if (this.closing === undefined) this.intake.goOn()
    this.output.rest()
    this.settle()
  }

  /** Replies that settle in one turn leave in one write. */
  private scheduleRest(): void {
    if (this.restScheduled) return
    this.restScheduled = true
    queueMicrotask(() => {
      this.restScheduled = false
      this.rest()
    })
  }

  private settle(): void {
    if (this.closing === undefined || this.over || this.commands.inFlightRequests > 0) return
    this.over = true
    this.output.rest()
    this.wire.end()
    // What the peer still sends is read and ignored, so that its closing is seen.
    this.intake.resume()
    this.ended(this.closing)
  }

  private breakOff(why: string): void {
    this.output.flush()
    this.wire.destroy()
    this.lost(why)
  }

  private dropPayload(): void {
    if (this.payloadBytes > 0) this.giveBack(this.payload)
    this.payload = none
    this.payloadBytes = 0
    this.skipBytes = 0
    this.headFill = 0
  }
}
