/**
 * What the connections of one server share: the disks, the logical units, who is logged in, and the rules of a login.
 *
 * **Details** A session is known by initiator name, ISID and target (RFC 7143 §4.4.3: the I_T nexus). A login with all three equal reinstates it:
 * the old one ends first, and nothing of it has an effect any more when the new one begins (§6.3.5). TSIHs are given in turn, never 0.
 */
import type { Disks, Peer } from "../../core/block/lease.ts"
import type { ErrorCode, ImagelinkError } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import { Slabs } from "../../core/slab-output.ts"
import { identityOf } from "../scsi/identity.ts"
import { ScsiNexus } from "../scsi/nexus.ts"
import { ASC } from "../scsi/sense.ts"
import { notReadySense } from "../scsi/sense-of.ts"
import { type Keeper, type LogicalUnit, Units, UnitView } from "../scsi/unit.ts"
import { admit, type Opened, openSlot, slotsOf, type Unopened } from "./admission.ts"
import { ServerBudget } from "./budget.ts"
import type { Secret } from "./chap.ts"
import type { ElsewhereOf } from "./elsewhere.ts"
import { type LoginPolicy, PORTAL_GROUP, type Proof, type Wanted } from "./login.ts"
import { type TargetName, targetName } from "./names.ts"

/** One line for the server's log. */
export type IscsiEvent = { readonly connection: number; readonly peer: string } & (
  | { readonly type: "connected" }
  | {
      readonly type: "opened"
      readonly initiator: string
      readonly target: string
      readonly user: string | undefined
      readonly units: ReadonlyArray<string>
      readonly reinstated: boolean
    }
  | { readonly type: "discovery"; readonly initiator: string }
  | {
      readonly type: "not-ready"
      readonly target: string
      readonly lun: number
      readonly error: ImagelinkError
    }
  | {
      readonly type: "ready" | "linked"
      readonly target: string
      readonly lun: number
      readonly description: string
    }
  | { readonly type: "taken-away"; readonly target: string; readonly lun: number }
  | {
      readonly type: "refused"
      readonly initiator: string | undefined
      readonly target: string | undefined
      readonly status: number
      readonly why: string
      readonly code?: ErrorCode
      /** Refusals of the same peer that were not told one by one. */
      readonly unsaid: number
    }
  | {
      readonly type: "redirected"
      readonly initiator: string | undefined
      readonly target: string | undefined
      readonly status: number
      readonly portal: string
    }
  | { readonly type: "closed"; readonly target?: string; readonly why: string }
  | { readonly type: "error"; readonly message: string }
)
export type Happening = IscsiEvent extends infer E
  ? E extends IscsiEvent
    ? Omit<E, "connection" | "peer">
    : never
  : never

/** A running session, as the portal sees it. */
export interface Member {
  readonly target: string
  /** Ends it; settles when nothing of it has an effect any more. */
  leave(why: string): Promise<void>
  /** Ends it once what was said has been sent. */
  part(why: string): void
}

export interface PortalInput {
  readonly disks: Disks
  readonly secretOf: (target: TargetName) => Secret | undefined
  readonly bootSecretOf: (target: TargetName) => BootSecret | undefined
  readonly elsewhereOf: ElsewhereOf
  readonly random: (bytes: number) => Uint8Array
  readonly keeper?: Keeper | undefined
}

/** What the script of a boot says, for that boot alone. */
export interface BootSecret extends Secret {
  /** The script really says it, so who offers CHAP knows it. */
  readonly given: boolean
}

export class Portal {
  readonly slabs = new Slabs(limits.iscsiSlabBytes, limits.iscsiSlabsKeptMax)
  readonly budget = new ServerBudget(limits.iscsiServerBytesMax)
  /** Of large PDUs that came in part. */
  readonly partial = new ServerBudget(limits.iscsiPartialBytesMax)
  readonly policy: LoginPolicy
  readonly units: Units
  private readonly disks: Disks
  private readonly members = new Map<string, Member>()
  private handles = 0

  constructor(input: PortalInput) {
    this.disks = input.disks
    this.units = new Units(input.keeper)
    const { elsewhereOf, random } = input
    const proofOf = (target: TargetName) => proofWith(input.secretOf(target), input.bootSecretOf(target))
    this.policy = { proofOf, elsewhereOf, random, windowCommands: limits.iscsiWindowCommands }
  }

  nextHandle(): number {
    this.handles = (this.handles % 0xffff) + 1
    return this.handles
  }

  /** The targets a peer may open, each once, by name, with where they are: `address`, unless the client is sent elsewhere. */
  targets(peer: Peer, address: string): ReadonlyArray<{ name: string; addresses: ReadonlyArray<string> }> {
    const clients = new Set<string>()
    for (const { name } of this.disks.list(peer)) {
      const [, client] = /^client\/([^/]+)\//u.exec(name) ?? []
      if (client !== undefined) clients.add(client)
    }
    return [...clients].map((client) => {
      const elsewhere = this.policy.elsewhereOf(client.toLowerCase())
      const addresses = [elsewhere === undefined ? address : elsewhere.portal].map((a) => `${a},${PORTAL_GROUP}`)
      return { name: targetName(client), addresses }
    })
  }

