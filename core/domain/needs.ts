/** Who needs a version of an image: links of clients and groups, the super client, overlays kept aside, and versions that were made on it. */
import type { Catalogue, ImageEntry } from "./catalogue.ts"
import { linkVersion } from "./lookup.ts"
import { compareNatural } from "./natural.ts"

export interface Need {
  /** `PC-001 slot 0`, `version 3, which is made on it`. */
  readonly who: string
  readonly version: number
}

/** Every slot that is linked to an image, in natural order. A super client is named as that. */
export const linkNeeds = (catalogue: Catalogue, image: ImageEntry): ReadonlyArray<Need> => {
  const clients = [...catalogue.clients.values()].sort((a, b) => compareNatural(a.name, b.name))
  return clients.flatMap(({ name, links }) => {
    const slots = [...links].filter(([, link]) => link.imageId === image.id).sort(([a], [b]) => a - b)
    return slots.map(([slot, link]) => ({
      who: `${name} slot ${slot}${link.superVersion === null ? "" : " (super client)"}`,
      version: linkVersion(image, link),
    }))
  })
}

/** A group's link needs its version though it has no member yet. */
const groupNeeds = (catalogue: Catalogue, image: ImageEntry): ReadonlyArray<Need> => {
  const groups = [...catalogue.groups.values()].sort((a, b) => compareNatural(a.name, b.name))
  return groups.flatMap(({ name, links }) => {
    const slots = [...links].filter(([, link]) => link.imageId === image.id).sort(([a], [b]) => a - b)
    return slots.map(([slot, { pinned }]) => ({ who: `group:${name} slot ${slot}`, version: pinned ?? image.current }))
  })
}

const asideNeeds = (catalogue: Catalogue, image: ImageEntry): ReadonlyArray<Need> =>
  image.aside.map(({ clientId, slot, version }) => {
    const { name } = catalogue.clients.get(clientId)!
    return { who: `${name} slot ${slot}, whose super overlay is kept aside`, version }
  })

/** Versions whose bytes are read over it. One that was flattened needs its parent no more. */
const childNeeds = (image: ImageEntry): ReadonlyArray<Need> =>
  image.versions.flatMap(({ number, over, retired }) =>
    over === null || retired ? [] : [{ who: `version ${number}, which is made on it`, version: over }],
  )

/** Everything that keeps the image itself. */
export const imageNeeds = (catalogue: Catalogue, image: ImageEntry): ReadonlyArray<Need> => [
  ...groupNeeds(catalogue, image),
  ...linkNeeds(catalogue, image),
  ...asideNeeds(catalogue, image),
]

/** Everything that keeps one version. That it is current is not among them. */
export const versionNeeds = (catalogue: Catalogue, image: ImageEntry, version: number): ReadonlyArray<Need> =>
  [...imageNeeds(catalogue, image), ...childNeeds(image)].filter((need) => need.version === version)

const named = 3

/** `PC-001 slot 0, PC-002 slot 0, PC-003 slot 0 and 97 more` */
export const whoNeeds = (needs: ReadonlyArray<Need>): string => {
  const more = needs.length > named ? ` and ${needs.length - named} more` : ""
  return `${needs
    .slice(0, named)
    .map((need) => need.who)
    .join(", ")}${more}`
}
