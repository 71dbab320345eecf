/**
 * The commands: what someone may ask for, and the trust edge that turns unknown input into one.
 *
 * **Details** A command is an envelope (who asks, when, under which id) around a body (what is asked); deciders see only the body. Ids of
 * new things arrive in it, made by whoever received the request, because deciders have no randomness. Clients are given by name, by MAC
 * or as a range, images by name. MACs, names and addresses stay text here: judging them is the decider's, which can say what is wrong.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { fail, type ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import {
  ClientBooted,
  ImageAdded,
  ImageChecked,
  ImageCommitted,
  ImageVersionFlattened,
  OverlayPolicy,
} from "./events.ts"
import { whyNotPlain } from "./plain.ts"

const Id = ImageAdded.fields.image.fields.id
const Text = Schema.String.check(Schema.isMaxLength(limits.commandTextCharsMax))
const Clients = Schema.Array(Text).check(Schema.isMaxLength(limits.commandClientsMax))

/** A boot option's new value by its key; null takes it away. */
const OptionChanges = Schema.Record(Text, Schema.NullOr(Text))

export const AddImage = Schema.Struct({
  type: Schema.Literal("AddImage"),
  imageId: Id,
  name: Text,
  storage: ImageAdded.fields.storage,
  format: Text,
  sizeBytes: ImageAdded.fields.sizeBytes,
  files: ImageAdded.fields.files,
  note: ImageAdded.fields.note,
})

const Mismatches = ImageChecked.fields.mismatches.check(
  Schema.makeFilter(
    (m) => m.clusters.length <= Math.min(m.count, limits.checkClustersListedMax) || "more clusters listed than counted",
  ),
)

/** A finished check. `verified` goes with no mismatches, `mismatch` with at least one. */
export const RecordCheck = Schema.Struct({
  type: Schema.Literal("RecordCheck"),
  imageId: Id,
  version: ImageChecked.fields.version,
  result: ImageChecked.fields.result,
  checksums: ImageChecked.fields.checksums,
  mismatches: Mismatches,
  files: ImageChecked.fields.files,
  /** Recorded also where it found what the last one did: that it was read again is worth an event. */
  again: Schema.optionalKey(Schema.Literal(true)),
}).check(
  Schema.makeFilter(
    (c) => (c.result === "verified") === (c.mismatches.count === 0) || "result and mismatches disagree",
  ),
)

/** Reads met clusters that are not what was recorded. */
export const RecordDamage = Schema.Struct({
  type: Schema.Literal("RecordDamage"),
  imageId: Id,
  version: ImageChecked.fields.version,
  clusters: Schema.Array(Schema.Natural).check(
    Schema.isMinLength(1),
    Schema.isMaxLength(limits.checkClustersListedMax),
    Schema.makeFilter((clusters) => new Set(clusters).size === clusters.length || "a cluster is named twice"),
  ),
})

/** Whoever asks has compared every byte of the new place with the recorded checksums. */
export const RelocateImage = Schema.Struct({
  type: Schema.Literal("RelocateImage"),
  imageId: Id,
  version: ImageChecked.fields.version,
  storage: ImageAdded.fields.storage,
  files: ImageAdded.fields.files,
})

/** The empty disk is made; whoever asks put it where `storage` says. */
export const CreateImage = Schema.Struct({
  type: Schema.Literal("CreateImage"),
  imageId: Id,
  name: Text,
  sizeBytes: ImageAdded.fields.sizeBytes,
  storage: ImageAdded.fields.storage,
  note: ImageAdded.fields.note,
})

export const SealImage = Schema.Struct({
  type: Schema.Literal("SealImage"),
  imageId: Id,
  storage: ImageAdded.fields.storage,
  format: Text,
  sizeBytes: ImageAdded.fields.sizeBytes,
  files: ImageAdded.fields.files,
})

