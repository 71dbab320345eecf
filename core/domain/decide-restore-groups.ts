/**
 * What RestoreLinks does to groups: those made since go, those removed since come again under a new id, the others get back their name,
 * members, links and options.
 *
 * **Details** Members are told by what clients are called in the command, because some of them are registered by it. A name that another group
 * has by now, which itself goes or is renamed, is free by the time it is given: groups that go are first.
 */
import { fail, type ImagelinkError } from "../errors.ts"
import type { Catalogue } from "./catalogue.ts"
import type { Body } from "./commands.ts"
import type { ClientRef, DomainEvent, GroupRef } from "./events.ts"
import { groupChanges } from "./group-changes.ts"
import type { GroupEntry } from "./groups.ts"
import { nameKey } from "./names.ts"
import { removedIdProblem } from "./registration.ts"

type WantedGroup = NonNullable<Body<"RestoreLinks">["groups"]>[number]

export interface RestoredGroups {
  /** Before clients are removed and registered: groups that go, and members that go. */
  readonly first: ReadonlyArray<DomainEvent>
  /** After that. */
  readonly then: ReadonlyArray<DomainEvent>
  readonly problems: ReadonlyArray<ImagelinkError>
  /** A group of then, by its id of then, as it is called today. */
  readonly refOf: ReadonlyMap<string, GroupRef>
}

const linksOf = (wanted: WantedGroup): GroupEntry["links"] =>
  new Map(wanted.links.map(({ slot, imageId, pinned, overlay }) => [slot, { imageId, pinned, overlay }]))

const linkProblems = ({ images }: Catalogue, { name, links }: WantedGroup): ReadonlyArray<ImagelinkError> =>
  links.flatMap(({ slot, imageId, image, pinned }) => {
    const entry = images.get(imageId)
    const version = pinned === null ? undefined : entry?.versions[pinned - 1]
    const why =
      entry === undefined
        ? "the image was removed since"
        : pinned !== null && (version === undefined || version.retired)
          ? `its version ${pinned} is not there any more`
          : undefined
    return why === undefined ? [] : [fail("LINK_NOT_RESTORABLE", { client: `group:${name}`, slot, image, why })]
  })

/** `clientOf`: the client of today for the id of then. `leaving`: clients that go. `fresh`: those that the command registers. */
export const restoreGroups = (
  catalogue: Catalogue,
  groups: ReadonlyArray<WantedGroup>,
  clientOf: (idThen: string) => ClientRef | undefined,
  leaving: ReadonlySet<string>,
  fresh: ReadonlyArray<ClientRef>,
): RestoredGroups => {
  const ids = new Set(groups.map(({ groupId }) => groupId))
  /** By its id; one that was removed since, by the name that another has now. */
  const match = ({ groupId, name }: WantedGroup): GroupEntry | undefined => {
    const named = catalogue.groupsByName.get(nameKey(name))
    return catalogue.groups.get(groupId) ?? (named && !ids.has(named.id) ? named : undefined)
  }
  const staying = new Set(groups.flatMap((wanted) => match(wanted)?.id ?? []))
  const gone = [...catalogue.groups.values()].filter(({ id }) => !staying.has(id))
  const removals = gone.flatMap((group) => groupChanges(catalogue, group, null))
  const plans = groups.map((wanted) => {
    const now = match(wanted)
    const left = now && { ...now, members: new Set([...now.members].filter((id) => !leaving.has(id))) }
    const members = new Set(wanted.clients.flatMap((id) => clientOf(id)?.id ?? []))
    const id = now?.id ?? wanted.newId
    return {
      wanted,
      now,
      left,
      goal: { id, name: wanted.name, members, links: linksOf(wanted), options: wanted.options },
    }
  })
  const taken = (id: string, name: string) => {
    const holder = catalogue.groupsByName.get(nameKey(name))
    return holder !== undefined && holder.id !== id && staying.has(holder.id)
  }
  const problems = plans.flatMap(({ wanted, now, goal }) => [
    ...linkProblems(catalogue, wanted),
    ...(taken(goal.id, goal.name) ? [fail("GROUP_EXISTS", { name: goal.name })] : []),
    ...(now ? [] : [removedIdProblem(catalogue, goal.id)].filter((p) => p !== undefined)),
  ])
  if (problems.length > 0) return { first: [], then: [], problems, refOf: new Map() }
  return {
    first: [...removals, ...plans.flatMap(({ now, left }) => (now && left ? groupChanges(catalogue, now, left) : []))],
    then: plans.flatMap(({ left, goal }) => groupChanges(catalogue, left ?? null, goal, fresh)),
    problems,
    refOf: new Map(plans.map(({ wanted, goal }) => [wanted.groupId, { id: goal.id, name: goal.name }])),
  }
}
