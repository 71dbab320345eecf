/**
 * The overlays whose writes last, by client, slot and version: no backup has them, because they change while they are copied.
 *
 * **Details** Those are what links keep, what a super client has written so far, and what super clients wrote that was kept aside.
 */
import type { Catalogue } from "../../domain/catalogue.ts"
import { linkVersion } from "../../domain/lookup.ts"
import { compareNatural } from "../../domain/natural.ts"

export interface LastingOverlay {
  readonly client: string
  readonly slot: number
  /** `win11@3` */
  readonly on: string
  readonly of: "kept" | "super" | "aside"
}

/** In the order of clients and slots. */
export const lastingOverlays = (catalogue: Catalogue): ReadonlyArray<LastingOverlay> => {
  const clients = [...catalogue.clients.values()].sort((a, b) => compareNatural(a.name, b.name))
  const linked = clients.flatMap(({ name: client, links }) =>
    [...links]
      .sort(([a], [b]) => a - b)
      .filter(([, link]) => link.superVersion !== null || link.overlay === "keep")
      .map(([slot, link]): LastingOverlay => {
        const image = catalogue.images.get(link.imageId)!
        const on = `${image.name}@${linkVersion(image, link)}`
        return { client, slot, on, of: link.superVersion === null ? "kept" : "super" }
      }),
  )
  const aside = [...catalogue.images.values()].flatMap((image) =>
    image.aside.map(({ clientId, slot, version }): LastingOverlay => {
      const client = catalogue.clients.get(clientId)!.name
      return { client, slot, on: `${image.name}@${version}`, of: "aside" }
    }),
  )
  return [...linked, ...aside.sort((a, b) => compareNatural(a.client, b.client) || a.slot - b.slot)]
}

const words = {
  kept: ({ client, slot, on }: LastingOverlay) => `what ${client} slot ${slot} keeps over ${on}`,
  super: ({ client, slot, on }: LastingOverlay) => `what ${client} slot ${slot} writes over ${on} as super client`,
  aside: ({ client, slot, on }: LastingOverlay) =>
    `what ${client} slot ${slot} wrote over ${on} as super client, which is kept aside`,
}

export const overlaysLeftOut = (catalogue: Catalogue): ReadonlyArray<string> =>
  lastingOverlays(catalogue).map((overlay) => words[overlay.of](overlay))
