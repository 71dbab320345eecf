/**
 * The client's socket: first a channel of exact reads for the handshake, then a source of replies.
 *
 * **Details** The socket reads into one buffer for the life of the connection. What is sent in one turn leaves in one write. The first thing that goes
 * wrong is what every later request rejects with.
 */
import { connect, type Socket } from "node:net"
import type { Channel } from "./client-handshake.ts"
import type { Replies } from "./client-replies.ts"
import { NbdError } from "./nbd-error.ts"

export interface NbdAddress {
  readonly host: string
  readonly port: number
  /** For the connection and its handshake; 10 s. */
  readonly timeoutMillis?: number
}

const receiveBytes = 256 * 1024

export class Link implements Channel {
  readonly socket: Socket
  private inbox = Buffer.alloc(0)
  private wanted: { readonly bytes: number; readonly give: () => void } | undefined
  private lostWith: NbdError | undefined
  private replies: Replies | undefined
  private readonly closed: Promise<void>
  private corked = false

  constructor(address: NbdAddress) {
    this.socket = connect({
      host: address.host,
      port: address.port,
      noDelay: true,
      onread: { buffer: Buffer.allocUnsafeSlow(receiveBytes), callback: (n, buffer) => this.received(n, buffer) },
    })
    this.closed = new Promise((resolve) => this.socket.once("close", () => resolve()))
    this.socket.on("error", (e: NodeJS.ErrnoException) =>
      this.lose(new NbdError(e.code ?? "DISCONNECTED", e.message, e)),
    )
    this.socket.on("close", () => this.lose(new NbdError("DISCONNECTED", "the connection was closed")))
  }

  async during<A>(timeoutMillis = 10_000, work: Promise<A>): Promise<A> {
    const late = new NbdError("TIMEOUT", `no answer within ${timeoutMillis} ms`)
    const timer = setTimeout(() => this.lose(late), timeoutMillis)
    try {
      return await work
    } catch (e) {
      this.socket.destroy()
      throw e
    } finally {
      clearTimeout(timer)
    }
  }

  async take(bytes: number): Promise<Buffer> {
    if (this.inbox.length < bytes) {
      await new Promise<void>((give) => {
        this.wanted = { bytes, give }
        if (this.lostWith !== undefined) give()
      })
      this.wanted = undefined
    }
    if (this.inbox.length < bytes) throw this.lostWith ?? new NbdError("DISCONNECTED", "the connection was closed")
    const taken = this.inbox.subarray(0, bytes)
    this.inbox = this.inbox.subarray(bytes)
    return taken
  }

  /** What is sent in one turn leaves in one write. */
  send(bytes: Uint8Array): void {
    if (!this.corked) {
      this.corked = true
      this.socket.cork()
      process.nextTick(() => {
        this.corked = false
        this.socket.uncork()
      })
    }
    this.socket.write(bytes)
  }

  /** From now on everything received goes to `replies`. */
  startReplies(replies: Replies): void {
    this.replies = replies
    if (this.lostWith !== undefined) replies.abandon(this.lostWith)
    else if (this.inbox.length > 0) this.feed(this.inbox, this.inbox.length)
    this.inbox = Buffer.alloc(0)
  }

  get lost(): NbdError | undefined {
    return this.lostWith
  }

  async end(): Promise<void> {
    this.socket.end()
    this.socket.resume()
    await this.closed
  }

  private received(n: number, buffer: Uint8Array): boolean {
    if (this.replies !== undefined) {
      this.feed(buffer, n)
      return true
    }
    this.inbox = Buffer.concat([this.inbox, buffer.subarray(0, n)])
    if (this.wanted !== undefined && this.inbox.length >= this.wanted.bytes) this.wanted.give()
    return true
  }

  private feed(bytes: Uint8Array, n: number): void {
    try {
      this.replies!.feed(bytes, n)
    } catch (e) {
      this.lose(e instanceof NbdError ? e : new NbdError("PROTOCOL", String(e), e))
    }
  }

  private lose(e: NbdError): void {
    if (this.lostWith !== undefined) return
    this.lostWith = e
    this.socket.destroy()
    this.wanted?.give()
    this.replies?.abandon(e)
  }
}
