/**
 * The groups as a list: who is in each, and what it gives them; what `imagelink group list` prints.
 *
 * **Details** Members are kept with their names of now, so that the list needs nothing else. Who has a link of his own instead is the
 * catalogue's to say (`group show`).
 */
import { isKnownEvent } from "../domain/event-versions.ts"
import type { DomainEvent, EventData, OverlayPolicy } from "../domain/events.ts"
import { compareNatural } from "../domain/natural.ts"
import { type Projection, sortKeys } from "./projection.ts"

export interface GroupRow {
  readonly id: string
  readonly name: string
  /** Names of clients, in natural order. */
  readonly members: ReadonlyArray<string>
  /** By slot, ascending. */
  readonly links: ReadonlyArray<{
    readonly slot: number
    readonly image: string
    /** A version number, or null for "follows the current version". */
    readonly pinned: number | null
    readonly overlay: OverlayPolicy
  }>
  readonly options: Readonly<Record<string, string>>
}

interface Group {
  readonly name: string
  /** Name by client id. */
  readonly members: Map<string, string>
  readonly links: GroupRow["links"]
  readonly options: GroupRow["options"]
}

export interface Groups {
  readonly groups: Map<string, Group>
}

const changed = ({ groups }: Groups, { group, to, joined, left }: EventData<"GroupChanged">): void => {
  if (to === null) {
    groups.delete(group.id)
    return
  }
  const members = groups.get(group.id)?.members ?? new Map<string, string>()
  for (const { id } of left) members.delete(id)
  for (const { id, name } of joined) members.set(id, name)
  const links = to.links.map(({ slot, link: { image, pinned, overlay } }) => {
    return { slot, image: image.name, pinned, overlay }
  })
  groups.set(group.id, { name: to.name, members, links, options: to.options })
}

const renamed = ({ groups }: Groups, { client, from, to }: EventData<"ClientChanged">): void => {
  if (from.name === to.name) return
  for (const { members } of groups.values()) if (members.has(client.id)) members.set(client.id, to.name)
}

const applyKnown = (state: Groups, event: DomainEvent): void => {
  if (event.type === "GroupChanged") changed(state, event.data)
  else if (event.type === "ClientChanged") renamed(state, event.data)
}

/** All groups in natural order of their names. */
export const groupRows = ({ groups }: Groups): ReadonlyArray<GroupRow> =>
  Array.from(groups, ([id, { name, members, links, options }]) => {
    return { id, name, members: [...members.values()].sort(compareNatural), links, options }
  }).sort((a, b) => compareNatural(a.name, b.name))

type Json = ReadonlyArray<
  readonly [string, Omit<Group, "members"> & { readonly members: ReadonlyArray<readonly [string, string]> }]
>

export const groupsProjection: Projection<Groups> = {
  name: "groups",
  version: 1,
  initial: () => ({ groups: new Map() }),
  apply: (state, recorded) => {
    if (!isKnownEvent(recorded)) return false
    applyKnown(state, recorded)
    return true
  },
  encode: ({ groups }) => sortKeys(Array.from(groups, ([id, g]) => [id, { ...g, members: [...g.members] }])),
  decode: (json) => ({
    groups: new Map((json as Json).map(([id, g]) => [id, { ...g, members: new Map(g.members) }])),
  }),
}
