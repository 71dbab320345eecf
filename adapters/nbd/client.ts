/**
 * An NBD client of our own, for the demo, `doctor`, uploads, benches and specs.
 *
 *     const disk = await connectNbd({ host: "127.0.0.1", port: 10809, export: "client/PC-001/0" })
 *     await disk.write(0, bytes)
 *     await disk.flush()
 *     await disk.disconnect()
 *
 * **Details** Any number of requests may be in flight; those of one turn leave in one write, and replies are taken in any order. Reads
 * go straight into the caller's buffer. Everything rejects with an `NbdError`; once the connection is lost, everything in flight does.
 *
 * **Gotchas** A buffer given to `write` or `readInto` is in use until the promise settles.
 */
import type { DiskName } from "../../core/block/lease.ts"
import { type Agreed, negotiate, negotiateList } from "./client-handshake.ts"
import { Link, type NbdAddress } from "./client-link.ts"
import { Replies, type Waiting } from "./client-replies.ts"
import { NbdError } from "./nbd-error.ts"
import {
  CMD_BLOCK_STATUS,
  CMD_CACHE,
  CMD_DISC,
  CMD_FLAG_FAST_ZERO,
  CMD_FLAG_FUA,
  CMD_FLAG_NO_HOLE,
  CMD_FLAG_REQ_ONE,
  CMD_FLUSH,
  CMD_READ,
  CMD_TRIM,
  CMD_WRITE,
  CMD_WRITE_ZEROES,
  type Descriptor,
  encodeRequest,
  FLAG_READ_ONLY,
  REQUEST_BYTES,
} from "./transmission.ts"

export type { NbdAddress } from "./client-link.ts"
export { NbdError } from "./nbd-error.ts"

export interface NbdConnectOptions extends NbdAddress {
  readonly export: string
  /** Ask for structured replies, and with them block status; true. */
  readonly structured?: boolean
}

export interface NbdClient {
  readonly sizeBytes: number
  readonly readOnly: boolean
  readonly description: string
  readonly minimumBytes: number
  readonly preferredBytes: number
  readonly payloadBytesMax: number
  /** Transmission flags, as the server sent them. */
  readonly flags: number
  readonly structured: boolean
  /** `blockStatus` may be asked. */
  readonly canBlockStatus: boolean

  read(offset: number, length: number): Promise<Buffer>
  readInto(into: Uint8Array, at: number, offset: number, length: number): Promise<void>
  write(offset: number, bytes: Uint8Array, options?: { readonly fua?: boolean }): Promise<void>
  zero(offset: number, length: number, options?: ZeroOptions): Promise<void>
  trim(offset: number, length: number, options?: { readonly fua?: boolean }): Promise<void>
  flush(): Promise<void>
  prefetch(offset: number, length: number): Promise<void>
  /** Runs from `offset` on, at least one; state bits STATE_HOLE and STATE_ZERO. */
  blockStatus(offset: number, length: number, options?: { readonly one?: boolean }): Promise<ReadonlyArray<Descriptor>>
  /** Says goodbye and waits until the connection is closed; what is in flight is still answered. */
  disconnect(): Promise<void>
  /** Drops the connection. */
  destroy(): void
}

export interface ZeroOptions {
  readonly fua?: boolean
  /** Keep the space. */
  readonly noHole?: boolean
  /** Fail with ENOTSUP rather than write zeros. */
  readonly fast?: boolean
}

/** Opens an export. @throws NbdError */
export const connectNbd = async (options: NbdConnectOptions): Promise<NbdClient> => {
  const link = new Link(options)
  const wishes = { structured: options.structured ?? true, blockStatus: options.structured ?? true }
  const agreed = await link.during(options.timeoutMillis, negotiate(link, options.export, wishes))
  return new Client(link, agreed)
}

/** What a server shows to this address. @throws NbdError */
export const listNbd = async (options: NbdAddress): Promise<ReadonlyArray<DiskName>> => {
  const link = new Link(options)
  const list = await link.during(options.timeoutMillis, negotiateList(link))
  await link.end()
  return list
}

