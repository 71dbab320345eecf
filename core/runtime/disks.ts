/**
 * Where the two planes meet: a link of the catalogue goes in, an opened stack comes out.
 *
 *     client/PC-001/0 ─► link ─► generation ─► guard ─► overlay ─► heat tap ─► version ─► cache ─► format ─► guard ─► plugin
 *     image/win11@3   ─►                       guard ─►                         version ─► …
 *
 * **Generations.** overlay-folders.ts keeps a slot's overlays by epoch, the position of the event that last renewed them; so the log
 * alone says which is current. A generation stays on the version its header names, whatever the image's current version.
 *
 * **Gotchas** `hold` keeps new sessions of a slot waiting while a command about it is decided and appended, so that a reset and a login
 * cannot cross.
 */
import { guardDevice } from "../block/guard.ts"
import type { Disks, Lease, Peer } from "../block/lease.ts"
import type { Catalogue, ClientEntry, LinkEntry } from "../domain/catalogue.ts"
import { linkVersion } from "../domain/lookup.ts"
import { fail } from "../errors.ts"
import { admitClient, admitImage, listDisks } from "./admission.ts"
import type { Boot } from "./boot-recorder.ts"
import type { Drafts } from "./drafts.ts"
import type { HeatService } from "./heat.ts"
import type { ImageStacks } from "./image-stacks.ts"
import type { OverlayFolders } from "./overlay-folders.ts"
import { makeOwner, type OverlayOwner } from "./overlay-owner.ts"
import { type VersionRef, versionRef } from "./version-ref.ts"

export interface SlotRef {
  readonly clientId: string
  readonly slot: number
}

export interface DiskService extends Disks {
  /** How many sessions use this slot now, whatever their generation. */
  sessions(slot: SlotRef): number
  /** Keeps new sessions of these slots waiting until the answer is called; settles when those already on their way have arrived. */
  hold(slots: ReadonlyArray<SlotRef>): Promise<() => void>
  /** Ends every session of a slot; its requests in flight are answered first. */
  end(slot: SlotRef): Promise<void>
  /** Settles when nobody uses a slot and its files are closed. @throws CANCELLED */
  unused(slot: SlotRef, signal: AbortSignal): Promise<void>
  /** Removes generations that the log has retired and nobody uses: of these slots after a change, of every slot at a start. */
  sweep(slots?: ReadonlyArray<SlotRef>): Promise<void>
  /** Ends every session and closes every file. */
  close(): Promise<void>
}

const keyOf = (s: SlotRef) => `${s.clientId}/${s.slot}`

/** What the first session of a fresh generation tells of a boot; a protocol that carries a boot id can tell more. */
const bootOf = (
  { id, name, mac }: ClientEntry,
  { epoch }: LinkEntry,
  on: VersionRef,
  overlay: Boot["overlay"],
  { address, protocol }: Peer,
): Boot => ({
  client: { id, name, mac },
  slot: 0,
  boot: null,
  image: { id: on.imageId, name: on.imageName },
  version: on.version.number,
  overlay,
  generation: epoch,
  protocol,
  address,
  firmware: null,
  stages: [],
  nextBoot: false,
})

export interface DisksOptions {
  readonly catalogue: () => Catalogue
  readonly stacks: ImageStacks
  readonly folders: OverlayFolders
  readonly drafts: Drafts
  readonly heat: HeatService
  /** A client got a fresh disk to boot from. */
  readonly onBoot: (boot: Boot) => void
}

