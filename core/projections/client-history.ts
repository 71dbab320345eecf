/**
 * The history: who changed what, from what, to what; a query over the log rather than a table kept in memory.
 *
 * **Details** Events carry what was there before and after, so a line of history is one event, said for people. A log of a million events
 * is read page by page when someone asks, which takes seconds; keeping every line ready would cost hundreds of megabytes always.
 * Things are matched by id, because ids outlive names.
 */
import * as Effect from "effect/Effect"
import type { Catalogue, RemovedEntry } from "../domain/catalogue.ts"
import { isKnownEvent } from "../domain/event-versions.ts"
import type { ClientRef, DomainEvent, EventData, GroupRef, ImageRef, NextBoot } from "../domain/events.ts"
import { findClient, findGroup, findImage } from "../domain/lookup.ts"
import { nameKey, parseGroupReference, parseMac } from "../domain/names.ts"
import { ImagelinkError } from "../errors.ts"
import type { Actor, Recorded } from "../log/event-log.ts"
import { groupText, optionsText, pointerText } from "./group-text.ts"
import { type ReadableLog, readEach } from "./read.ts"

export interface HistoryFilter {
  readonly clientId?: string | undefined
  readonly imageId?: string | undefined
  readonly groupId?: string | undefined
  /** UTC milliseconds, inclusive. */
  readonly since?: number | undefined
  readonly until?: number | undefined
  /** An event's type. */
  readonly type?: string | undefined
}

/** A line of `history --json`. `from` and `to` are words; what an event has no place for is null. */
export interface HistoryLine {
  readonly position: number
  readonly at: number
  readonly actor: Actor
  readonly command: string
  readonly event: string
  readonly client: string | null
  readonly mac: string | null
  readonly slot: number | null
  readonly image: string | null
  /** The group that was changed, or that a link comes from. */
  readonly group: string | null
  /** What was done, for a person: `linked`. */
  readonly what: string
  readonly from: string | null
  readonly to: string | null
}

type Link = EventData<"ClientLinked">["to"]

/** `win11@1, follows, discard, group:lab-2`; without the group for a link of the client's own. */
const linkText = ({ group, ...link }: Link): string =>
  group === undefined ? pointerText(link) : `${pointerText(link)}, group:${group.name}`

const sameLink = (a: Link, b: Link): boolean => a.image.id === b.image.id && a.version === b.version

const whatLinked = ({ from, to }: EventData<"ClientLinked">): string =>
  from === null ? "linked" : sameLink(from, to) ? "link changed" : "relinked"

const checkText = ({ result, mismatches }: EventData<"ImageChecked">): string =>
  result === "verified" ? "verified" : `mismatch in ${mismatches.count} cluster${mismatches.count === 1 ? "" : "s"}`

/** What differs between two states of a client, each in words. */
const changeText = ({ from, to }: EventData<"ClientChanged">): { readonly from: string; readonly to: string } => {
  const keys = (["name", "mac", "address"] as const).filter((key) => from[key] !== to[key])
  const text = (state: typeof from, other: typeof from) =>
    [...keys.map((key) => state[key] ?? "no address"), ...optionsText(state.options, other.options)].join(", ")
  return { from: text(from, to), to: text(to, from) }
}

const placeText = ({ storage, files }: EventData<"ImageRelocated">["to"]): string => files[0]?.path ?? storage.kind

const moved = ({ name }: ImageRef, from: number, to: number) => ({ from: `${name}@${from}`, to: `${name}@${to}` })

const overText = (over: number | null): string => (over === null ? "whole" : `over @${over}`)

const flattenText = ({ image, version, from, over }: EventData<"ImageVersionFlattened">) => ({
  from: `${image.name}@${version} ${overText(from.over)}`,
  to: overText(over),
})

const tierText = ({ kind, hot, share }: EventData<"ImagePlaced">["to"]): string =>
  `${kind}${hot ? ", hot zone" : ""}${share === undefined ? "" : ` of ${share} %`}`

const superText = ({ image, version }: Pick<EventData<"SuperClientSet">, "image" | "version">) => ({
  from: null,
  to: `${image.name}@${version}, super`,
})

const nextBootText = (next: NextBoot | null): string | null => {
  if (next === null) return null
  if (next.kind !== "image") return next.kind
  return `${next.image.name}${next.pinned === null ? "" : `@${next.pinned}`}`
}

const bootText = ({ image, version, overlay, protocol, address }: EventData<"ClientBooted">): string =>
  `${image.name}@${version}, ${overlay}, ${protocol} from ${address}`

type Said = Pick<HistoryLine, "what" | "from" | "to">

