/**
 * One I_T nexus: the logical units of a target as one initiator port sees them, and what happens to a command before it is carried out.
 *
 *     unit there? ─► unit attention? ─► command known? ─► reservation? ─► CDB ─► ready? ─► writable? ─► carried out
 *
 * **Details** The order is SAM-5's (§5.14: attentions before everything but INQUIRY, REPORT LUNS and REQUEST SENSE; §5.3.3 for reservations).
 * `run` answers at once when the command can, and a promise when it must wait. It never throws: whatever goes wrong becomes
 * sense data in the format that the unit's control page asks for.
 *
 * **Not done** ACA: NormACA is 0, and a CDB with NACA set is refused. Task priorities mean nothing here.
 */

import { allocated, type Command, type CommandSpec, type CopyResult, type Reply } from "./command.ts"
import { standardInquiry } from "./inquiry.ts"
import { cdbBytesOf, INQUIRY, REPORT_LUNS, REQUEST_SENSE, START_STOP_UNIT } from "./opcodes.ts"
import { reportLuns, requestSense } from "./reports.ts"
import {
  ASC,
  CHECK_CONDITION,
  CheckCondition,
  DATA_PROTECT,
  encodeSense,
  ILLEGAL_REQUEST,
  invalidField,
  NOT_READY,
  RESERVATION_CONFLICT,
  type Sense,
  UNIT_ATTENTION,
} from "./sense.ts"
import { senseOf } from "./sense-of.ts"
import { commandTable, findCommand } from "./table.ts"
import type { NotReadyUnit, UnitView } from "./unit.ts"

export interface Completion {
  readonly status: number
  readonly data: Uint8Array | undefined
  readonly sense: Uint8Array | undefined
}

const noData = new Uint8Array(0)
const never = new AbortController().signal

export class ScsiNexus {
  readonly targetName: string
  readonly port: string
  readonly views = new Map<number, UnitView>()
  readonly copies = new Map<number, CopyResult>()
  readonly notReady = new Map<number, NotReadyUnit>()
  /** Units that are there as long as they are used, and that REPORT LUNS tells no more. */
  private readonly unlisted = new Set<number>()

  /** Told whenever a unit that is not ready is asked for something, so that it may be tried again. */
  onNotReady: ((lun: number) => void) | undefined

  constructor(targetName: string, port: string) {
    this.targetName = targetName
    this.port = port
  }

  get luns(): ReadonlyArray<number> {
    const there = [...this.views.keys(), ...this.notReady.keys()]
    return there.filter((lun) => !this.unlisted.has(lun)).sort((a, b) => a - b)
  }

  has(lun: number): boolean {
    return this.views.has(lun) || this.notReady.has(lun)
  }

  /** Only these, and LUN 0, are to be reported from now on; what is not ready and not among them is gone. True: something changed. */
  report(listed: ReadonlyArray<number>): boolean {
    const before = this.luns
    for (const lun of this.notReady.keys()) if (!listed.includes(lun)) this.notReady.delete(lun)
    this.unlisted.clear()
    for (const lun of this.views.keys()) if (lun !== 0 && !listed.includes(lun)) this.unlisted.add(lun)
    return before.join() !== this.luns.join()
  }

  /** How much Data-Out a command takes. A command that will be refused takes none. */
  takes(lun: number, cdb: Uint8Array): number {
    const spec = findCommand(cdb)
    const view = this.views.get(lun)
    if (view === undefined || typeof spec === "string") return 0
    return spec.takes(cdb, view.device.logicalBlockBytes)
  }

  /**
   * `cdb` is 16 bytes; `data` and `cdb` are the nexus's until it settles. `announced` is how much Data-Out the initiator said it has, which may
   * be more or less than the command takes.
   */
  run(
    lun: number,
    cdb: Uint8Array,
    data: Uint8Array = noData,
    announced = data.length,
    signal: AbortSignal = never,
  ): Completion | Promise<Completion> {
    const view = this.views.get(lun)
    try {
      const reply = view === undefined ? this.withoutUnit(lun, cdb) : this.judged(view, cdb, data, announced, signal)
      if (!(reply instanceof Promise)) return complete(reply)
      return reply.then(complete, (e) => this.failed(view, e))
    } catch (e) {
      return this.failed(view, e)
    }
  }

  failed(view: UnitView | undefined, thrown: unknown): Completion {
    const sense = senseOf(thrown, view?.device.logicalBlockBytes ?? 512)
    return checked(sense, view?.unit.modes.descriptorSense ?? false)
  }

