/**
 * The link table: which client gets which version of which image in which slot; what `imagelink links` prints.
 *
 * **Details** It is folded apart from the catalogue, so that it can be folded to any position (`links --at`) past events that a
 * decider would have to stop at.
 */
import { isKnownEvent } from "../domain/event-versions.ts"
import type { ClientRef, DomainEvent, EventData, ImageRef, OverlayPolicy } from "../domain/events.ts"
import { linkVersion } from "../domain/lookup.ts"
import { compareNatural } from "../domain/natural.ts"
import type { Recorded } from "../log/event-log.ts"
import { type Projection, sortKeys } from "./projection.ts"

/** A row of the table, with exactly the keys of `links --json`. */
export interface LinkRow {
  readonly client: string
  readonly mac: string
  readonly address: string | null
  readonly slot: number
  readonly image: string
  readonly version: number
  /** Follows the image's current version; otherwise it is pinned to `version`. */
  readonly follows: boolean
  readonly overlay: OverlayPolicy
  readonly superClient: boolean
}

interface Link {
  readonly imageId: string
  readonly pinned: number | null
  readonly version: number
  readonly overlay: OverlayPolicy
  /** As in the catalogue. */
  readonly superVersion: number | null
}
interface Client {
  readonly name: string
  readonly mac: string
  readonly address: string | null
  readonly links: Map<number, Link>
}
interface Image {
  readonly name: string
  current: number
}
export interface LinkTable {
  readonly images: Map<string, Image>
  readonly clients: Map<string, Client>
}

const clientOf = (table: LinkTable, { id, name, mac }: ClientRef): Client => {
  const known = table.clients.get(id)
  if (known) return known
  const client: Client = { name, mac, address: null, links: new Map() }
  table.clients.set(id, client)
  return client
}

const setLink = (table: LinkTable, ref: ClientRef, slot: number, to: EventData<"ClientLinked">["to"]): void => {
  const { image, pinned, version, overlay } = to
  if (!table.images.has(image.id)) addImage(table, image, version)
  clientOf(table, ref).links.set(slot, { imageId: image.id, pinned, version, overlay, superVersion: null })
}

/** A reset changes the overlay alone, whoever uses it. */
const resetLink = (table: LinkTable, { client, slot, link }: EventData<"OverlayReset" | "OverlayResetArmed">): void => {
  const before = clientOf(table, client).links.get(slot)
  setLink(table, client, slot, link)
  const { links } = clientOf(table, client)
  links.set(slot, { ...links.get(slot)!, superVersion: before?.superVersion ?? null })
}

const beginSuper = (table: LinkTable, { client, slot, version }: EventData<"SuperClientSet">): void => {
  const { links } = clientOf(table, client)
  const link = links.get(slot)
  if (link) links.set(slot, { ...link, superVersion: version })
}

const endSuper = (table: LinkTable, client: ClientRef, slot: number, imageId: string): void => {
  const { links } = clientOf(table, client)
  const link = links.get(slot)
  const current = table.images.get(imageId)?.current
  if (link) links.set(slot, { ...link, version: link.pinned ?? current ?? link.version, superVersion: null })
}

const setCurrent = (table: LinkTable, { id, name }: ImageRef, current: number): void => {
  table.images.set(id, { name, current })
}

const committed = (table: LinkTable, { image, version, client, slot }: EventData<"ImageCommitted">): void => {
  setCurrent(table, image, version)
  endSuper(table, client, slot, image.id)
}

const addImage = (table: LinkTable, image: ImageRef, current: number): void => {
  table.images.set(image.id, { name: image.name, current })
}

const register = (table: LinkTable, { client, address }: EventData<"ClientRegistered">): void => {
  table.clients.set(client.id, { name: client.name, mac: client.mac, address, links: new Map() })
}

const change = (table: LinkTable, { client, to }: EventData<"ClientChanged">): void => {
  const { name, mac, address } = to
  table.clients.set(client.id, { name, mac, address, links: clientOf(table, client).links })
}

const applyKnown = (table: LinkTable, event: DomainEvent): void => {
  if (event.type === "ImageAdded") addImage(table, event.data.image, event.data.version)
  else if (event.type === "ImageRemoved") table.images.delete(event.data.image.id)
  else if (event.type === "ClientRegistered") register(table, event.data)
  else if (event.type === "ClientChanged") change(table, event.data)
  else if (event.type === "ClientRemoved") table.clients.delete(event.data.client.id)
  else if (event.type === "ClientLinked") setLink(table, event.data.client, event.data.slot, event.data.to)
  else if (event.type === "ClientUnlinked") clientOf(table, event.data.client).links.delete(event.data.slot)
  else if (event.type === "OverlayReset" || event.type === "OverlayResetArmed") resetLink(table, event.data)
  else if (event.type === "ImageSealed") addImage(table, event.data.image, event.data.version)
  else if (event.type === "ImageCommitted") committed(table, event.data)
  else if (event.type === "ImageRolledBack") setCurrent(table, event.data.image, event.data.to)
  else if (event.type === "SuperClientSet") beginSuper(table, event.data)
  else if (event.type === "SuperClientCleared") endSuper(table, event.data.client, event.data.slot, event.data.image.id)
}

const apply = (table: LinkTable, recorded: Recorded): boolean => {
  if (!isKnownEvent(recorded)) return false
  applyKnown(table, recorded)
  return true
}

/** A row under the id of its client and its slot. */
export interface KeyedLinkRow {
  readonly key: string
  readonly row: LinkRow
}

/** All rows, by client in natural order, then by slot. A client without a link has none. */
export const keyedLinkRows = (table: LinkTable): Array<KeyedLinkRow> => {
  const clients = [...table.clients].sort(([, a], [, b]) => compareNatural(a.name, b.name))
  return clients.flatMap(([id, { name, mac, address, links }]) =>
    [...links]
      .sort(([a], [b]) => a - b)
      .map(([slot, link]) => {
        const image = table.images.get(link.imageId)!
        const row = {
          client: name,
          mac,
          address,
          slot,
          image: image.name,
          version: linkVersion(image, link),
          follows: link.pinned === null,
          overlay: link.overlay,
          superClient: link.superVersion !== null,
        }
        return { key: `${id}/${slot}`, row }
      }),
  )
}

export const linkRows = (table: LinkTable): Array<LinkRow> => keyedLinkRows(table).map(({ row }) => row)

interface Json {
  readonly images: ReadonlyArray<[string, Image]>
  readonly clients: ReadonlyArray<[string, Omit<Client, "links"> & { readonly links: ReadonlyArray<[number, Link]> }]>
}

const encode = (table: LinkTable): unknown => {
  const clients = Array.from(table.clients, ([id, c]) => [id, { ...c, links: [...c.links] }] as const)
  return sortKeys({ images: [...table.images], clients })
}

const decode = (json: unknown): LinkTable => {
  const { images, clients } = json as Json
  return {
    images: new Map(images.map(([id, image]) => [id, { ...image }])),
    clients: new Map(clients.map(([id, c]) => [id, { ...c, links: new Map(c.links) }])),
  }
}

export const linkTable: Projection<LinkTable> = {
  name: "link-table",
  version: 2,
  initial: () => ({ images: new Map(), clients: new Map() }),
  apply,
  encode,
  decode,
}
