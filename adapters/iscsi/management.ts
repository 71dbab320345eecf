/**
 * Task management (RFC 7143 §11.5, §11.6; SAM-5 §7; RFC 7144 §4 for the later functions).
 *
 * | function                            | does                                                                                   |
 * | ----------------------------------- | -------------------------------------------------------------------------------------- |
 * | ABORT TASK, ABORT TASK SET          | tasks of this session                                                                  |
 * | CLEAR TASK SET                      | tasks of every session on the unit; the others are told (2Fh/00h)                      |
 * | LOGICAL UNIT RESET                  | the same, and modes, RESERVE and stop are undone; the others are told (29h/03h)        |
 * | TARGET WARM RESET, COLD RESET       | the same for every unit of the target; cold: its sessions end                          |
 * | QUERY TASK, QUERY TASK SET          | says whether they are there                                                            |
 * | CLEAR ACA, TASK REASSIGN, QUERY ASYNCHRONOUS EVENT | not supported                                                           |
 *
 * **Details** The answer leaves when nothing of what was aborted can touch the disk any more (§4.2.3.2: "after ... tasks are terminated"). A
 * write that the disk has begun is waited for, and not answered. Data-Out that still arrives for it is dropped.
 */
import { readU32 } from "../../core/bytes.ts"
import type { ScsiNexus } from "../scsi/nexus.ts"
import { ASC } from "../scsi/sense.ts"
import type { UnitView } from "../scsi/unit.ts"
import { lunOf } from "./lun.ts"
import * as pdu from "./pdu.ts"
import type { Sender } from "./sender.ts"
import type { IscsiTask } from "./task.ts"
import type { Tasks } from "./tasks.ts"
import type { Turns } from "./turns.ts"

/** What task management needs of a session. */
export interface Managed {
  readonly nexus: ScsiNexus
  readonly sender: Sender
  readonly tasks: Tasks
  readonly turns: Turns
  /** What was gathered may leave. */
  readonly wake: () => void
  /** Resets every unit of the target; cold: and ends its sessions. */
  readonly resetTarget: (cold: boolean) => void
}

export class Management {
  private readonly session: Managed

  constructor(session: Managed) {
    this.session = session
  }

  request(head: Uint8Array, h: number): void {
    const fn = head[h + 1]! & 0x7f
    const itt = readU32(head, h + 16)
    const lun = lunOf(head, h)
    const view = this.session.nexus.views.get(lun)
    switch (fn) {
      case pdu.TMF_ABORT_TASK:
        this.abortTask(itt, readU32(head, h + 20), readU32(head, h + 32))
        return
      case pdu.TMF_QUERY_TASK:
        this.answer(itt, this.session.tasks.byTag.has(readU32(head, h + 20)) ? pdu.TMR_SUCCEEDED : pdu.TMR_COMPLETE)
        return
      case pdu.TMF_TARGET_WARM_RESET:
      case pdu.TMF_TARGET_COLD_RESET:
        this.targetReset(itt, fn === pdu.TMF_TARGET_COLD_RESET)
        return
      case pdu.TMF_I_T_NEXUS_RESET:
        this.nexusReset(itt)
        return
      case pdu.TMF_ABORT_TASK_SET:
      case pdu.TMF_CLEAR_TASK_SET:
      case pdu.TMF_LOGICAL_UNIT_RESET:
      case pdu.TMF_QUERY_TASK_SET:
        if (view === undefined) this.answer(itt, pdu.TMR_NO_LUN)
        else this.onUnit(fn, itt, view)
        return
      case pdu.TMF_TASK_REASSIGN:
        this.answer(itt, pdu.TMR_NO_REASSIGN)
        return
      default:
        this.answer(itt, pdu.TMR_NOT_SUPPORTED)
    }
  }

  /**
   * §11.5.1: a task that is not there has ended, unless its CmdSN is still to come: then it is counted as received, and gone.
   */
  private abortTask(itt: number, referenced: number, refCmdSN: number): void {
    const task = this.session.tasks.byTag.get(referenced)
    if (task === undefined) {
      const { sender, turns } = this.session
      if (turns.drop(referenced)) this.answer(itt, pdu.TMR_COMPLETE)
      else if (refCmdSN === sender.expCmdSN && !pdu.before(sender.maxCmdSN, refCmdSN)) {
        turns.skip(refCmdSN)
        this.answer(itt, pdu.TMR_COMPLETE)
      } else this.answer(itt, pdu.TMR_NO_TASK)
      return
    }
    void this.abort(itt, (t) => t === task)
  }

  private onUnit(fn: number, itt: number, view: UnitView): void {
    const onUnit = (t: IscsiTask) => t.lun === view.lun
    if (fn === pdu.TMF_QUERY_TASK_SET) {
      const found = [...this.session.tasks.byTag.values()].some(onUnit)
      this.answer(itt, found ? pdu.TMR_SUCCEEDED : pdu.TMR_COMPLETE)
      return
    }
    if (fn === pdu.TMF_CLEAR_TASK_SET) {
      for (const other of view.unit.views) {
        if (other === view) continue
        other.abortTasks()
        other.attend(ASC.commandsCleared)
      }
    }
    if (fn === pdu.TMF_LOGICAL_UNIT_RESET) view.unit.reset(ASC.busDeviceReset)
    void this.abort(itt, onUnit)
  }

  private nexusReset(itt: number): void {
    for (const view of this.session.nexus.views.values()) {
      if (view.unit.reservedBy === view.port) view.unit.reservedBy = undefined
      view.attend(ASC.nexusLoss)
      view.unit.refresh()
    }
    void this.abort(itt, () => true)
  }

  private targetReset(itt: number, cold: boolean): void {
    this.session.tasks.abortWhere(() => true)
    this.answer(itt, pdu.TMR_COMPLETE)
    this.session.resetTarget(cold)
  }

  private async abort(itt: number, concerns: (t: IscsiTask) => boolean): Promise<void> {
    // A unit's reset has marked tasks already; those that run are waited for as well.
    const running = [...this.session.tasks.byTag.values()].filter((t) => concerns(t) && t.running)
    this.session.tasks.abortWhere(concerns)
    if (running.length > 0) {
      await this.session.tasks.settled(running)
      this.answer(itt, pdu.TMR_COMPLETE)
      this.session.wake()
    } else this.answer(itt, pdu.TMR_COMPLETE)
  }

  private answer(itt: number, response: number): void {
    this.session.sender.taskManagement(itt, response)
  }
}
