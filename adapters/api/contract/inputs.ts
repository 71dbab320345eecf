/** What each operation takes, as a schema: the trust edge of the API. */
import * as Schema from "effect/Schema"
import { limits } from "../../../core/limits.ts"
import type { Input, OperationName } from "../../../core/runtime/site.ts"

const opt = Schema.optionalKey
const Text = Schema.String.check(Schema.isMaxLength(limits.commandTextCharsMax))
const Natural = Schema.Natural
const Flag = opt(Schema.Boolean)
const Clients = Schema.Array(Text).check(Schema.isMaxLength(limits.commandClientsMax))
const Options = Schema.Record(Text, Schema.NullOr(Text))
const Storage = Schema.Struct({ kind: Text, config: Schema.Record(Schema.String, Schema.Unknown) })
const Overlay = Schema.Literals(["discard", "keep"])
const Base64 = Schema.String.check(Schema.isMaxLength(limits.apiBodyBytesMax))

/** A moment: a time in UTC milliseconds, or a position in the log; without either, now. */
const moment = { at: opt(Natural), position: opt(Natural) }
const Moment = Schema.Struct(moment)
const Named = Schema.Struct({ name: Text, version: opt(Natural) })
const Nothing = Schema.Struct({})
const client = { client: Text }
const clients = { clients: Clients }
const group = { group: Text }
const name = { name: Text }
const discardKept = { discardKept: Flag }
const linkTo = { image: Text, slot: Natural, overlay: opt(Overlay), ...discardKept }

const ImportedRow = Schema.Struct({
  line: Natural,
  mac: Text,
  name: opt(Text),
  address: opt(Text),
  image: opt(Text),
})

export const inputs = {
  "image.list": Nothing,
  "image.add": Schema.Struct({
    ...name,
    path: opt(Text),
    storage: opt(Storage),
    note: opt(Text),
    check: Schema.Boolean,
  }),
  "image.show": Schema.Struct({ ...name, ...moment }),
  "image.remove": Schema.Struct(name),
  "image.create": Schema.Struct({ ...name, sizeBytes: Natural, note: opt(Text) }),
  "image.seal": Schema.Struct(name),
  "image.check": Named,
  "image.relocate": Schema.Struct({ ...name, version: opt(Natural), path: opt(Text), storage: opt(Storage) }),
  "image.place": Schema.Struct({
    ...name,
    tier: Schema.Literals(["ramdisk", "file"]),
    hot: Flag,
    share: opt(Natural),
  }),
  "image.commit": Schema.Struct({ ...name, note: opt(Text), whenOff: Flag, fence: Flag }),
  "image.rollback": Schema.Struct({ ...name, to: opt(Natural), note: opt(Text) }),
  "image.retire": Schema.Struct({ ...name, version: Natural }),
  "image.flatten": Schema.Struct({ ...name, version: opt(Natural), whole: Flag }),
  "image.heat": Schema.Struct(name),
  "image.record": Schema.Struct({ ...name, label: Text, seconds: Natural }),
  "heat.export": Schema.Struct(name),
  "heat.import": Schema.Struct({ ...name, bytes: Base64 }),
  "image.diff": Schema.Struct({ from: Named, to: Named, runsMax: opt(Natural), filesMax: opt(Natural) }),
  "client.list": Nothing,
  "client.add": Schema.Struct({ mac: Text, name: opt(Text), address: opt(Text) }),
  "client.show": Schema.Struct({ ...client, ...moment }),
  "client.set": Schema.Struct({
    ...client,
    name: opt(Text),
    mac: opt(Text),
    address: opt(Schema.NullOr(Text)),
    options: opt(Options),
  }),
  "client.script": Schema.Struct(client),
  "client.set-super": Schema.Struct({ ...client, image: Text, slot: opt(Natural), resume: Flag, ...discardKept }),
  "client.clear-super": Schema.Struct({ ...client, image: opt(Text), keep: Flag }),
  "client.import": Schema.Struct({
    rows: Schema.Array(ImportedRow).check(Schema.isMaxLength(limits.commandClientsMax)),
    file: Text,
    image: opt(Text),
  }),
  "client.copy": Schema.Struct({
    from: Text,
    to: Schema.Array(Schema.Struct({ mac: Text, name: opt(Text) })).check(Schema.isMaxLength(limits.commandClientsMax)),
  }),
  "client.link": Schema.Struct({ ...clients, ...linkTo }),
  "client.unlink": Schema.Struct({ ...clients, slot: Natural, ...discardKept }),
  "client.reset": Schema.Struct({ ...clients, slot: Natural, discardSuper: Flag, atNextBoot: Flag }),
  "client.remove": Schema.Struct({ ...clients, ...discardKept }),
  "client.disconnect": Schema.Struct(clients),
  "client.wake": Schema.Struct(clients),
  "client.request-reboot": Schema.Struct({ ...clients, cancel: Flag }),
  "client.next-boot": Schema.Struct({
    ...clients,
    to: Schema.NullOr(
      Schema.Union([
        Schema.Struct({ kind: Schema.Literal("image"), image: Text }),
        Schema.Struct({ kind: Schema.Literals(["local", "menu"]) }),
      ]),
    ),
  }),
  "group.list": Nothing,
  "group.create": Schema.Struct({ ...name, ...clients, options: opt(Options) }),
  "group.show": Schema.Struct({ ...group, ...moment }),
  "group.change": Schema.Struct({
    ...group,
    name: opt(Text),
    add: opt(Clients),
    drop: opt(Clients),
    options: opt(Options),
    ...discardKept,
  }),
  "group.remove": Schema.Struct({ ...group, ...discardKept }),
  "group.link": Schema.Struct({ ...group, ...linkTo }),
  "group.unlink": Schema.Struct({ ...group, slot: Natural, ...discardKept }),
  links: Nothing,
  "links.at": Moment,
  "links.diff": Schema.Struct({ from: Moment, to: Moment }),
  "links.restore": Schema.Struct({ ...moment, ...discardKept }),
  boots: Schema.Struct({ client: opt(Text) }),
  "boots.live": Schema.Struct({ client: opt(Text), follow: Flag }),
  status: Nothing,
  "config.reload": Nothing,
  history: Schema.Struct({
    client: opt(Text),
    image: opt(Text),
    group: opt(Text),
    since: opt(Natural),
    until: opt(Natural),
  }),
  log: Schema.Struct({
    after: opt(Natural),
    type: opt(Text),
    client: opt(Text),
    image: opt(Text),
    group: opt(Text),
    follow: Flag,
  }),
  "audit.key": Nothing,
  "audit.checkpoint": Nothing,
  "audit.verify": Nothing,
  "audit.prove": Schema.Struct({ position: Natural }),
  "audit.consistency": Schema.Struct({ note: Text, file: Text }),
  "audit.export": Schema.Struct({ path: Text, force: Flag }),
  backup: Schema.Struct({ dir: Text, images: Flag, secrets: Flag }),
  rebuild: Nothing,
  "rebuild.check": Nothing,
  "token.create": Schema.Struct({
    ...name,
    role: Schema.Literals(["viewer", "auditor", "operator", "admin"]),
    groups: opt(Schema.Array(Text)),
    days: opt(Natural),
  }),
  "token.list": Nothing,
  "token.revoke": Schema.Struct(name),
  jobs: Nothing,
  "job.cancel": Schema.Struct({ id: Text }),
} satisfies {
  readonly [N in OperationName]: Schema.Codec<Input<N>, unknown> & { readonly fields: Schema.Struct.Fields }
}