/** The layer is sealed and on the disk; `version` and `sealedOverlay` are what it was sealed as. */
export const CommitImage = Schema.Struct({
  type: Schema.Literal("CommitImage"),
  imageId: Id,
  version: ImageCommitted.fields.version,
  sealedOverlay: ImageCommitted.fields.sealedOverlay,
  storage: ImageAdded.fields.storage,
  format: Text,
  sizeBytes: ImageAdded.fields.sizeBytes,
  files: ImageAdded.fields.files,
  layer: ImageCommitted.fields.layer,
  note: ImageAdded.fields.note,
})

/** `to` left out: the version that the current one was made on. */
export const RollBackImage = Schema.Struct({
  type: Schema.Literal("RollBackImage"),
  name: Text,
  to: Schema.optionalKey(Schema.Natural),
  note: ImageAdded.fields.note,
})

export const RetireVersion = Schema.Struct({
  type: Schema.Literal("RetireVersion"),
  name: Text,
  version: Schema.Natural,
})

/** The new file is whole and on the disk; `from` is what it was made from. */
export const FlattenVersion = Schema.Struct({
  type: Schema.Literal("FlattenVersion"),
  imageId: Id,
  version: ImageVersionFlattened.fields.version,
  over: ImageVersionFlattened.fields.over,
  storage: ImageAdded.fields.storage,
  format: Text,
  files: ImageAdded.fields.files,
  layer: ImageVersionFlattened.fields.layer,
  changes: ImageVersionFlattened.fields.changes,
  from: Schema.Struct({ over: Schema.Natural, storage: ImageAdded.fields.storage }),
})

export const PlaceImage = Schema.Struct({
  type: Schema.Literal("PlaceImage"),
  name: Text,
  tier: Text,
  hot: Schema.optionalKey(Schema.Boolean),
  /** Per cent of the reads that the hot zone covers, 1 to 100. */
  share: Schema.optionalKey(Schema.Natural),
})

export const RemoveImage = Schema.Struct({
  type: Schema.Literal("RemoveImage"),
  name: Text,
})

/** `name` left out: the next free numbered name. */
export const RegisterClient = Schema.Struct({
  type: Schema.Literal("RegisterClient"),
  clientId: Id,
  mac: Text,
  name: Schema.optionalKey(Text),
  address: Schema.optionalKey(Text),
})

/** What is left out stays as it is. `address` null: none. */
export const ChangeClient = Schema.Struct({
  type: Schema.Literal("ChangeClient"),
  client: Text,
  name: Schema.optionalKey(Text),
  mac: Schema.optionalKey(Text),
  address: Schema.optionalKey(Schema.NullOr(Text)),
  options: Schema.optionalKey(OptionChanges),
})

export const RemoveClients = Schema.Struct({
  type: Schema.Literal("RemoveClients"),
  clients: Clients,
  discardKept: Schema.optionalKey(Schema.Boolean),
})

/** A row as the file has it: raw cells, and the line it begins on. An empty cell is one that is not there. */
export const ImportRow = Schema.Struct({
  line: Schema.Natural,
  clientId: Id,
  mac: Schema.String,
  name: Schema.optionalKey(Schema.String),
  address: Schema.optionalKey(Schema.String),
  image: Schema.optionalKey(Schema.String),
})

/** Registers and links (slot 0) every row, or nothing. `image` is for rows that name none. */
export const ImportClients = Schema.Struct({
  type: Schema.Literal("ImportClients"),
  /** Name of the file, for the refusal. */
  file: Text,
  rows: Schema.Array(ImportRow).check(Schema.isMaxLength(limits.csvRowsMax)),
  image: Schema.optionalKey(Text),
})

const CopyTarget = Schema.Struct({ clientId: Id, mac: Text, name: Schema.optionalKey(Text) })

/** Gives each client of `to` the links of `from`, registering it if it is not there. */
export const CopyClient = Schema.Struct({
  type: Schema.Literal("CopyClient"),
  from: Text,
  to: Schema.Array(CopyTarget).check(Schema.isMaxLength(limits.commandClientsMax)),
})

/** `overlay` left out: what the slot had, else `discard`. */
export const LinkClients = Schema.Struct({
  type: Schema.Literal("LinkClients"),
  clients: Clients,
  image: Text,
  slot: Schema.Finite,
  overlay: Schema.optionalKey(OverlayPolicy),
  discardKept: Schema.optionalKey(Schema.Boolean),
})

