/**
 * Decider of CopyClient: new computers get the links of one that is set up already.
 *
 * **Details** Every slot of the source is copied with its image, pin and policy; never the overlay's bytes. A target that is registered
 * already keeps its other slots. What a group gives the source is not copied: the target joins the group, so that the two stay alike.
 * Boot options of the source's own are not links and stay its own. Names that are not given number on from the source's.
 */
import assert from "node:assert"
import { fail, ImagelinkError } from "../errors.ts"
import type { Catalogue, ClientEntry } from "./catalogue.ts"
import type { Body } from "./commands.ts"
import { linkSlot } from "./decide-link.ts"
import { acceptAll, type Decision, event, refuse, together } from "./decision.ts"
import type { ClientRef, DomainEvent } from "./events.ts"
import { groupChanges } from "./group-changes.ts"
import { conflictAmong, groupsOf } from "./group-links.ts"
import { clientRef, findClient, groupRef } from "./lookup.ts"
import { nameKey } from "./names.ts"
import { type Examined, examine, Numbering } from "./registration.ts"

type CopyTarget = Body<"CopyClient">["to"][number]

/** Refuses a MAC, name or id that the same command gave to an earlier target. */
const uniqueness = () => {
  const ids = new Set<string>()
  const macs = new Set<string>()
  const names = new Map<string, string>()
  return ({ clientId }: CopyTarget, { mac, name }: Examined): ImagelinkError | undefined => {
    if (mac === undefined) return undefined
    if (macs.has(mac)) return fail("CLIENT_MAC_TAKEN", { mac, holder: "another client of the same command" })
    if (ids.has(clientId)) return fail("ID_TAKEN", { id: clientId, holder: "another client of the same command" })
    const holder = name === undefined ? undefined : names.get(nameKey(name))
    if (name !== undefined && holder !== undefined) return fail("CLIENT_NAME_TAKEN", { name, holder })
    macs.add(mac)
    ids.add(clientId)
    if (name !== undefined) names.set(nameKey(name), mac)
    return undefined
  }
}

const linksOf = (catalogue: Catalogue, from: ClientEntry, client: ClientRef, known: ClientEntry | undefined) => {
  const slots = [...from.links].sort(([a], [b]) => a - b)
  return slots.map(([slot, { imageId, pinned, overlay, group: id }]) => {
    const image = catalogue.images.get(imageId)
    assert(image, "a link points to an image in the catalogue")
    const target = { image, pinned, version: pinned ?? image.current }
    const group = id === undefined ? undefined : groupRef(catalogue, id)
    return linkSlot(catalogue, client, slot, known?.links.get(slot), target, { overlay, group })
  })
}

interface Copied {
  readonly client: ClientRef
  readonly registered: ReadonlyArray<DomainEvent>
  readonly links: ReadonlyArray<DomainEvent>
}

/** The groups of the source, with the targets in them. */
const joining = (
  catalogue: Catalogue,
  from: ClientEntry,
  copies: ReadonlyArray<Copied>,
): ReadonlyArray<DomainEvent> => {
  const fresh = copies.filter(({ registered }) => registered.length > 0).map(({ client }) => client)
  return groupsOf(catalogue, from.id).flatMap((group) => {
    const members = new Set([...group.members, ...copies.map(({ client }) => client.id)])
    return groupChanges(catalogue, group, { ...group, members }, fresh)
  })
}

/** The events that make one target, or the first thing against it. */
const copyTo = (
  catalogue: Catalogue,
  from: ClientEntry,
  { clientId }: CopyTarget,
  who: Examined,
  numbering: Numbering,
): Copied | ImagelinkError => {
  const name = who.known?.name ?? who.name ?? numbering.next()
  if (name === undefined) return fail("CLIENT_NAME_INVALID", { name: `${from.name}-2` })
  assert(who.mac !== undefined, "a target without problems has a MAC")
  const client = who.known ? clientRef(who.known) : { id: clientId, name, mac: who.mac }
  const groups = [...groupsOf(catalogue, client.id), ...groupsOf(catalogue, from.id)]
  const conflict = conflictAmong(name, [...new Set(groups)])
  if (conflict) return conflict
  const linked = linksOf(catalogue, from, client, who.known)
  const refused = linked.find((e) => e instanceof ImagelinkError)
  if (refused) return refused
  const links = linked.filter((e): e is DomainEvent => e !== undefined)
  return { client, registered: who.known ? [] : [event("ClientRegistered", { client, address: null })], links }
}

export const copyClient = (catalogue: Catalogue, command: Body<"CopyClient">): Decision => {
  const from = findClient(catalogue, command.from)
  if (from instanceof ImagelinkError) return refuse(from)
  const promised = command.to.map((target) => target.name).filter((name) => name !== undefined)
  const numbering = new Numbering(catalogue, promised, from.name)
  const repeated = uniqueness()
  const copies: Array<Copied> = []
  const refused: Array<ImagelinkError> = []
  for (const target of command.to) {
    const who = examine(catalogue, target)
    const problem = who.problems[0] ?? repeated(target, who)
    const made = problem ?? copyTo(catalogue, from, target, who, numbering)
    if (made instanceof ImagelinkError) refused.push(made)
    else copies.push(made)
  }
  if (refused.length > 0) return refuse(together(refused))
  const joined = joining(catalogue, from, copies)
  if (joined.length === 0) return acceptAll(copies.flatMap(({ registered, links }) => [...registered, ...links]))
  return acceptAll([
    ...copies.flatMap(({ registered }) => registered),
    ...joined,
    ...copies.flatMap(({ links }) => links),
  ])
}
