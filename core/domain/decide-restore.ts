/**
 * Decider of RestoreLinks: what it takes for clients, groups and links to be as they were at a moment, as events of today.
 *
 *     clients registered since ─► removed          clients that differ ─► changed           clients removed since ─► registered anew
 *     then, slot by slot: links that differ ─► linked, links made since ─► unlinked
 *
 * **Details** Nothing is taken back: the log goes on, and says how it was brought there. A client is known by its id; one that was removed since by its
 * MAC, where another registration has that now, and else it gets a new id, because ids are never used again. Names, MACs and addresses that went
 * from one client to another go back in an order in which each is free; where clients have exchanged theirs, one is parked for a moment
 * under a name and a MAC that nobody has.
 *
 * **Gotchas** What an overlay held does not come back: a link that is made again begins a fresh one. Boot options of clients and the current
 * versions of images stay what they are today. A super client keeps its slot: it is committed or cleared first.
 */
import { fail, ImagelinkError } from "../errors.ts"
import type { Catalogue, ClientEntry, LinkEntry } from "./catalogue.ts"
import type { Body } from "./commands.ts"
import { removeOne } from "./decide-client.ts"
import { linkSlot, unlinkSlot } from "./decide-link.ts"
import { type RestoredGroups, restoreGroups } from "./decide-restore-groups.ts"
import { acceptAll, type Decision, event, refuse, together } from "./decision.ts"
import type { ClientRef, DomainEvent, EventData } from "./events.ts"
import { clientRef, type Target } from "./lookup.ts"
import { nameKey } from "./names.ts"
import { removedIdProblem } from "./registration.ts"

type Wanted = Body<"RestoreLinks">["clients"][number]
type WantedLink = Wanted["links"][number]
type State = EventData<"ClientChanged">["to"]
type Outcome = DomainEvent | undefined | ImagelinkError

/** The client that is to become each wanted one; undefined where there is none. */
const matchClients = (catalogue: Catalogue, wanted: ReadonlyArray<Wanted>): Map<Wanted, ClientEntry | undefined> => {
  const byId = new Set(wanted.map(({ clientId }) => clientId).filter((id) => catalogue.clients.has(id)))
  return new Map(
    wanted.map((client) => {
      const known = catalogue.clients.get(client.clientId)
      const holder = catalogue.clientsByMac.get(client.mac)
      return [client, known ?? (holder && !byId.has(holder.id) ? holder : undefined)]
    }),
  )
}

const stateOf = ({ name, mac, address }: State): State => ({ name, mac, address })

/** Boot options stay what they are today. */
const withOptions = (state: State, { options }: ClientEntry): State => (options ? { ...state, options } : state)

interface Pending {
  readonly id: string
  readonly to: State
  now: State
  parked: boolean
}

/** Who has each name, MAC and address, while the changes are put in order. */
class Holders {
  readonly held = new Map<string, string>()

  keys({ name, mac, address }: State): ReadonlyArray<string> {
    return [`name ${nameKey(name)}`, `mac ${mac}`, ...(address === null ? [] : [`address ${address}`])]
  }

  give(id: string, state: State): void {
    for (const key of this.keys(state)) this.held.set(key, id)
  }

  take(state: State): void {
    for (const key of this.keys(state)) this.held.delete(key)
  }

  isFree(id: string, state: State): boolean {
    return this.keys(state).every((key) => (this.held.get(key) ?? id) === id)
  }
}

/** A state that nobody has and nobody is to have: parked clients are few, so counting up finds one soon. */
const parkingState = (holders: Holders, wanted: ReadonlyArray<Wanted>, id: string): State => {
  const promised = new Set(wanted.flatMap((state) => holders.keys(state)))
  for (let n = 1; ; n++) {
    // a locally administered address (IEEE 802-2014 §8.2.2)
    const mac = `02:00:00:${[n >> 16, n >> 8, n].map((b) => (b & 255).toString(16).padStart(2, "0")).join(":")}`
    const state = { name: `restoring-${n}`, mac, address: null }
    if (holders.isFree(id, state) && !holders.keys(state).some((key) => promised.has(key))) return state
  }
}

/** The changes in an order in which everything is free when it is given. */
const changesInOrder = (
  holders: Holders,
  wanted: ReadonlyArray<Wanted>,
  changes: ReadonlyArray<Pending>,
): ReadonlyArray<DomainEvent> => {
  const events: Array<DomainEvent> = []
  let pending = [...changes]
  const change = (one: Pending, to: State) => {
    const { id, now } = one
    events.push(event("ClientChanged", { client: { id, name: now.name, mac: now.mac }, from: now, to }))
    holders.take(now)
    holders.give(id, to)
    one.now = to
  }
  while (pending.length > 0) {
    const waiting = pending.filter((one) => {
      if (!holders.isFree(one.id, one.to)) return true
      change(one, one.to)
      return false
    })
    if (waiting.length === pending.length) {
      const one = waiting.find(({ parked }) => !parked)!
      one.parked = true
      change(one, parkingState(holders, wanted, one.id))
    }
    pending = waiting
  }
  return events
}

