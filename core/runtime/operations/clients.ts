/** Operations on clients and their links. */
import type { Catalogue, ClientEntry } from "../../domain/catalogue.ts"
import { linkVersion } from "../../domain/lookup.ts"
import { compareNatural } from "../../domain/natural.ts"
import { limits } from "../../limits.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import type { Parts } from "../parts.ts"
import type { ClientRow } from "../site/clients.ts"
import type { Operations } from "../site.ts"
import { makeChange } from "./change.ts"
import { idsOf } from "./ids.ts"
import { sweeper } from "./sweep.ts"
import { type Held, whileUnused } from "./while-unused.ts"

type Names =
  | "client.add"
  | "client.import"
  | "client.copy"
  | "client.list"
  | "client.link"
  | "client.unlink"
  | "client.reset"
  | "client.set"
  | "client.remove"

export const clientOperations = (parts: Parts): Operations<Names> => {
  const change = makeChange(parts)
  const catalogue = () => parts.views.state(catalogueProjection)
  const sweep = sweeper(parts)
  /** What takes overlays away needs them unused, if this process serves them. */
  const unused = (
    names: ReadonlyArray<string>,
    slotsOfEach: ReadonlyArray<number>,
    options: Held["options"],
    carryOut: Held["change"],
  ) => {
    if (parts.serving === undefined) return carryOut(options)
    return whileUnused({ disks: parts.serving.disks, catalogue, names, slotsOfEach, options, change: carryOut })
  }
  return {
    "client.add": (input, options) =>
      change({ type: "RegisterClient", clientId: idsOf(parts.newId, options.commandId)(), ...input }, options),
    "client.import": (input, options) => {
      const newId = idsOf(parts.newId, options.commandId)
      return change(
        { type: "ImportClients", ...input, rows: input.rows.map((row) => ({ clientId: newId(), ...row })) },
        options,
      ).then(sweep)
    },
    "client.copy": (input, options) => {
      const newId = idsOf(parts.newId, options.commandId)
      return change(
        { type: "CopyClient", from: input.from, to: input.to.map((to) => ({ clientId: newId(), ...to })) },
        options,
      ).then(sweep)
    },
    "client.link": (input, options) => change({ type: "LinkClients", ...input }, options).then(sweep),
    "client.unlink": (input, options) => change({ type: "UnlinkClients", ...input }, options).then(sweep),
    "client.reset": (input, options) => {
      // Whoever runs goes on, so nobody is in the way.
      if (input.atNextBoot) return change({ type: "ResetOverlays", ...input }, options).then(sweep)
      return unused(input.clients, [input.slot], options, (o) => change({ type: "ResetOverlays", ...input }, o))
    },
    "client.set": (input, options) => change({ type: "ChangeClient", ...input }, options),
    "client.remove": (input, options) =>
      unused(input.clients, everySlot, options, (o) => change({ type: "RemoveClients", ...input }, o)),
    "client.list": async () => clientRows(await catalogue()),
  }
}

/** Also those that are linked no more: a session may go on over what was unlinked. */
export const everySlot = Array.from({ length: limits.slotMax + 1 }, (_, slot) => slot)

const clientRows = (catalogue: Catalogue): ReadonlyArray<ClientRow> =>
  [...catalogue.clients.values()].sort((a, b) => compareNatural(a.name, b.name)).map((c) => clientRow(catalogue, c))

const clientRow = (catalogue: Catalogue, { name, mac, address, links }: ClientEntry): ClientRow => ({
  name,
  mac,
  address,
  links: [...links]
    .sort(([a], [b]) => a - b)
    .map(([slot, link]) => {
      const image = catalogue.images.get(link.imageId)!
      return {
        slot,
        image: image.name,
        version: linkVersion(image, link),
        follows: link.pinned === null,
        overlay: link.overlay,
      }
    }),
})
