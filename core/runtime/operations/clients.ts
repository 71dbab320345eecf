/** Operations on clients and their links. */
import type { Catalogue, ClientEntry } from "../../domain/catalogue.ts"
import { findClients, linkVersion } from "../../domain/lookup.ts"
import { compareNatural } from "../../domain/natural.ts"
import { fail, ImagelinkError } from "../../errors.ts"
import { limits } from "../../limits.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import type { Parts } from "../parts.ts"
import type { Changed, ClientRow, Operations } from "../site.ts"
import { makeChange } from "./change.ts"
import { idsOf } from "./ids.ts"

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
  /** What a new link retired goes now, or when its last session leaves. */
  const sweep = async (changed: Changed): Promise<Changed> => {
    const touched = changed.events.map((e) => e.data as { readonly client: { readonly id: string }; slot?: number })
    const slots = touched.flatMap(({ client, slot }) => (slot === undefined ? [] : [{ clientId: client.id, slot }]))
    if (!changed.dryRun) await parts.serving?.disks.sweep(slots)
    return changed
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
    "client.reset": async (input, options) => {
      const reset = () => change({ type: "ResetOverlays", ...input }, options)
      if (parts.serving === undefined) return reset()
      return whileUnused(parts.serving.disks, await catalogue(), input.clients, [input.slot], reset)
    },
    "client.set": (input, options) => change({ type: "ChangeClient", ...input }, options),
    "client.remove": async (input, options) => {
      const remove = () => change({ type: "RemoveClients", ...input }, options)
      if (parts.serving === undefined) return remove()
      return whileUnused(parts.serving.disks, await catalogue(), input.clients, everySlot, remove)
    },
    "client.list": async () => clientRows(await catalogue()),
  }
}

/** Also those that are linked no more: a session may go on over what was unlinked. */
export const everySlot = Array.from({ length: limits.slotMax + 1 }, (_, slot) => slot)

/** Carries out a change with the slots held, so that no session begins on an overlay that is going away. @throws OVERLAY_IN_USE */
export const whileUnused = async <A>(
  disks: NonNullable<Parts["serving"]>["disks"],
  catalogue: Catalogue,
  names: ReadonlyArray<string>,
  slotsOfEach: ReadonlyArray<number>,
  change: () => Promise<A>,
): Promise<A> => {
  const clients = findClients(catalogue, names)
  if (clients instanceof ImagelinkError) throw clients
  const slots = clients.flatMap((c) => slotsOfEach.map((slot) => ({ client: c.name, clientId: c.id, slot })))
  const linked = slots.filter(({ clientId, slot }) => catalogue.clients.get(clientId)!.links.has(slot))
  const release = await disks.hold(slots)
  try {
    const used = slots
      .map((s) => ({ client: s.client, slot: s.slot, sessions: disks.sessions(s) }))
      .filter((u) => u.sessions > 0)
    if (used[0] !== undefined)
      throw fail(
        "OVERLAY_IN_USE",
        used[0],
        used.length > 1 ? { details: used.map((u) => `${u.client} is running`) } : {},
      )
    const answer = await change()
    await disks.sweep(linked)
    return answer
  } finally {
    release()
  }
}

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