  private judged(
    view: UnitView,
    cdb: Uint8Array,
    data: Uint8Array,
    announced: number,
    signal: AbortSignal,
  ): Reply | Promise<Reply> {
    if (cdb[0] === REPORT_LUNS) return this.reportLuns(cdb)
    if (cdb[0] === REQUEST_SENSE) return requestSense(cdb, view.takeAttention(), stoppedSense(view))
    if (cdb[0] !== INQUIRY) {
      const attention = view.takeAttention()
      if (attention !== undefined) throw new CheckCondition(UNIT_ATTENTION, attention)
    }
    const spec = findCommand(cdb)
    if (spec === "opcode") throw new CheckCondition(ILLEGAL_REQUEST, ASC.invalidOpcode)
    if (spec === "action") throw invalidField(1, 4)
    if (conflicts(view, spec, cdb)) return { status: RESERVATION_CONFLICT }
    const control = cdb[cdbBytesOf(cdb[0]!) - 1] ?? 0
    if ((control & 0x04) !== 0) throw invalidField(cdbBytesOf(cdb[0]!) - 1, 2)
    if (spec.exactly !== undefined && announced !== spec.takes(cdb, view.device.logicalBlockBytes))
      throw invalidField(spec.exactly)
    if (spec.medium && view.unit.stopped) throw new CheckCondition(NOT_READY, ASC.initializingCommandRequired)
    if (spec.changes && !view.writable) throw new CheckCondition(DATA_PROTECT, ASC.writeProtected)
    const command: Command = { nexus: this, view, device: view.device, cdb, data, signal, table: commandTable }
    return spec.run(command)
  }

  private reportLuns(cdb: Uint8Array): Reply {
    // SPC-4 §6.33: to whichever unit it came, all of them have been told.
    for (const each of this.views.values()) each.dropAttention(ASC.reportedLunsChanged)
    return reportLuns(this.luns, cdb)
  }

  /** SAM-5 §4.7, SPC-4 §6.6.2: nothing at this LUN, or nothing that could be opened. */
  private withoutUnit(lun: number, cdb: Uint8Array): Reply {
    const unopened = this.notReady.get(lun)
    if (unopened !== undefined) this.onNotReady?.(lun)
    const sense = unopened?.sense ?? { key: ILLEGAL_REQUEST, code: ASC.unitNotSupported }
    switch (cdb[0]) {
      case REPORT_LUNS:
        return this.reportLuns(cdb)
      case REQUEST_SENSE:
        return requestSense(cdb, undefined, sense)
      case INQUIRY:
        if ((cdb[1]! & 0x01) !== 0 && unopened === undefined) throw invalidField(1, 0)
        if ((cdb[1]! & 0x01) !== 0) throw new CheckCondition(sense.key, sense.code)
        return allocated(standardInquiry(unopened !== undefined), (cdb[3]! << 8) | cdb[4]!)
      default:
        throw new CheckCondition(sense.key, sense.code)
    }
  }
}

const stoppedSense = (view: UnitView): Sense | undefined =>
  view.unit.stopped ? { key: NOT_READY, code: ASC.initializingCommandRequired } : undefined

const complete = ({ status, data }: Reply): Completion => ({ status, data, sense: undefined })

const checked = (sense: Sense, descriptors: boolean): Completion => ({
  status: CHECK_CONDITION,
  data: undefined,
  sense: encodeSense(sense, descriptors),
})

const RELEASE_6 = 0x17
const PREVENT_ALLOW = 0x1e

/** RESERVE(6) keeps everybody else out; a persistent reservation, as its type says. */
const conflicts = (view: UnitView, spec: CommandSpec, cdb: Uint8Array): boolean => {
  const { unit, port } = view
  if (spec.opcode === INQUIRY) return false
  // SPC-2 §7.16: a RELEASE by somebody else is answered GOOD and does nothing.
  // SPC-2 §5.5.1, SBC-3 table 13: allowing removal prevents nobody's work.
  const allows = spec.opcode === PREVENT_ALLOW && (cdb[4]! & 3) === 0
  if (unit.reservedBy !== undefined && unit.reservedBy !== port) return !(spec.opcode === RELEASE_6 || allows)
  if (spec.access === "always" || spec.access === "own" || allows) return false
  // SBC-3 table 13: START with no power condition is allowed.
  if (spec.opcode === START_STOP_UNIT && (cdb[4]! & 0xf1) === 0x01) return false
  return unit.reservations.conflicts(port, spec.access === "write")
}
