/**
 * An initiator's session: one connection, its login, its numbers and tags, and what comes back (RFC 7143, the initiator's side).
 *
 * **Details** Commands wait for the target's window. Pings of the target are answered. Whatever was asked is rejected with IscsiError when
 * the connection goes. Every number and every PDU is open to a spec that wants to look, or to misbehave.
 */
import { randomBytes } from "node:crypto"
import { connect, type Socket } from "node:net"
import { readU32, writeU32 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"
import { Slabs } from "../../core/slab-output.ts"
import { ClientLogin, IscsiError } from "./client-login.ts"
import {
  type CommandResult,
  type IscsiClientOptions,
  type Received,
  type ScsiRequest,
  usualKeys,
} from "./client-options.ts"
import { Transfers } from "./client-transfers.ts"
import { putDigest } from "./output.ts"
import * as pdu from "./pdu.ts"
import { PduReader } from "./reader.ts"

export class InitiatorSession {
  readonly answers = new Map<string, string>()
  tsih = 0
  cmdSN: number
  expStatSN = 0
  maxCmdSN = 0
  /** Every PDU that is no answer to a request of ours: async messages, rejects, pings. */
  readonly unasked: Array<Received> = []
  /** Called for every PDU, before it is looked at; true: it is dropped. */
  onPdu: ((r: Received) => boolean) | undefined
  readonly closed: Promise<void>
  answersPings = true
  readonly transfers: Transfers
  protected readonly socket: Socket
  private readonly options: IscsiClientOptions
  private readonly reader: PduReader
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
    this.transfers = new Transfers({
      send: (head, data) => this.send(head, data),
      expStatSN: () => this.expStatSN,
      segmentBytes: () => this.segment,
    })
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

  async command(request: ScsiRequest): Promise<CommandResult> {
    // Looked at anew after each wait, and sent in the same turn: others wait for the same window.
    while (!request.immediate && this.failure === undefined && pdu.before(this.maxCmdSN, this.cmdSN))
      await new Promise<void>((resolve) => this.waiting.push(resolve))
    if (this.failure !== undefined) throw this.failure
    const { writes = new Uint8Array(0), reads = 0 } = request
    const itt = this.nextTag()
    const lun = request.lun ?? this.options.lun ?? 0
    const answer = this.transfers.expect(itt, lun, request)
    const first =
      this.answers.get("ImmediateData") === "No" ? 0 : Math.min(writes.length, this.firstBurst, this.segment)
    const b = this.header(pdu.SCSI_COMMAND, pdu.FINAL, itt, first, request.immediate ?? false)
    b[1]! |= (reads > 0 ? pdu.COMMAND_READ : 0) | (writes.length > 0 ? pdu.COMMAND_WRITE : 0) | (request.attribute ?? 0)
    b[9] = lun
    writeU32(b, 20, request.expected ?? Math.max(reads, writes.length))
    b.set(request.cdb, 32)
    this.send(b, writes.subarray(0, first))
    return answer
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
    if (opcode === pdu.DATA_IN) this.transfers.dataIn(r)
    else if (opcode === pdu.SCSI_RESPONSE) this.transfers.response(r)
    else if (opcode === pdu.R2T) this.transfers.r2t(r)
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
    this.transfers.fail(e)
    for (const p of this.others.values()) p.reject(e)
    this.others.clear()
    for (const go of this.waiting.splice(0)) go()
    this.socket.destroy()
  }
}

const isPing = ({ opcode, head }: Received): boolean => opcode === pdu.NOP_IN && readU32(head, 16) === pdu.NO_TAG
