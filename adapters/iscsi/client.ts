/**
 * A small iSCSI initiator: one session, commands in flight up to the target's window (RFC 7143, the initiator's side).
 *
 *     const disk = await connectIscsi({ host, port, target: "iqn.2026-11.io.imagelink:pc-001" })
 *     await disk.write(4096, bytes); await disk.flush(); await disk.logout()
 *
 * **When to use** In the demo, doctor, benches and specs: it shows every field a spec may want to look at, and can be made to misbehave.
 *
 * **Details** Immediate data and R2T; unsolicited Data-Out only when asked for. Pings of the target are answered. Every promise rejects with
 * IscsiError when the connection goes. Not done: recovery, several connections, reading more than one R2T ahead of the other.
 */

import { randomBytes } from "node:crypto"
import { connect, type Socket } from "node:net"
import { readU16, readU32, readU64, writeU32, writeU64 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"
import { Slabs } from "../../core/slab-output.ts"
import { ClientLogin, IscsiError, type LoginOptions } from "./client-login.ts"
import { putDigest } from "./output.ts"
import * as pdu from "./pdu.ts"
import { PduReader } from "./reader.ts"
import { encodeText, type Pair, parseText } from "./text.ts"

export { IscsiError } from "./client-login.ts"

export interface IscsiClientOptions {
  readonly host: string
  readonly port: number
  /** One of this machine's; else the routes choose. */
  readonly localAddress?: string
  /** Undefined: a discovery session. */
  readonly target?: string
  readonly lun?: number
  readonly initiator?: string
  readonly isid?: Uint8Array
  /** Operational keys to offer instead of, or besides, the usual ones. */
  readonly keys?: Readonly<Record<string, string>>
  readonly chap?: LoginOptions["chap"]
  readonly steps?: 1 | 2
  readonly cmdSN?: number
  readonly tsih?: number
}

export interface CommandResult {
  readonly status: number
  readonly sense: Buffer | undefined
  readonly data: Buffer
  /** Positive: overflow; negative: underflow. */
  readonly residual: number
}

export interface ScsiRequest {
  readonly cdb: ReadonlyArray<number> | Uint8Array
  readonly lun?: number
  /** Bytes the initiator expects. */
  readonly reads?: number
  /** Where they go, if there is a place of that size; else into a new one. */
  readonly into?: Buffer
  readonly writes?: Uint8Array
  /** Expected Data Transfer Length, when it is to differ from what is sent. */
  readonly expected?: number
  readonly immediate?: boolean
  readonly attribute?: number
}

/** A PDU as it came. */
export interface Received {
  readonly opcode: number
  readonly head: Buffer
  readonly data: Buffer
}

interface Pending {
  readonly data: Buffer
  readonly out: Uint8Array
  readonly lun: number
  filled: number
  readonly resolve: (r: CommandResult) => void
  readonly reject: (e: Error) => void
}

const usualKeys = {
  HeaderDigest: "None",
  DataDigest: "None",
  MaxConnections: "1",
  InitialR2T: "No",
  ImmediateData: "Yes",
  MaxRecvDataSegmentLength: "262144",
  MaxBurstLength: "16776192",
  FirstBurstLength: "262144",
  DefaultTime2Wait: "0",
  DefaultTime2Retain: "0",
  MaxOutstandingR2T: "1",
  DataPDUInOrder: "Yes",
  DataSequenceInOrder: "Yes",
  ErrorRecoveryLevel: "0",
}

/** Logs in. @throws IscsiError */
export const connectIscsi = async (options: IscsiClientOptions): Promise<IscsiClient> => {
  const client = new IscsiClient(options)
  await client.begin()
  return client
}

/** The targets a server lists, with their addresses. @throws IscsiError */
export const discoverIscsi = async (
  host: string,
  port: number,
  what = "All",
): Promise<ReadonlyArray<{ name: string; addresses: ReadonlyArray<string> }>> => {
  const client = await connectIscsi({ host, port })
  const pairs = await client.text([["SendTargets", what]])
  await client.logout()
  const found: Array<{ name: string; addresses: Array<string> }> = []
  for (const [key, value] of pairs) {
    if (key === "TargetName") found.push({ name: value, addresses: [] })
    else if (key === "TargetAddress") found.at(-1)?.addresses.push(value)
  }
  return found
}

export class IscsiClient {
  readonly answers = new Map<string, string>()
  tsih = 0
  cmdSN: number
  expStatSN = 0
  maxCmdSN = 0
  /** Every PDU that is no answer to a request of ours: async messages, rejects, pings. */
  readonly unasked: Array<Received> = []
  /** Called for every PDU, before it is looked at; true: it is dropped. */
  onPdu: ((r: Received) => boolean) | undefined
  /** The order in which the pieces of one R2T are sent. */
  order: <A>(pieces: ReadonlyArray<A>) => ReadonlyArray<A> = (pieces) => pieces
  readonly closed: Promise<void>
  answersPings = true
  private readonly options: IscsiClientOptions
  private readonly socket: Socket
  private readonly reader: PduReader
  private readonly commands = new Map<number, Pending>()
  private readonly others = new Map<number, { resolve: (r: Received) => void; reject: (e: Error) => void }>()
  private readonly waiting: Array<() => void> = []
  private login: ClientLogin | undefined
  private loggedIn: { resolve: () => void; reject: (e: Error) => void } | undefined
  private tags = 0
  private failure: Error | undefined
  private digests = { header: false, data: false }

  constructor(options: IscsiClientOptions) {
    this.options = options
    this.cmdSN = options.cmdSN ?? 1
    const receiver = {
      mayTake: () => true,
      pdu: (head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number) =>
        this.received({
          opcode: head[h]! & pdu.OPCODE_MASK,
          head: Buffer.from(head.subarray(h, h + pdu.BHS_BYTES)),
          data: this.taken(head[h]! & pdu.OPCODE_MASK, data, d, bytes),
        }),
      lostSync: (why: string) => this.lost(new IscsiError(why)),
      badData: () => this.lost(new IscsiError("data does not match its digest")),
    }
    this.reader = new PduReader(receiver, new Slabs(limits.iscsiSlabBytes, 1), limits.iscsiSegmentBytesMax)
    const { host, port, localAddress } = options
    this.socket = connect({ host, port, noDelay: true, ...(localAddress === undefined ? {} : { localAddress }) })
    this.socket.on("data", (chunk: Buffer) => this.reader.feed(chunk, 0, chunk.length))
    this.socket.on("error", (e) => this.lost(e))
    this.closed = new Promise((resolve) =>
      this.socket.on("close", () => {
        this.lost(new IscsiError("the target closed the connection"))
        resolve()
      }),
    )
  }

  begin(): Promise<void> {
    const { options } = this
    this.login = new ClientLogin({
      initiator: options.initiator ?? "iqn.2026-11.io.imagelink.initiator:client",
      target: options.target,
      isid: options.isid ?? Buffer.concat([Buffer.from([0x80]), randomBytes(5)]),
      keys: new Map(Object.entries({ ...usualKeys, ...options.keys })),
      ...(options.chap === undefined ? {} : { chap: options.chap }),
      steps: options.steps ?? 1,
      cmdSN: this.cmdSN,
      tsih: options.tsih ?? 0,
    })
    this.socket.write(this.login.first())
    return new Promise((resolve, reject) => {
      this.loggedIn = { resolve, reject }
    })
  }

  /** Disk size, by READ CAPACITY(16). */
  async sizeBytes(): Promise<number> {
    const { data } = await this.good({ cdb: [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32], reads: 32 })
    return (readU64(data, 0) + 1) * readU32(data, 8)
  }

  /** `into` may be a place of that length for the bytes. */
  async read(offset: number, length: number, into?: Buffer): Promise<Buffer> {
    const place = into === undefined ? {} : { into }
    const { data } = await this.good({ cdb: blockCdb(0x88, offset, length), reads: length, ...place })
    return data
  }
  async write(offset: number, bytes: Uint8Array, fua = false): Promise<void> {
    await this.good({ cdb: blockCdb(0x8a, offset, bytes.length, fua ? 0x08 : 0), writes: bytes })
  }
  async flush(): Promise<void> {
    await this.good({ cdb: blockCdb(0x91, 0, 0) })
  }

  /** A command that must succeed; unit attentions are taken note of and it is sent again. @throws IscsiError */
  async good(request: ScsiRequest): Promise<CommandResult> {
    for (let tries = 0; ; tries++) {
      const r = await this.command(request)
      if (r.status === 0) return r
      const attention = r.sense !== undefined && (r.sense[r.sense[0]! >= 0x72 ? 1 : 2]! & 0x0f) === 6
      if (!attention || tries === limits.scsiAttentionsMax)
        throw new IscsiError(`status ${r.status.toString(16)}, sense ${r.sense?.toString("hex") ?? "none"}`)
    }
  }

  async command(request: ScsiRequest): Promise<CommandResult> {
    // Looked at anew after each wait, and sent in the same turn: others wait for the same window.
    while (!request.immediate && this.failure === undefined && pdu.before(this.maxCmdSN, this.cmdSN))
      await new Promise<void>((resolve) => this.waiting.push(resolve))
    if (this.failure !== undefined) throw this.failure
    return new Promise((resolve, reject) => {
      const { writes = new Uint8Array(0), reads = 0 } = request
      const itt = this.nextTag()
      const lun = request.lun ?? this.options.lun ?? 0
      this.commands.set(itt, {
        data: request.into ?? Buffer.allocUnsafe(reads),
        out: writes,
        lun,
        filled: 0,
        resolve,
        reject,
      })
      const first =
        this.answers.get("ImmediateData") === "No" ? 0 : Math.min(writes.length, this.firstBurst, this.segment)
      const b = this.header(pdu.SCSI_COMMAND, pdu.FINAL, itt, first, request.immediate ?? false)
      b[1]! |=
        (reads > 0 ? pdu.COMMAND_READ : 0) | (writes.length > 0 ? pdu.COMMAND_WRITE : 0) | (request.attribute ?? 0)
      b[9] = lun
      writeU32(b, 20, request.expected ?? Math.max(reads, writes.length))
      b.set(request.cdb, 32)
      this.send(b, writes.subarray(0, first))
    })
  }

  async text(pairs: ReadonlyArray<Pair>): Promise<ReadonlyArray<Pair>> {
    const parts: Array<Buffer> = []
    let ttt = pdu.NO_TAG
    for (let text: Buffer = encodeText(pairs); ; text = Buffer.alloc(0)) {
      const tag = ttt
      const r = await this.request(pdu.TEXT, pdu.FINAL, text, (b) => writeU32(b, 20, tag))
      parts.push(r.data)
      ttt = readU32(r.head, 20)
      if (ttt === pdu.NO_TAG) return parseText(Buffer.concat(parts)) ?? []
    }
  }

  async nop(data: Uint8Array): Promise<Buffer> {
    return (await this.request(pdu.NOP_OUT, pdu.FINAL, data, (b) => writeU32(b, 20, pdu.NO_TAG))).data
  }

  /** Answers the response code (RFC 7143 §11.6.1). */
  async taskManagement(fn: number, lun = 0, referenced = pdu.NO_TAG, refCmdSN = 0): Promise<number> {
    const r = await this.request(
      pdu.TASK_MANAGEMENT,
      pdu.FINAL | fn,
      new Uint8Array(0),
      (b) => {
        b[9] = lun
        writeU32(b, 20, referenced)
        writeU32(b, 32, refCmdSN)
      },
      true,
    )
    return r.head[2]!
  }

  async logout(): Promise<void> {
    await this.request(pdu.LOGOUT, pdu.FINAL | pdu.LOGOUT_CLOSE_SESSION, new Uint8Array(0), () => {})
    this.socket.end()
    await this.closed
  }

  /** Closes without a word, as a PC that loses its power. */
  destroy(): void {
    this.socket.destroy()
  }

  /** Stops taking what the target sends. */
  pause(): void {
    this.socket.pause()
  }

  /** The tag of the newest request. */
  get lastTag(): number {
    return this.tags
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.socket.write(bytes)
  }

  /** A request whose answer carries its tag. */
  request(
    opcode: number,
    flags: number,
    data: Uint8Array,
    fill: (b: Buffer) => void,
    immediate = false,
  ): Promise<Received> {
    if (this.failure !== undefined) return Promise.reject(this.failure)
    return new Promise((resolve, reject) => {
      const itt = this.nextTag()
      this.others.set(itt, { resolve, reject })
      const b = this.header(opcode, flags, itt, data.length, immediate)
      fill(b)
      this.send(b, data)
    })
  }

  /** A header with the numbers a request has. */
  header(opcode: number, flags: number, itt: number, dataBytes: number, immediate: boolean): Buffer {
    const b = Buffer.alloc(pdu.BHS_BYTES)
    pdu.beginHeader(b, 0, opcode | (immediate ? pdu.IMMEDIATE : 0), flags, itt)
    pdu.putDataSegmentBytes(b, 0, dataBytes)
    writeU32(b, 24, this.cmdSN)
    writeU32(b, 28, this.expStatSN)
    if (!immediate) this.cmdSN = pdu.next(this.cmdSN)
    return b
  }

  send(head: Buffer, data: Uint8Array): void {
    this.socket.write(this.framed(head, data))
  }

  /** Header and data with padding and digests, as they go over the wire. */
  framed(head: Buffer, data: Uint8Array): Buffer {
    const headBytes = head.length + (this.digests.header ? pdu.DIGEST_BYTES : 0)
    const tail = data.length === 0 ? 0 : pdu.padded(data.length) + (this.digests.data ? pdu.DIGEST_BYTES : 0)
    const b = Buffer.alloc(headBytes + tail)
    b.set(head)
    if (this.digests.header) putDigest(b, head.length, 0, head.length)
    b.set(data, headBytes)
    if (tail > 0 && this.digests.data) {
      const end = headBytes + pdu.padded(data.length)
      putDigest(b, end, headBytes, end)
    }
    return b
  }

  nextTag(): number {
    this.tags++
    return this.tags
  }

  private get firstBurst(): number {
    return Number(this.answers.get("FirstBurstLength") ?? 65_536)
  }
  private get segment(): number {
    return Number(this.answers.get("MaxRecvDataSegmentLength") ?? 8192)
  }

  /** A copy, but of data that goes from here to where it belongs. */
  private taken(opcode: number, data: Uint8Array, at: number, bytes: number): Buffer {
    const view = Buffer.from(data.buffer, data.byteOffset + at, bytes)
    return opcode === pdu.DATA_IN && this.onPdu === undefined ? view : Buffer.from(view)
  }

  private received(r: Received): void {
    if (this.onPdu?.(r)) return
    if (this.login !== undefined) {
      this.loginResponse(r)
      return
    }
    const { head, opcode } = r
    const max = readU32(head, 32)
    if (pdu.before(this.maxCmdSN, max)) this.maxCmdSN = max
    const counts = opcode === pdu.DATA_IN ? (head[1]! & pdu.HAS_STATUS) !== 0 : opcode !== pdu.R2T && !isPing(r)
    if (counts) this.expStatSN = pdu.next(readU32(head, 24))
    const itt = readU32(head, 16)
    if (opcode === pdu.DATA_IN) this.dataIn(itt, r)
    else if (opcode === pdu.SCSI_RESPONSE) this.response(itt, r)
    else if (opcode === pdu.R2T) this.r2t(itt, head)
    else if (itt !== pdu.NO_TAG && this.others.has(itt)) {
      this.others.get(itt)!.resolve(r)
      this.others.delete(itt)
    } else {
      this.unasked.push(r)
      if (isPing(r) && this.answersPings) this.pong(head)
    }
    for (const go of this.waiting.splice(0)) go()
  }

  private loginResponse(r: Received): void {
    try {
      const step = this.login!.response(r.head, r.data)
      if (step.kind === "send") {
        this.socket.write(step.pdu)
        return
      }
      this.login = undefined
      for (const [key, value] of step.answers) this.answers.set(key, value)
      this.tsih = step.tsih
      this.expStatSN = pdu.next(step.statSN)
      this.maxCmdSN = readU32(r.head, 32)
      this.digests = {
        header: this.answers.get("HeaderDigest") === "CRC32C",
        data: this.answers.get("DataDigest") === "CRC32C",
      }
      this.reader.useDigests(this.digests.header, this.digests.data)
      this.loggedIn!.resolve()
    } catch (e) {
      this.loggedIn!.reject(e as Error)
      this.socket.destroy()
    }
  }

  private dataIn(itt: number, { head, data }: Received): void {
    const p = this.commands.get(itt)
    if (p === undefined) return
    const offset = readU32(head, 40)
    p.data.set(data.subarray(0, Math.max(0, p.data.length - offset)), offset)
    p.filled = Math.max(p.filled, offset + data.length)
    if ((head[1]! & pdu.HAS_STATUS) !== 0) this.finish(itt, p, head, undefined)
  }

  private response(itt: number, { head, data }: Received): void {
    const p = this.commands.get(itt)
    if (p === undefined) return
    const senseBytes = data.length >= 2 ? readU16(data, 0) : 0
    this.finish(itt, p, head, senseBytes === 0 ? undefined : data.subarray(2, 2 + senseBytes))
  }

  private finish(itt: number, p: Pending, head: Buffer, sense: Buffer | undefined): void {
    this.commands.delete(itt)
    const count = readU32(head, 44)
    const flags = head[1]!
    const residual = flags & pdu.RESIDUAL_OVERFLOW ? count : flags & pdu.RESIDUAL_UNDERFLOW ? -count : 0
    p.resolve({ status: head[3]!, sense, data: p.data.subarray(0, p.filled), residual })
  }

  private r2t(itt: number, head: Buffer): void {
    const p = this.commands.get(itt)
    if (p === undefined) return
    const ttt = readU32(head, 20)
    const start = readU32(head, 40)
    const end = start + readU32(head, 44)
    const pieces: Array<number> = []
    for (let at = start; at < end; at += this.segment) pieces.push(at)
    for (const [i, at] of this.order(pieces).entries()) {
      const bytes = Math.min(this.segment, end - at)
      this.dataOut(itt, p.lun, ttt, i, at, p.out.subarray(at, at + bytes), i === pieces.length - 1)
    }
  }

  /** One Data-Out PDU. */
  dataOut(itt: number, lun: number, ttt: number, dataSN: number, at: number, data: Uint8Array, final: boolean): void {
    const b = Buffer.alloc(pdu.BHS_BYTES)
    pdu.beginHeader(b, 0, pdu.DATA_OUT, final ? pdu.FINAL : 0, itt)
    pdu.putDataSegmentBytes(b, 0, data.length)
    b[9] = lun
    writeU32(b, 20, ttt)
    writeU32(b, 28, this.expStatSN)
    writeU32(b, 36, dataSN)
    writeU32(b, 40, at)
    this.send(b, data)
  }

  private pong(head: Buffer): void {
    const b = this.header(pdu.NOP_OUT, pdu.FINAL, pdu.NO_TAG, 0, true)
    b.set(head.subarray(8, 16), 8)
    writeU32(b, 20, readU32(head, 20))
    this.send(b, new Uint8Array(0))
  }

  private lost(e: Error): void {
    if (this.failure !== undefined) return
    this.failure = e
    this.loggedIn?.reject(e)
    for (const p of this.commands.values()) p.reject(e)
    for (const p of this.others.values()) p.reject(e)
    this.commands.clear()
    this.others.clear()
    for (const go of this.waiting.splice(0)) go()
    this.socket.destroy()
  }
}

const isPing = ({ opcode, head }: Received): boolean => opcode === pdu.NOP_IN && readU32(head, 16) === pdu.NO_TAG

/** A 16-byte CDB on a range of bytes of 512-byte blocks. */
export const blockCdb = (opcode: number, offset: number, length: number, flags = 0): Buffer => {
  const b = Buffer.alloc(16)
  b[0] = opcode
  b[1] = flags
  writeU64(b, 2, offset / limits.logicalBlockBytes)
  writeU32(b, 10, length / limits.logicalBlockBytes)
  return b
}