const say = (event: DomainEvent): Said => {
  switch (event.type) {
    case "ImageAdded":
      return { what: "image added", from: null, to: `${event.data.image.name}@1, ${event.data.format}` }
    case "ImageChecked":
      return { what: event.data.partial ? "image damage read" : "image checked", from: null, to: checkText(event.data) }
    case "ImageRelocated":
      return { what: "image relocated", from: placeText(event.data.from), to: placeText(event.data.to) }
    case "ImageRemoved": {
      const { image, versions } = event.data
      return { what: "image removed", from: `${image.name}, ${versions} version${versions === 1 ? "" : "s"}`, to: null }
    }
    case "ClientRegistered":
      return { what: "registered", from: null, to: `${event.data.client.mac}, ${event.data.address ?? "no address"}` }
    case "ClientChanged":
      return { what: "changed", ...changeText(event.data) }
    case "ClientRemoved":
      return { what: "removed", from: `${event.data.client.mac}, ${event.data.address ?? "no address"}`, to: null }
    case "ClientLinked":
      return {
        what: whatLinked(event.data),
        from: event.data.from && linkText(event.data.from),
        to: linkText(event.data.to),
      }
    case "ClientUnlinked":
      return { what: "unlinked", from: linkText(event.data.from), to: null }
    case "OverlayReset":
      return { what: "overlay reset", from: null, to: linkText(event.data.link) }
    case "OverlayResetArmed":
      return { what: "overlay reset at its next boot", from: null, to: linkText(event.data.link) }
    case "ImageCreated":
      return { what: "image created", from: null, to: `${event.data.image.name}, ${event.data.sizeBytes} bytes` }
    case "ImageSealed":
      return { what: "image sealed", from: null, to: `${event.data.image.name}@1, ${event.data.format}` }
    case "ImageCommitted":
      return { what: "image committed", ...moved(event.data.image, event.data.from, event.data.version) }
    case "ImageRolledBack":
      return { what: "image rolled back", ...moved(event.data.image, event.data.from, event.data.to) }
    case "ImageVersionRetired":
      return { what: "version retired", from: `${event.data.image.name}@${event.data.version}`, to: null }
    case "ImageVersionFlattened":
      return { what: "version flattened", ...flattenText(event.data) }
    case "ImagePlaced":
      return { what: "image placed", from: tierText(event.data.from), to: tierText(event.data.to) }
    case "SuperClientSet":
      return {
        what: event.data.resumes === null ? "super client set" : "super client resumed",
        ...superText(event.data),
      }
    case "SuperClientCleared": {
      const what = event.data.kept ? "super client cleared, overlay kept" : "super client cleared"
      return { what, from: superText(event.data).to, to: null }
    }
    case "ClientNextBootSet":
      return { what: "next boot set", from: nextBootText(event.data.from), to: nextBootText(event.data.to) }
    case "ClientBooted":
      return { what: "booted", from: null, to: bootText(event.data) }
    case "GroupChanged":
      return groupText(event.data)
    case "LogRestored": {
      const { origin, from } = event.data
      return {
        what: "log restored",
        from: `${from.origin}, ${from.size} event${from.size === 1 ? "" : "s"}`,
        to: origin,
      }
    }
  }
}

export interface Subject {
  readonly client: ClientRef | undefined
  readonly slot: number | undefined
  /** The image it concerns now, first; and the one it concerned before. */
  readonly images: ReadonlyArray<ImageRef>
  /** Likewise the group, and the one before. */
  readonly groups: ReadonlyArray<GroupRef>
  /** Who joined or left it. */
  readonly members: ReadonlyArray<ClientRef>
}

const groupsOf = (event: DomainEvent): ReadonlyArray<GroupRef> => {
  if (event.type === "GroupChanged") return [event.data.group]
  if (event.type === "ClientLinked") return [event.data.to.group, event.data.from?.group].filter((g) => g !== undefined)
  if (event.type === "ClientUnlinked") return event.data.from.group === undefined ? [] : [event.data.from.group]
  return []
}

/** The images that a group points to after a change and did not before, or the other way round. */
const imagesOf = ({ from, to }: EventData<"GroupChanged">): ReadonlyArray<ImageRef> => {
  const before = from?.links ?? []
  const after = to?.links ?? []
  const same = (a: typeof before, slot: number, id: string) => a.some((l) => l.slot === slot && l.link.image.id === id)
  const differing = [
    ...after.filter(({ slot, link }) => !same(before, slot, link.image.id)),
    ...before.filter(({ slot, link }) => !same(after, slot, link.image.id)),
  ]
  return differing.map(({ link }) => link.image)
}

