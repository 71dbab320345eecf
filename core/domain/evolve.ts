/**
 * How every event changes the catalogue.
 *
 * **Details** In place: a site's whole log is folded at a start, and copying ten thousand clients per event would make that minutes. What events about
 * versions and super clients change is in evolve-version.ts.
 *
 * **Gotchas** An event of an unknown type stops the fold with EVENT_UNKNOWN: a command decided without knowing what it changed could
 * contradict it. Projections are more lenient.
 */
import assert from "node:assert"
import { fail } from "../errors.ts"
import { type Catalogue, type Check, type ClientEntry, type LinkEntry, putClient, putImage } from "./catalogue.ts"
import { isKnownEvent, type Positioned } from "./event-versions.ts"
import type { EventData, EventType } from "./events.ts"
import {
  disarmed,
  emptyImage,
  firstVersion,
  imageCommitted,
  imageOf,
  imageSealed,
  superClientCleared,
  superClientSet,
  versionFlattened,
  versionRetired,
} from "./evolve-version.ts"
import { foldGroup } from "./groups.ts"
import { nameKey } from "./names.ts"

const imageAdded = (catalogue: Catalogue, data: EventData<"ImageAdded">): void => {
  const { format, sizeBytes, storage, files } = data
  const version = firstVersion({ format, sizeBytes, storage, files })
  putImage(catalogue, { ...emptyImage(data.image), versions: [version], current: data.version })
}

const imageCreated = (catalogue: Catalogue, { image, sizeBytes, storage }: EventData<"ImageCreated">): void =>
  putImage(catalogue, { ...emptyImage(image), draft: { sizeBytes, storage } })

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

const imageRolledBack = (catalogue: Catalogue, data: EventData<"ImageRolledBack">): void => {
  imageOf(catalogue, data).current = data.to
}

const imagePlaced = (catalogue: Catalogue, data: EventData<"ImagePlaced">): void => {
  imageOf(catalogue, data).tier = data.to
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
  putClient(catalogue, { id, name, mac, address: data.address, links: new Map(), nextBoot: null })
}

const clientOf = (catalogue: Catalogue, data: { client: { id: string; name: string } }): ClientEntry => {
  const client = catalogue.clients.get(data.client.id)
  // not `assert(client, …)`: that would make the message for every event
  if (client === undefined) assert.fail(`an event names the client ${data.client.name}, which was never registered`)
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
  const { options: _, ...same } = client
  putClient(catalogue, { ...same, ...data.to })
}

const clientRemoved = (catalogue: Catalogue, data: EventData<"ClientRemoved">): void => {
  const client = clientOf(catalogue, data)
  const { id, name, mac } = client
  freeClient(catalogue, client)
  catalogue.clients.delete(id)
  for (const image of catalogue.images.values()) image.aside = image.aside.filter((a) => a.clientId !== id)
  catalogue.removed.set(id, { kind: "client", id, name, mac })
}

const clientLinked = (catalogue: Catalogue, data: EventData<"ClientLinked">, position: number): void => {
  const { slot, to, from } = data
  const image = imageOf(catalogue, to)
  const links = clientOf(catalogue, data).links
  const before = links.get(slot)
  const same =
    from !== null && from.image.id === to.image.id && from.version === to.version && from.overlay === to.overlay
  const kept = before && same ? before : undefined
  const link: { -readonly [K in keyof LinkEntry]: LinkEntry[K] } = {
    imageId: image.id,
    pinned: to.pinned,
    version: to.version,
    overlay: to.overlay,
    epoch: kept?.epoch ?? position,
    since: before?.since ?? position,
    superVersion: null,
  }
  if (kept?.armed !== undefined) link.armed = kept.armed
  if (to.group !== undefined) link.group = to.group.id
  links.set(slot, link)
}

const clientUnlinked = (catalogue: Catalogue, data: EventData<"ClientUnlinked">): void => {
  clientOf(catalogue, data).links.delete(data.slot)
}

const overlayReset = (catalogue: Catalogue, data: EventData<"OverlayReset">, position: number): void => {
  const links = clientOf(catalogue, data).links
  const before = links.get(data.slot)
  assert(before, `OverlayReset names ${data.client.name} slot ${data.slot}, which has no link`)
  links.set(data.slot, { ...disarmed(before), version: data.link.version, epoch: position, since: position })
}

/** Armed twice, the running boot is still on what it was on. */
const overlayResetArmed = (catalogue: Catalogue, data: EventData<"OverlayResetArmed">, position: number): void => {
  const links = clientOf(catalogue, data).links
  const before = links.get(data.slot)
  assert(before, `OverlayResetArmed names ${data.client.name} slot ${data.slot}, which has no link`)
  const armed = before.armed ?? before.epoch
  links.set(data.slot, { ...before, version: data.link.version, epoch: position, armed })
}

const nextBootSet = (catalogue: Catalogue, data: EventData<"ClientNextBootSet">): void =>
  putClient(catalogue, { ...clientOf(catalogue, data), nextBoot: data.to })

const clientBooted = (catalogue: Catalogue, data: EventData<"ClientBooted">): void => {
  const client = catalogue.clients.get(data.client.id)
  if (client && data.nextBoot) putClient(catalogue, { ...client, nextBoot: null })
}

const groupChanged = (catalogue: Catalogue, data: EventData<"GroupChanged">): void => {
  foldGroup(catalogue, data)
  const { id, name } = data.group
  if (data.to === null) catalogue.removed.set(id, { kind: "group", id, name, mac: null })
}

/** What an event changes, by its type. */
const appliers: {
  readonly [T in EventType]: (catalogue: Catalogue, data: EventData<T>, position: number) => void
} = {
  ImageAdded: imageAdded,
  ImageChecked: imageChecked,
  ImageRelocated: imageRelocated,
  ImageRemoved: imageRemoved,
  ImageCreated: imageCreated,
  ImageSealed: imageSealed,
  ImageCommitted: imageCommitted,
  ImageRolledBack: imageRolledBack,
  ImageVersionRetired: versionRetired,
  ImageVersionFlattened: versionFlattened,
  ImagePlaced: imagePlaced,
  ClientRegistered: clientRegistered,
  ClientChanged: clientChanged,
  ClientRemoved: clientRemoved,
  ClientLinked: clientLinked,
  ClientUnlinked: clientUnlinked,
  OverlayReset: overlayReset,
  OverlayResetArmed: overlayResetArmed,
  SuperClientSet: superClientSet,
  SuperClientCleared: superClientCleared,
  ClientNextBootSet: nextBootSet,
  ClientBooted: clientBooted,
  GroupChanged: groupChanged,
  LogRestored: () => {},
}

/** Folds the next event in, in place. @throws EVENT_UNKNOWN */
export const evolve = (catalogue: Catalogue, { position, type, schemaVersion, data }: Positioned): Catalogue => {
  assert(position === catalogue.position + 1, "events are folded in order, each once")
  if (!isKnownEvent({ type, schemaVersion }))
    throw fail("EVENT_UNKNOWN", { type: `${type} v${schemaVersion}`, position })
  const apply = appliers[type as EventType] as (catalogue: Catalogue, data: unknown, position: number) => void
  apply(catalogue, data, position)
  catalogue.position = position
  return catalogue
}
