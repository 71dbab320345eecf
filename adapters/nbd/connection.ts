/**
 * One NBD connection: a socket, its handshake, the lease it earns, and its session.
 *
 *     greeting ─► handshake (bounded in time) ─► attach ─► session ─► lease released, socket closed
 *
 * **Details** While an export is being opened the socket is not read. A lease is released exactly once, after the last request in flight
 * has come to its end. Losing the disk (`onRevoked`) and stopping the server both answer ESHUTDOWN for a moment and then close; a peer
 * that does not take its replies is cut off after `closeSeconds`.
 */
import type { Socket } from "node:net"
import { type Disks, endingText, type Lease, type Peer } from "../../core/block/lease.ts"
import type { ErrorCode } from "../../core/errors.ts"
import type { Slabs } from "../../core/slab-output.ts"
import { isGone, peerOf } from "../socket/peer.ts"
import type { ReceiveBuffers } from "../socket/receive.ts"
import { Timers } from "../socket/timers.ts"
import { socketWire } from "../socket/wire.ts"
import { ours } from "./errno.ts"
import { describeExport, type ExportName } from "./exports.ts"
import { type Answer, answer, initial, type Outcome, type Step, step } from "./handshake.ts"
import { encodeGreeting, FLAG_FIXED_NEWSTYLE, FLAG_NO_ZEROES } from "./options.ts"
import { type Budget, NbdSession } from "./session.ts"

/** One line for the server's log. */
export type NbdEvent = { readonly connection: number; readonly peer: string } & (
  | { readonly type: "connected" }
  | { readonly type: "opened"; readonly export: string; readonly description: string }
  | { readonly type: "refused"; readonly export: string; readonly code: ErrorCode; readonly message: string }
  | { readonly type: "closed"; readonly export?: string; readonly why: string }
  | { readonly type: "error"; readonly message: string }
)
type Happening = NbdEvent extends infer E ? (E extends NbdEvent ? Omit<E, "connection" | "peer"> : never) : never

export interface ConnectionInput {
  readonly id: number
  readonly socket: Socket
  readonly disks: Disks
  readonly slabs: Slabs
  readonly buffers: ReceiveBuffers
  readonly budget: Budget
  readonly handshakeSeconds: number
  readonly refusalMillis: number
  readonly closeSeconds: number
  readonly report: (event: NbdEvent) => void
  /** Called once, when the socket is closed and the lease released. */
  readonly closed: () => void
}

export class Connection {
  private readonly input: ConnectionInput
  private readonly socket: Socket
  private readonly peer: Peer
  private handshake = initial
  private session: NbdSession | undefined
  private lease: Lease | undefined
  private export: string | undefined
  /** The first reason to close. */
  private why: string | undefined
  private forget: (() => void) | undefined
  private handshakeOver = false
  private stopping = false
  private opening = false
  private sessionEnded = true
  private socketClosed = false
  private over = false
  private readonly timers = new Timers()

  constructor(input: ConnectionInput) {
    this.input = input
    this.socket = input.buffers.attach(input.socket, (chunk) => this.received(chunk))
    this.peer = peerOf(this.socket.remoteAddress, "nbd")
    this.report({ type: "connected" })
    this.socket.on("drain", () => this.session?.drained())
    this.socket.on("end", () => this.ended())
    this.socket.on("error", (e) => this.failed(e))
    this.socket.on("close", () => this.lost())
    this.timers.after(input.handshakeSeconds * 1000, () => {
      if (this.session === undefined) this.close("the handshake took too long")
    })
    this.socket.write(encodeGreeting(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES))
  }

  /** Answers ESHUTDOWN for a moment, then closes; by force when that takes too long. */
  stop(why: string): void {
    if (this.stopping) return
    this.stopping = true
    this.why ??= why
    this.timers.after(this.input.closeSeconds * 1000, () => this.socket.destroy())
    if (this.session === undefined) {
      this.socket.destroy()
      return
    }
    this.session.refuse()
    this.timers.after(this.input.refusalMillis, () => this.session?.finish(why))
  }

  /** A mistake of ours costs the connection it happened on, not the others. What the handshake keeps of a chunk is a copy of its own. */
  private received(chunk: Uint8Array): void {
    try {
      if (this.session !== undefined) this.session.receive(chunk)
      else if (!this.handshakeOver) this.advance(step(this.handshake, Buffer.from(chunk)))
    } catch (e) {
      this.failed(e instanceof Error ? e : new Error(String(e)))
      this.socket.destroy()
    }
  }

