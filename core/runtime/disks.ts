/**
 * Where the two planes meet: a link of the catalogue goes in, an opened stack comes out.
 *
 *     client/PC-001/0 ─► link, boot ─► generation ─► guard ─► overlay ─► heat tap ─► version ─► cache ─► …
 *     image/win11@3   ─►                             guard ─►                         version ─► cache ─► …
 *     …/PREVIEW       ─► link, version               guard ─►                         version ─► cache ─► …
 *
 * **Generations.** Which one is a slot's current one, logins.ts finds out. A generation stays on the version its header names, whatever the
 * image's current version.
 *
 * **Gotchas** `hold` keeps new sessions of a slot waiting while a command about it is decided and appended, so that a reset and a login
 * cannot cross.
 */
import { guardDevice } from "../block/guard.ts"
import type { Disks, Lease, Peer } from "../block/lease.ts"
import type { Catalogue, ClientEntry } from "../domain/catalogue.ts"
import { linkVersion } from "../domain/lookup.ts"
import { fail } from "../errors.ts"
import { admitClient, admitImage, listDisks } from "./admission.ts"
import { isPreview } from "./boot-ids.ts"
import type { BootWatch } from "./boot-signs.ts"
import type { BootService } from "./boots.ts"
import type { Drafts } from "./drafts.ts"
import type { HeatService } from "./heat.ts"
import type { ImageStacks } from "./image-stacks.ts"
import { type LoginsOptions, makeLogins } from "./logins.ts"
import { bootLink } from "./next-boot.ts"
import type { OverlayFolders } from "./overlay-folders.ts"
import type { OverlayUse } from "./overlay-owner.ts"
import { keyOf, makeSlotOwners, type SlotRef } from "./slot-owners.ts"
import type { Twins } from "./twins.ts"
import { type VersionRef, versionRef } from "./version-ref.ts"

export interface DiskService extends Disks {
  /** How many sessions use this slot now, whatever their generation. */
  sessions(slot: SlotRef): number
  /** Those that are open, of every client. */
  overlays(): ReadonlyArray<OverlayUse>
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

export interface DisksOptions {
  readonly catalogue: () => Catalogue
  readonly stacks: ImageStacks
  readonly folders: OverlayFolders
  readonly drafts: Drafts
  readonly boots: BootService
  readonly heat: HeatService
  readonly twins: Twins
  readonly isRecorded: LoginsOptions["isRecorded"]
  readonly watch: BootWatch
}

export const makeDisks = (options: DisksOptions): DiskService => {
  const { catalogue, stacks, folders, drafts, boots, heat, twins, isRecorded, watch } = options
  /** Changes may hold a slot at the same time; it opens when the last of them lets go. */
  const held = new Map<string, Set<Promise<void>>>()
  const arriving = new Map<string, Set<Promise<Lease>>>()
  /** Who waits for a slot to be unused. */
  const waiters = new Map<string, Set<() => void>>()
  let closed = false

  const onUnused = (slot: SlotRef) => {
    for (const resolve of waiters.get(keyOf(slot)) ?? []) resolve()
  }
  const owners = makeSlotOwners({ catalogue, stacks, folders, heat, records: boots.records, onUnused })
  const login = makeLogins({ boots, owners, folders, twins, isRecorded, watch })

  const arrive = (client: ClientEntry, slot: number, boot: string | undefined, peer: Peer): Promise<Lease> => {
    const key = keyOf({ clientId: client.id, slot })
    const others = arriving.get(key) ?? new Set<Promise<Lease>>()
    const shown = boot === undefined ? undefined : boots.read(client, boot)
    const lease = login({ client, slot, shown, peer }).finally(() => {
      others.delete(lease)
      if (others.size === 0) arriving.delete(key)
    })
    arriving.set(key, others.add(lease))
    return lease
  }

  /** A version, to be read only. */
  const look = async (ref: VersionRef): Promise<Lease> => {
    const { device, release } = await stacks.open(ref)
    return {
      device: guardDevice(device),
      description: `${ref.imageName}@${ref.version.number}, read-only`,
      onRevoked: () => () => {},
      release,
    }
  }

  /** What the client's next boot would begin on. Nothing is made of it and no boot begins; a kept overlay is not looked into. */
  const preview = (client: ClientEntry, slot: number): Promise<Lease> => {
    const own = client.links.get(slot)
    if (own === undefined) throw fail("LINK_NOT_FOUND", { client: client.name, slot })
    if (closed) throw fail("CLOSED", { what: "the server" })
    const link = bootLink(client, slot, own)
    const now = catalogue()
    return look(versionRef(now, link.imageId, linkVersion(now.images.get(link.imageId)!, link)))
  }

  const gateOf = (client: ClientEntry, slot: number): Promise<void> | undefined => {
    const [gate] = held.get(keyOf({ clientId: client.id, slot })) ?? []
    return gate
  }

  return {
    async attach(name, slot, boot, peer): Promise<Lease> {
      if (isPreview(boot)) return preview(admitClient(catalogue(), name, slot, peer), slot)
      let client = admitClient(catalogue(), name, slot, peer, boot)
      for (let gate = gateOf(client, slot); gate !== undefined; gate = gateOf(client, slot)) {
        await gate
        // What was decided meanwhile may have been to remove or to move this very client.
        client = admitClient(catalogue(), name, slot, peer, boot)
      }
      if (closed) throw fail("CLOSED", { what: "the server" })
      return arrive(client, slot, boot, peer)
    },

    async attachImage(name, version, peer): Promise<Lease> {
      const image = admitImage(catalogue(), name, version, peer)
      if (closed) throw fail("CLOSED", { what: "the server" })
      if (image.draft !== null) return drafts.attach(image)
      return look(versionRef(catalogue(), image.id, version ?? image.current))
    },

    list: (peer) => listDisks(catalogue(), peer),

    epoch: () => catalogue().position,

    sessions(slot) {
      return owners.of(slot).reduce((sum, owner) => sum + owner.sessions(), 0)
    },

    overlays: () => owners.all().map((owner) => owner.use()),

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
      await Promise.all(owners.of(slot).map((owner) => owner.retire()))
    },

    unused(slot, signal) {
      const key = keyOf(slot)
      if (owners.of(slot).length === 0) return Promise.resolve()
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
      for (const slot of slots ?? (await folders.slots())) await owners.sweep(slot)
    },

    async close() {
      closed = true
      await Promise.allSettled([...arriving.values()].flatMap((leases) => [...leases]))
      await Promise.all(owners.all().map((owner) => owner.retire()))
      await drafts.close()
      await stacks.close()
    },
  }
}
