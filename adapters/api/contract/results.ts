/**
 * What each operation answers, as a schema for the reference and for derived clients.
 *
 * **Details** Answers are plain JSON already and are sent as they are; the compiler holds these schemas against the types of the operations, and
 * specs hold them against what a running server says.
 */
import * as Schema from "effect/Schema"
import { eventShapes, OverlayPolicy } from "../../../core/domain/events.ts"
import type { Item, OperationName, Result } from "../../../core/runtime/site.ts"

const opt = Schema.optionalKey
const Text = Schema.String
const Natural = Schema.Natural
const NullText = Schema.NullOr(Text)
const NullNatural = Schema.NullOr(Natural)
const list = Schema.Array

const Actor = Schema.Struct({ kind: Schema.Literals(["cli", "server", "api"]), name: Text })

export const ErrorBody = Schema.Struct({ code: Text, message: Text, cause: Text, fix: Text, details: opt(list(Text)) })

/** An event of the log; position, time and actor are there once it is recorded. */
export const Event = Schema.Struct({
  type: Text,
  schemaVersion: Natural,
  data: Schema.Unknown,
  position: opt(Natural),
  command: opt(Text),
  at: opt(Natural),
  wall: opt(Natural),
  actor: opt(Actor),
  server: opt(Text),
}).annotate({ identifier: "Event" })

const changed = { events: list(Event), position: Natural, dryRun: Schema.Boolean, repeated: Schema.Boolean }
const Changed = Schema.Struct(changed).annotate({ identifier: "Changed" })

const Check = Schema.Struct({
  image: Text,
  version: Natural,
  result: Schema.Literals(["verified", "mismatch"]),
  clusters: Natural,
  mismatches: Natural,
  firstMismatch: Schema.NullOr(ErrorBody),
  damage: list(
    Schema.Struct({
      offset: Natural,
      length: Natural,
      lba: Schema.Tuple([Natural, Natural]),
      file: Text,
      backup: Schema.NullOr(Schema.Struct({ path: Text, madeAt: Natural })),
    }),
  ),
}).annotate({ identifier: "Check" })

const { ImageAdded, ImageChecked, ImageCommitted, ImageVersionFlattened, ImagePlaced, ClientBooted } = eventShapes

const VersionRow = Schema.Struct({
  number: Natural,
  parent: NullNatural,
  over: NullNatural,
  format: Text,
  sizeBytes: Text,
  storage: ImageAdded[1].fields.storage,
  files: ImageAdded[1].fields.files,
  checked: Schema.Literals(["unverified", "verified", "mismatch"]),
  checkedAt: NullNatural,
  checksums: Schema.NullOr(ImageChecked[1].fields.checksums),
  mismatches: Schema.NullOr(ImageChecked[1].fields.mismatches),
  note: NullText,
  retired: Schema.Boolean,
  flattened: Schema.NullOr(ImageVersionFlattened[1].fields.layer),
  layer: Schema.NullOr(ImageCommitted[1].fields.layer),
  at: Natural,
})

const ImageRow = Schema.Struct({
  id: Text,
  name: Text,
  current: Natural,
  draftBytes: NullText,
  superClient: Schema.NullOr(Schema.Struct({ id: Text, name: Text, slot: Natural })),
  tier: ImagePlaced[1].fields.to,
  links: Natural,
  versions: list(VersionRow),
}).annotate({ identifier: "Image" })

const LinkRow = Schema.Struct({
  client: Text,
  mac: Text,
  address: NullText,
  slot: Natural,
  image: Text,
  version: Natural,
  follows: Schema.Boolean,
  overlay: OverlayPolicy,
  superClient: Schema.Boolean,
}).annotate({ identifier: "Link" })

const linkKeys = [
  ...(["client", "mac", "address", "slot", "image"] as const),
  ...(["version", "follows", "overlay", "superClient"] as const),
]

const asOf = { position: Natural, at: NullNatural }
const AsOf = Schema.Struct(asOf)