const targetOf = (catalogue: Catalogue, client: string, link: WantedLink): Target | ImagelinkError => {
  const { slot, imageId, pinned } = link
  const image = catalogue.images.get(imageId)
  const refused = (why: string) => fail("LINK_NOT_RESTORABLE", { client, slot, image: link.image, why })
  if (image === undefined) return refused("the image was removed since")
  if (pinned !== null && image.versions[pinned - 1] === undefined)
    return refused(`it has no version ${pinned} any more`)
  if (pinned !== null && image.versions[pinned - 1]!.retired) return refused(`its version ${pinned} was retired since`)
  return { image, pinned, version: pinned ?? image.current }
}

/** What happens to each slot of a client that is called `ref` by then. */
const linkOutcomes = (
  catalogue: Catalogue,
  ref: ClientRef,
  current: ClientEntry | undefined,
  wanted: Wanted,
  discardKept: boolean,
  { refOf }: RestoredGroups,
): ReadonlyArray<Outcome> => {
  const links: ReadonlyMap<number, LinkEntry> = current?.links ?? new Map()
  const made = wanted.links.map((link): Outcome => {
    const target = targetOf(catalogue, wanted.name, link)
    if (target instanceof ImagelinkError) return target
    const now = links.get(link.slot)
    const group = link.group === undefined ? undefined : refOf.get(link.group)
    return linkSlot(catalogue, ref, link.slot, now, target, { overlay: link.overlay, discardKept, group })
  })
  const slots = [...links.keys()]
    .filter((slot) => !wanted.links.some((link) => link.slot === slot))
    .sort((a, b) => a - b)
  const ended = slots.map((slot): Outcome => {
    return unlinkSlot(catalogue, ref, slot, links.get(slot)!, discardKept)
  })
  return [...made, ...ended]
}

const idProblem = (catalogue: Catalogue, id: string): ImagelinkError | undefined => {
  const holder = catalogue.clients.get(id)
  return holder ? fail("ID_TAKEN", { id, holder: `the client ${holder.name}` }) : removedIdProblem(catalogue, id)
}

const registrations = (
  catalogue: Catalogue,
  matched: ReadonlyMap<Wanted, ClientEntry | undefined>,
): ReadonlyArray<Outcome> =>
  [...matched].flatMap(([{ newId, name, mac, address }, current]): ReadonlyArray<Outcome> => {
    if (current !== undefined) return []
    return [idProblem(catalogue, newId) ?? event("ClientRegistered", { client: { id: newId, name, mac }, address })]
  })

/** A wanted client as it is called by the end. */
const refNow = (wanted: Wanted, current: ClientEntry | undefined): ClientRef =>
  clientRef({ ...wanted, id: current?.id ?? wanted.newId })

export const restoreLinks = (catalogue: Catalogue, command: Body<"RestoreLinks">): Decision => {
  const discardKept = command.discardKept === true
  const matched = matchClients(catalogue, command.clients)
  const staying = new Set([...matched.values()].filter((client) => client !== undefined))
  const leaving = [...catalogue.clients.values()].filter((client) => !staying.has(client))
  const removed = leaving.map((client) => removeOne(catalogue, client, discardKept))

  const holders = new Holders()
  for (const client of staying) holders.give(client.id, client)
  const changes = [...matched].flatMap(([wanted, current]): ReadonlyArray<Pending> => {
    if (current === undefined) return []
    const [now, to] = [withOptions(stateOf(current), current), withOptions(stateOf(wanted), current)]
    const same = now.name === to.name && now.mac === to.mac && now.address === to.address
    return same ? [] : [{ id: current.id, now, to, parked: false }]
  })
  const changed = changesInOrder(holders, command.clients, changes)
  const fresh = [...matched].flatMap(([{ newId, name, mac }, current]) =>
    current === undefined ? [{ id: newId, name, mac }] : [],
  )
  const byIdThen = new Map([...matched].map(([wanted, current]) => [wanted.clientId, refNow(wanted, current)]))
  const gone = new Set(leaving.map(({ id }) => id))
  const groups = restoreGroups(catalogue, command.groups ?? [], (id) => byIdThen.get(id), gone, fresh)
  const linked = [...matched].flatMap(([wanted, current]) =>
    linkOutcomes(catalogue, refNow(wanted, current), current, wanted, discardKept, groups),
  )

  const outcomes: ReadonlyArray<Outcome> = [
    ...groups.problems,
    ...groups.first,
    ...removed,
    ...changed,
    ...registrations(catalogue, matched),
    ...groups.then,
    ...linked,
  ]
  const refused = outcomes.filter((one) => one instanceof ImagelinkError)
  if (refused.length > 0) return refuse(together(refused))
  return acceptAll(outcomes.filter((one): one is DomainEvent => one !== undefined && !(one instanceof ImagelinkError)))
}
