/**
 * The catalogue: images, versions, clients and links as they stand, folded from the log; what every command is decided against.
 *
 * **Details** `evolve` changes the state in place and answers it: a site's whole log is folded at a start, and copying ten thousand
 * clients per event would make that minutes. Whoever folds owns the state; deciders and readers only look.
 *
 * **Epochs.** A link's `epoch` is the position of the event that last renewed its overlay, so an overlay on disk is current exactly if
 * it was made for this epoch. ClientLinked renews it, unless image, version and policy stay what they were (a changed pin leaves the
 * overlay alone; a changed policy does not, because a generation is made for the promises of one); OverlayReset always does.
 *
 * **Gotchas** An event of an unknown type stops the fold with EVENT_UNKNOWN: a command decided without knowing what it changed could
 * contradict it. Projections are more lenient.
 */
import assert from "node:assert"
import { fail } from "../errors.ts"
import { isKnownEvent, type Positioned } from "./event-versions.ts"
import type { DomainEvent, EventData, OverlayPolicy } from "./events.ts"
import { nameKey } from "./names.ts"

export type Check = Pick<EventData<"ImageChecked">, "result" | "checksums" | "mismatches">
type Added = EventData<"ImageAdded">

export interface VersionEntry {
  readonly number: number
  readonly parent: number | null
  readonly format: string
  /** Decimal, as in the event. */
  readonly sizeBytes: string
  readonly storage: Added["storage"]
  readonly files: Added["files"]
  /** The newest check, or null while unverified. */
  readonly check: Check | null
}

export interface ImageEntry {
  readonly id: string
  readonly name: string
  /** Version N is at index N - 1. */
  readonly versions: Array<VersionEntry>
  current: number
}

export interface LinkEntry {
  readonly imageId: string
  /** A version number, or null for "follows the current version". */
  readonly pinned: number | null
  /** The version when the link was made or its overlay reset; `linkVersion` says which one it stands for now. */
  readonly version: number
  readonly overlay: OverlayPolicy
  readonly epoch: number
}

export interface ClientEntry {
  readonly id: string
  readonly name: string
  readonly mac: string
  readonly address: string | null
  /** By slot. */
  readonly links: Map<number, LinkEntry>
}

/** What was removed: nothing refers to it any more, but its id stays taken and its history can be asked for. */
export interface RemovedEntry {
  readonly kind: "client" | "image"
  readonly id: string
  readonly name: string
  /** Null for an image. */
  readonly mac: string | null
}

export interface Catalogue {
  /** Position of the last event folded in. */
  position: number
  readonly images: Map<string, ImageEntry>
  readonly imagesByName: Map<string, ImageEntry>
  readonly clients: Map<string, ClientEntry>
  readonly clientsByMac: Map<string, ClientEntry>
  readonly clientsByName: Map<string, ClientEntry>
  readonly clientsByAddress: Map<string, ClientEntry>
  /** By id, the newest last. */
  readonly removed: Map<string, RemovedEntry>
}

export const initial = (): Catalogue => ({
  position: 0,
  images: new Map(),
  imagesByName: new Map(),
  clients: new Map(),
  clientsByMac: new Map(),
  clientsByName: new Map(),
  clientsByAddress: new Map(),
  removed: new Map(),
})

/** Enters an image under its id and name. */
export const putImage = (catalogue: Catalogue, image: ImageEntry): void => {
  catalogue.images.set(image.id, image)
  catalogue.imagesByName.set(nameKey(image.name), image)
}

/** Enters a client under its id, MAC, name and address. */
export const putClient = (catalogue: Catalogue, client: ClientEntry): void => {
  catalogue.clients.set(client.id, client)
  catalogue.clientsByMac.set(client.mac, client)
  catalogue.clientsByName.set(nameKey(client.name), client)
  if (client.address !== null) catalogue.clientsByAddress.set(client.address, client)
}

const imageAdded = (catalogue: Catalogue, data: EventData<"ImageAdded">): void => {
  const { format, sizeBytes, storage, files } = data
  const version: VersionEntry = { number: data.version, parent: null, format, sizeBytes, storage, files, check: null }
  putImage(catalogue, { id: data.image.id, name: data.image.name, versions: [version], current: data.version })
}

const imageChecked = (catalogue: Catalogue, data: EventData<"ImageChecked">): void => {
  const versions = catalogue.images.get(data.image.id)?.versions
  const version = versions?.[data.version - 1]
  assert(versions && version, `ImageChecked names ${data.image.name}@${data.version}, which was never added`)
  const { result, checksums, mismatches } = data
  const files = data.files ?? version.files
  versions[data.version - 1] = { ...version, files, check: { result, checksums, mismatches } }
}

