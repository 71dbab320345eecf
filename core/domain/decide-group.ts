/**
 * Deciders of the commands about groups, and the rule by which a change of a group reaches its members.
 *
 * **Details** A command makes of the group what it asks for; then every slot of every member, before and after, is settled: the client's
 * own link goes first, else the one group that sets the slot gives the link, else there is none. What that changes is recorded on the
 * member in the same command, all of it or nothing, and each kept overlay in the way is a refusal of its own.
 */
import { isDeepStrictEqual } from "node:util"
import { fail, ImagelinkError } from "../errors.ts"
import type { Catalogue, ClientEntry } from "./catalogue.ts"
import type { Body } from "./commands.ts"
import { linkSlot, unlinkSlot } from "./decide-link.ts"
import { accept, acceptAll, type Decision, refuse, together } from "./decision.ts"
import type { DomainEvent } from "./events.ts"
import { groupChanges } from "./group-changes.ts"
import { conflictAmong, given, groupsOf } from "./group-links.ts"
import type { GroupEntry } from "./groups.ts"
import { findClients, findGroup, findTarget, membersOf } from "./lookup.ts"
import { isGroupName, isSlot, nameKey, parseGroupReference } from "./names.ts"
import { changeOptions } from "./options.ts"
import { removedIdProblem } from "./registration.ts"

/** A group before and after a command; null where it is not there. */
interface Change {
  readonly before: GroupEntry | null
  readonly after: GroupEntry | null
}

/** What a change makes of one slot of a client that is or was a member. */
const settleSlot = (
  catalogue: Catalogue,
  { before, after }: Change,
  client: ClientEntry,
  slot: number,
  discardKept: boolean | undefined,
): DomainEvent | undefined | ImagelinkError => {
  const current = client.links.get(slot)
  if (current !== undefined && current.group !== (before ?? after)!.id) return undefined
  const link = after?.members.has(client.id) ? after.links.get(slot) : undefined
  if (after && link) {
    const { target, overlay, group } = given(catalogue, after, link)
    return linkSlot(catalogue, client, slot, current, target, { overlay, discardKept, group })
  }
  return current && unlinkSlot(catalogue, client, slot, current, discardKept)
}

/** The refusal to let two groups of a client contradict each other. */
const conflictOf = (
  catalogue: Catalogue,
  { before, after }: Change,
  client: ClientEntry,
): ImagelinkError | undefined => {
  if (!after?.members.has(client.id)) return undefined
  const others = groupsOf(catalogue, client.id).filter(({ id }) => id !== before?.id)
  return conflictAmong(client.name, [...others, after])
}

const settle = (catalogue: Catalogue, change: Change, discardKept: boolean | undefined): Decision => {
  const { before, after } = change
  const members = new Set([...(before?.members ?? []), ...(after?.members ?? [])])
  const slots = new Set([...(before?.links.keys() ?? []), ...(after?.links.keys() ?? [])])
  const inOrder = [...slots].sort((a, b) => a - b)
  const events: Array<DomainEvent> = [...groupChanges(catalogue, before, after)]
  const refused: Array<ImagelinkError> = []
  for (const client of membersOf(catalogue, { members })) {
    const conflict = conflictOf(catalogue, change, client)
    if (conflict) {
      refused.push(conflict)
      continue
    }
    for (const slot of inOrder) {
      const settled = settleSlot(catalogue, change, client, slot, discardKept)
      if (settled instanceof ImagelinkError) refused.push(settled)
      else if (settled) events.push(settled)
    }
  }
  return refused.length > 0 ? refuse(together(refused)) : acceptAll(events)
}

/** A name that is a group's, and nobody else's. */
const newName = (catalogue: Catalogue, text: string, own: GroupEntry | undefined): string | ImagelinkError => {
  const name = parseGroupReference(text) ?? text
  if (!isGroupName(name)) return fail("GROUP_NAME_INVALID", { name })
  const holder = catalogue.groupsByName.get(nameKey(name))
  return holder && holder !== own ? fail("GROUP_EXISTS", { name: holder.name }) : name
}

