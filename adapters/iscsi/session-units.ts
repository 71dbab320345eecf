/**
 * The disks of one running session: leases, those that were not ready, and what is linked or taken away meanwhile.
 *
 * | what happens to a slot                     | what the session sees                                                                |
 * | ------------------------------------------ | ------------------------------------------------------------------------------------ |
 * | it is linked                               | a new LUN, when the session's boot may open it                                       |
 * | it is unlinked                             | its LUN is no longer reported; what uses it goes on until the session ends           |
 * | its disk is taken away (reset, commit)     | the LUN is gone, and does not come back in this session                              |
 * | the same of slot 0, or of the last one     | the session ends                                                                     |
 * | it was not ready, and is asked for         | it is tried again; its first command tells of a medium that came (28h/00h)           |
 *
 * **Details** Changes are told by REPORTED LUNS DATA HAS CHANGED (3Fh/0Eh) on the session's other units (SPC-4 §6.33). Slot 0 is what the computer runs
 * from, so it is always reported: a system that looks for its disks anew would let go of it.
 */
import { type Ending, endingText, type Peer, type SignOfLife } from "../../core/block/lease.ts"
import { limits } from "../../core/limits.ts"
import type { ScsiNexus } from "../scsi/nexus.ts"
import { ASC } from "../scsi/sense.ts"
import { type Opened, ours, refusalOf } from "./admission.ts"
import type { Wanted } from "./login.ts"
import type { Happening, Portal } from "./portal.ts"

export interface SessionUnitsInput {
  readonly portal: Portal
  readonly wanted: Wanted
  readonly peer: Peer
  readonly opened: ReadonlyArray<Opened>
  readonly abortTasks: (lun: number) => void
  /** The units of the nexus are others than before. */
  readonly changed: () => void
  /** What the session stands on was taken away, or it is to end. */
  readonly lost: (why: string) => void
  readonly failed: (e: Error) => void
  /** Whether its initiator is there now. */
  readonly ask: SignOfLife
  readonly report: (event: Happening) => void
  /** Calls once, later, unless the connection ends before. */
  readonly after: (millis: number, act: () => void) => void
}

export class SessionUnits {
  private readonly input: SessionUnitsInput
  private nexus: ScsiNexus | undefined
  private opened: ReadonlyArray<Opened>
  private readonly forget: Array<() => void> = []
  /** Slots that were taken away, or refused. */
  private readonly gone = new Set<number>()
  private turn: Promise<void> = Promise.resolve()
  private reopening = false
  private released = false

  constructor(input: SessionUnitsInput) {
    this.input = input
    this.opened = input.opened
  }

  /** The session runs. */
  begin(nexus: ScsiNexus): void {
    this.nexus = nexus
    nexus.onNotReady = (lun) => this.tryAgain(nexus, lun)
    // One of its leases answers for the session.
    this.opened[0]?.lease.onAsked?.(this.input.ask)
    for (const opened of this.opened) this.watch(nexus, opened)
  }

  /** What this peer may open now: one look after the other. */
  look(listed: ReadonlyArray<number>): void {
    const { nexus } = this
    if (nexus !== undefined)
      this.turn = this.turn.then(() => this.follow(nexus, listed)).catch((e) => this.input.failed(ours(e)))
  }

  async release(): Promise<void> {
    this.released = true
    for (const forget of this.forget.splice(0)) forget()
    const leases = this.opened
    this.opened = []
    for (const { lease } of leases) await lease.release().catch((e) => this.input.failed(ours(e)))
  }

  private async follow(nexus: ScsiNexus, listed: ReadonlyArray<number>): Promise<void> {
    const before = [...nexus.views.values()]
    let changed = nexus.report(listed)
    for (const slot of listed) {
      if (this.released) return
      if (nexus.has(slot) || this.gone.has(slot)) continue
      if (await this.add(nexus, slot)) changed = true
    }
    if (!changed) return
    this.input.changed()
    for (const view of before) view.attend(ASC.reportedLunsChanged)
  }

  /** False: it is not for this session. */
  private async add(nexus: ScsiNexus, slot: number): Promise<boolean> {
    const { portal, wanted, peer } = this.input
    try {
      const opened = await portal.openSlot(wanted, slot, peer)
      if (!(await this.take(nexus, opened, ASC.powerOnOrReset))) return false
      this.input.report({
        type: "linked",
        target: nexus.targetName,
        lun: slot,
        description: opened.lease.description,
      })
    } catch (e) {
      const error = ours(e)
      if (refusalOf(error) !== undefined) {
        this.gone.add(slot)
        return false
      }
      portal.notReady(nexus, wanted, { slot, error })
      this.input.report({ type: "not-ready", target: nexus.targetName, lun: slot, error })
    }
    return true
  }

  /** No sooner than `iscsiReopenMillis` after the last time. */
  private tryAgain(nexus: ScsiNexus, lun: number): void {
    if (this.reopening || this.released) return
    this.reopening = true
    const { portal, wanted, peer, report, after } = this.input
    void portal
      .openSlot(wanted, lun, peer)
      .catch(() => undefined)
      .then(async (opened) => {
        if (opened === undefined || !(await this.take(nexus, opened, ASC.mediumMayHaveChanged))) return
        report({ type: "ready", target: nexus.targetName, lun, description: opened.lease.description })
      })
      .catch((e) => this.input.failed(ours(e)))
      .finally(() => after(limits.iscsiReopenMillis, () => (this.reopening = false)))
  }

  /** False: the session ended meanwhile, or has the unit by now. */
  private async take(nexus: ScsiNexus, opened: Opened, attention: number): Promise<boolean> {
    const { portal, abortTasks } = this.input
    const unit = await portal.unitOf(opened)
    if (this.released || nexus.views.has(opened.slot)) {
      portal.forget(unit)
      await opened.lease.release()
      return false
    }
    portal.seatOne(nexus, unit, opened, abortTasks, attention)
    this.opened = [...this.opened, opened]
    this.watch(nexus, opened)
    this.input.changed()
    return true
  }

  private watch(nexus: ScsiNexus, { slot, lease }: Opened): void {
    this.forget.push(lease.onRevoked((ending) => this.takenAway(nexus, slot, ending)))
  }

  private takenAway(nexus: ScsiNexus, slot: number, ending: Ending): void {
    if (ending === "disconnected" || slot === 0 || nexus.views.size === 1) {
      this.input.lost(endingText(ending))
      return
    }
    this.gone.add(slot)
    this.input.portal.unseat(nexus, slot)
    this.input.changed()
    for (const view of nexus.views.values()) view.attend(ASC.reportedLunsChanged)
    this.input.report({ type: "taken-away", target: nexus.targetName, lun: slot })
  }
}