export const makeDisks = ({ catalogue, stacks, folders, drafts, heat, onBoot }: DisksOptions): DiskService => {
  /** Slot, then epoch: a slot has one current generation, and for a while an older one that sessions still hold. */
  const owners = new Map<string, Map<number, OverlayOwner>>()
  const opening = new Map<string, Promise<OverlayOwner>>()
  /** Changes may hold a slot at the same time; it opens when the last of them lets go. */
  const held = new Map<string, Set<Promise<void>>>()
  const arriving = new Map<string, Set<Promise<Lease>>>()
  /** Who waits for a slot to be unused. */
  const waiters = new Map<string, Set<() => void>>()
  let closed = false

  /** Epochs that sessions use, or are about to: an opening that began before a new link goes on over the old one. */
  const liveOf = (slot: SlotRef): Set<number> => {
    const live = new Set(owners.get(keyOf(slot))?.keys())
    const prefix = `${keyOf(slot)}/`
    for (const key of opening.keys()) if (key.startsWith(prefix)) live.add(Number(key.slice(prefix.length)))
    return live
  }

  const sweepSlot = async (slot: SlotRef): Promise<void> => {
    const { clients, images, position } = catalogue()
    const client = clients.get(slot.clientId)
    const current = client?.links.get(slot.slot)?.epoch
    const live = liveOf(slot)
    for (const { aside } of images.values())
      for (const a of aside) if (a.clientId === slot.clientId && a.slot === slot.slot) live.add(a.epoch)
    await folders.sweep(slot.clientId, slot.slot, current ?? position + 1, live)
    if (client === undefined) await folders.forget(slot.clientId)
  }

  const openOwner = async (client: ClientEntry, slot: number, link: LinkEntry, peer: Peer): Promise<OverlayOwner> => {
    const ref = { clientId: client.id, clientName: client.name, slot, epoch: link.epoch }
    const header = await folders.header(ref)
    const now = catalogue()
    const imageId = header?.imageId ?? link.imageId
    const version = header?.version ?? linkVersion(now.images.get(link.imageId)!, link)
    const on = versionRef(now, imageId, version)
    const base = await stacks.open(on)
    const policy = link.superVersion === null ? link.overlay : "super"
    const key = keyOf(ref)
    const isBoot = header === undefined && slot === 0
    const image = { id: imageId, name: on.imageName }
    const tap = heat.tap({ image, device: base.device, key: `${key}/${link.epoch}`, isBoot })
    const leave = () => {
      heat.untap(tap)
      return base.release()
    }
    const overlay = await folders
      .open(ref, tap, { imageId, version, policy })
      .catch((e) => leave().then(() => Promise.reject(e)))
    const forget = async () => {
      owners.get(key)?.delete(link.epoch)
      if (owners.get(key)?.size === 0) owners.delete(key)
      try {
        await leave()
        await sweepSlot(ref)
      } finally {
        if (owners.get(key) === undefined) for (const resolve of waiters.get(key) ?? []) resolve()
      }
    }
    const owner = makeOwner(overlay, `${client.name} slot ${slot} over ${on.imageName}@${version}`, forget)
    if (isBoot) onBoot(bootOf(client, link, on, policy, peer))
    owners.set(key, (owners.get(key) ?? new Map<number, OverlayOwner>()).set(link.epoch, owner))
    return owner
  }

  /** One opening at a time for a slot; an owner that is going away is waited for. */
  const ownerOf = async (client: ClientEntry, slot: number, link: LinkEntry, peer: Peer): Promise<OverlayOwner> => {
    const key = `${client.id}/${slot}/${link.epoch}`
    const present = owners.get(keyOf({ clientId: client.id, slot }))?.get(link.epoch)
    if (present !== undefined && present.ending() === undefined) return present
    const started = opening.get(key)
    if (started !== undefined) return started
    const next = (present?.ending() ?? Promise.resolve()).then(() => openOwner(client, slot, link, peer))
    opening.set(key, next)
    return next.finally(() => opening.delete(key))
  }

  const leaseOf = async (client: ClientEntry, slot: number, peer: Peer): Promise<Lease> => {
    for (;;) {
      const link = client.links.get(slot)
      if (link === undefined) throw fail("LINK_NOT_FOUND", { client: client.name, slot })
      const owner = await ownerOf(client, slot, link, peer)
      if (owner.ending() === undefined) return owner.lease()
    }
  }

  const arrive = (client: ClientEntry, slot: number, peer: Peer): Promise<Lease> => {
    const key = keyOf({ clientId: client.id, slot })
    const others = arriving.get(key) ?? new Set<Promise<Lease>>()
    const lease = leaseOf(client, slot, peer).finally(() => {
      others.delete(lease)
      if (others.size === 0) arriving.delete(key)
    })
    arriving.set(key, others.add(lease))
    return lease
  }

  const gateOf = (client: ClientEntry, slot: number): Promise<void> | undefined => {
    const [gate] = held.get(keyOf({ clientId: client.id, slot })) ?? []
    return gate
  }

  return {
    async attach(name, slot, _boot, peer): Promise<Lease> {
      let client = admitClient(catalogue(), name, slot, peer)
      for (let gate = gateOf(client, slot); gate !== undefined; gate = gateOf(client, slot)) {
        await gate
        // What was decided meanwhile may have been to remove or to move this very client.
        client = admitClient(catalogue(), name, slot, peer)
      }
      if (closed) throw fail("CLOSED", { what: "the server" })
      return arrive(client, slot, peer)
    },

    async attachImage(name, version, peer): Promise<Lease> {
      const image = admitImage(catalogue(), name, version, peer)
      if (closed) throw fail("CLOSED", { what: "the server" })
      if (image.draft !== null) return drafts.attach(image)
      const ref = versionRef(catalogue(), image.id, version ?? image.current)
      const { device, release } = await stacks.open(ref)
      return {
        device: guardDevice(device),
        description: `${image.name}@${ref.version.number}, read-only`,
        onRevoked: () => () => {},
        release,
      }
    },

    list: (peer) => listDisks(catalogue(), peer),

    sessions(slot) {
      let sum = 0
      for (const owner of owners.get(keyOf(slot))?.values() ?? []) sum += owner.sessions()
      return sum
    },

    async hold(slots) {
      let release = () => {}
      const gate = new Promise<void>((resolve) => {
        release = resolve
      })
      for (const s of slots) held.set(keyOf(s), (held.get(keyOf(s)) ?? new Set<Promise<void>>()).add(gate))
      await Promise.allSettled(slots.flatMap((s) => [...(arriving.get(keyOf(s)) ?? [])]))
      return () => {
        for (const key of slots.map(keyOf)) {
          held.get(key)?.delete(gate)
          if (held.get(key)?.size === 0) held.delete(key)
        }
        release()
      }
    },

    async end(slot) {
      await Promise.all([...(owners.get(keyOf(slot))?.values() ?? [])].map((owner) => owner.retire()))
    },

    unused(slot, signal) {
      const key = keyOf(slot)
      if (owners.get(key) === undefined) return Promise.resolve()
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const waiting = waiters.get(key) ?? new Set<() => void>()
      waiters.set(key, waiting.add(resolve))
      const cancel = () => reject(fail("CANCELLED", { what: "waiting for a client to stop" }))
      if (signal.aborted) cancel()
      signal.addEventListener("abort", cancel, { once: true })
      return promise.finally(() => {
        waiting.delete(resolve)
        signal.removeEventListener("abort", cancel)
      })
    },

    async sweep(slots) {
      for (const slot of slots ?? (await folders.slots())) await sweepSlot(slot)
    },

    async close() {
      closed = true
      await Promise.allSettled([...arriving.values()].flatMap((leases) => [...leases]))
      await Promise.all(
        [...owners.values()].flatMap((generations) => [...generations.values()].map((owner) => owner.retire())),
      )
      await drafts.close()
      await stacks.close()
    },
  }
}