const HistoryLine = Schema.Struct({
  position: Natural,
  at: Natural,
  actor: Actor,
  command: Text,
  event: Text,
  client: NullText,
  mac: NullText,
  slot: NullNatural,
  image: NullText,
  group: NullText,
  what: Text,
  from: NullText,
  to: NullText,
}).annotate({ identifier: "HistoryLine" })

const EffectiveLink = Schema.Struct({
  slot: Natural,
  image: Text,
  version: Natural,
  follows: Schema.Boolean,
  overlay: Text,
  epoch: Natural,
  source: Schema.Union([Schema.Literal("own"), Schema.TemplateLiteral(["group:", Schema.String])]),
})

const clientFields = { name: Text, mac: Text, address: NullText }

const GroupRow = Schema.Struct({
  id: Text,
  name: Text,
  members: list(Text),
  links: list(Schema.Struct({ slot: Natural, image: Text, pinned: NullNatural, overlay: OverlayPolicy })),
  options: Schema.Record(Text, Text),
}).annotate({ identifier: "Group" })

const Progress = Schema.Struct({
  done: Natural,
  total: Natural,
  unit: Schema.Literals(["bytes", "items"]),
  note: opt(Text),
})

export const Job = Schema.Struct({
  id: Text,
  title: Text,
  state: Schema.Literals(["running", "done", "failed", "cancelled"]),
  progress: Progress,
  startedAt: Natural,
  error: opt(Schema.Struct({ code: Text, message: Text })),
}).annotate({ identifier: "Job" })

const FileTotals = Schema.Struct({ added: Natural, removed: Natural, changed: Natural })

const FileDiff = Schema.Struct({
  partitions: list(
    Schema.Struct({
      number: Natural,
      offset: Natural,
      sizeBytes: Natural,
      in: Schema.Literals(["both", "from", "to"]),
      fileSystem: Schema.Struct({ from: NullText, to: NullText }),
      outcome: Schema.Literals(["same", "compared", "unread"]),
      why: NullText,
      changedBytes: Natural,
      totals: FileTotals,
    }),
  ),
  rows: list(
    Schema.Struct({
      partition: Natural,
      change: Schema.Literals(["added", "removed", "changed"]),
      path: Text,
      before: NullNatural,
      after: NullNatural,
      by: list(Text),
    }),
  ),
  totals: FileTotals,
})

const ImageDiff = Schema.Struct({
  image: Text,
  from: Natural,
  to: Natural,
  sizeBytes: Natural,
  toldBy: Schema.Literals(["layers", "checksums"]),
  runs: list(Schema.Struct({ offset: Natural, length: Natural, kind: Schema.Literals(["data", "zero"]) })),
  totals: Schema.Struct({ runs: Natural, dataBytes: Natural, zeroBytes: Natural }),
  partBytes: Natural,
  parts: list(Natural),
  files: opt(FileDiff),
})

const Heat = Schema.Struct({
  image: Text,
  sizeBytes: Natural,
  labels: list(
    Schema.Struct({
      label: Text,
      recorded: Natural,
      kept: Natural,
      lastAt: NullNatural,
      reads: Natural,
      covers: list(Schema.Struct({ share: Schema.Finite, bytes: Natural })),
    }),
  ),
  booting: Natural,
  partBytes: Natural,
  parts: list(Natural),
})

const Backup = Schema.Struct({
  dir: Text,
  position: Natural,
  root: NullText,
  dryRun: Schema.Boolean,
  events: Schema.Struct({ copied: Natural, total: Natural }),
  files: Schema.Struct({ copied: Natural, kept: Natural, copiedBytes: Natural, bytes: Natural }),
  images: list(
    Schema.Struct({
      image: Text,
      version: Natural,
      path: Text,
      sizeBytes: Natural,
      done: Schema.Literals(["copied", "cloned", "linked", "kept"]),
    }),
  ),
  secrets: Schema.Boolean,
  leftOut: list(Text),
})

