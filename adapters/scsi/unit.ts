/**
 * A logical unit, and how one initiator port sees it.
 *
 *     session A ─► UnitView ─┐
 *     session B ─► UnitView ─┴─► LogicalUnit: mode pages, reservations, stopped or not
 *                     └─ its own lease's device, its own queue of unit attentions
 *
 * **Details** A `LogicalUnit` is one generation of one disk: sessions that lease the same `device.id` meet in it. It lives while a session
 * uses it, and longer while something is registered on it. `view.clear` is the one question of the hot path: nothing is to be told, nothing is
 * reserved, no task has to go first, and the unit is ready; whatever could change the answer calls `refresh`.
 */
import type { BlockDevice } from "../../core/block/device.ts"
import { limits } from "../../core/limits.ts"
import { type Identity, identityOf } from "./identity.ts"
import { type Effects, Reservations } from "./reservations.ts"
import { ASC, type Sense } from "./sense.ts"
import { TaskSet } from "./task-set.ts"

/** What a disk tells an initiator to change of itself. All of it holds for every initiator (SPC-4 §7.5.6: one shared copy). */
export interface Modes {
  /** WCE: writes are acknowledged before they are durable. */
  writeCache: boolean
  /** SWP: software write protect. */
  writeProtect: boolean
  /** D_SENSE: sense data in descriptor format. */
  descriptorSense: boolean
}

const defaultModes = (): Modes => ({ writeCache: true, writeProtect: false, descriptorSense: false })

/** Where persistent reservations that asked for it (APTPL) outlive the server. */
export interface Keeper {
  /** `identityKey` names the disk, `unitId` its generation; undefined: nothing is to be kept any more. */
  save(identityKey: string, unitId: string, state: string | undefined): Promise<void>
  load(identityKey: string, unitId: string): Promise<string | undefined>
}

export class LogicalUnit {
  readonly id: string
  readonly identity: Identity
  readonly keeper: Keeper | undefined
  private readonly identityKey: string
  readonly reservations = new Reservations()
  readonly views = new Set<UnitView>()
  readonly tasks = new TaskSet(() => this.refresh())
  modes: Modes = defaultModes()
  stopped = false
  /** RESERVE(6): the initiator port that holds it (SPC-2 §5.5.1). */
  reservedBy: string | undefined

  constructor(id: string, identityKey: string, keeper?: Keeper) {
    this.id = id
    this.identity = identityOf(identityKey)
    this.keeper = keeper
    this.identityKey = identityKey
  }

  /** Writes down what is to outlive the server; settles when it is durable. */
  async keep(): Promise<void> {
    const { keeper, reservations } = this
    if (keeper === undefined) return
    const state = reservations.persists && reservations.keys.size > 0 ? reservations.toJSON() : undefined
    await keeper.save(this.identityKey, this.id, state)
  }

  /** Anything that may keep a command from running at once. */
  get quiet(): boolean {
    return (
      !this.stopped && this.reservedBy === undefined && this.reservations.held === undefined && !this.tasks.isOrdered
    )
  }

  refresh(): void {
    for (const view of this.views) view.refresh()
  }

  /** Tells every initiator but one (or all). */
  attention(code: number, except?: UnitView): void {
    for (const view of this.views) if (view !== except) view.attend(code)
  }

  apply(effects: Effects, by: UnitView): void {
    const tell = (ports: ReadonlyArray<string>, code: number) => {
      for (const view of this.views) if (view !== by && ports.includes(view.port)) view.attend(code)
    }
    tell(effects.preempted, ASC.registrationsPreempted)
    tell(effects.released, ASC.reservationsReleased)
    tell(effects.cleared, ASC.reservationsPreempted)
    for (const view of this.views) if (view !== by && effects.abort.includes(view.port)) view.abortTasks()
    this.refresh()
  }

  /** LOGICAL UNIT RESET (SAM-5 §6.3.3): everything but persistent reservations goes back to its beginning. */
  reset(code: number): void {
    this.modes = defaultModes()
    this.stopped = false
    this.reservedBy = undefined
    for (const view of this.views) view.abortTasks()
    this.attention(code)
    this.refresh()
  }
}