  /** Answers the slots of a client that a peer may see now; who asks for the same peer again is answered the same. */
  listing(): (client: string, peer: Peer) => ReadonlyArray<number> {
    const byPeer = new Map<string, Disks["list"]>()
    return (client, peer) => {
      const listed = byPeer.get(peer.address) ?? constant(this.disks.list(peer))
      byPeer.set(peer.address, listed)
      return slotsOf({ list: listed }, client, peer)
    }
  }

  open(target: TargetName, peer: Peer): ReturnType<typeof admit> {
    return admit(this.disks, target, peer)
  }

  /** Somebody is logged in with this name, ISID and target. */
  isTaken(wanted: Wanted): boolean {
    return this.members.has(keyOf(wanted))
  }

  /** Ends the session this one takes the place of. */
  async reinstate(wanted: Wanted): Promise<boolean> {
    const key = keyOf(wanted)
    const before = this.members.get(key)
    if (before === undefined) return false
    await before.leave("the initiator logged in again")
    // Found again, it would have ended already: whoever waits until the seat is free would ask without end, and let nobody else run.
    if (this.members.get(key) === before) this.members.delete(key)
    return true
  }

  /** The units of what was opened. A new session is told nothing by a unit attention: core/decisions/024. */
  async seat(
    wanted: Wanted,
    opened: ReadonlyArray<Opened>,
    unopened: ReadonlyArray<Unopened>,
    abortTasks: (lun: number) => void,
  ): Promise<ScsiNexus> {
    const port = `${wanted.initiator},i,0x${wanted.isid.toString("hex")}`
    const nexus = new ScsiNexus(wanted.targetText!.toLowerCase(), port)
    for (const one of opened) this.seatOne(nexus, await this.unitOf(one), one, abortTasks)
    for (const one of unopened) this.notReady(nexus, wanted, one)
    return nexus
  }

  /** One slot of a session that runs. @throws what attach throws */
  openSlot(wanted: Wanted, slot: number, peer: Peer): Promise<Opened> {
    return openSlot(this.disks, wanted.target!, slot, peer)
  }

  unitOf({ lease: { device, identity } }: Opened): Promise<LogicalUnit> {
    return this.units.unitOf(device.id, identity ?? device.id)
  }

  /** A unit of its disk, which begins by telling `attention`, if there is one. */
  seatOne(
    nexus: ScsiNexus,
    unit: LogicalUnit,
    { slot, lease }: Opened,
    abortTasks: (lun: number) => void,
    attention?: number,
  ): void {
    const view = new UnitView({ lun: slot, unit, device: lease.device, port: nexus.port, abortTasks })
    if (attention !== undefined) view.attend(attention)
    nexus.notReady.delete(slot)
    nexus.views.set(slot, view)
  }

  notReady(nexus: ScsiNexus, wanted: Wanted, { slot, error }: Unopened): void {
    const identity = identityOf(`${wanted.target!.client}/${slot}`)
    nexus.notReady.set(slot, { lun: slot, identity, sense: notReadySense(error) })
  }

  unseat(nexus: ScsiNexus, slot: number): void {
    const view = nexus.views.get(slot)
    if (view === undefined) return
    nexus.views.delete(slot)
    view.leave()
    this.units.left(view.unit)
  }

  /** Nobody came to use it. */
  forget(unit: LogicalUnit): void {
    this.units.left(unit)
  }

  join(wanted: Wanted, member: Member): void {
    this.members.set(keyOf(wanted), member)
  }

  leave(wanted: Wanted, member: Member, nexus: ScsiNexus): void {
    if (this.members.get(keyOf(wanted)) === member) this.members.delete(keyOf(wanted))
    for (const slot of [...nexus.views.keys()]) this.unseat(nexus, slot)
  }

  /** TARGET WARM and COLD RESET (SAM-5 §7.10 of older editions): every unit of the target; cold: and its sessions end. */
  resetTarget(nexus: ScsiNexus, cold: boolean): void {
    for (const view of nexus.views.values()) view.unit.reset(ASC.powerOnOrReset)
    if (!cold) return
    for (const member of this.members.values())
      if (member.target === nexus.targetName) member.part("the target was reset")
  }
}

/** An operator's secret is asked for; that of a boot does as well, and is possible where there is none. */
const proofWith = (set: Secret | undefined, ofBoot: BootSecret | undefined): Proof => {
  const mutual = set?.mutual
  const own = ofBoot === undefined ? [] : [{ ...ofBoot, ...(mutual === undefined ? {} : { mutual }) }]
  const secrets = set === undefined ? own : [set, ...own]
  return { secrets, required: set !== undefined, preferred: ofBoot?.given ?? false }
}

const constant =
  <A>(value: A) =>
  (): A =>
    value

const keyOf = (w: Wanted): string => `${w.initiator}\n${w.isid.toString("hex")}\n${w.targetText?.toLowerCase()}`
