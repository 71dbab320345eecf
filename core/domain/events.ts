/**
 * The events: what happened to images, clients, groups and links, in the past tense and complete in themselves.
 *
 * **Details** Byte counts are decimal strings, because RFC 8785 numbers are doubles. References carry id and name: the id is what
 * binds, the name is what it was called then, so that a reader of one event needs no other. `from` is what was there before.
 *
 * **Gotchas** A shape on disk never changes. A new shape gets the next `schemaVersion`, and upcast.ts turns the old into it.
 */
import * as Schema from "effect/Schema"

const Natural = Schema.Natural
const Bytes = Schema.String.check(Schema.isPattern(/^(0|[1-9][0-9]{0,18})$/u))
const Id = Schema.String.check(Schema.isPattern(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/u))
const Hex64 = Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/u))

export const OverlayPolicy = Schema.Literals(["discard", "keep"])
export type OverlayPolicy = typeof OverlayPolicy.Type

export const ImageRef = Schema.Struct({ id: Id, name: Schema.String })
export const ClientRef = Schema.Struct({ id: Id, name: Schema.String, mac: Schema.String })
export type ImageRef = typeof ImageRef.Type
export type ClientRef = typeof ClientRef.Type

const Storage = Schema.Struct({ kind: Schema.String, config: Schema.Record(Schema.String, Schema.Unknown) })

/** A file that a version is read from, as it was when it was recorded (Volume.identity). */
const FileRecord = Schema.Struct({
  path: Schema.String,
  sizeBytes: Bytes,
  identity: Schema.Record(Schema.String, Schema.String),
})

export const GroupRef = Schema.Struct({ id: Id, name: Schema.String })
export type GroupRef = typeof GroupRef.Type

const pointer = { image: ImageRef, pinned: Schema.NullOr(Natural), version: Natural, overlay: OverlayPolicy }

/** What a slot pointed to: `pinned` is a version number, or null for "follows the current version"; `group` gave it the link, if one did. */
const LinkState = Schema.Struct({ ...pointer, group: Schema.optionalKey(GroupRef) })

/** Boot options by key; without any there are none. */
const Options = Schema.Record(Schema.String, Schema.String)

export const ImageAdded = Schema.Struct({
  image: ImageRef,
  version: Schema.Literal(1),
  storage: Storage,
  format: Schema.String,
  sizeBytes: Bytes,
  files: Schema.Array(FileRecord),
  note: Schema.optionalKey(Schema.String),
})

/** A whole version was read: `verified` against its sidecar (or the sidecar was made), or what did not match. `partial` is what clients' reads met. */
export const ImageChecked = Schema.Struct({
  image: ImageRef,
  version: Natural,
  result: Schema.Literals(["verified", "mismatch"]),
  checksums: Schema.Struct({
    algorithm: Schema.Literal("crc32c"),
    clusterBytes: Natural,
    clusters: Natural,
    /** File name under the data folder's `sidecars/`, and the SHA-256 of its bytes. */
    sidecar: Schema.String,
    sha256: Hex64,
  }),
  /** The first bad clusters, at most 64, and how many there are. */
  mismatches: Schema.Struct({ count: Natural, clusters: Schema.Array(Natural) }),
  /** The files as they are now, where something about them changed (owner, times, place) and every byte is what it was. */
  files: Schema.optionalKey(Schema.Array(FileRecord)),
  /** The version was not read whole: reads of clients met clusters that do not match, which join those that the last check found. */
  partial: Schema.optionalKey(Schema.Literal(true)),
})

const Place = Schema.Struct({ storage: Storage, files: Schema.Array(FileRecord) })

/** A version is read from another place, where every byte was compared with its checksums: so it is verified there. */
export const ImageRelocated = Schema.Struct({
  image: ImageRef,
  version: Natural,
  from: Place,
  to: Place,
})

/** An empty disk was made to be written to, by an upload; it has no version, and nothing links to it, until it is sealed. */
export const ImageCreated = Schema.Struct({
  image: ImageRef,
  sizeBytes: Bytes,
  storage: Storage,
  note: Schema.optionalKey(Schema.String),
})

/** What was written to a created image is its version 1 from now on, and never changes again. */
export const ImageSealed = Schema.Struct({
  image: ImageRef,
  version: Schema.Literal(1),
  storage: Storage,
  format: Schema.String,
  sizeBytes: Bytes,
  files: Schema.Array(FileRecord),
})

