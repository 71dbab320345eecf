/**
 * Commands that came before their turn, with the data that followed them (RFC 7143 §4.2.2.1).
 *
 *     CmdSN    before ExpCmdSN, or after MaxCmdSN   ignored
 *              within the window, not the next      kept as it came, until those before it have come
 *
 * **Details** What is kept counts against the budgets of the session and the server; an initiator that sends more than they allow loses its session.
 */
import { readU32 } from "../../core/bytes.ts"
import type { SessionBudget } from "./budget.ts"
import * as pdu from "./pdu.ts"
import type { Sender } from "./sender.ts"

/** One whole PDU; what it lies in is the caller's again when this returns. */
export type TakePdu = (head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number) => void

export interface TurnsInput {
  readonly sender: Pick<Sender, "expCmdSN" | "maxCmdSN">
  readonly budget: SessionBudget
  /** A command whose turn it is; its number counts as received. */
  readonly deliver: TakePdu
  readonly dataOut: TakePdu
  /** The session cannot go on. */
  readonly fail: (why: string) => void
}

export class Turns {
  private readonly input: TurnsInput
  private readonly sender: TurnsInput["sender"]
  /** By CmdSN: the command, and the Data-Out that followed it; nothing, of one that was aborted. */
  private readonly early = new Map<number, Array<Buffer>>()

  constructor(input: TurnsInput) {
    this.input = input
    this.sender = input.sender
  }

  /** A command whose number is not the next. */
  keep(cmdSN: number, head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): void {
    const { expCmdSN, maxCmdSN } = this.sender
    if (pdu.before(cmdSN, expCmdSN) || pdu.before(maxCmdSN, cmdSN) || this.early.has(cmdSN)) return
    const pdus: Array<Buffer> = []
    this.early.set(cmdSN, pdus)
    this.add(pdus, head, h, data, d, bytes)
  }

  get waiting(): boolean {
    return this.early.size > 0
  }

  /** Data of a command that waits for its turn; of any other it goes nowhere. */
  keepData(head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): void {
    const itt = readU32(head, h + 16)
    for (const pdus of this.early.values()) {
      if (!isOf(pdus, itt)) continue
      this.add(pdus, head, h, data, d, bytes)
      return
    }
  }

  /** Delivers what waited for nothing but those that have come now. */
  go(): void {
    const { sender, input } = this
    for (let pdus = this.early.get(sender.expCmdSN); pdus !== undefined; pdus = this.early.get(sender.expCmdSN)) {
      this.early.delete(sender.expCmdSN)
      sender.expCmdSN = pdu.next(sender.expCmdSN)
      for (const [i, b] of pdus.entries()) {
        const from = pdu.BHS_BYTES + pdu.ahsBytes(b, 0)
        const take = i === 0 ? input.deliver : input.dataOut
        input.budget.give(b.length)
        take(b, 0, b, from, b.length - from)
      }
    }
  }

  /** A command that is still to come was aborted: its number counts as received (§11.5.1). */
  skip(cmdSN: number): void {
    this.sender.expCmdSN = pdu.next(cmdSN)
    this.go()
  }

  /** A command that waits is taken out of the line, and its number with it when its turn comes. False: there is none. */
  drop(itt: number): boolean {
    for (const pdus of this.early.values()) {
      if (!isOf(pdus, itt) || (pdus[0]![0]! & pdu.OPCODE_MASK) !== pdu.SCSI_COMMAND) continue
      for (const b of pdus.splice(0)) this.input.budget.give(b.length)
      return true
    }
    return false
  }

  /** The session is over. */
  clear(): void {
    for (const pdus of this.early.values()) for (const b of pdus) this.input.budget.give(b.length)
    this.early.clear()
  }

  private add(pdus: Array<Buffer>, head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): void {
    const headBytes = pdu.BHS_BYTES + pdu.ahsBytes(head, h)
    if (this.input.budget.take(headBytes + bytes))
      pdus.push(Buffer.concat([head.subarray(h, h + headBytes), data.subarray(d, d + bytes)]))
    else this.input.fail("too much came before its turn")
  }
}

const isOf = (pdus: ReadonlyArray<Buffer>, itt: number): boolean => pdus.length > 0 && readU32(pdus[0]!, 16) === itt
