/** What groups give a client: the link of a slot, boot options, and whether two of them contradict each other. */
import assert from "node:assert"
import { fail, type ImagelinkError } from "../errors.ts"
import type { Catalogue, ClientEntry, ImageEntry } from "./catalogue.ts"
import type { GroupRef, OverlayPolicy } from "./events.ts"
import type { GroupEntry, GroupLink } from "./groups.ts"
import { compareNatural } from "./natural.ts"

export interface GivenLink {
  readonly target: { readonly image: ImageEntry; readonly pinned: number | null; readonly version: number }
  readonly overlay: OverlayPolicy
  readonly group: GroupRef
}

/** A group's link as it is to be recorded on a member. */
export const given = (catalogue: Catalogue, { id, name }: GroupRef, link: GroupLink): GivenLink => {
  const image = catalogue.images.get(link.imageId)
  assert(image, `group:${name} is linked to an image in the catalogue`)
  const { pinned, overlay } = link
  return { target: { image, pinned, version: pinned ?? image.current }, overlay, group: { id, name } }
}

/** The groups that a client is in, in natural order of their names. */
export const groupsOf = (catalogue: Catalogue, clientId: string): ReadonlyArray<GroupEntry> =>
  Array.from(catalogue.groupsOfClient.get(clientId) ?? [], (id) => catalogue.groups.get(id)!).sort((a, b) =>
    compareNatural(a.name, b.name),
  )

/** The link that one of its groups gives a client's slot, whether or not the client has its own. */
export const groupLink = (catalogue: Catalogue, clientId: string, slot: number): GivenLink | undefined => {
  for (const group of groupsOf(catalogue, clientId)) {
    const link = group.links.get(slot)
    if (link) return given(catalogue, group, link)
  }
  return undefined
}

/** GROUP_CONFLICT if two of these groups set the same slot, or an option to different values. A client's own link or option does not help. */
export const conflictAmong = (client: string, groups: ReadonlyArray<GroupEntry>): ImagelinkError | undefined => {
  if (groups.length < 2) return undefined
  const slots = new Map<number, string>()
  const options = new Map<string, { readonly name: string; readonly value: string }>()
  for (const { name, links, options: given } of groups) {
    for (const slot of links.keys()) {
      const other = slots.get(slot)
      if (other !== undefined) return fail("GROUP_CONFLICT", { client, what: `slot ${slot}`, groups: [other, name] })
      slots.set(slot, name)
    }
    for (const [key, value] of Object.entries(given)) {
      const other = options.get(key)
      if (other !== undefined && other.value !== value)
        return fail("GROUP_CONFLICT", { client, what: `option ${key}`, groups: [other.name, name] })
      options.set(key, { name, value })
    }
  }
  return undefined
}

export interface EffectiveOption {
  readonly key: string
  readonly value: string
  /** `own`, or the group it comes from: `group:lab-2`. */
  readonly source: string
}

/** A client's boot options as they take effect: its own go before its groups'. In order of their keys. */
export const effectiveOptions = (catalogue: Catalogue, client: ClientEntry): ReadonlyArray<EffectiveOption> => {
  const found = new Map<string, EffectiveOption>()
  const put = (options: Readonly<Record<string, string>>, source: string) => {
    for (const [key, value] of Object.entries(options)) if (!found.has(key)) found.set(key, { key, value, source })
  }
  put(client.options ?? {}, "own")
  for (const group of groupsOf(catalogue, client.id)) put(group.options, `group:${group.name}`)
  return [...found.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
}