/** What the super client wrote is the image's next version, which is current now; the client is its super client no more. */
export const ImageCommitted = Schema.Struct({
  image: ImageRef,
  version: Natural,
  /** The version that the client wrote on. */
  parent: Natural,
  /** The version that was current. */
  from: Natural,
  storage: Storage,
  format: Schema.String,
  sizeBytes: Bytes,
  /** The sealed layer's files. */
  files: Schema.Array(FileRecord),
  /** Guest bytes that the layer holds, and those that it makes zero. */
  layer: Schema.Struct({ dataBytes: Bytes, zeroBytes: Bytes }),
  client: ClientRef,
  slot: Natural,
  /** The overlay that was sealed (LinkEntry.epoch); it never opens again. */
  sealedOverlay: Natural,
  note: Schema.optionalKey(Schema.String),
})

/** Another version is current. Links that follow get it at their next boot; nothing was copied or deleted. */
export const ImageRolledBack = Schema.Struct({
  image: ImageRef,
  from: Natural,
  to: Natural,
  note: Schema.optionalKey(Schema.String),
})

/** Nothing needed this version; it can never be linked again, and its number is never given again. */
export const ImageVersionRetired = Schema.Struct({
  image: ImageRef,
  version: Natural,
  /** Its checksum file, which goes with it. */
  sidecar: Schema.NullOr(Schema.String),
})

/**
 * A version is read from a new file from now on, which has all that the versions after `over` up to it changed. Its bytes are what they were,
 * and so is the version that it was made on.
 */
export const ImageVersionFlattened = Schema.Struct({
  image: ImageRef,
  version: Natural,
  /** The version that it is read over; null when the new file has the whole disk. */
  over: Schema.NullOr(Natural),
  storage: Storage,
  format: Schema.String,
  files: Schema.Array(FileRecord),
  /** Guest bytes that the new file holds, and those that it makes zero. */
  layer: Schema.Struct({ dataBytes: Bytes, zeroBytes: Bytes }),
  /** The tables of what this version alone changed, without its bytes: comparisons go on to use them. */
  changes: Place,
  from: Schema.Struct({ over: Natural, storage: Storage, format: Schema.String, files: Schema.Array(FileRecord) }),
})

/** Where a version's bytes are served from: `kind` is a storage tier, `hot` only what real boots read, `share` per cent of their reads if told. */
const Tier = Schema.Struct({ kind: Schema.String, hot: Schema.Boolean, share: Schema.optionalKey(Natural) })
export const ImagePlaced = Schema.Struct({ image: ImageRef, from: Tier, to: Tier })

/** What this client writes on the version, from its next boot on, is kept and may become the next version. */
export const SuperClientSet = Schema.Struct({
  client: ClientRef,
  slot: Natural,
  image: ImageRef,
  version: Natural,
  /** The overlay that was kept aside and is taken up again; null: a fresh one. */
  resumes: Schema.NullOr(Natural),
})

export const SuperClientCleared = Schema.Struct({
  client: ClientRef,
  slot: Natural,
  image: ImageRef,
  version: Natural,
  overlay: Natural,
  /** Kept aside, to be resumed; else thrown away. */
  kept: Schema.Boolean,
})

/** What one boot, the next, is given in place of the client's link. */
export const NextBoot = Schema.Union([
  Schema.Struct({ kind: Schema.Literal("image"), image: ImageRef, pinned: Schema.NullOr(Natural) }),
  Schema.Struct({ kind: Schema.Literal("local") }),
  Schema.Struct({ kind: Schema.Literal("menu") }),
])
export type NextBoot = typeof NextBoot.Type

export const ClientNextBootSet = Schema.Struct({
  client: ClientRef,
  from: Schema.NullOr(NextBoot),
  to: Schema.NullOr(NextBoot),
})

/** What a client really got when it began to use a fresh disk, or the same one after its overlay was kept. */
export const ClientBooted = Schema.Struct({
  client: ClientRef,
  slot: Natural,
  /** Name of the boot id that it showed: its first half, for the other is a key. Null where it came without one. */
  boot: Schema.NullOr(Schema.String),
  image: ImageRef,
  version: Natural,
  overlay: Schema.Literals(["discard", "keep", "super"]),
  /** LinkEntry.epoch. */
  generation: Natural,
  protocol: Schema.Literals(["nbd", "iscsi"]),
  address: Schema.String,
  firmware: Schema.NullOr(Schema.String),
  /** Milliseconds since the boot's first sign of life, in order. */
  stages: Schema.Array(Schema.Struct({ name: Schema.String, millis: Natural })),
  /** It was the boot that ClientNextBootSet was about. */
  nextBoot: Schema.Boolean,
})

/** No link used it. Its file stays where it is; its name may be another image's from now on, its id never. */
export const ImageRemoved = Schema.Struct({
  image: ImageRef,
  /** How many versions went with it, and their checksum files. */
  versions: Natural,
  sidecars: Schema.Array(Schema.String),
})