const ViewPosition = { name: Text, position: Natural }
const BootState = Schema.Literals(["dhcp", "tftp", "http", "menu", "script", "local", "login", "running", "off"])
const LiveBoot = Schema.Struct({
  mac: Text,
  client: NullText,
  address: NullText,
  firmware: NullText,
  state: BootState,
  since: Natural,
  stages: ClientBooted[1].fields.stages,
  stuck: NullText,
  error: Schema.NullOr(Schema.Struct({ at: Natural, text: Text })),
}).annotate({ identifier: "LiveBoot" })

const clientStatus = {
  client: NullText,
  mac: Text,
  address: NullText,
  state: BootState,
  since: NullNatural,
  image: NullText,
  version: NullNatural,
  writtenBytes: NullNatural,
  rebootRequested: NullNatural,
  sessions: Natural,
  readBytesPerSecond: NullNatural,
  writtenBytesPerSecond: NullNatural,
  cacheHitShare: Schema.NullOr(Schema.Finite),
  stuck: NullText,
  error: Schema.NullOr(Schema.Struct({ at: Natural, text: Text })),
}
const ClientStatus = Schema.Struct(clientStatus).annotate({ identifier: "ClientStatus" })

/** `source`: `own`, `group:NAME`, `site` or `default`. */
const Setting = Schema.Struct({ key: Text, value: Text, source: Text })

const Session = Schema.Struct({
  protocol: Schema.Literals(["nbd", "iscsi"]),
  address: Text,
  initiator: NullText,
  slot: NullNatural,
  disk: Text,
  since: Natural,
  readBytes: Natural,
  writtenBytes: Natural,
}).annotate({ identifier: "Session" })

const Boot = Schema.Struct({ ...ClientBooted[1].fields, position: Natural, at: Natural })

const status = {
  server: Schema.Struct({ version: Text, since: Natural, memoryBytes: Natural, position: Natural }),
  listeners: list(Schema.Struct({ protocol: Text, at: Text })),
  clients: list(ClientStatus),
}

/** `clients` are those that changed; `gone` are MACs. */
export const StatusChanged = Schema.Struct({ ...status, gone: list(Text) })

const token = {
  name: Text,
  role: Schema.Literals(["viewer", "auditor", "operator", "admin"]),
  groups: list(Text),
  createdAt: Natural,
  expiresAt: NullNatural,
}
const Position = Schema.Struct({ position: Natural })

const action = <F extends Schema.Struct.Fields>(row: F) =>
  Schema.Struct({ dryRun: Schema.Boolean, clients: list(Schema.Struct({ client: Text, ...row })) })

