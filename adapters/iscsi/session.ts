/**
 * The full feature phase of one session: PDUs in, PDUs out, nothing else (RFC 7143 §4, §7, §11).
 *
 *     PDU              does
 *     SCSI Command     READ and WRITE that the disk answers at once: answered here and now; all else becomes a task
 *     SCSI Data-Out    adds to its task; the last of it starts the command
 *     Task Management  aborts tasks and resets units, and answers when nothing of it can have an effect any more
 *     NOP-Out, Text, Logout   answered
 *     SNACK, what is unknown  rejected
 *
 * **Details** On a hit nothing is allocated: bytes go from the disk straight behind their header in the output slab, and the status rides in
 * the last Data-In. Every command in a received chunk is answered before the next chunk is looked at, and the replies leave in one write.
 * Commands are delivered in the order of CmdSN (§4.2.2.1): one from outside the window is ignored, one that came early waits for its turn.
 *
 * **Back-pressure** `mayTake` is asked before each PDU. It says no while a write in flight, a miss or a peer that does not read hold too much; the
 * connection then reads no more, and goes on after `wake`.
 */
import { readU32 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"
import type { OutputWire, Slabs } from "../../core/slab-output.ts"
import type { Completion, ScsiNexus } from "../scsi/nexus.ts"
import {
  ABORTED_COMMAND,
  ASC,
  CHECK_CONDITION,
  encodeSense,
  GOOD,
  ILLEGAL_REQUEST,
  TASK_SET_FULL,
} from "../scsi/sense.ts"
import type { UnitView } from "../scsi/unit.ts"
import type { ServerBudget } from "./budget.ts"
import { FastPath } from "./fast-path.ts"
import type { Agreed } from "./keys.ts"
import { lunOf } from "./lun.ts"
import { Management } from "./management.ts"
import { Output } from "./output.ts"
import * as pdu from "./pdu.ts"
import { Sender } from "./sender.ts"
import { SignsOfLife } from "./sign-of-life.ts"
import { IscsiTask } from "./task.ts"
import { TextExchange } from "./text-exchange.ts"

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

const emptyData = new Uint8Array(0)

export class IscsiSession {
  readonly nexus: ScsiNexus
  readonly sender: Sender
  readonly out: Output
  readonly agreed: Agreed
  readonly life: SignsOfLife
  /** By ITT. */
  readonly tasks = new Map<number, IscsiTask>()
  private readonly input: SessionInput
  private readonly management: Management
  private readonly text: TextExchange
  private readonly fast: FastPath
  /** LUN to view, dense: the hot path's only look-up. */
  private readonly views: Array<UnitView | undefined>
  /** Commands that came before their turn, with the Data-Out that follows them, as they came. */
  private readonly early = new Map<number, Array<Buffer>>()
  private ttts = 0
  private runningBytes = 0
  private heldBytes = 0
  private ending: string | undefined
  private readonly idle: Array<() => void> = []
  /** The initiator has answered a ping of ours. */
  pongs = 0

  constructor(input: SessionInput) {
    this.input = input
    this.nexus = input.nexus
    this.agreed = input.agreed
    this.out = new Output(input.wire, input.slabs)
    this.out.useDigests(input.agreed.headerDigest, input.agreed.dataDigest)
    this.sender = new Sender(this.out, input.agreed, { ...input, window: limits.iscsiWindowCommands })
    this.life = new SignsOfLife(this.sender)
    this.fast = new FastPath(this.sender, input.agreed)
    this.management = new Management(this, input.resetTarget)
    this.text = new TextExchange(this.sender, input.agreed, input.discovery, input.nexus.targetName, input.targets)
    this.views = Array.from({ length: limits.slotMax + 1 }, (_, lun) => input.nexus.views.get(lun))
  }

  /** The units of the nexus are others than before. */
  seeUnits(): void {
    for (const lun of this.views.keys()) this.views[lun] = this.nexus.views.get(lun)
  }

  mayTake(): boolean {
    if (this.ending !== undefined) return true
    if (this.runningBytes > limits.iscsiInFlightBytesMax) return false
    return this.out.queuedBytes <= limits.iscsiOutputPauseBytes
  }

  /** One whole PDU; what it lies in is the caller's again when this returns. */
  pdu(head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): void {
    if (this.ending !== undefined) return
    if (this.life.asked) this.life.see(head, h)
    const opcode = head[h]! & pdu.OPCODE_MASK
    if (opcode === pdu.DATA_OUT) {
      this.dataOut(head, h, data, d, bytes)
      return
    }
    if (opcode === pdu.SNACK) {
      // §11.16: with ErrorRecoveryLevel 0 nothing is sent twice.
      this.sender.reject(pdu.REJECT_SNACK, head, h)
      return
    }
    if (opcode > pdu.LOGOUT || opcode === pdu.LOGIN) {
      this.sender.reject(opcode === pdu.LOGIN ? pdu.REJECT_PROTOCOL_ERROR : pdu.REJECT_NOT_SUPPORTED, head, h)
      return
    }
    if ((head[h]! & pdu.IMMEDIATE) === 0 && !(opcode === pdu.NOP_OUT && readU32(head, h + 16) === pdu.NO_TAG)) {
      const cmdSN = readU32(head, h + 24)
      const { sender } = this
      if (cmdSN !== sender.expCmdSN) {
        this.outOfTurn(cmdSN, head, h, data, d, bytes)
        return
      }
      sender.expCmdSN = pdu.next(cmdSN)
      this.deliver(opcode, head, h, data, d, bytes, false)
      if (this.early.size > 0) this.takeTurns()
      return
    }
    this.deliver(opcode, head, h, data, d, bytes, true)
  }

  /** A PDU whose data came damaged (§7.8). */
  badData(head: Uint8Array, h: number): void {
    if (this.ending !== undefined) return
    this.sender.reject(pdu.REJECT_DATA_DIGEST, head, h)
    if ((head[h]! & pdu.OPCODE_MASK) !== pdu.DATA_OUT) {
      this.end("a data segment does not match its digest")
      return
    }
    const task = this.tasks.get(readU32(head, h + 16))
    if (task !== undefined && !task.running) this.failTask(task, ABORTED_COMMAND, ASC.protocolServiceCrcError)
  }

  /** Ends the session after what is gathered has been sent. What runs goes on to its end, unanswered. */
  end(why: string): void {
    if (this.ending !== undefined) return
    this.ending = why
    this.life.end()
    this.abortWhere(() => true)
    this.early.clear()
    this.input.over(why)
  }

  /** Settles when nothing of this session has an effect any more. */
  quiet(): Promise<void> {
    return this.settled([...this.tasks.values()])
  }

  /** Aborts tasks: they are never answered. Those that run are waited for by whoever must know. */
  abortWhere(concerns: (task: IscsiTask) => boolean): ReadonlyArray<IscsiTask> {
    const hit = [...this.tasks.values()].filter((task) => !task.aborted && concerns(task))
    // All of them first: where one leaves its line, the next would begin.
    for (const task of hit) task.aborted = true
    for (const task of hit) {
      if (task.running) task.gone.abort()
      else this.forget(task)
    }
    return hit
  }

  /** Settles when none of these runs any more. */
  async settled(tasks: ReadonlyArray<IscsiTask>): Promise<void> {
    while (tasks.some((t) => t.running)) await new Promise<void>((resolve) => this.idle.push(resolve))
  }

  wake(): void {
    this.input.wake()
  }

  /** A command that is still to come was aborted: its number counts as received (§11.5.1). */
  skip(cmdSN: number): void {
    this.sender.expCmdSN = pdu.next(cmdSN)
    this.early.delete(cmdSN)
    this.takeTurns()
  }

  /** A command that waits for its turn is taken out of the line, and its number with it when its turn comes. */
  dropEarly(itt: number): boolean {
    for (const pdus of this.early.values()) {
      const first = pdus[0]!
      if (readU32(first, 16) !== itt || (first[0]! & pdu.OPCODE_MASK) !== pdu.SCSI_COMMAND) continue
      // What is left does nothing and is answered to nobody.
      first[0] = pdu.NOP_OUT
      first.fill(0xff, 16, 20)
      pdus.length = 1
      return true
    }
    return false
  }

  private deliver(
    opcode: number,
    head: Uint8Array,
    h: number,
    data: Uint8Array,
    d: number,
    bytes: number,
    immediate: boolean,
  ): void {
    switch (opcode) {
      case pdu.SCSI_COMMAND:
        this.command(head, h, data, d, bytes, immediate)
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

  private nopOut(head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): void {
    const itt = readU32(head, h + 16)
    if (itt === pdu.NO_TAG) {
      this.pongs++
      this.life.pong(readU32(head, h + 20))
      return
    }
    this.sender.nopIn(itt, pdu.NO_TAG, undefined, data.subarray(d, d + bytes))
  }

  private logout(head: Uint8Array, h: number): void {
    const reason = head[h + 1]! & 0x7f
    const itt = readU32(head, h + 16)
    const cid = (head[h + 20]! << 8) | head[h + 21]!
    if (reason === pdu.LOGOUT_RECOVERY) this.sender.logout(itt, pdu.LOGOUT_NO_RECOVERY)
    else if (reason === pdu.LOGOUT_CLOSE_CONNECTION && cid !== this.input.cid)
      this.sender.logout(itt, pdu.LOGOUT_CID_NOT_FOUND)
    else if (reason > pdu.LOGOUT_RECOVERY) this.sender.reject(pdu.REJECT_INVALID_FIELD, head, h)
    else {
      this.sender.logout(itt, pdu.LOGOUT_DONE)
      this.end("the initiator logged out")
    }
  }

  /** §4.2.2.1: outside the window it is ignored; inside, it waits for those before it. */
  private outOfTurn(cmdSN: number, head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): void {
    const { expCmdSN, maxCmdSN } = this.sender
    if (pdu.before(cmdSN, expCmdSN) || pdu.before(maxCmdSN, cmdSN) || this.early.has(cmdSN)) return
    this.early.set(cmdSN, [copyOf(head, h, data, d, bytes)])
    this.heldBytes += bytes
    if (this.heldBytes > limits.iscsiInFlightBytesMax) this.end("too much came before its turn")
  }

  private takeTurns(): void {
    for (;;) {
      const pdus = this.early.get(this.sender.expCmdSN)
      if (pdus === undefined || this.ending !== undefined) return
      this.early.delete(this.sender.expCmdSN)
      for (const [i, b] of pdus.entries()) {
        const from = pdu.BHS_BYTES + pdu.ahsBytes(b, 0)
        const bytes = b.length - from
        this.heldBytes -= bytes
        if (i > 0) this.dataOut(b, 0, b, from, bytes)
        else {
          this.sender.expCmdSN = pdu.next(this.sender.expCmdSN)
          this.deliver(b[0]! & pdu.OPCODE_MASK, b, 0, b, from, bytes, false)
        }
      }
    }
  }

  private command(head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number, immediate: boolean): void {
    const view = lunOf(head, h) < 0 ? undefined : this.views[head[h + 9]!]
    if (view?.clear && !this.tasks.has(readU32(head, h + 16)) && this.fast.command(view, head, h, data, d, bytes))
      return
    this.newTask(head, h, data, d, bytes, immediate)
  }

  private get discovery(): boolean {
    return this.input.discovery
  }

  private newTask(head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number, immediate: boolean): void {
    const itt = readU32(head, h + 16)
    if (this.discovery) {
      this.sender.reject(pdu.REJECT_PROTOCOL_ERROR, head, h)
      return
    }
    if (this.tasks.has(itt)) {
      this.sender.reject(pdu.REJECT_IN_PROGRESS, head, h)
      return
    }
    if (this.tasks.size >= limits.iscsiWindowCommands + limits.iscsiImmediateCommandsMax) {
      this.sender.reject(pdu.REJECT_IMMEDIATE, head, h)
      return
    }
    const flags = head[h + 1]!
    const expected = readU32(head, h + 20)
    const reads = (flags & pdu.COMMAND_READ) !== 0
    const writes = (flags & pdu.COMMAND_WRITE) !== 0
    const final = (flags & pdu.FINAL) !== 0
    const wrong = this.wrongData(writes, final, bytes, expected)
    if (wrong !== undefined) {
      this.sender.reject(pdu.REJECT_PROTOCOL_ERROR, head, h)
      this.end(wrong)
      return
    }
    const lun = lunOf(head, h)
    const cdb = Buffer.from(head.subarray(h + 32, h + 48))
    const takes = this.nexus.takes(lun, cdb)
    const wants = writes ? Math.min(expected, takes) : 0
    const lunBytes = Buffer.from(head.subarray(h + 8, h + 16))
    const task = new IscsiTask({
      itt,
      lun,
      lunBytes,
      cdb,
      immediate,
      expected,
      reads,
      takes,
      wants,
      announced: writes ? expected : 0,
    })
    this.tasks.set(itt, task)
    if (!immediate) this.sender.underWay++
    const attribute = flags & pdu.ATTRIBUTE_MASK
    task.place = this.views[lun]?.unit.tasks.enter(attribute)
    if (attribute > pdu.ATTRIBUTE_HEAD_OF_QUEUE) {
      // SAM-5 §8.6.5, §8.6.6: without an ACA condition there is no task of one.
      task.status = CHECK_CONDITION
      task.code = ASC.invalidMessage
    } else if ((reads && writes) || (takes > 0 && !writes && takes > wants)) task.status = CHECK_CONDITION
    else if (!this.charge(task, wants)) task.status = TASK_SET_FULL
    else task.buffer = wants === 0 ? emptyData : Buffer.allocUnsafe(wants)
    task.begin(data, d, bytes, !final, this.agreed.firstBurstBytes)
    this.proceed(task)
  }

  /** §11.3.1, §11.3.4, §13.10, §13.11: what data may come with, or unasked after, a command. */
  private wrongData(writes: boolean, final: boolean, bytes: number, expected: number): string | undefined {
    if (bytes > 0 && !writes) return "immediate data of a command that writes nothing"
    if (bytes > 0 && !this.agreed.immediateData) return "immediate data was not agreed"
    if (bytes > this.agreed.firstBurstBytes || bytes > expected) return "more immediate data than may come"
    if (!final && (!writes || this.agreed.initialR2T)) return "unsolicited data was not agreed"
    return undefined
  }

  private dataOut(head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): void {
    const itt = readU32(head, h + 16)
    const task = this.tasks.get(itt)
    if (task === undefined) {
      this.dataOutEarly(itt, head, h, data, d, bytes)
      return
    }
    if (task.running) return
    const ttt = readU32(head, h + 20)
    const dataSN = readU32(head, h + 36)
    const offset = readU32(head, h + 40)
    const final = (head[h + 1]! & pdu.FINAL) !== 0
    const taken =
      ttt === pdu.NO_TAG
        ? task.takeUnsolicited(data, d, offset, bytes, dataSN, final)
        : task.takeSolicited(data, d, ttt, offset, bytes, dataSN, final, this.agreed.dataPduInOrder)
    if (taken === "more") return
    if (taken === "burst-done") this.proceed(task)
    else if (taken === "sequence") {
      // §7.9: PDUs before it must have been lost to a digest error, and what §7.8 says of those holds.
      this.failTask(task, ABORTED_COMMAND, ASC.protocolServiceCrcError)
    } else {
      // §7.8 with ErrorRecoveryLevel 0: what cannot be mended ends the session.
      this.sender.reject(pdu.REJECT_PROTOCOL_ERROR, head, h)
      this.end(taken.wrong)
    }
  }

  /** Data of a command that waits for its turn; of an aborted one it goes nowhere. */
  private dataOutEarly(itt: number, head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): void {
    for (const pdus of this.early.values()) {
      if (readU32(pdus[0]!, 16) !== itt) continue
      pdus.push(copyOf(head, h, data, d, bytes))
      this.heldBytes += bytes
      if (this.heldBytes > limits.iscsiInFlightBytesMax) this.end("too much came before its turn")
      return
    }
  }

  /** Asks for more of a task's data, or starts it. */
  private proceed(task: IscsiTask): void {
    if (task.status === undefined) {
      for (
        let burst = task.nextBurst(this.agreed, this.nextTtt);
        burst;
        burst = task.nextBurst(this.agreed, this.nextTtt)
      )
        this.sender.r2t(task.itt, task.lunBytes, burst.ttt, task.r2tSN++, burst.offset, burst.bytes)
      if (task.complete) this.start(task)
      return
    }
    if (task.unsolicited) return
    if (task.status === TASK_SET_FULL) this.finish(task, { status: TASK_SET_FULL, data: undefined, sense: undefined })
    else this.failTask(task, ILLEGAL_REQUEST, task.code)
  }

  private readonly nextTtt = (): number => {
    this.ttts = (this.ttts + 1) % pdu.NO_TAG
    return this.ttts
  }

  /** All its data is here: it is carried out when those before it allow. */
  private start(task: IscsiTask): void {
    const { place } = task
    if (place === undefined) this.carryOut(task)
    else place.set.take(place, () => this.inTurn(task))
  }

  /** Who lets a task begin may be another session. */
  private inTurn(task: IscsiTask): void {
    if (task.aborted) return
    this.carryOut(task)
    this.wake()
  }

  private carryOut(task: IscsiTask): void {
    if (this.startNow(task)) return
    const done = this.nexus.run(task.lun, task.cdb, task.buffer, task.announced, task.gone.signal)
    if (!(done instanceof Promise)) {
      this.finish(task, done)
      return
    }
    task.running = true
    const bytes = Math.max(task.wants, task.reads ? Math.min(task.expected, limits.scsiTransferBytesMax) : 0)
    this.runningBytes += bytes
    void done.then((completion) => {
      this.runningBytes -= bytes
      task.running = false
      this.finish(task, completion)
      for (const resolve of this.idle.splice(0)) resolve()
      this.wake()
    })
  }

  /** A WRITE whose data is all here, to a disk that takes it at once. */
  private startNow(task: IscsiTask): boolean {
    const view = task.lun < 0 ? undefined : this.views[task.lun]
    if (task.wants === 0 || !view?.clear || !this.fast.collected(view, task.cdb, task.buffer)) return false
    this.finish(task, { status: GOOD, data: undefined, sense: undefined })
    return true
  }

  private finish(task: IscsiTask, { status, data, sense }: Completion): void {
    this.forget(task)
    if (task.aborted || this.ending !== undefined) return
    const { itt, expected } = task
    if (data !== undefined && task.reads && status === GOOD && expected > 0 && data.length > 0) {
      this.sender.dataIn(itt, data, Math.min(data.length, expected), expected)
      return
    }
    this.sender.response(itt, status, sense, data?.length ?? task.takes, expected, task.r2tSN)
  }

  private failTask(task: IscsiTask, key: number, code: number): void {
    const descriptors = this.views[task.lun]?.unit.modes.descriptorSense ?? false
    const sense = encodeSense({ key, code }, descriptors)
    this.finish(task, { status: CHECK_CONDITION, data: undefined, sense })
  }

  private charge(task: IscsiTask, bytes: number): boolean {
    if (this.heldBytes + bytes > limits.iscsiInFlightBytesMax || !this.input.budget.take(bytes)) return false
    this.heldBytes += bytes
    task.charged = bytes
    return true
  }

  private forget(task: IscsiTask): void {
    if (!this.tasks.delete(task.itt)) return
    if (!task.immediate) this.sender.underWay--
    task.place?.set.leave(task.place)
    this.heldBytes -= task.charged
    this.input.budget.give(task.charged)
    task.charged = 0
    task.buffer = emptyData
  }
}

const copyOf = (head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): Buffer =>
  Buffer.concat([head.subarray(h, h + pdu.BHS_BYTES + pdu.ahsBytes(head, h)), data.subarray(d, d + bytes)])