export const subjectOf = (event: DomainEvent): Subject => {
  const data = event.data
  const client = "client" in data ? data.client : undefined
  const slot = "slot" in data ? data.slot : undefined
  const images = [
    "image" in data ? data.image : undefined,
    event.type === "ClientLinked" ? event.data.to.image : undefined,
    "link" in data ? data.link.image : undefined,
    event.type === "ClientLinked" || event.type === "ClientUnlinked" ? event.data.from?.image : undefined,
    ...(event.type === "ClientRemoved" ? event.data.links.map(({ link }) => link.image) : []),
    ...(event.type === "GroupChanged" ? imagesOf(event.data) : []),
  ]
  const members = event.type === "GroupChanged" ? [...event.data.joined, ...event.data.left] : []
  return { client, slot, images: images.filter((image) => image !== undefined), groups: groupsOf(event), members }
}

/** Whether an event is of the type, concerns the client, the image and the group (before or after), and is within the times. An unknown event concerns nobody in particular. */
export const matches = (recorded: Recorded, filter: HistoryFilter): boolean => {
  const { clientId, imageId, groupId, since, until, type } = filter
  if (since !== undefined && recorded.at < since) return false
  if (until !== undefined && recorded.at > until) return false
  if (type !== undefined && recorded.type !== type) return false
  if (!isKnownEvent(recorded)) return clientId === undefined && imageId === undefined && groupId === undefined
  const subject = subjectOf(recorded)
  const concerns = (id: string) => subject.client?.id === id || subject.members.some((client) => client.id === id)
  if (clientId !== undefined && !concerns(clientId)) return false
  if (groupId !== undefined && !subject.groups.some((group) => group.id === groupId)) return false
  return imageId === undefined || subject.images.some((image) => image.id === imageId)
}

/** The line of an event. One of an unknown type is told by its name alone. */
export const describe = (recorded: Recorded): HistoryLine => {
  const { position, at, actor, command, type } = recorded
  const envelope = { position, at, actor, command, event: type }
  if (!isKnownEvent(recorded)) {
    const nobody = { client: null, mac: null, slot: null, image: null, group: null }
    return { ...envelope, ...nobody, what: type, from: null, to: null }
  }
  const { client, slot = null, images, groups } = subjectOf(recorded)
  const names = { client: client?.name ?? null, mac: client?.mac ?? null, slot, image: images[0]?.name ?? null }
  return { ...envelope, ...names, group: groups[0]?.name ?? null, ...say(recorded) }
}

/** What is there under a name or MAC, else what had it when it was removed, the last of several. */
const onceThere = (catalogue: Catalogue, kind: RemovedEntry["kind"], key: string): { id: string } | ImagelinkError => {
  const find = { client: findClient, image: findImage, group: findGroup }[kind]
  const found = find(catalogue, key)
  if (!(found instanceof ImagelinkError)) return found
  const mac = parseMac(key)
  const name = kind === "group" ? (parseGroupReference(key) ?? key) : key
  const had = (r: RemovedEntry) => (mac === undefined ? nameKey(r.name) === nameKey(name) : r.mac === mac)
  return [...catalogue.removed.values()].findLast((r) => r.kind === kind && had(r)) ?? found
}

/** The filter for a client, an image and a group as people name them. Answers CLIENT_NOT_FOUND, IMAGE_NOT_FOUND or GROUP_NOT_FOUND. */
export const historyFilter = (
  catalogue: Catalogue,
  asked: {
    readonly client?: string | undefined
    readonly image?: string | undefined
    readonly group?: string | undefined
    readonly since?: number | undefined
    readonly until?: number | undefined
    readonly type?: string | undefined
  },
): HistoryFilter | ImagelinkError => {
  const client = asked.client === undefined ? undefined : onceThere(catalogue, "client", asked.client)
  if (client instanceof ImagelinkError) return client
  const image = asked.image === undefined ? undefined : onceThere(catalogue, "image", asked.image)
  if (image instanceof ImagelinkError) return image
  const group = asked.group === undefined ? undefined : onceThere(catalogue, "group", asked.group)
  if (group instanceof ImagelinkError) return group
  const { since, until, type } = asked
  return { clientId: client?.id, imageId: image?.id, groupId: group?.id, since, until, type }
}

/** Reads the log after `after` up to its head, and hands over every line that matches, in order. Answers the position it read to. */
export const readHistory = (
  log: ReadableLog,
  filter: HistoryFilter,
  each: (line: HistoryLine) => void,
  after = 0,
): Effect.Effect<number, ImagelinkError> =>
  Effect.gen(function* () {
    const head = log.head()
    yield* readEach(log, after, head, (events) => {
      for (const recorded of events) if (matches(recorded, filter)) each(describe(recorded))
      return true
    })
    return head
  })
