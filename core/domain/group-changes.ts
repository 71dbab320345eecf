/**
 * The GroupChanged events that turn a group into what a command makes of it.
 *
 * **Details** An event holds only so many clients (limits.groupEventClientsMax); when more join or leave at once, the change is told in
 * several, each from the state that the one before left. The first has everything else that changes.
 */
import { isDeepStrictEqual } from "node:util"
import { limits } from "../limits.ts"
import type { Catalogue, ClientEntry } from "./catalogue.ts"
import { event } from "./decision.ts"
import type { ClientRef, DomainEvent, EventData } from "./events.ts"
import { given } from "./group-links.ts"
import type { GroupEntry } from "./groups.ts"
import { clientRef } from "./lookup.ts"
import { compareNatural } from "./natural.ts"

type State = NonNullable<EventData<"GroupChanged">["to"]>

const stateOf = (catalogue: Catalogue, group: GroupEntry): State => ({
  name: group.name,
  members: group.members.size,
  links: [...group.links]
    .sort(([a], [b]) => a - b)
    .map(([slot, link]) => {
      const { target, overlay } = given(catalogue, group, link)
      const { image, pinned, version } = target
      return { slot, link: { image: { id: image.id, name: image.name }, pinned, version, overlay } }
    }),
  options: group.options,
})

type Move = readonly [way: "joined" | "left", client: ClientRef]

/** At least one, perhaps of nobody. */
const pieces = (moves: ReadonlyArray<Move>): ReadonlyArray<ReadonlyArray<Move>> => {
  const size = limits.groupEventClientsMax
  const count = Math.max(1, Math.ceil(moves.length / size))
  return Array.from({ length: count }, (_, i) => moves.slice(i * size, (i + 1) * size))
}

const moved = (
  way: Move[0],
  clients: ReadonlyArray<ClientRef>,
  had: ReadonlySet<string> | undefined,
  have: ReadonlySet<string> | undefined,
): ReadonlyArray<Move> => {
  const those = clients.filter(({ id }) => have?.has(id) && !had?.has(id))
  return those.sort((a, b) => compareNatural(a.name, b.name)).map((client) => [way, clientRef(client)] as const)
}

/**
 * What happens to a group between two states of it; null for "not there". Nothing if they are the same.
 *
 * **Details** `fresh` are clients that the same command registers, before this.
 */
export const groupChanges = (
  catalogue: Catalogue,
  before: GroupEntry | null,
  after: GroupEntry | null,
  fresh: ReadonlyArray<ClientRef> = [],
): ReadonlyArray<DomainEvent> => {
  const ids = new Set([...(before?.members ?? []), ...(after?.members ?? [])])
  const known = Array.from(ids, (id) => catalogue.clients.get(id)).filter((c): c is ClientEntry => c !== undefined)
  const left = moved("left", known, after?.members, before?.members)
  const joined = moved("joined", [...known, ...fresh], before?.members, after?.members)
  const goal = after && stateOf(catalogue, after)
  let state = before && stateOf(catalogue, before)
  if (left.length + joined.length === 0 && isDeepStrictEqual(state, goal)) return []

  const parts = pieces([...left, ...joined])
  return parts.map((moves, i) => {
    const from = state
    const [going, coming] = (["left", "joined"] as const).map((way) =>
      moves.filter((m) => m[0] === way).map((m) => m[1]),
    )
    const members = (from?.members ?? 0) + coming!.length - going!.length
    const isLast = i === parts.length - 1
    state = goal === null ? (isLast ? null : { ...from!, members }) : { ...goal, members }
    const { id, name } = (before ?? after)!
    const group = { id, name: from?.name ?? name }
    return event("GroupChanged", { group, from, to: state, joined: coming!, left: going! })
  })
}
