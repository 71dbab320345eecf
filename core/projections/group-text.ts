/** A change of a group in words: what was there before, and what is there now. */
import type { ClientRef, EventData } from "../domain/events.ts"

type Data = EventData<"GroupChanged">
type State = NonNullable<Data["to"]>
type Pointer = State["links"][number]["link"]

const NAMES_MAX = 3

/** `PC-001, PC-002, PC-003 and 97 more` */
const names = (clients: ReadonlyArray<ClientRef>): string => {
  const shown = clients.slice(0, NAMES_MAX).map((client) => client.name)
  const more = clients.length - shown.length
  return shown.join(", ") + (more > 0 ? ` and ${more} more` : "")
}

const membersText = (count: number): string => `${count} ${count === 1 ? "member" : "members"}`

/** `win11@1, follows, discard`. */
export const pointerText = ({ image, version, pinned, overlay }: Pointer): string =>
  `${image.name}@${version}, ${pinned === null ? "follows" : "pinned"}, ${overlay}`

const slotText = (slot: number, link: Pointer | undefined): string =>
  `slot ${slot} ${link === undefined ? "not linked" : pointerText(link)}`

type Options = Readonly<Record<string, string>>
const optionText = (options: Options, key: string): string =>
  options[key] === undefined ? `no ${key}` : `${key}=${options[key]}`

/** The options that differ, as they are in the first of the two. */
export const optionsText = (options: Options = {}, other: Options = {}): ReadonlyArray<string> => {
  const keys = [...new Set([...Object.keys(options), ...Object.keys(other)])].sort()
  return keys.filter((key) => options[key] !== other[key]).map((key) => optionText(options, key))
}

/** What of a state is not so in the other one. */
const differences = (state: State, other: State): ReadonlyArray<string> => {
  const linkOf = (s: State, slot: number) => s.links.find((l) => l.slot === slot)?.link
  const text = (s: State, slot: number) => slotText(slot, linkOf(s, slot))
  const slots = [...new Set([...state.links, ...other.links].map(({ slot }) => slot))].sort((a, b) => a - b)
  return [
    ...(state.name === other.name ? [] : [`group:${state.name}`]),
    ...(state.members === other.members ? [] : [membersText(state.members)]),
    ...slots.filter((slot) => text(state, slot) !== text(other, slot)).map((slot) => text(state, slot)),
    ...optionsText(state.options, other.options),
  ]
}

const whole = (state: State): ReadonlyArray<string> => [
  membersText(state.members),
  ...state.links.map(({ slot, link }) => slotText(slot, link)),
  ...optionsText(state.options),
]

export const groupText = ({
  from,
  to,
  joined,
  left,
}: Data): { what: string; from: string | null; to: string | null } => {
  const moves = [
    ...(joined.length === 0 ? [] : [`${names(joined)} joined`]),
    ...(left.length === 0 ? [] : [`${names(left)} left`]),
  ]
  const text = (parts: ReadonlyArray<string>) => (parts.length === 0 ? null : parts.join("; "))
  if (from === null) return { what: "group created", from: null, to: to && text([...whole(to), ...moves]) }
  if (to === null) return { what: "group removed", from: text(whole(from)), to: null }
  return {
    what: "group changed",
    from: text(differences(from, to)),
    to: text([...differences(to, from), ...moves]),
  }
}
