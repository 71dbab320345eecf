/** The catalogue as a projection, so that it is checkpointed and rebuilt like every other. An unknown event stops it. */
import type { Catalogue, ClientEntry, ImageEntry, LinkEntry, RemovedEntry, VersionEntry } from "../domain/catalogue.ts"
import { initial, putClient, putImage } from "../domain/catalogue.ts"
import { evolve } from "../domain/evolve.ts"
import { type GroupEntry, type GroupLink, putGroup } from "../domain/groups.ts"
import { type Projection, sortKeys } from "./projection.ts"

type GroupJson = Omit<GroupEntry, "members" | "links"> & {
  readonly members: ReadonlyArray<string>
  readonly links: ReadonlyArray<[number, GroupLink]>
}

interface CatalogueJson {
  readonly position: number
  readonly images: ReadonlyArray<ImageEntry>
  readonly clients: ReadonlyArray<Omit<ClientEntry, "links"> & { readonly links: ReadonlyArray<[number, LinkEntry]> }>
  readonly removed: ReadonlyArray<RemovedEntry>
  readonly groups: ReadonlyArray<GroupJson>
}

const encode = (catalogue: Catalogue): unknown => {
  const images = [...catalogue.images.values()]
  const clients = Array.from(catalogue.clients.values(), (client) => ({ ...client, links: [...client.links] }))
  const removed = [...catalogue.removed.values()]
  const groups = Array.from(catalogue.groups.values(), (group) => {
    return { ...group, members: [...group.members], links: [...group.links] }
  })
  return sortKeys({ position: catalogue.position, images, clients, removed, groups } satisfies CatalogueJson)
}

const decode = (json: unknown): Catalogue => {
  const { position, images, clients, removed, groups } = json as CatalogueJson
  const catalogue = initial()
  for (const image of images) putImage(catalogue, { ...image, versions: [...image.versions] as Array<VersionEntry> })
  for (const client of clients) putClient(catalogue, { ...client, links: new Map(client.links) })
  for (const entry of removed) catalogue.removed.set(entry.id, entry)
  for (const g of groups) putGroup(catalogue, { ...g, members: new Set(g.members), links: new Map(g.links) })
  catalogue.position = position
  return catalogue
}

export const catalogueProjection: Projection<Catalogue> = {
  name: "catalogue",
  version: 4,
  initial,
  apply: (catalogue, recorded) => {
    evolve(catalogue, recorded)
    return true
  },
  encode,
  decode,
}
