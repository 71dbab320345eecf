/**
 * The SCSI tasks of one session, from the command PDU to the answer (RFC 7143 §11.2, §11.7, §11.8).
 *
 *     command ─► answered at once (fast-path.ts)
 *         └────► task ─► its data comes (task.ts) ─► carried out (execution.ts) ─► answered, or, when it was aborted, not
 */
import { readU32 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"
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
import type { SessionBudget } from "./budget.ts"
import { Execution } from "./execution.ts"
import { FastPath } from "./fast-path.ts"
import type { Agreed } from "./keys.ts"
import { lunOf } from "./lun.ts"
import * as pdu from "./pdu.ts"
import type { Sender } from "./sender.ts"
import { IscsiTask, type Taken } from "./task.ts"

export interface TasksInput {
  readonly sender: Sender
  readonly agreed: Agreed
  readonly nexus: ScsiNexus
  readonly budget: SessionBudget
  readonly discovery: boolean
  /** Something settled: PDUs may be taken again, and what was gathered may leave. */
  readonly wake: () => void
  /** The session cannot go on. */
  readonly fail: (why: string) => void
}

const emptyData = new Uint8Array(0)
const full: Completion = { status: TASK_SET_FULL, data: undefined, sense: undefined }

export class Tasks {
  /** By ITT. */
  readonly byTag = new Map<number, IscsiTask>()
  private readonly input: TasksInput
  private readonly sender: Sender
  private readonly agreed: Agreed
  private readonly fast: FastPath
  private readonly execution: Execution
  /** LUN to view, dense: the hot path's only look-up. */
  private readonly views: Array<UnitView | undefined>
  private ttts = 0
  /** Nobody is answered any more. */
  private silent = false

  constructor(input: TasksInput) {
    this.input = input
    this.sender = input.sender
    this.agreed = input.agreed
    this.fast = new FastPath(input.sender, input.agreed)
    this.execution = new Execution({
      nexus: input.nexus,
      fast: this.fast,
      viewOf: (lun) => this.views[lun],
      finish: (task, completion) => this.finish(task, completion),
      wake: input.wake,
    })
    this.views = Array.from({ length: limits.slotMax + 1 }, (_, lun) => input.nexus.views.get(lun))
  }

  /** The units of the nexus are others than before. */
  seeUnits(): void {
    for (const lun of this.views.keys()) this.views[lun] = this.input.nexus.views.get(lun)
  }

  get runningBytes(): number {
    return this.execution.runningBytes
  }

  /** A SCSI Command. */
  command(head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number, immediate: boolean): void {
    const view = lunOf(head, h) < 0 ? undefined : this.views[head[h + 9]!]
    if (view?.clear && !this.byTag.has(readU32(head, h + 16)) && this.fast.command(view, head, h, data, d, bytes))
      return
    if (this.mayBegin(head, h, bytes)) this.begin(head, h, data, d, bytes, immediate)
  }

  /** A SCSI Data-Out. False: it belongs to none of these. */
  dataOut(head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): boolean {
    const task = this.byTag.get(readU32(head, h + 16))
    if (task === undefined) return false
    if (!task.running) this.took(task, this.put(task, head, h, data, d, bytes), head, h)
    return true
  }

  /** A PDU of it came with damaged data (§7.8). */
  damaged(itt: number): void {
    const task = this.byTag.get(itt)
    if (task !== undefined && !task.running) this.failTask(task, ABORTED_COMMAND, ASC.protocolServiceCrcError)
  }

  /** Aborts tasks: they are never answered. Those that run are waited for by whoever must know. */
  abortWhere(concerns: (task: IscsiTask) => boolean): ReadonlyArray<IscsiTask> {
    const hit = [...this.byTag.values()].filter((task) => !task.aborted && concerns(task))
    // All of them first: where one leaves its line, the next would begin.
    for (const task of hit) task.aborted = true
    for (const task of hit) {
      if (task.running) task.gone.abort()
      else this.forget(task)
    }
    return hit
  }

  /** Settles when none of these runs any more. */
  settled(tasks: ReadonlyArray<IscsiTask>): Promise<void> {
    return this.execution.settled(tasks)
  }

  /** Answers nobody any more. */
  end(): void {
    this.silent = true
    this.abortWhere(() => true)
  }

  /** Rejects what may not come, and ends the session where §7.8 and §13 say so. */
  private mayBegin(head: Uint8Array, h: number, bytes: number): boolean {
    const { byTag, sender } = this
    if (this.input.discovery) sender.reject(pdu.REJECT_PROTOCOL_ERROR, head, h)
    else if (byTag.has(readU32(head, h + 16))) sender.reject(pdu.REJECT_IN_PROGRESS, head, h)
    else if (byTag.size >= limits.iscsiWindowCommands + limits.iscsiImmediateCommandsMax)
      sender.reject(pdu.REJECT_IMMEDIATE, head, h)
    else {
      const wrong = this.wrongData(head, h, bytes)
      if (wrong === undefined) return true
      sender.reject(pdu.REJECT_PROTOCOL_ERROR, head, h)
      this.input.fail(wrong)
    }
    return false
  }

  /** §11.3.1, §11.3.4, §13.10, §13.11: what data may come with, or unasked after, a command. */
  private wrongData(head: Uint8Array, h: number, bytes: number): string | undefined {
    const writes = (head[h + 1]! & pdu.COMMAND_WRITE) !== 0
    const final = (head[h + 1]! & pdu.FINAL) !== 0
    if (bytes > 0 && !writes) return "immediate data of a command that writes nothing"
    if (bytes > 0 && !this.agreed.immediateData) return "immediate data was not agreed"
    if (bytes > this.agreed.firstBurstBytes || bytes > readU32(head, h + 20)) return "more immediate data than may come"
    if (!final && (!writes || this.agreed.initialR2T)) return "unsolicited data was not agreed"
    return undefined
  }

  private begin(head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number, immediate: boolean): void {
    const lun = lunOf(head, h)
    const task = new IscsiTask(head, h, lun, immediate, (cdb) => this.input.nexus.takes(lun, cdb))
    this.byTag.set(task.itt, task)
    if (!immediate) this.sender.underWay++
    task.place = this.views[lun]?.unit.tasks.enter(task.attribute)
    if (task.attribute > pdu.ATTRIBUTE_HEAD_OF_QUEUE) {
      // SAM-5 §8.6.5, §8.6.6: without an ACA condition there is no task of one.
      task.status = CHECK_CONDITION
      task.code = ASC.invalidMessage
    } else if ((task.reads && task.writes) || (task.takes > task.wants && !task.writes)) task.status = CHECK_CONDITION
    else if (!this.charge(task)) task.status = TASK_SET_FULL
    const final = (head[h + 1]! & pdu.FINAL) !== 0
    task.begin(data, d, bytes, !final, this.agreed.firstBurstBytes)
    this.proceed(task)
  }

  private put(task: IscsiTask, head: Uint8Array, h: number, data: Uint8Array, d: number, bytes: number): Taken {
    const ttt = readU32(head, h + 20)
    const dataSN = readU32(head, h + 36)
    const offset = readU32(head, h + 40)
    const final = (head[h + 1]! & pdu.FINAL) !== 0
    return ttt === pdu.NO_TAG
      ? task.takeUnsolicited(data, d, offset, bytes, dataSN, final)
      : task.takeSolicited(data, d, ttt, offset, bytes, dataSN, final, this.agreed.dataPduInOrder)
  }

  private took(task: IscsiTask, taken: Taken, head: Uint8Array, h: number): void {
    if (taken === "more") return
    if (taken === "burst-done") this.proceed(task)
    else if (taken === "sequence") {
      // §7.9: PDUs before it must have been lost to a digest error, and what §7.8 says of those holds.
      this.failTask(task, ABORTED_COMMAND, ASC.protocolServiceCrcError)
    } else {
      // §7.8 with ErrorRecoveryLevel 0: what cannot be mended ends the session.
      this.sender.reject(pdu.REJECT_PROTOCOL_ERROR, head, h)
      this.input.fail(taken.wrong)
    }
  }

  /** Asks for more of a task's data, or starts it. */
  private proceed(task: IscsiTask): void {
    if (task.status === undefined) {
      const next = () => task.nextBurst(this.agreed, this.nextTtt)
      for (let burst = next(); burst !== undefined; burst = next())
        this.sender.r2t(task.itt, task.lunBytes, burst.ttt, task.r2tSN++, burst.offset, burst.bytes)
      if (task.complete) this.execution.start(task)
      return
    }
    if (task.unsolicited) return
    if (task.status === TASK_SET_FULL) this.finish(task, full)
    else this.failTask(task, ILLEGAL_REQUEST, task.code)
  }

  private readonly nextTtt = (): number => {
    this.ttts = (this.ttts + 1) % pdu.NO_TAG
    return this.ttts
  }

  private finish(task: IscsiTask, { status, data, sense }: Completion): void {
    this.forget(task)
    if (task.aborted || this.silent) return
    const { itt, expected } = task
    if (data !== undefined && task.reads && status === GOOD && expected > 0 && data.length > 0)
      this.sender.dataIn(itt, data, Math.min(data.length, expected), expected)
    else this.sender.response(itt, status, sense, data?.length ?? task.takes, expected, task.r2tSN)
  }

  private failTask(task: IscsiTask, key: number, code: number): void {
    const descriptors = this.views[task.lun]?.unit.modes.descriptorSense ?? false
    const sense = encodeSense({ key, code }, descriptors)
    this.finish(task, { status: CHECK_CONDITION, data: undefined, sense })
  }

  /** Room for its data. False: there is none now. */
  private charge(task: IscsiTask): boolean {
    if (!this.input.budget.take(task.wants)) return false
    task.charged = task.wants
    if (task.wants > 0) task.buffer = Buffer.allocUnsafe(task.wants)
    return true
  }

  private forget(task: IscsiTask): void {
    if (!this.byTag.delete(task.itt)) return
    if (!task.immediate) this.sender.underWay--
    task.place?.set.leave(task.place)
    this.input.budget.give(task.charged)
    task.charged = 0
    task.buffer = emptyData
  }
}