export const results = {
  "image.list": list(ImageRow),
  "image.add": Schema.Struct({ ...changed, check: Schema.NullOr(Check), notes: list(Text) }),
  "image.show": Schema.Struct({
    ...asOf,
    image: ImageRow,
    users: list(Schema.Struct({ version: Natural, links: list(LinkRow) })),
  }),
  "image.remove": Changed,
  "image.create": Changed,
  "image.seal": Changed,
  "image.check": Check,
  "image.relocate": Changed,
  "image.place": Schema.Struct({
    ...changed,
    ram: Schema.NullOr(Schema.Struct({ versions: list(Natural), bytes: Natural, left: Natural })),
  }),
  "image.commit": Changed,
  "image.rollback": Changed,
  "image.retire": Changed,
  "image.flatten": Changed,
  "image.heat": Heat,
  "image.record": Schema.Struct({ image: Text, label: Text, clients: Natural, clusters: Natural, bytes: Natural }),
  "heat.export": Schema.Struct({ image: Text, bytes: Text }),
  "heat.import": Schema.Struct({ image: Text, recordings: Natural, clusters: Natural }),
  "image.diff": ImageDiff,
  "client.list": list(
    Schema.Struct({
      ...clientFields,
      links: list(
        Schema.Struct({ slot: Natural, image: Text, version: Natural, follows: Schema.Boolean, overlay: Text }),
      ),
    }),
  ),
  "client.add": Changed,
  "client.show": Schema.Struct({
    ...asOf,
    client: Schema.Struct({
      id: Text,
      ...clientFields,
      links: list(EffectiveLink),
      groups: list(Text),
      options: list(Setting),
      settings: list(Setting),
    }),
    lastChanges: list(HistoryLine),
    lastBoot: Schema.NullOr(Boot),
    live: Schema.NullOr(Schema.Struct({ ...clientStatus, sessions: list(Session) })),
  }),
  "client.set": Changed,
  "client.script": Schema.Struct({ client: Text, script: Text }),
  "client.set-super": Changed,
  "client.clear-super": Changed,
  "client.import": Changed,
  "client.copy": Changed,
  "client.link": Changed,
  "client.unlink": Changed,
  "client.reset": Changed,
  "client.remove": Changed,
  "client.next-boot": Changed,
  "client.disconnect": action({ sessions: Natural, left: Natural }),
  "client.wake": action({ mac: Text, sentTo: list(Text) }),
  "client.request-reboot": action({ requestedAt: NullNatural }),
  "group.list": list(GroupRow),
  "group.create": Changed,
  "group.show": Schema.Struct({
    ...asOf,
    group: GroupRow,
    members: list(Schema.Struct({ ...clientFields, links: list(EffectiveLink) })),
  }),
  "group.change": Changed,
  "group.remove": Changed,
  "group.link": Changed,
  "group.unlink": Changed,
  links: list(LinkRow),
  "links.at": Schema.Struct({ ...asOf, rows: list(LinkRow) }),
  "links.diff": Schema.Struct({
    from: AsOf,
    to: AsOf,
    added: list(LinkRow),
    removed: list(LinkRow),
    changed: list(Schema.Struct({ from: LinkRow, to: LinkRow, fields: list(Schema.Literals(linkKeys)) })),
  }),
  "links.restore": Schema.Struct({ ...changed, asOf: AsOf }),
  boots: list(Boot),
  "boots.live": list(LiveBoot),
  status: Schema.Struct(status),
  "config.reload": Schema.Struct({ applied: list(Text), restart: list(Text) }),
  history: Position,
  log: Position,
  "audit.key": Schema.Struct({ key: Text }),
  "audit.checkpoint": Schema.Struct({ note: Text, size: Natural, root: Text }),
  "audit.verify": Schema.Struct({ key: Text, size: Natural, published: Natural, root: Text }),
  "audit.prove": Schema.Struct({ proof: Text, size: Natural }),
  "audit.consistency": Schema.Struct({ from: Natural, to: Natural, root: Text, proof: list(Text) }),
  "audit.export": Schema.Struct({ path: Text, sizeBytes: Natural, size: Natural, root: Text }),
  backup: Backup,
  rebuild: list(Schema.Struct(ViewPosition)),
  "rebuild.check": list(Schema.Struct({ ...ViewPosition, equal: Schema.Boolean })),
  "token.create": Schema.Struct({ ...token, token: Text }),
  "token.list": list(Schema.Struct(token)),
  "token.revoke": Schema.Struct(token),
  jobs: list(Job),
  "job.cancel": Schema.Struct({ cancelled: Schema.Boolean }),
} satisfies { readonly [N in OperationName]: Schema.Top }

/** What the streaming ones send, one by one. */
export const items = {
  history: HistoryLine,
  /** The canonical bytes of an event, as text. */
  log: Text,
}

/** Operations whose answers are not as described. */
type Undescribed =
  | { [N in OperationName]: Result<N> extends (typeof results)[N]["Type"] ? never : N }[OperationName]
  | { [N in keyof typeof items]: Item<N> extends (typeof items)[N]["Type"] ? never : N }[keyof typeof items]
/** The compiler names one here. */
export const describedAll: [Undescribed] extends [never] ? true : Undescribed = true