const none = new Uint8Array(0)

class Client implements NbdClient {
  readonly sizeBytes: number
  readonly readOnly: boolean
  readonly description: string
  readonly minimumBytes: number
  readonly preferredBytes: number
  readonly payloadBytesMax: number
  readonly flags: number
  readonly structured: boolean
  readonly canBlockStatus: boolean
  private readonly link: Link
  private readonly replies = new Replies()
  private cookie = 0

  constructor(link: Link, agreed: Agreed) {
    const { info } = agreed
    this.link = link
    this.sizeBytes = info.sizeBytes
    this.readOnly = (info.transmissionFlags & FLAG_READ_ONLY) !== 0
    this.description = info.description
    this.minimumBytes = info.minimumBytes
    this.preferredBytes = info.preferredBytes
    this.payloadBytesMax = info.payloadBytesMax
    this.flags = info.transmissionFlags
    this.structured = agreed.structured
    this.canBlockStatus = agreed.allocation !== undefined
    link.startReplies(this.replies)
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const into = Buffer.allocUnsafe(length)
    await this.readInto(into, 0, offset, length)
    return into
  }
  async readInto(into: Uint8Array, at: number, offset: number, length: number): Promise<void> {
    await this.request(CMD_READ, 0, offset, length, none, into, at)
  }
  async write(offset: number, bytes: Uint8Array, options: { readonly fua?: boolean } = {}): Promise<void> {
    await this.request(CMD_WRITE, options.fua ? CMD_FLAG_FUA : 0, offset, bytes.length, bytes)
  }
  async zero(offset: number, length: number, options: ZeroOptions = {}): Promise<void> {
    const flags =
      (options.fua ? CMD_FLAG_FUA : 0) |
      (options.noHole ? CMD_FLAG_NO_HOLE : 0) |
      (options.fast ? CMD_FLAG_FAST_ZERO : 0)
    await this.request(CMD_WRITE_ZEROES, flags, offset, length)
  }
  async trim(offset: number, length: number, options: { readonly fua?: boolean } = {}): Promise<void> {
    await this.request(CMD_TRIM, options.fua ? CMD_FLAG_FUA : 0, offset, length)
  }
  async flush(): Promise<void> {
    await this.request(CMD_FLUSH, 0, 0, 0)
  }
  async prefetch(offset: number, length: number): Promise<void> {
    await this.request(CMD_CACHE, 0, offset, length)
  }
  async blockStatus(
    offset: number,
    length: number,
    options: { readonly one?: boolean } = {},
  ): Promise<ReadonlyArray<Descriptor>> {
    const w = await this.request(CMD_BLOCK_STATUS, options.one ? CMD_FLAG_REQ_ONE : 0, offset, length)
    if (w.runs === undefined) throw new NbdError("PROTOCOL", "block status without a descriptor")
    return w.runs
  }

  async disconnect(): Promise<void> {
    if (this.link.lost !== undefined) return
    this.link.send(this.header(CMD_DISC, 0, 0, 0, 0))
    await this.link.end()
  }
  destroy(): void {
    this.link.socket.destroy()
  }

  private request(
    type: number,
    flags: number,
    offset: number,
    length: number,
    payload: Uint8Array = none,
    into?: Uint8Array,
    at = 0,
  ): Promise<Waiting> {
    return new Promise((resolve, reject) => {
      if (this.link.lost !== undefined) {
        reject(this.link.lost)
        return
      }
      this.cookie = (this.cookie + 1) >>> 0
      const waiting = { offset, length, into, at, filled: 0, runs: undefined, error: undefined, resolve, reject }
      this.replies.expect(this.cookie, waiting)
      this.link.send(this.header(type, flags, this.cookie, offset, length))
      if (payload.length > 0) this.link.send(payload)
    })
  }

  private header(type: number, flags: number, cookieLow: number, offset: number, length: number): Buffer {
    const b = Buffer.allocUnsafe(REQUEST_BYTES)
    encodeRequest({ type, flags, cookieHigh: 0, cookieLow, offset, length }, b, 0)
    return b
  }
}
