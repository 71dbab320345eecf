/**
 * The full feature phase of one session: PDUs in, PDUs out, nothing else (RFC 7143 §4, §7, §11).
 *
 *     PDU              does
 *     SCSI Command     READ and WRITE that the disk answers at once: answered here and now; all else becomes a task (tasks.ts)
 *     SCSI Data-Out    adds to its task; the last of it starts the command
 *     Task Management  aborts tasks and resets units, and answers when nothing of it can have an effect any more
 *     NOP-Out, Text, Logout   answered
 *     SNACK, what is unknown  rejected
 *
 * **Details** On a hit nothing is allocated: bytes go from the disk straight behind their header in the output slab, and the status rides in
 * the last Data-In. Every command in a received chunk is answered before the next chunk is looked at, and the replies leave in one write.
 * Commands are delivered in the order of CmdSN (§4.2.2.1): one from outside the window is ignored, one that came early waits for its turn (turns.ts).
 *
 * **Back-pressure** `mayTake` is asked before each PDU. It says no while a write in flight, a miss or a peer that does not read hold too much; the
 * connection then reads no more, and goes on after `wake`.
 */
import { readU16, readU32 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"
import type { OutputWire, Slabs } from "../../core/slab-output.ts"
import type { ScsiNexus } from "../scsi/nexus.ts"
import { type ServerBudget, SessionBudget } from "./budget.ts"
import type { Agreed } from "./keys.ts"
import { Management } from "./management.ts"
import { Output } from "./output.ts"
import * as pdu from "./pdu.ts"
import { Sender } from "./sender.ts"
import { SignsOfLife } from "./sign-of-life.ts"
import { Tasks } from "./tasks.ts"
import { TextExchange } from "./text-exchange.ts"
import { Turns } from "./turns.ts"

export interface SessionInput {
  readonly wire: OutputWire
  readonly slabs: Slabs
  readonly budget: ServerBudget
  readonly agreed: Agreed
  readonly nexus: ScsiNexus
  readonly discovery: boolean
  readonly cid: number
  readonly statSN: number
  readonly expCmdSN: number
  /** What SendTargets answers: names with their addresses. */
  readonly targets: () => ReadonlyArray<{ readonly name: string; readonly addresses: ReadonlyArray<string> }>
  /** Resets every unit of the target; cold: and ends its sessions. */
  readonly resetTarget: (cold: boolean) => void
  /** Something settled: PDUs may be taken again, and what was gathered may leave. */
  readonly wake: () => void
  /** The session is at its end; what was gathered is still to be sent. */
  readonly over: (why: string) => void
}

export class IscsiSession {
  readonly nexus: ScsiNexus
  readonly sender: Sender
  readonly out: Output
  readonly agreed: Agreed
  readonly life: SignsOfLife
  readonly tasks: Tasks
  private readonly input: SessionInput
  private readonly management: Management
  private readonly text: TextExchange
  private readonly turns: Turns
  private ending: string | undefined

  constructor(input: SessionInput) {
    const { agreed, nexus, discovery, wake } = input
    const budget = new SessionBudget(limits.iscsiInFlightBytesMax, input.budget)
    const fail = (why: string) => this.end(why)
    this.input = input
    this.nexus = nexus
    this.agreed = agreed
    this.out = new Output(input.wire, input.slabs)
    this.out.useDigests(agreed.headerDigest, agreed.dataDigest)
    const sender = (this.sender = new Sender(this.out, agreed, { ...input, window: limits.iscsiWindowCommands }))
    this.life = new SignsOfLife(sender)
    this.tasks = new Tasks({ sender, agreed, nexus, budget, discovery, wake, fail })
    this.turns = new Turns({
      ...{ sender, budget, fail },
      deliver: (head, h, data, d, bytes) => this.deliver(head, h, data, d, bytes, false),
      dataOut: (head, h, data, d, bytes) => this.dataOut(head, h, data, d, bytes),
    })
    const { tasks, turns } = this
    this.management = new Management({ nexus, sender, tasks, turns, wake, resetTarget: input.resetTarget })
    this.text = new TextExchange(sender, agreed, discovery, nexus.targetName, input.targets)
  }

  mayTake(): boolean {
    if (this.ending !== undefined) return true
    if (this.tasks.runningBytes > limits.iscsiInFlightBytesMax) return false
    return this.out.queuedBytes <= limits.iscsiOutputPauseBytes
  }

  /** One whole PDU; what it lies in is the caller's again when this returns. */
  pdu(head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): void {
    if (this.ending !== undefined) return
    if (this.life.asked) this.life.see(head, h)
    const opcode = head[h]! & pdu.OPCODE_MASK
    if (opcode === pdu.DATA_OUT) this.dataOut(head, h, data, d, bytes)
    else if (opcode > pdu.LOGOUT || opcode === pdu.LOGIN) this.rejectUnknown(opcode, head, h)
    else if ((head[h]! & pdu.IMMEDIATE) !== 0 || (opcode === pdu.NOP_OUT && readU32(head, h + 16) === pdu.NO_TAG))
      this.deliver(head, h, data, d, bytes, true)
    else this.inOrder(head, h, data, d, bytes)
  }

  /** A PDU whose data came damaged (§7.8). */
  badData(head: Uint8Array, h: number): void {
    if (this.ending !== undefined) return
    this.sender.reject(pdu.REJECT_DATA_DIGEST, head, h)
    if ((head[h]! & pdu.OPCODE_MASK) === pdu.DATA_OUT) this.tasks.damaged(readU32(head, h + 16))
    else this.end("a data segment does not match its digest")
  }

  /** Ends the session after what is gathered has been sent. What runs goes on to its end, unanswered. */
  end(why: string): void {
    if (this.ending !== undefined) return
    this.ending = why
    this.life.end()
    this.tasks.end()
    this.turns.clear()
    this.input.over(why)
  }

  /** Settles when nothing of this session has an effect any more. */
  quiet(): Promise<void> {
    return this.tasks.settled([...this.tasks.byTag.values()])
  }

  /** A command that counts in CmdSN. */
  private inOrder(head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): void {
    const { sender, turns } = this
    const cmdSN = readU32(head, h + 24)
    if (cmdSN !== sender.expCmdSN) {
      turns.keep(cmdSN, head, h, data, d, bytes)
      return
    }
    sender.expCmdSN = pdu.next(cmdSN)
    this.deliver(head, h, data, d, bytes, false)
    if (turns.waiting) turns.go()
  }

  private deliver(head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number, immediate: boolean): void {
    switch (head[h]! & pdu.OPCODE_MASK) {
      case pdu.SCSI_COMMAND:
        this.tasks.command(head, h, data, d, bytes, immediate)
        return
      case pdu.NOP_OUT:
        this.nopOut(head, h, data, d, bytes)
        return
      case pdu.TASK_MANAGEMENT:
        this.management.request(head, h)
        return
      case pdu.TEXT:
        this.text.request(head, h, data.subarray(d, d + bytes))
        return
      default:
        this.logout(head, h)
    }
  }

  private dataOut(head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): void {
    if (!this.tasks.dataOut(head, h, data, d, bytes)) this.turns.keepData(head, h, data, d, bytes)
  }

  private nopOut(head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): void {
    const itt = readU32(head, h + 16)
    if (itt === pdu.NO_TAG) {
      this.life.pong(readU32(head, h + 20))
      return
    }
    this.sender.nopIn(itt, pdu.NO_TAG, undefined, data.subarray(d, d + bytes))
  }

  private logout(head: Uint8Array, h: number): void {
    const { sender } = this
    const reason = head[h + 1]! & 0x7f
    const itt = readU32(head, h + 16)
    const others = reason === pdu.LOGOUT_CLOSE_CONNECTION && readU16(head, h + 20) !== this.input.cid
    if (reason === pdu.LOGOUT_RECOVERY) sender.logout(itt, pdu.LOGOUT_NO_RECOVERY)
    else if (others) sender.logout(itt, pdu.LOGOUT_CID_NOT_FOUND)
    else if (reason > pdu.LOGOUT_RECOVERY) sender.reject(pdu.REJECT_INVALID_FIELD, head, h)
    else {
      sender.logout(itt, pdu.LOGOUT_DONE)
      this.end("the initiator logged out")
    }
  }

  /** §11.16: with ErrorRecoveryLevel 0 nothing is sent twice. A second login has no place in a session (§6.3). */
  private rejectUnknown(opcode: number, head: Uint8Array, h: number): void {
    const reason =
      opcode === pdu.SNACK
        ? pdu.REJECT_SNACK
        : opcode === pdu.LOGIN
          ? pdu.REJECT_PROTOCOL_ERROR
          : pdu.REJECT_NOT_SUPPORTED
    this.sender.reject(reason, head, h)
  }
}
