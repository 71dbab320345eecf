/** What a client's slots point to, and whose link each is. */
import type { Catalogue, ClientEntry } from "../../domain/catalogue.ts"
import { groupRef, linkVersion } from "../../domain/lookup.ts"
import type { EffectiveLink } from "../site/clients.ts"

export const effectiveLinks = (catalogue: Catalogue, { links }: ClientEntry): ReadonlyArray<EffectiveLink> =>
  [...links]
    .sort(([a], [b]) => a - b)
    .map(([slot, link]) => {
      const image = catalogue.images.get(link.imageId)!
      const { pinned, overlay, epoch, group } = link
      const version = linkVersion(image, link)
      const source = group === undefined ? "own" : (`group:${groupRef(catalogue, group).name}` as const)
      return { slot, image: image.name, version, follows: pinned === null, overlay, epoch, source }
    })