  private advance(s: Step): void {
    this.handshake = s.state
    if (s.replies.length > 0) this.socket.write(Buffer.concat(s.replies))
    this.follow(s.outcome)
  }

  private follow(o: Outcome): void {
    if (o.want === "close") this.close(o.why)
    else if (o.want === "list") this.list()
    else if (o.want === "export") void this.open(o.name, o.text, o.structured)
    else if (o.want === "transmission") this.transmit(o)
  }

  private list(): void {
    this.advance(answer(this.handshake, { kind: "list", disks: this.input.disks.list(this.peer) }))
  }

  /** Opens what was asked for. INFO gives its lease back at once. */
  private async open(name: ExportName, text: string, structured: boolean): Promise<void> {
    this.opening = true
    this.socket.pause()
    const reply = await this.attach(name, text, structured)
    const s = answer(this.handshake, reply)
    if (s.outcome.want !== "transmission") await this.release()
    this.opening = false
    if (this.socketClosed) {
      this.maybeOver()
      return
    }
    if (!this.stopping) this.advance(s)
    this.socket.resume()
  }

  private async attach(name: ExportName, text: string, structured: boolean): Promise<Answer> {
    const { disks } = this.input
    try {
      this.lease =
        name.kind === "client"
          ? await disks.attach(name.client, name.slot, undefined, this.peer)
          : await disks.attachImage(name.image, name.version, this.peer)
      this.export = text
      return { kind: "export", info: describeExport(text, this.lease.description, this.lease.device, structured) }
    } catch (e) {
      const error = ours(e)
      this.report({ type: "refused", export: text, code: error.code, message: error.message })
      return { kind: "refused", error }
    }
  }

  private transmit(o: Outcome & { want: "transmission" }): void {
    const lease = this.lease!
    this.report({ type: "opened", export: this.export!, description: lease.description })
    this.sessionEnded = false
    this.session = new NbdSession({
      device: lease.device,
      wire: socketWire(this.socket),
      slabs: this.input.slabs,
      structured: o.structured,
      allocation: o.allocation,
      budget: this.input.budget,
      ended: (why) => this.finished(why),
    })
    this.forget = lease.onRevoked((ending) => this.stop(endingText(ending)))
    if (o.rest.length > 0) this.session.receive(o.rest)
  }

  /** The peer sends no more; what it asked is still answered. */
  private ended(): void {
    if (this.session !== undefined) this.session.finish("the client closed its side")
    else this.close("the client left during the handshake")
  }

  private failed(e: Error): void {
    if (isGone(e)) {
      this.why ??= "the client is off, or out of reach"
      return
    }
    this.why ??= e.message
    this.report({ type: "error", message: e.message })
  }

  /** Closes after what was written has left, and not later than `closeSeconds`. */
  private close(why: string): void {
    this.why ??= why
    this.handshakeOver = true
    this.socket.end()
    this.timers.after(this.input.closeSeconds * 1000, () => this.socket.destroy())
  }

  /** Nothing is in flight any more: the session has ended its wire. */
  private finished(why: string): void {
    this.why ??= why
    this.sessionEnded = true
    this.timers.after(this.input.closeSeconds * 1000, () => this.socket.destroy())
    this.maybeOver()
  }

  private lost(): void {
    this.socketClosed = true
    this.timers.end()
    this.why ??= "the connection was lost"
    this.session?.lost(this.why)
    this.maybeOver()
  }

  /** The lease goes with the session; the connection is over when the socket is closed as well. */
  private maybeOver(): void {
    if (!this.sessionEnded || this.opening) return
    const released = this.release()
    if (!this.socketClosed || this.over) return
    this.over = true
    void released.then(() => {
      const which = this.export === undefined ? {} : { export: this.export }
      this.report({ type: "closed", ...which, why: this.why ?? "the connection was closed" })
      this.input.closed()
    })
  }

  private async release(): Promise<void> {
    const lease = this.lease
    this.lease = undefined
    this.forget?.()
    this.forget = undefined
    try {
      await lease?.release()
    } catch (e) {
      this.report({ type: "error", message: ours(e).message })
    }
  }

  private report(event: Happening): void {
    this.input.report({ connection: this.input.id, peer: this.peer.address, ...event })
  }
}
