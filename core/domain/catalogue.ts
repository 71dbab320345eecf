/**
 * The catalogue: images, versions, clients, groups and links as they stand, folded from the log; what every command is decided against.
 *
 * **Details** Whoever folds (evolve.ts) owns the state and changes it in place; deciders and readers only look.
 *
 * **Epochs.** A link's `epoch` is the position of the event that last renewed its overlay, so an overlay on disk is current exactly if
 * it was made for this epoch. ClientLinked renews it, unless image, version and policy stay what they were (a changed pin leaves the
 * overlay alone; a changed policy does not, because a generation is made for the promises of one); OverlayReset always does. A super
 * client's overlay is a generation of its own: SuperClientSet, SuperClientCleared and ImageCommitted renew the epoch too.
 * OverlayResetArmed renews it for the next boot alone: `armed` says what the running one is on.
 *
 * **Since.** A new link, also one to another image, is for the next boot: a PC that lost its server gets the disk of its own boot back,
 * which is of an older epoch then. `since` is the oldest epoch that this holds for: where the slot was first linked, or reset.
 */
import type { EventData, NextBoot, OverlayPolicy } from "./events.ts"
import { type GroupRegister, noGroups } from "./groups.ts"
import { nameKey } from "./names.ts"

export type Check = Pick<EventData<"ImageChecked">, "result" | "checksums" | "mismatches">
type Added = EventData<"ImageAdded">

export interface VersionEntry {
  readonly number: number
  /** The version that it was made on. */
  readonly parent: number | null
  /** The version that it is read over: its parent, until it is flattened. Null where it is read from its own files alone. */
  readonly over: number | null
  readonly format: string
  /** Decimal, as in the event. */
  readonly sizeBytes: string
  readonly storage: Added["storage"]
  readonly files: Added["files"]
  /** Of one that was flattened: the tables of what it alone changed. */
  readonly changes: EventData<"ImageVersionFlattened">["changes"] | null
  /** The newest check, or null while unverified. */
  readonly check: Check | null
  /** It is there by number only: nothing links to it, nothing serves it. */
  readonly retired: boolean
}

/** A super overlay that was kept when its client was cleared. */
export interface AsideEntry {
  readonly clientId: string
  readonly slot: number
  readonly epoch: number
  readonly version: number
}

export interface ImageEntry {
  readonly id: string
  readonly name: string
  /** Version N is at index N - 1. None while the image is a draft. */
  readonly versions: Array<VersionEntry>
  /** 0 while it is a draft. */
  current: number
  /** What ImageCreated made, until it is sealed. */
  draft: { readonly sizeBytes: string; readonly storage: Added["storage"] } | null
  /** The one client whose link has `superVersion`. */
  superClient: { readonly clientId: string; readonly slot: number } | null
  aside: ReadonlyArray<AsideEntry>
  tier: EventData<"ImagePlaced">["to"]
}

export interface LinkEntry {
  readonly imageId: string
  /** A version number, or null for "follows the current version". */
  readonly pinned: number | null
  /** The version when the link was made or its overlay reset; `linkVersion` says which one it stands for now. */
  readonly version: number
  readonly overlay: OverlayPolicy
  readonly epoch: number
  /** Overlays of a running boot are good from this epoch on. */
  readonly since: number
  /** The epoch that a reset for the next boot left behind; left out when there was none. */
  readonly armed?: number
  /** The version that this client, as the image's super client, writes on; null for everyone else. */
  readonly superVersion: number | null
  /** Id of the group that gave the client this link; a link of its own has none. */
  readonly group?: string
}

export interface ClientEntry {
  readonly id: string
  readonly name: string
  readonly mac: string
  readonly address: string | null
  /** Boot options of its own; left out where there are none. */
  readonly options?: Readonly<Record<string, string>>
  /** By slot. */
  readonly links: Map<number, LinkEntry>
  /** For one boot. */
  readonly nextBoot: NextBoot | null
}

/** What was removed: nothing refers to it any more, but its id stays taken and its history can be asked for. */
export interface RemovedEntry {
  readonly kind: "client" | "image" | "group"
  readonly id: string
  readonly name: string
  /** Null for an image and a group. */
  readonly mac: string | null
}

export interface Catalogue extends GroupRegister {
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
  ...noGroups(),
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
