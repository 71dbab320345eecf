/**
 * One connection to an NBD server: any number of reads in flight, answered in any order.
 *
 * **Details** Bytes go from the socket straight to the read that they belong to. A read that nobody waits for any more cannot be called back; its bytes are let fall.
 * When the server says nothing while a read is in flight, or anything that is no answer, the connection is over, and every read in flight with it.
 */
import { connect, type Socket } from "node:net"
import { fail, isImagelinkError, limits } from "imagelink/plugin"
import type { Clock } from "../clock.ts"
import { Transient } from "../source.ts"
import { type Agreed, negotiate } from "./handshake.ts"
import { Incoming } from "./incoming.ts"
import { CMD_DISC, CMD_READ, decodeReply, encodeRequest, REPLY_BYTES } from "./wire.ts"

export interface NbdAddress {
  /** For messages. */
  readonly url: string
  readonly host: string
  readonly port: number
  readonly name: string
}

interface Waiting {
  left: number
  /** Undefined once nobody waits. */
  take: ((piece: Uint8Array) => void) | undefined
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** @throws Transient IMAGE_FILE_NOT_FOUND REMOTE_REFUSED */
export const openConnection = async (
  address: NbdAddress,
  clock: Clock,
  signal: AbortSignal,
): Promise<NbdConnection> => {
  const socket = connect({ host: address.host, port: address.port, noDelay: true })
  let failure: Error | undefined
  socket.on("error", (error: NodeJS.ErrnoException) => (failure = new Transient(wordsOf(error))))
  const incoming = new Incoming(socket)
  const abort = () => {
    failure = new Transient("there was no answer in time")
    socket.destroy()
  }
  const silent = clock.after(limits.remoteSilenceMillis, () => {
    failure = new Transient(`nothing was heard for ${limits.remoteSilenceMillis} ms`)
    socket.destroy()
  })
  signal.addEventListener("abort", abort, { once: true })
  if (signal.aborted) abort()
  try {
    const agreed = await negotiate(socket, incoming, address.name, address.url)
    return new NbdConnection(address.url, socket, incoming.release(), agreed, clock)
  } catch (error) {
    socket.destroy()
    throw isImagelinkError(error) ? error : (failure ?? error)
  } finally {
    silent()
    signal.removeEventListener("abort", abort)
  }
}

export class NbdConnection {
  readonly agreed: Agreed
  readonly #url: string
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #waiting = new Map<number, Waiting>()
  readonly #head = Buffer.alloc(REPLY_BYTES)
  #headHas = 0
  /** Whose bytes are coming in. */
  #current: { readonly cookie: number; readonly waiting: Waiting } | undefined
  #cookie = 0
  #silent: (() => void) | undefined
  #lost: Error | undefined

  constructor(url: string, socket: Socket, first: Buffer, agreed: Agreed, clock: Clock) {
    this.agreed = agreed
    this.#url = url
    this.#socket = socket
    this.#clock = clock
    socket.on("data", (chunk: Buffer) => this.#heard(chunk))
    socket.on("close", () => this.#lose(new Transient("its server dropped the connection")))
    if (first.length > 0) this.#heard(first)
    if (socket.destroyed) this.#lose(new Transient("its server dropped the connection"))
  }

  get isLost(): boolean {
    return this.#lost !== undefined
  }
  get inFlight(): number {
    return this.#waiting.size
  }

  /** Hands over `length` bytes from `offset` on, piece by piece. @throws Transient REMOTE_REFUSED */
  read(offset: number, length: number, take: (piece: Uint8Array) => void, signal: AbortSignal): Promise<void> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost)
    return new Promise((resolve, reject) => {
      const cookie = ++this.#cookie
      const waiting: Waiting = { left: length, take, resolve: end(resolve), reject: end(reject) }
      const abort = () => {
        waiting.take = undefined
        waiting.reject(new Transient("there was no answer in time"))
      }
      function end<A extends ReadonlyArray<unknown>>(settle: (...args: A) => void) {
        return (...args: A) => {
          signal.removeEventListener("abort", abort)
          settle(...args)
        }
      }
      signal.addEventListener("abort", abort, { once: true })
      this.#waiting.set(cookie, waiting)
      this.#socket.write(encodeRequest(CMD_READ, cookie, offset, length))
      this.#watch()
      if (signal.aborted) abort()
    })
  }

  #heard(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && this.#lost === undefined; ) {
      if (this.#current === undefined) at += this.#readHead(chunk, at)
      else at += this.#readBytes(this.#current, chunk, at)
    }
    this.#watch()
  }

  #readHead(chunk: Buffer, at: number): number {
    const taken = chunk.copy(this.#head, this.#headHas, at, at + REPLY_BYTES - this.#headHas)
    this.#headHas += taken
    if (this.#headHas < REPLY_BYTES) return taken
    this.#headHas = 0
    const reply = decodeReply(this.#head)
    const waiting = reply && this.#waiting.get(reply.cookie)
    if (reply === undefined || waiting === undefined) {
      this.#lose(new Transient("its server breaks the NBD protocol"))
      this.#socket.destroy()
    } else if (reply.error === 0) this.#current = { cookie: reply.cookie, waiting }
    else {
      this.#waiting.delete(reply.cookie)
      waiting.reject(this.#errorOf(reply.error))
    }
    return taken
  }

  #readBytes({ cookie, waiting }: { cookie: number; waiting: Waiting }, chunk: Buffer, at: number): number {
    const count = Math.min(waiting.left, chunk.length - at)
    waiting.left -= count
    waiting.take?.(chunk.subarray(at, at + count))
    if (waiting.left > 0) return count
    this.#current = undefined
    this.#waiting.delete(cookie)
    waiting.resolve()
    return count
  }

  /** "Error values": EPERM and EINVAL will be the same the next time. */
  #errorOf(error: number): Error {
    const why = `its server answers a read with error ${error}`
    if (error === 1 || error === 22 || error === 95)
      return fail("REMOTE_REFUSED", { url: this.#url, why, denied: error === 1 })
    return new Transient(why)
  }

  #watch(): void {
    this.#silent?.()
    this.#silent = undefined
    if (this.#waiting.size === 0 || this.#lost !== undefined) return
    this.#silent = this.#clock.after(limits.remoteSilenceMillis, () => {
      this.#lose(new Transient(`nothing was heard for ${limits.remoteSilenceMillis} ms`))
      this.#socket.destroy()
    })
  }

  #lose(error: Error): void {
    this.#lost ??= error
    this.#silent?.()
    for (const waiting of this.#waiting.values()) waiting.reject(this.#lost)
    this.#waiting.clear()
  }

  /** Says goodbye; what is in flight is given up. */
  close(): void {
    if (this.#lost === undefined) this.#socket.end(encodeRequest(CMD_DISC, 0, 0, 0))
    this.#lose(new Transient("the connection was closed"))
    this.#socket.on("end", () => this.#socket.destroy())
    // A server that does not close its side is not waited for.
    this.#clock.after(limits.remoteRetryMillisMin, () => this.#socket.destroy())
  }
}

const wordsOf = ({ code }: NodeJS.ErrnoException): string => {
  if (code === "ECONNREFUSED") return "its server refuses connections"
  if (code === "ENOTFOUND") return "the name of its server is not known"
  return code === undefined ? "the connection failed" : `the connection failed (${code})`
}