const imageRelocated = (catalogue: Catalogue, data: EventData<"ImageRelocated">): void => {
  const versions = catalogue.images.get(data.image.id)?.versions
  const version = versions?.[data.version - 1]
  assert(version?.check, `ImageRelocated names ${data.image.name}@${data.version}, which was never checked`)
  const { checksums } = version.check
  const check: Check = { result: "verified", checksums, mismatches: { count: 0, clusters: [] } }
  versions![data.version - 1] = { ...version, ...data.to, check }
}

const imageRemoved = (catalogue: Catalogue, data: EventData<"ImageRemoved">): void => {
  const image = catalogue.images.get(data.image.id)
  assert(image, `ImageRemoved names ${data.image.name}, which was never added`)
  const { id, name } = image
  catalogue.images.delete(id)
  catalogue.imagesByName.delete(nameKey(name))
  catalogue.removed.set(id, { kind: "image", id, name, mac: null })
}

const clientRegistered = (catalogue: Catalogue, data: EventData<"ClientRegistered">): void => {
  const { id, name, mac } = data.client
  putClient(catalogue, { id, name, mac, address: data.address, links: new Map() })
}

const clientOf = (catalogue: Catalogue, data: { client: { id: string; name: string } }): ClientEntry => {
  const client = catalogue.clients.get(data.client.id)
  assert(client, `an event names the client ${data.client.name}, which was never registered`)
  return client
}

/** Frees a client's MAC, name and address. */
const freeClient = (catalogue: Catalogue, client: ClientEntry): void => {
  catalogue.clientsByMac.delete(client.mac)
  catalogue.clientsByName.delete(nameKey(client.name))
  if (client.address !== null) catalogue.clientsByAddress.delete(client.address)
}

const clientChanged = (catalogue: Catalogue, data: EventData<"ClientChanged">): void => {
  const client = clientOf(catalogue, data)
  freeClient(catalogue, client)
  putClient(catalogue, { ...client, ...data.to })
}

const clientRemoved = (catalogue: Catalogue, data: EventData<"ClientRemoved">): void => {
  const client = clientOf(catalogue, data)
  const { id, name, mac } = client
  freeClient(catalogue, client)
  catalogue.clients.delete(id)
  catalogue.removed.set(id, { kind: "client", id, name, mac })
}

const clientLinked = (catalogue: Catalogue, position: number, data: EventData<"ClientLinked">): void => {
  const { slot, to, from } = data
  const image = catalogue.images.get(to.image.id)
  assert(image, `ClientLinked names the image ${to.image.name}, which was never added`)
  const links = clientOf(catalogue, data).links
  const before = links.get(slot)
  const same =
    from !== null && from.image.id === to.image.id && from.version === to.version && from.overlay === to.overlay
  const epoch = before && same ? before.epoch : position
  links.set(slot, { imageId: image.id, pinned: to.pinned, version: to.version, overlay: to.overlay, epoch })
}

const overlayReset = (catalogue: Catalogue, position: number, data: EventData<"OverlayReset">): void => {
  const links = clientOf(catalogue, data).links
  const before = links.get(data.slot)
  assert(before, `OverlayReset names ${data.client.name} slot ${data.slot}, which has no link`)
  links.set(data.slot, { ...before, version: data.link.version, epoch: position })
}

const apply = (catalogue: Catalogue, position: number, event: DomainEvent): void => {
  if (event.type === "ImageAdded") imageAdded(catalogue, event.data)
  else if (event.type === "ImageChecked") imageChecked(catalogue, event.data)
  else if (event.type === "ImageRelocated") imageRelocated(catalogue, event.data)
  else if (event.type === "ImageRemoved") imageRemoved(catalogue, event.data)
  else if (event.type === "ClientRegistered") clientRegistered(catalogue, event.data)
  else if (event.type === "ClientChanged") clientChanged(catalogue, event.data)
  else if (event.type === "ClientRemoved") clientRemoved(catalogue, event.data)
  else if (event.type === "ClientLinked") clientLinked(catalogue, position, event.data)
  else if (event.type === "ClientUnlinked") clientOf(catalogue, event.data).links.delete(event.data.slot)
  else if (event.type === "OverlayReset") overlayReset(catalogue, position, event.data)
  else if (event.type === "LogRestored") return
  else event satisfies never
}

/** Folds the next event in, in place. @throws EVENT_UNKNOWN */
export const evolve = (catalogue: Catalogue, recorded: Positioned): Catalogue => {
  assert(recorded.position === catalogue.position + 1, "events are folded in order, each once")
  if (!isKnownEvent(recorded)) {
    throw fail("EVENT_UNKNOWN", { type: `${recorded.type} v${recorded.schemaVersion}`, position: recorded.position })
  }
  apply(catalogue, recorded.position, recorded)
  catalogue.position = recorded.position
  return catalogue
}
