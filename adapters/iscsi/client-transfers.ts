/**
 * Commands of an initiator that are under way, and their data (RFC 7143 §11.4, §11.7, §11.8).
 *
 * **Details** Data-In goes where it belongs as it comes; an R2T is answered with all it asks for, in pieces as long as the target takes.
 */
import { readU16, readU32, writeU32 } from "../../core/bytes.ts"
import type { CommandResult, Received, ScsiRequest } from "./client-options.ts"
import * as pdu from "./pdu.ts"

interface Pending {
  readonly data: Buffer
  readonly out: Uint8Array
  readonly lun: number
  filled: number
  readonly resolve: (r: CommandResult) => void
  readonly reject: (e: Error) => void
}

export interface TransfersInput {
  readonly send: (head: Buffer, data: Uint8Array) => void
  readonly expStatSN: () => number
  /** How long a data segment the target takes. */
  readonly segmentBytes: () => number
}

export class Transfers {
  /** The order in which the pieces of one R2T are sent. */
  order: <A>(pieces: ReadonlyArray<A>) => ReadonlyArray<A> = (pieces) => pieces
  private readonly input: TransfersInput
  private readonly commands = new Map<number, Pending>()

  constructor(input: TransfersInput) {
    this.input = input
  }

  /** Expects the answer of a command that is sent with this tag. */
  expect(itt: number, lun: number, { reads = 0, into, writes }: ScsiRequest): Promise<CommandResult> {
    return new Promise((resolve, reject) => {
      const data = into ?? Buffer.allocUnsafe(reads)
      this.commands.set(itt, { data, out: writes ?? new Uint8Array(0), lun, filled: 0, resolve, reject })
    })
  }

  dataIn({ head, data }: Received): void {
    const itt = readU32(head, 16)
    const p = this.commands.get(itt)
    if (p === undefined) return
    const offset = readU32(head, 40)
    p.data.set(data.subarray(0, Math.max(0, p.data.length - offset)), offset)
    p.filled = Math.max(p.filled, offset + data.length)
    if ((head[1]! & pdu.HAS_STATUS) !== 0) this.finish(itt, p, head, undefined)
  }

  response({ head, data }: Received): void {
    const itt = readU32(head, 16)
    const p = this.commands.get(itt)
    if (p === undefined) return
    const senseBytes = data.length >= 2 ? readU16(data, 0) : 0
    this.finish(itt, p, head, senseBytes === 0 ? undefined : data.subarray(2, 2 + senseBytes))
  }

  r2t({ head }: Received): void {
    const itt = readU32(head, 16)
    const p = this.commands.get(itt)
    if (p === undefined) return
    const ttt = readU32(head, 20)
    const start = readU32(head, 40)
    const end = start + readU32(head, 44)
    const segment = this.input.segmentBytes()
    const pieces: Array<number> = []
    for (let at = start; at < end; at += segment) pieces.push(at)
    for (const [i, at] of this.order(pieces).entries()) {
      const bytes = Math.min(segment, end - at)
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
    writeU32(b, 28, this.input.expStatSN())
    writeU32(b, 36, dataSN)
    writeU32(b, 40, at)
    this.input.send(b, data)
  }

  /** None of them is answered any more. */
  fail(e: Error): void {
    for (const p of this.commands.values()) p.reject(e)
    this.commands.clear()
  }

  private finish(itt: number, p: Pending, head: Buffer, sense: Buffer | undefined): void {
    this.commands.delete(itt)
    const count = readU32(head, 44)
    const flags = head[1]!
    const residual = flags & pdu.RESIDUAL_OVERFLOW ? count : flags & pdu.RESIDUAL_UNDERFLOW ? -count : 0
    p.resolve({ status: head[3]!, sense, data: p.data.subarray(0, p.filled), residual })
  }
}
