/**
 * What holds of groups after every command, derived here on its own from the events: who is in which, and what that gives a client.
 *
 * **Details** The model keeps groups by what GroupChanged says, and a client's own links by the links that name no group. From these
 * two it derives what each slot points to, and compares that with what the catalogue has.
 */
import { expect } from "vitest"
import type { Catalogue } from "../../core/domain/catalogue.ts"
import type { DomainEvent, EventData } from "../../core/domain/events.ts"
import { nameKey } from "../../core/domain/names.ts"
import { type Groups, groupRows } from "../../core/projections/groups.ts"

type State = NonNullable<EventData<"GroupChanged">["to"]>
interface Pointer {
  readonly imageId: string
  readonly pinned: number | null
  readonly overlay: string
}

export interface GroupModel {
  readonly groups: Map<string, State & { readonly clients: Set<string> }>
  /** By `client/slot`. */
  readonly own: Map<string, Pointer>
}

export const groupModel = (): GroupModel => ({ groups: new Map(), own: new Map() })

const pointer = ({ image, pinned, overlay }: Pick<State["links"][number]["link"], "image" | "pinned" | "overlay">) => ({
  imageId: image.id,
  pinned,
  overlay,
})

export const foldModel = ({ groups, own }: GroupModel, { type, data }: DomainEvent): void => {
  if (type === "ClientLinked") {
    if (data.to.group) own.delete(`${data.client.id}/${data.slot}`)
    else own.set(`${data.client.id}/${data.slot}`, pointer(data.to))
  } else if (type === "ClientUnlinked") own.delete(`${data.client.id}/${data.slot}`)
  else if (type === "ClientRemoved") {
    for (const { slot } of data.links) own.delete(`${data.client.id}/${slot}`)
  } else if (type === "GroupChanged") {
    const clients = groups.get(data.group.id)?.clients ?? new Set<string>()
    for (const { id } of data.left) expect(clients.delete(id)).toBe(true)
    for (const { id } of data.joined) {
      expect(clients.has(id)).toBe(false)
      clients.add(id)
    }
    if (data.to === null) groups.delete(data.group.id)
    else groups.set(data.group.id, { ...data.to, clients })
  }
}

/** What each slot points to, and whose link that is, from groups and own links alone. */
const derived = ({ groups, own }: GroupModel, c: Catalogue, said: string): ReadonlyMap<string, unknown> => {
  const slots = new Map<string, unknown>()
  for (const [id, { name, links, clients }] of groups)
    for (const clientId of clients)
      for (const { slot, link } of links) {
        const key = `${clientId}/${slot}`
        expect(slots.has(key), `${key} is set by ${name} and by another group; ${said}`).toBe(false)
        slots.set(key, { ...pointer(link), group: id })
      }
  for (const [key, link] of own) slots.set(key, { ...link, group: undefined })
  for (const key of slots.keys()) expect(c.clients.has(key.split("/")[0]!), `${key}; ${said}`).toBe(true)
  return slots
}

/** No two groups of a client give an option different values. */
const checkOptions = ({ groups }: GroupModel, said: string): void => {
  const given = new Map<string, string>()
  for (const { options, clients } of groups.values())
    for (const client of clients)
      for (const [key, value] of Object.entries(options)) {
        expect(given.get(`${client} ${key}`) ?? value, said).toBe(value)
        given.set(`${client} ${key}`, value)
      }
}

export const checkGroups = (model: GroupModel, c: Catalogue, projected: Groups, said: string): void => {
  const actual = [...c.clients.values()].flatMap(({ id, links }) =>
    Array.from(links, ([slot, { imageId, pinned, overlay, group }]) => {
      return [`${id}/${slot}`, { imageId, pinned, overlay, group }] as const
    }),
  )
  expect(new Map(actual), said).toEqual(derived(model, c, said))
  checkOptions(model, said)

  const memberships = [...c.clients.keys()].flatMap((id) => {
    const groups = [...model.groups].filter(([, { clients }]) => clients.has(id)).map(([group]) => group)
    return groups.length === 0 ? [] : [[id, new Set(groups)] as const]
  })
  expect(c.groupsOfClient, said).toEqual(new Map(memberships))
  expect(c.groupsByName, said).toEqual(new Map(Array.from(c.groups.values(), (g) => [nameKey(g.name), g])))
  expect([c.groups.size, c.groupsByName.size], said).toEqual([model.groups.size, model.groups.size])
  for (const [id, { name, clients, members, links, options }] of model.groups) {
    const group = c.groups.get(id)!
    expect([group.name, group.members, group.options], said).toEqual([name, clients, options])
    expect(members, said).toBe(clients.size)
    expect(group.links, said).toEqual(new Map(links.map(({ slot, link }) => [slot, pointer(link)])))
    for (const { link } of links) expect(c.images.has(link.image.id), said).toBe(true)
    const row = groupRows(projected).find((r) => r.id === id)!
    const names = Array.from(clients, (client) => c.clients.get(client)!.name)
    expect([row.name, [...row.members].sort(), row.options], said).toEqual([name, names.sort(), options])
    expect(
      row.links.map((l) => [l.slot, l.image, l.pinned, l.overlay]),
      said,
    ).toEqual(links.map(({ slot, link }) => [slot, link.image.name, link.pinned, link.overlay]))
  }
}
