/**
 * The groups: clients that share links and boot options, folded from the log as a part of the catalogue.
 *
 * **Details** A group says what its members get unless they have their own. What a member's slot points to is not derived from here
 * when someone reads it: the command that changes a group records it on every member it takes effect on (decisions/006-groups.md).
 * A client is in at most one group that sets a given slot, and in none that contradicts another about an option.
 */
import assert from "node:assert"
import type { EventData, OverlayPolicy } from "./events.ts"
import { nameKey } from "./names.ts"

export interface GroupLink {
  readonly imageId: string
  /** A version number, or null for "follows the current version". */
  readonly pinned: number | null
  readonly overlay: OverlayPolicy
}

export interface GroupEntry {
  readonly id: string
  readonly name: string
  /** Ids of clients. */
  readonly members: ReadonlySet<string>
  /** By slot. */
  readonly links: ReadonlyMap<number, GroupLink>
  readonly options: Readonly<Record<string, string>>
}

export interface GroupRegister {
  readonly groups: Map<string, GroupEntry>
  readonly groupsByName: Map<string, GroupEntry>
  /** Ids of groups by a client's id; a client in none is not in it. */
  readonly groupsOfClient: Map<string, ReadonlySet<string>>
}

export const noGroups = (): GroupRegister => ({
  groups: new Map(),
  groupsByName: new Map(),
  groupsOfClient: new Map(),
})

/** Enters a group under its id and name. */
const enter = (register: GroupRegister, group: GroupEntry): void => {
  register.groups.set(group.id, group)
  register.groupsByName.set(nameKey(group.name), group)
}

const join = ({ groupsOfClient }: GroupRegister, clientId: string, groupId: string): void => {
  groupsOfClient.set(clientId, new Set(groupsOfClient.get(clientId)).add(groupId))
}

const leave = ({ groupsOfClient }: GroupRegister, clientId: string, groupId: string): void => {
  const left = new Set(groupsOfClient.get(clientId))
  left.delete(groupId)
  if (left.size > 0) groupsOfClient.set(clientId, left)
  else groupsOfClient.delete(clientId)
}

/** Enters a group with its members, as a checkpoint has it. */
export const putGroup = (register: GroupRegister, group: GroupEntry): void => {
  enter(register, group)
  for (const clientId of group.members) join(register, clientId, group.id)
}

/** Folds a GroupChanged in, in place; its members too, because copying ten thousand for each that leaves would make a start minutes. */
export const foldGroup = (register: GroupRegister, data: EventData<"GroupChanged">): void => {
  const { group, from, to, joined, left } = data
  const before = register.groups.get(group.id)
  assert((before === undefined) === (from === null), `GroupChanged disagrees on whether group:${group.name} was there`)
  const members = (before?.members ?? new Set()) as Set<string>
  for (const { id } of left) {
    members.delete(id)
    leave(register, id, group.id)
  }
  for (const { id } of joined) {
    members.add(id)
    join(register, id, group.id)
  }
  if (before) register.groupsByName.delete(nameKey(before.name))
  if (to === null) {
    register.groups.delete(group.id)
    return
  }
  assert(members.size === to.members, `GroupChanged counts ${to.members} members of group:${to.name}, not these`)
  const links = to.links.map(
    ({ slot, link: { image, pinned, overlay } }) => [slot, { imageId: image.id, pinned, overlay }] as const,
  )
  enter(register, { id: group.id, name: to.name, members, links: new Map(links), options: to.options })
}