export interface UnitViewInput {
  readonly lun: number
  readonly unit: LogicalUnit
  readonly device: BlockDevice
  /** `<initiator name>,i,0x<ISID>`: the initiator port (RFC 7143 §4.4.2). */
  readonly port: string
  /** Aborts this session's tasks on the unit, without answering them. */
  readonly abortTasks: (lun: number) => void
}

export class UnitView {
  readonly lun: number
  readonly unit: LogicalUnit
  readonly device: BlockDevice
  readonly port: string
  clear = false
  /** Codes to be told, oldest first. */
  private readonly attentions: Array<number> = []
  private readonly abort: (lun: number) => void
  private readonly unlisten: () => void

  constructor(input: UnitViewInput) {
    this.lun = input.lun
    this.unit = input.unit
    this.device = input.device
    this.port = input.port
    this.abort = input.abortTasks
    this.unlisten = input.device.onChange((change) =>
      this.attend(change === "capacity" ? ASC.capacityChanged : ASC.mediumMayHaveChanged),
    )
    // A medium that a new session starts: whoever stopped it has no say any more.
    this.unit.stopped = false
    this.unit.views.add(this)
    this.unit.refresh()
  }

  get capacityBlocks(): number {
    return Math.floor(this.device.sizeBytes / this.device.logicalBlockBytes)
  }

  get writable(): boolean {
    return this.device.features.writable && !this.unit.modes.writeProtect
  }

  refresh(): void {
    this.clear = this.attentions.length === 0 && this.unit.quiet
  }

  /** Queues a unit attention (SAM-5 §5.14). A reset makes older ones moot; the same one twice is one. */
  attend(code: number): void {
    if (code >>> 8 === 0x29) this.attentions.length = 0
    if (!this.attentions.includes(code) && this.attentions.length < limits.scsiAttentionsMax) this.attentions.push(code)
    this.refresh()
  }

  /** The next thing to be told, which is thereby told. */
  takeAttention(): number | undefined {
    const code = this.attentions.shift()
    this.refresh()
    return code
  }

  /** REPORT LUNS has told it (SPC-4 §6.33). */
  dropAttention(code: number): void {
    const at = this.attentions.indexOf(code)
    if (at >= 0) this.attentions.splice(at, 1)
    this.refresh()
  }

  abortTasks(): void {
    this.abort(this.lun)
  }

  /** The session has gone: I_T nexus loss (SAM-5 §6.3.4). */
  leave(): void {
    this.unlisten()
    this.unit.views.delete(this)
    if (this.unit.reservedBy === this.port && ![...this.unit.views].some((v) => v.port === this.port)) {
      this.unit.reservedBy = undefined
      this.unit.refresh()
    }
  }
}

/** A slot whose disk could not be opened: it is there, and answers NOT READY. */
export interface NotReadyUnit {
  readonly lun: number
  readonly identity: Identity
  readonly sense: Sense
}

/** The logical units of a server, by the generation they are. */
export class Units {
  private readonly units = new Map<string, { unit: LogicalUnit; identityKey: string }>()
  private readonly keeper: Keeper | undefined

  constructor(keeper?: Keeper) {
    this.keeper = keeper
  }

  /** `id` is the device's, `identityKey` what stays the same through resets. */
  async unitOf(id: string, identityKey: string): Promise<LogicalUnit> {
    const kept = this.units.has(id) ? undefined : await this.keeper?.load(identityKey, id)
    const present = this.units.get(id)
    if (present !== undefined) return present.unit
    // A new generation of the same disk: what was registered on the one before went with it.
    for (const [old, { unit, identityKey: key }] of this.units)
      if (key === identityKey && unit.views.size === 0) this.units.delete(old)
    const unit = new LogicalUnit(id, identityKey, this.keeper)
    if (kept !== undefined) unit.reservations.restore(kept)
    this.units.set(id, { unit, identityKey })
    return unit
  }

  /** Forgets a unit that nobody uses and nobody is registered on. */
  left(unit: LogicalUnit): void {
    if (unit.views.size === 0 && unit.reservations.keys.size === 0) this.units.delete(unit.id)
  }

  get size(): number {
    return this.units.size
  }
}
