/**
 * The opened overlays of all slots, by generation; and which generations on disk are still needed.
 *
 * **Details** A slot has one current generation, and for a while an older one that sessions still hold. Each is opened once, for the first of its
 * sessions, and goes from here when the last has left.
 */
import type { Catalogue, ClientEntry, LinkEntry } from "../domain/catalogue.ts"
import { linkVersion } from "../domain/lookup.ts"
import { fail, isImagelinkError } from "../errors.ts"
import { noBoots } from "./boot-record.ts"
import type { BootRecords } from "./boots.ts"
import { currentGenerations, type Generation, generationName, hasEnded } from "./generations.ts"
import type { HeatService } from "./heat.ts"
import type { ImageStacks, StackHold } from "./image-stacks.ts"
import type { GenerationBase, GenerationRef, OverlayFolders } from "./overlay-folders.ts"
import { makeOwner, type OverlayOwner } from "./overlay-owner.ts"
import { type VersionRef, versionRef } from "./version-ref.ts"

export interface SlotRef {
  readonly clientId: string
  readonly slot: number
}

/** A generation that somebody asks for. */
export interface Wanted {
  readonly generation: Generation
  readonly policy: GenerationBase["policy"]
  /** It was made and promised, so that a missing one is lost. */
  readonly promised: boolean
  /** It was promised to nobody who asks: if it went with its host, a fresh one takes its place. */
  readonly renewable?: boolean
}

export interface Made {
  readonly on: VersionRef
  readonly policy: GenerationBase["policy"]
  readonly generation: Generation
  /** It was not there before. */
  readonly fresh: boolean
}

export interface Opened {
  readonly owner: OverlayOwner
  readonly made: Made
}

export interface SlotOwners {
  /** The generation's owner, opened where it is not yet, and made where there is none. @throws OVERLAY_LOST OVERLAY_DAMAGED, and what opening the version throws */
  get(client: ClientEntry, slot: number, link: LinkEntry, wanted: Wanted): Promise<Opened>
  /** Makes a generation that is not promised yet; one that boots pass over stays as it is. @throws as `get` */
  prepare(client: ClientEntry, slot: number, link: LinkEntry, wanted: Wanted): Promise<Made>
  /** Keeps a generation from being swept until the answer is called. */
  protect(slot: SlotRef, generation: Generation): () => void
  /** Whether sessions use the generation, or are about to. */
  isUsed(slot: SlotRef, generation: Generation): boolean
  of(slot: SlotRef): ReadonlyArray<OverlayOwner>
  all(): ReadonlyArray<OverlayOwner>
  /** Removes what is not needed any more. */
  sweep(slot: SlotRef): Promise<void>
}

export interface SlotOwnersOptions {
  readonly catalogue: () => Catalogue
  readonly stacks: ImageStacks
  readonly folders: OverlayFolders
  readonly heat: HeatService
  readonly records: BootRecords
  /** The last owner of a slot has closed. */
  readonly onUnused: (slot: SlotRef) => void
}

export const keyOf = (s: SlotRef) => `${s.clientId}/${s.slot}`

