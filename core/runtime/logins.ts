/**
 * Logins at a client's disks: which generation a session gets, and how a new boot begins.
 *
 *     disk made ─► the record names the boot and the disk, synced ─► sessions of before end ─► what was theirs is swept ─► opened
 *
 * **Details** A new boot begins alone, while no other login of its client is on its way (boot-turns.ts). So a crash leaves the boot before as the
 * current one, and what was made is made anew by the next; or the new one, with its fresh disk. All slots of a client belong to one boot: its
 * first login at any of them ends the sessions at all of them, and each gets its fresh disk at the boot's first login there. So a data disk
 * that cannot be opened keeps nobody from booting.
 *
 * A session without a boot id (NBD, the plain target) joins what is current and renews nothing.
 */
import type { Lease, Peer } from "../block/lease.ts"
import type { ClientEntry, LinkEntry } from "../domain/catalogue.ts"
import { fail, isImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import type { BootShown } from "./boot-ids.ts"
import { type BootRecord, noBoots, withSlot } from "./boot-record.ts"
import type { Boot } from "./boot-recorder.ts"
import type { BootWatch } from "./boot-signs.ts"
import { BootTurns } from "./boot-turns.ts"
import type { BootService } from "./boots.ts"
import {
  armedGeneration,
  isGood,
  linkGeneration,
  ofCurrentBoot,
  policyOf,
  recordedGeneration,
  wasMade,
} from "./generations.ts"
import { bootLink, isNextBoot, wasNextBoot } from "./next-boot.ts"
import type { OverlayFolders } from "./overlay-folders.ts"
import type { OverlayOwner } from "./overlay-owner.ts"
import type { Made, SlotOwners, Wanted } from "./slot-owners.ts"
import type { Twins } from "./twins.ts"

/** A client at one of its slots, perhaps in a boot. */
export interface Login {
  readonly client: ClientEntry
  readonly slot: number
  /** Left out by a protocol that carries no boot id. */
  readonly shown: BootShown | undefined
  readonly peer: Peer
}

export interface LoginsOptions {
  readonly boots: BootService
  readonly owners: SlotOwners
  readonly folders: OverlayFolders
  readonly twins: Twins
  /** Whether the log knows of a boot. */
  readonly isRecorded: (clientId: string, boot: string) => Promise<boolean>
  readonly watch: BootWatch
}

const bootOf = ({ client, shown, peer }: Login, { on, policy, generation }: Made, nextBoot: boolean): Boot => ({
  client: { id: client.id, name: client.name, mac: client.mac },
  slot: 0,
  boot: shown?.boot ?? null,
  image: { id: on.imageId, name: on.imageName },
  version: on.version.number,
  overlay: policy,
  generation: generation.epoch,
  protocol: peer.protocol,
  address: peer.address,
  firmware: null,
  stages: [],
  nextBoot,
})

const linkOf = ({ client, slot }: Login): LinkEntry => {
  const link = client.links.get(slot)
  if (link === undefined) throw fail("LINK_NOT_FOUND", { client: client.name, slot })
  return link
}

const slotsOf = (clientId: string) => Array.from({ length: limits.slotMax + 1 }, (_, slot) => ({ clientId, slot }))

/** In the current boot: what it has in this slot, or the link's if it comes here for the first time. @throws OVERLAY_RETIRED */
const wantedInBoot = ({ client, slot }: Login, link: LinkEntry, record: BootRecord): Wanted => {
  const mine = ofCurrentBoot(record, slot)
  if (mine !== undefined && !isGood(mine, link)) throw fail("OVERLAY_RETIRED", { client: client.name, slot })
  if (mine !== undefined) return { generation: recordedGeneration(mine), policy: mine.policy, promised: true }
  const generation = linkGeneration(link, record.serial)
  const promised = wasMade(record, slot, generation)
  return { generation, policy: policyOf(link), promised, renewable: !promised }
}

/** @returns a lease on what the login gets. @throws what attach throws (lease.ts) */
export const makeLogins = (options: LoginsOptions): ((login: Login) => Promise<Lease>) => {
  const { boots, owners, folders, twins, isRecorded, watch } = options
  const { records } = boots
  const turns = new BootTurns()
  const told = new WeakSet<Made>()
  /** By client, the boot that the log has, or will have from this process. */
  const recorded = new Map<string, string>()
  /** By client, the boot up to which sessions of those before were ended. A record may be replaced though that is reported as failed. */
  const ended = new Map<string, number>()

  const tell = (login: Login, made: Made, nextBoot = false): void => {
    if (login.slot !== 0) return
    told.add(made)
    if (login.shown !== undefined) recorded.set(login.client.id, login.shown.boot)
    watch.began(bootOf(login, made, nextBoot))
  }

  /**
   * A record that is gone while disks of boots are there would make the next login look like a new boot; so would one that cannot be read.
   * Once the slot was reset, neither is in the way. @throws OVERLAY_LOST OVERLAY_DAMAGED IO_ERROR
   */
  const recordOf = async ({ client, slot }: Login, link: LinkEntry): Promise<BootRecord> => {
    let damage: unknown
    const record = await records.of(client.id).catch((e) => {
      if (!isImagelinkError(e) || e.code !== "OVERLAY_DAMAGED") throw e
      damage = e
    })
    if (record) return record
    const left = await folders.list(client.id, slot)
    if (!left.some(({ epoch, serial }) => serial > 0 && epoch >= link.since)) return noBoots
    const why = "what was recorded of the client's boots is not there any more"
    throw damage ?? fail("OVERLAY_LOST", { client: client.name, slot, why })
  }

  /** The number of the next boot: one that nothing on the disk has, for what a boot that never came about left is not to be taken for its own. */
  const nextSerial = async ({ id }: ClientEntry, { serial }: BootRecord): Promise<number> => {
    const slots = await folders.slots(id)
    const left = await Promise.all(slots.map(({ slot }) => folders.list(id, slot)))
    return 1 + Math.max(serial, ...left.flat().map((generation) => generation.serial))
  }

  /** Without a boot id: the link's, whatever boot that is; after a reset for the next boot, the one before it while that is in use. */
  const wantedPlain = ({ client, slot }: Login, link: LinkEntry, record: BootRecord): Wanted => {
    const policy = policyOf(link)
    const armed = armedGeneration(link, record.serial)
    if (armed !== undefined && owners.isUsed({ clientId: client.id, slot }, armed))
      return { generation: armed, policy, promised: true }
    const generation = linkGeneration(link, record.serial)
    return { generation, policy, promised: wasMade(record, slot, generation) }
  }

  /** Promises the current boot what it was given in a slot; answers whether this was the first time. */
  const promise = async ({ client, slot }: Login, boot: string, { generation, policy }: Wanted): Promise<boolean> => {
    let first = false
    await records.change(client.id, (record) => {
      if (record.boot !== boot || ofCurrentBoot(record, slot) !== undefined) return record
      first = true
      return withSlot(record, { slot, epoch: generation.epoch, policy, serial: record.serial })
    })
    return first
  }

  /** A process that has just begun has no sessions of before. */
  const isBehind = ({ id }: ClientEntry, { serial }: BootRecord): boolean => {
    if (!ended.has(id)) ended.set(id, serial)
    return ended.get(id) !== serial
  }

  const watched = ({ client, peer }: Login, owner: OverlayOwner): Lease => {
    const { firstRead, left } = watch.joined(client, peer.address)
    const lease = owner.lease(firstRead)
    const release = () => {
      left()
      return lease.release()
    }
    return { ...lease, release }
  }

  /** A boot that goes on after a server which did not come to record it. */
  const isUnrecorded = async ({ client, slot, shown }: Login): Promise<boolean> => {
    if (slot !== 0 || shown === undefined || recorded.get(client.id) === shown.boot) return false
    recorded.set(client.id, shown.boot)
    return !(await isRecorded(client.id, shown.boot))
  }

  /** Its session can be asked whether the boot's PC runs. */
  const answering = (lease: Lease, { client, shown, peer }: Login): Lease => {
    if (shown === undefined) return lease
    let left = () => {}
    return {
      ...lease,
      onAsked(ask) {
        left = twins.joined(client, shown.boot, peer.address, ask)
      },
      release() {
        left()
        return lease.release()
      },
    }
  }

  /** @throws CLIENT_TWICE */
  const refuseSecond = async ({ client, slot, shown, peer }: Login): Promise<void> => {
    // A record that cannot be read is for whoever begins the boot.
    const record = await records.of(client.id).catch(() => undefined)
    if (shown === undefined || record === undefined || record.boot === null) return
    if (boots.standing(client, slot, shown, record) === "new")
      await twins.refuseSecond(client, record.boot, peer.address)
  }

  /** A lease on what is current, or undefined where sessions of before have to end first, or a new boot to begin. */
  const join = async (login: Login): Promise<Lease | undefined> => {
    const { client, slot, shown } = login
    for (;;) {
      const link = linkOf(login)
      const record = await recordOf(login, link)
      if (isBehind(client, record)) return undefined
      if (shown !== undefined && boots.standing(client, slot, shown, record) === "new") return undefined
      const wanted = (shown === undefined ? wantedPlain : wantedInBoot)(login, link, record)
      const { owner, made } = await owners.get(client, slot, link, wanted)
      const first = shown === undefined ? made.fresh && !told.has(made) : await promise(login, shown.boot, wanted)
      if (first || (await isUnrecorded(login))) tell(login, made, wasNextBoot(client, made.on.imageId))
      if (owner.ending() === undefined) return answering(slot === 0 ? watched(login, owner) : owner.lease(), login)
    }
  }

  const endSessions = async (clientId: string, serial: number): Promise<void> => {
    // One that cannot write its last bytes belongs to the boot before; what it leaves is found when it is opened again.
    await Promise.allSettled(slotsOf(clientId).flatMap((slot) => owners.of(slot).map((owner) => owner.retire())))
    // A room that boots at once waits for its disks: what has no folder is not looked for.
    for (const slot of await folders.slots(clientId)) await owners.sweep(slot)
    ended.set(clientId, serial)
  }

  /** Ends sessions of before, and makes the boot that is shown the current one, unless it is by now. */
  const begin = async (login: Login): Promise<void> => {
    const { client, slot, shown } = login
    const own = linkOf(login)
    const link = bootLink(client, slot, own)
    const found = await recordOf(login, link)
    if (isBehind(client, found)) await endSessions(client.id, found.serial)
    if (shown === undefined || boots.standing(client, slot, shown, found) === "current") return
    // From here on a record that is not there is one that was lost.
    if (found === noBoots) await records.begin(client.id, noBoots)
    const serial = await nextSerial(client, found)
    const generation = linkGeneration(link, serial)
    const policy = policyOf(link)
    const free = owners.protect({ clientId: client.id, slot }, generation)
    try {
      const promised = wasMade(found, slot, generation)
      const made = await owners.prepare(client, slot, link, { generation, policy, promised })
      const { boot, at } = shown
      const kept = found.slots.filter((s) => s.policy !== "discard")
      const current = { boot, at, began: boots.now(), serial, slots: kept }
      const { epoch } = generation
      await records.change(client.id, () => withSlot(current, { slot, epoch, policy, serial }))
      await endSessions(client.id, serial)
      tell(login, made, isNextBoot(client, own))
    } finally {
      free()
    }
  }

  return async (login) => {
    const { client } = login
    for (;;) {
      const lease = await turns.shared(client.id, () => join(login))
      if (lease !== undefined) return lease
      await refuseSecond(login)
      await turns.alone(client.id, () => begin(login))
    }
  }
}