export const ClientRegistered = Schema.Struct({
  client: ClientRef,
  address: Schema.NullOr(Schema.String),
})

/** What can be changed about a client. */
const ClientState = Schema.Struct({
  name: Schema.String,
  mac: Schema.String,
  address: Schema.NullOr(Schema.String),
  options: Schema.optionalKey(Options),
})

/** `client` as it was called before. */
export const ClientChanged = Schema.Struct({
  client: ClientRef,
  from: ClientState,
  to: ClientState,
})

/** Its links end with it. Name, MAC and address may belong to another from now on; the id never. */
export const ClientRemoved = Schema.Struct({
  client: ClientRef,
  address: Schema.NullOr(Schema.String),
  links: Schema.Array(Schema.Struct({ slot: Natural, link: LinkState })),
})

export const ClientLinked = Schema.Struct({
  client: ClientRef,
  slot: Natural,
  to: LinkState,
  from: Schema.NullOr(LinkState),
})

export const ClientUnlinked = Schema.Struct({
  client: ClientRef,
  slot: Natural,
  from: LinkState,
})

export const OverlayReset = Schema.Struct({
  client: ClientRef,
  slot: Natural,
  link: LinkState,
})

/** As OverlayReset, but what was written goes with the next boot: whoever runs from it now goes on until then. */
export const OverlayResetArmed = Schema.Struct({
  client: ClientRef,
  slot: Natural,
  link: LinkState,
})

/** A group but for who is in it: of its members there is the number only. `version` is what a link stood for then. */
const GroupState = Schema.Struct({
  name: Schema.String,
  members: Natural,
  links: Schema.Array(Schema.Struct({ slot: Natural, link: Schema.Struct(pointer) })),
  options: Options,
})

/**
 * A group was made (`from` null), changed or removed (`to` null), and who joined or left by it. What its members' slots point to from
 * then on is said by the ClientLinked and ClientUnlinked of the same command. `group` as it was called before.
 */
export const GroupChanged = Schema.Struct({
  group: GroupRef,
  from: Schema.NullOr(GroupState),
  to: Schema.NullOr(GroupState),
  joined: Schema.Array(ClientRef),
  left: Schema.Array(ClientRef),
})

/**
 * The log up to here is that of another origin, read back from a backup; from here on it goes its own way under a name and key of its own.
 * What the other may have recorded after `from` is not in it.
 */
export const LogRestored = Schema.Struct({
  /** This log's name, and its verifier key line (C2SP signed-note). */
  origin: Schema.String,
  key: Schema.String,
  from: Schema.Struct({
    origin: Schema.String,
    key: Schema.String,
    size: Natural,
    /** Base64. */
    root: Schema.String,
    /** The note that signs size and root. */
    checkpoint: Schema.String,
  }),
})

/** The current shape of every type: `[schemaVersion, data schema]`. */
export const eventShapes = {
  ImageAdded: [1, ImageAdded],
  ImageChecked: [1, ImageChecked],
  ImageRelocated: [1, ImageRelocated],
  ImageCreated: [1, ImageCreated],
  ImageSealed: [1, ImageSealed],
  ImageCommitted: [1, ImageCommitted],
  ImageRolledBack: [1, ImageRolledBack],
  ImageVersionRetired: [1, ImageVersionRetired],
  ImageVersionFlattened: [1, ImageVersionFlattened],
  ImagePlaced: [1, ImagePlaced],
  ImageRemoved: [1, ImageRemoved],
  ClientRegistered: [1, ClientRegistered],
  ClientChanged: [1, ClientChanged],
  ClientRemoved: [1, ClientRemoved],
  ClientLinked: [1, ClientLinked],
  ClientUnlinked: [1, ClientUnlinked],
  OverlayReset: [1, OverlayReset],
  OverlayResetArmed: [1, OverlayResetArmed],
  SuperClientSet: [1, SuperClientSet],
  SuperClientCleared: [1, SuperClientCleared],
  ClientNextBootSet: [1, ClientNextBootSet],
  ClientBooted: [1, ClientBooted],
  GroupChanged: [1, GroupChanged],
  LogRestored: [1, LogRestored],
} as const

export type EventType = keyof typeof eventShapes
export type EventData<T extends EventType> = (typeof eventShapes)[T][1]["Type"]
/** A domain event in its current shape, distributed over its types. */
export type DomainEvent = {
  [T in EventType]: {
    readonly type: T
    readonly schemaVersion: (typeof eventShapes)[T][0]
    readonly data: EventData<T>
  }
}[EventType]