export const UnlinkClients = Schema.Struct({
  type: Schema.Literal("UnlinkClients"),
  clients: Clients,
  slot: Schema.Finite,
  discardKept: Schema.optionalKey(Schema.Boolean),
})

export const ResetOverlays = Schema.Struct({
  type: Schema.Literal("ResetOverlays"),
  clients: Clients,
  slot: Schema.Finite,
  /** Also of a super client, whose writes were to become a version. */
  discardSuper: Schema.optionalKey(Schema.Boolean),
  /** Whoever runs goes on; what was written goes with the next boot. */
  atNextBoot: Schema.optionalKey(Schema.Boolean),
})

/** `slot` left out: the one that is linked to the image. */
export const SetSuperClient = Schema.Struct({
  type: Schema.Literal("SetSuperClient"),
  client: Text,
  image: Text,
  slot: Schema.optionalKey(Schema.Finite),
  resume: Schema.optionalKey(Schema.Boolean),
  discardKept: Schema.optionalKey(Schema.Boolean),
})

/** `image` is needed only where the client is super client of several. */
export const ClearSuperClient = Schema.Struct({
  type: Schema.Literal("ClearSuperClient"),
  client: Text,
  image: Schema.optionalKey(Text),
  keep: Schema.optionalKey(Schema.Boolean),
})

/** `to` null: what the links say. */
export const SetNextBoot = Schema.Struct({
  type: Schema.Literal("SetNextBoot"),
  clients: Clients,
  to: Schema.NullOr(
    Schema.Union([
      Schema.Struct({ kind: Schema.Literal("image"), image: Text }),
      Schema.Struct({ kind: Schema.Literals(["local", "menu"]) }),
    ]),
  ),
})

export const RecordBoots = Schema.Struct({
  type: Schema.Literal("RecordBoots"),
  boots: Schema.Array(ClientBooted).check(Schema.isMaxLength(limits.bootsRecordedMax)),
})

/** A group is named with or without `group:` in front. */
export const CreateGroup = Schema.Struct({
  type: Schema.Literal("CreateGroup"),
  groupId: Id,
  name: Text,
  clients: Clients,
  options: Schema.optionalKey(OptionChanges),
})

/** What is left out stays as it is. Who is both in `add` and in `drop` is dropped. */
export const ChangeGroup = Schema.Struct({
  type: Schema.Literal("ChangeGroup"),
  group: Text,
  name: Schema.optionalKey(Text),
  add: Schema.optionalKey(Clients),
  drop: Schema.optionalKey(Clients),
  options: Schema.optionalKey(OptionChanges),
  discardKept: Schema.optionalKey(Schema.Boolean),
})

/** `overlay` left out: what the group's slot had, else `discard`. */
export const LinkGroup = Schema.Struct({
  type: Schema.Literal("LinkGroup"),
  group: Text,
  image: Text,
  slot: Schema.Finite,
  overlay: Schema.optionalKey(OverlayPolicy),
  discardKept: Schema.optionalKey(Schema.Boolean),
})

export const UnlinkGroup = Schema.Struct({
  type: Schema.Literal("UnlinkGroup"),
  group: Text,
  slot: Schema.Finite,
  discardKept: Schema.optionalKey(Schema.Boolean),
})

export const RemoveGroup = Schema.Struct({
  type: Schema.Literal("RemoveGroup"),
  group: Text,
  discardKept: Schema.optionalKey(Schema.Boolean),
})

const RestoredLink = Schema.Struct({
  slot: ImageChecked.fields.version,
  imageId: Id,
  /** What it was called then, for the refusal. */
  image: Text,
  pinned: Schema.NullOr(ImageChecked.fields.version),
  overlay: OverlayPolicy,
  /** Id of the group that gave it, then. */
  group: Schema.optionalKey(Id),
})