/** Making a group that is there, with the same clients and options, changes nothing. */
export const createGroup = (catalogue: Catalogue, command: Body<"CreateGroup">): Decision => {
  const { groupId: id } = command
  const same = catalogue.groupsByName.get(nameKey(parseGroupReference(command.name) ?? command.name))
  const name = newName(catalogue, command.name, same)
  if (name instanceof ImagelinkError) return refuse(name)
  const clients = findClients(catalogue, command.clients)
  if (clients instanceof ImagelinkError) return refuse(clients)
  const options = changeOptions({}, command.options)
  if (options instanceof ImagelinkError) return refuse(options)
  const members = new Set(clients.map((client) => client.id))
  if (same) {
    const isSame = isDeepStrictEqual({ members, options }, { members: same.members, options: same.options })
    return isSame ? accept() : refuse(fail("GROUP_EXISTS", { name: same.name }))
  }
  const holder = catalogue.groups.get(id)
  if (holder) return refuse(fail("ID_TAKEN", { id, holder: `the group ${holder.name}` }))
  const removed = removedIdProblem(catalogue, id)
  if (removed) return refuse(removed)
  return settle(catalogue, { before: null, after: { id, name, members, links: new Map(), options } }, undefined)
}

export const changeGroup = (catalogue: Catalogue, command: Body<"ChangeGroup">): Decision => {
  const before = findGroup(catalogue, command.group)
  if (before instanceof ImagelinkError) return refuse(before)
  const name = command.name === undefined ? before.name : newName(catalogue, command.name, before)
  if (name instanceof ImagelinkError) return refuse(name)
  const add = findClients(catalogue, command.add ?? [])
  if (add instanceof ImagelinkError) return refuse(add)
  const drop = findClients(catalogue, command.drop ?? [])
  if (drop instanceof ImagelinkError) return refuse(drop)
  const options = changeOptions(before.options, command.options)
  if (options instanceof ImagelinkError) return refuse(options)
  const members = new Set(before.members)
  for (const { id } of add) members.add(id)
  for (const { id } of drop) members.delete(id)
  return settle(catalogue, { before, after: { ...before, name, members, options } }, command.discardKept)
}

export const linkGroup = (catalogue: Catalogue, command: Body<"LinkGroup">): Decision => {
  const { slot } = command
  if (!isSlot(slot)) return refuse(fail("SLOT_INVALID", { slot: String(slot) }))
  const before = findGroup(catalogue, command.group)
  if (before instanceof ImagelinkError) return refuse(before)
  const target = findTarget(catalogue, command.image)
  if (target instanceof ImagelinkError) return refuse(target)
  const { image, pinned } = target
  const overlay = command.overlay ?? before.links.get(slot)?.overlay ?? "discard"
  const links = new Map(before.links).set(slot, { imageId: image.id, pinned, overlay })
  return settle(catalogue, { before, after: { ...before, links } }, command.discardKept)
}

/** Unlinking what is not linked changes nothing. */
export const unlinkGroup = (catalogue: Catalogue, command: Body<"UnlinkGroup">): Decision => {
  const { slot } = command
  if (!isSlot(slot)) return refuse(fail("SLOT_INVALID", { slot: String(slot) }))
  const before = findGroup(catalogue, command.group)
  if (before instanceof ImagelinkError) return refuse(before)
  const links = new Map(before.links)
  links.delete(slot)
  return settle(catalogue, { before, after: { ...before, links } }, command.discardKept)
}

/** Its clients stay, without what it gave them. */
export const removeGroup = (catalogue: Catalogue, command: Body<"RemoveGroup">): Decision => {
  const before = findGroup(catalogue, command.group)
  if (before instanceof ImagelinkError) return refuse(before)
  return settle(catalogue, { before, after: null }, command.discardKept)
}

/** Takes clients that are going away out of their groups, one event (or more, for very many) a group. */
export const leaveGroups = (catalogue: Catalogue, clients: ReadonlyArray<ClientEntry>): ReadonlyArray<DomainEvent> => {
  const gone = new Set(clients.map((client) => client.id))
  const touched = new Set(clients.flatMap(({ id }) => groupsOf(catalogue, id)))
  return [...touched].flatMap((group) => {
    const members = new Set([...group.members].filter((id) => !gone.has(id)))
    return groupChanges(catalogue, group, { ...group, members })
  })
}
