/** Short makers for events and commands about groups, beside those of domain.ts. */
import type { Body } from "../../core/domain/commands.ts"
import { event } from "../../core/domain/decision.ts"
import type { DomainEvent, EventData } from "../../core/domain/events.ts"
import { clientRef, id, to } from "./domain.ts"

export const groupId = (n: number): string => id(3, n)
export const groupRef = (n: number, name = "lab") => ({ id: groupId(n), name })

type Data = EventData<"GroupChanged">
export type GroupState = NonNullable<Data["to"]>
export const group = (members: number, more: Partial<GroupState> = {}): GroupState => ({
  name: "lab",
  members,
  links: [],
  options: {},
  ...more,
})

type LinkState = EventData<"ClientLinked">["to"]
/** A link that a group gave. */
export const by = (n: number, state: LinkState = to(1), name = "lab"): LinkState => ({
  ...state,
  group: groupRef(n, name),
})

interface Moves {
  readonly joined?: ReadonlyArray<number>
  readonly left?: ReadonlyArray<number>
}
export const groupChanged = (
  n: number,
  from: GroupState | null,
  after: GroupState | null,
  { joined = [], left = [] }: Moves = {},
): DomainEvent =>
  event("GroupChanged", {
    group: groupRef(n, (from ?? after)!.name),
    from,
    to: after,
    joined: joined.map((c) => clientRef(c)),
    left: left.map((c) => clientRef(c)),
  })

export const createGroup = (
  n: number,
  clients: ReadonlyArray<string>,
  more: Partial<Body<"CreateGroup">> = {},
): Body<"CreateGroup"> => ({ type: "CreateGroup", groupId: groupId(n), name: "lab", clients, ...more })
export const changeGroup = (more: Partial<Body<"ChangeGroup">>, name = "lab"): Body<"ChangeGroup"> => ({
  type: "ChangeGroup",
  group: name,
  ...more,
})
export const linkGroup = (image: string, more: Partial<Body<"LinkGroup">> = {}, name = "lab"): Body<"LinkGroup"> => ({
  type: "LinkGroup",
  group: name,
  image,
  slot: 0,
  ...more,
})
export const unlinkGroup = (more: Partial<Body<"UnlinkGroup">> = {}, name = "lab"): Body<"UnlinkGroup"> => ({
  type: "UnlinkGroup",
  group: name,
  slot: 0,
  ...more,
})
export const removeGroup = (more: Partial<Body<"RemoveGroup">> = {}, name = "lab"): Body<"RemoveGroup"> => ({
  type: "RemoveGroup",
  group: name,
  ...more,
})