export const makeSlotOwners = (options: SlotOwnersOptions): SlotOwners => {
  const { catalogue, stacks, folders, heat, records, onUnused } = options
  /** Slot, then generation. */
  const owners = new Map<string, Map<string, Opened>>()
  const opening = new Map<string, Promise<Opened>>()
  /** Generations that a new boot begins on. */
  const booting = new Set<string>()
  /** Generations that are being made, by slot. */
  const guarded = new Map<string, Array<string>>()

  const openingOf = (slot: SlotRef): ReadonlyArray<string> => {
    const prefix = `${keyOf(slot)}/`
    return [...opening.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length))
  }

  const sweep = async (slot: SlotRef): Promise<void> => {
    // What cannot be read is for whoever asks for the disk to be told.
    const record = await records.of(slot.clientId).then(
      (found) => found ?? noBoots,
      () => undefined,
    )
    if (record === undefined) return
    const { clients, images, position } = catalogue()
    const client = clients.get(slot.clientId)
    const link = client?.links.get(slot.slot)
    const keep = new Set([
      ...(owners.get(keyOf(slot))?.keys() ?? []),
      ...openingOf(slot),
      ...(guarded.get(keyOf(slot)) ?? []),
      ...currentGenerations(link, slot.slot, record).map(generationName),
    ])
    for (const { aside } of images.values())
      for (const a of aside)
        if (a.clientId === slot.clientId && a.slot === slot.slot)
          keep.add(generationName({ epoch: a.epoch, serial: 0 }))
    await folders.sweep(slot.clientId, slot.slot, keep, (g) => hasEnded(g, link, record, position + 1))
    if (client === undefined && (await folders.forget(slot.clientId))) records.forget(slot.clientId)
  }

  const refOf = (client: ClientEntry, slot: number, generation: Generation): GenerationRef => {
    return { clientId: client.id, clientName: client.name, slot, ...generation }
  }

  /** The version that a generation stands on, or shall stand on. */
  const versionOf = async (ref: GenerationRef, link: LinkEntry): Promise<VersionRef> => {
    const header = await folders.header(ref)
    const now = catalogue()
    const imageId = header?.imageId ?? link.imageId
    return versionRef(now, imageId, header?.version ?? linkVersion(now.images.get(link.imageId)!, link))
  }

  /** What the overlay stands on, watched for what boots read; and how to let go of it. */
  const tapped = (ref: GenerationRef, on: VersionRef, base: StackHold, fresh: boolean) => {
    const key = `${keyOf(ref)}/${generationName(ref)}`
    const begun = booting.delete(key)
    const image = { id: on.imageId, name: on.imageName }
    const tap = heat.tap({ image, device: base.device, key, isBoot: ref.slot === 0 && (fresh || begun) })
    const leave = () => {
      heat.untap(tap)
      return base.release()
    }
    return { tap, leave }
  }

  const openOwner = async (client: ClientEntry, slot: number, link: LinkEntry, wanted: Wanted): Promise<Opened> => {
    const { generation, policy, promised, renewable = false } = wanted
    const ref = refOf(client, slot, generation)
    let fresh = !(await folders.exists(ref))
    if (fresh && promised) throw fail("OVERLAY_LOST", { client: client.name, slot, why: GONE })
    const on = await versionOf(ref, link)
    const base = await stacks.open(on)
    const bound = { imageId: on.imageId, version: on.version.number, policy }
    const { tap, leave } = tapped(ref, on, base, fresh)
    const open = async () => {
      if (fresh) await folders.make(ref, base.device, bound)
      return folders.open(ref, tap, bound)
    }
    const overlay = await open()
      .catch((e) => {
        if (!renewable || fresh || !isImagelinkError(e) || e.code !== "OVERLAY_LOST") throw e
        fresh = true
        return open()
      })
      .catch((e) => leave().then(() => Promise.reject(e)))
    const key = keyOf(ref)
    const forget = async () => {
      owners.get(key)?.delete(generationName(generation))
      if (owners.get(key)?.size === 0) owners.delete(key)
      try {
        await leave()
        await sweep(ref)
      } finally {
        if (owners.get(key) === undefined) onUnused(ref)
      }
    }
    const description = `${client.name} slot ${slot} over ${on.imageName}@${on.version.number}`
    const owner = makeOwner({ overlay, description, below: tap, onClosed: forget })
    const opened = { owner, made: { on, policy, generation, fresh } }
    owners.set(key, (owners.get(key) ?? new Map<string, Opened>()).set(generationName(generation), opened))
    return opened
  }

  return {
    /** One opening at a time for a generation; an owner that is going away is waited for. */
    async get(client, slot, link, wanted) {
      const ref = refOf(client, slot, wanted.generation)
      const name = generationName(ref)
      const key = `${keyOf(ref)}/${name}`
      const present = owners.get(keyOf(ref))?.get(name)
      if (present !== undefined && present.owner.ending() === undefined) return present
      const started = opening.get(key)
      if (started !== undefined) return started
      const next = (present?.owner.ending() ?? Promise.resolve()).then(() => openOwner(client, slot, link, wanted))
      opening.set(key, next)
      return next.finally(() => opening.delete(key))
    },

    async prepare(client, slot, link, { generation, policy, promised }) {
      const ref = refOf(client, slot, generation)
      const exists = await folders.exists(ref)
      if (!exists && promised) throw fail("OVERLAY_LOST", { client: client.name, slot, why: GONE })
      const begin = () => slot === 0 && booting.add(`${keyOf(ref)}/${generationName(ref)}`)
      if (exists && policy !== "discard") {
        begin()
        return { on: await versionOf(ref, link), policy, generation, fresh: false }
      }
      const now = catalogue()
      const on = versionRef(now, link.imageId, linkVersion(now.images.get(link.imageId)!, link))
      const base = await stacks.open(on)
      try {
        await folders.make(ref, base.device, { imageId: on.imageId, version: on.version.number, policy })
      } finally {
        await base.release()
      }
      begin()
      return { on, policy, generation, fresh: true }
    },

    protect(slot, generation) {
      const key = keyOf(slot)
      const name = generationName(generation)
      guarded.set(key, [...(guarded.get(key) ?? []), name])
      return () => {
        const left = guarded.get(key)!.toSpliced(guarded.get(key)!.indexOf(name), 1)
        if (left.length === 0) guarded.delete(key)
        else guarded.set(key, left)
      }
    },

    isUsed(slot, generation) {
      const name = generationName(generation)
      const owner = owners.get(keyOf(slot))?.get(name)?.owner
      return (owner !== undefined && owner.ending() === undefined) || openingOf(slot).includes(name)
    },

    of: (slot) => [...(owners.get(keyOf(slot))?.values() ?? [])].map(({ owner }) => owner),
    all: () => [...owners.values()].flatMap((generations) => Array.from(generations.values(), ({ owner }) => owner)),
    sweep,
  }
}

const GONE = "its files are not there any more"