/** Brings clients, groups and all links back to what they were after the event `at`; which is given in full. */
export const RestoreLinks = Schema.Struct({
  type: Schema.Literal("RestoreLinks"),
  at: Schema.Natural,
  clients: Schema.Array(
    Schema.Struct({
      clientId: Id,
      /** For one that was removed since. */
      newId: Id,
      name: Text,
      mac: Text,
      address: Schema.NullOr(Text),
      links: Schema.Array(RestoredLink),
    }),
  ).check(Schema.isMaxLength(limits.commandClientsMax)),
  groups: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        groupId: Id,
        /** For one that was removed since. */
        newId: Id,
        name: Text,
        options: Schema.Record(Schema.String, Schema.String),
        /** Ids of its members, then. */
        clients: Schema.Array(Id),
        links: Schema.Array(RestoredLink),
      }),
    ),
  ),
  discardKept: Schema.optionalKey(Schema.Boolean),
})

export const commandShapes = {
  AddImage,
  CreateImage,
  SealImage,
  CommitImage,
  RollBackImage,
  RetireVersion,
  FlattenVersion,
  PlaceImage,
  SetSuperClient,
  ClearSuperClient,
  SetNextBoot,
  RecordBoots,
  RecordCheck,
  RecordDamage,
  RelocateImage,
  RemoveImage,
  RegisterClient,
  ChangeClient,
  RemoveClients,
  ImportClients,
  CopyClient,
  LinkClients,
  UnlinkClients,
  ResetOverlays,
  CreateGroup,
  ChangeGroup,
  LinkGroup,
  UnlinkGroup,
  RemoveGroup,
  RestoreLinks,
} as const

export type CommandType = keyof typeof commandShapes
export type Body<T extends CommandType> = (typeof commandShapes)[T]["Type"]
export type CommandBody = { [T in CommandType]: Body<T> }[CommandType]
export type ImportRow = typeof ImportRow.Type

const Envelope = Schema.Struct({
  id: Id,
  at: Schema.Natural,
  actor: Schema.Struct({ kind: Schema.Literals(["cli", "server", "api"]), name: Text }),
  dryRun: Schema.Boolean,
  expectedPosition: Schema.optionalKey(Schema.Natural),
  body: Schema.Unknown,
})

export type Command<B extends CommandBody = CommandBody> = Omit<typeof Envelope.Type, "body"> & { readonly body: B }

const strict = { onExcessProperty: "error", errors: "all" } as const
const invalid = (e: Schema.SchemaError) => fail("COMMAND_INVALID", { why: e.message.replaceAll(/\s*\n\s*/g, " ") })

const envelope = Schema.decodeUnknownResult(Envelope, strict)
const bodies = Object.fromEntries(
  Object.entries(commandShapes).map(([type, shape]) => [
    type,
    Schema.decodeUnknownResult(shape as Schema.Codec<CommandBody>, strict),
  ]),
)

/** What is asked, from unknown input: unknown keys are refused, not dropped. @throws nothing; fails with COMMAND_INVALID */
export const decodeBody = (input: unknown): Result.Result<CommandBody, ImagelinkError> => {
  const type: unknown = typeof input === "object" && input !== null ? (input as { type?: unknown }).type : undefined
  // The type is looked at first, because a union would answer with all its members' complaints.
  const decode = typeof type === "string" && Object.hasOwn(bodies, type) ? bodies[type] : undefined
  if (!decode) return Result.fail(fail("COMMAND_INVALID", { why: "its type is not one of the known commands" }))
  const why = whyNotPlain(input)
  if (why !== undefined) return Result.fail(fail("COMMAND_INVALID", { why }))
  return Result.mapError(decode(input), invalid)
}

/** A whole command, from unknown input. @throws nothing; fails with COMMAND_INVALID */
export const decodeCommand = (input: unknown): Result.Result<Command, ImagelinkError> => {
  const outer = Result.mapError(envelope(input), invalid)
  return Result.flatMap(outer, (command) => {
    const why = whyNotPlain(command.actor)
    if (why !== undefined) return Result.fail(fail("COMMAND_INVALID", { why }))
    return Result.map(decodeBody(command.body), (body) => ({ ...command, body }))
  })
}
