/** Operations on clients and their links. */
import type { Catalogue, ClientEntry } from "../../domain/catalogue.ts"
import { findClients, linkVersion } from "../../domain/lookup.ts"
import { compareNatural } from "../../domain/natural.ts"
import { fail, ImagelinkError } from "../../errors.ts"
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
      return whileUnused(parts.serving.disks, await catalogue(), input, reset)
    },
    "client.list": async () => clientRows(await catalogue()),
  }
}

/** Carries out a reset with the slots held, so that no session begins on an overlay that is going away. @throws OVERLAY_IN_USE */
const whileUnused = async <A>(
  disks: NonNullable<Parts["serving"]>["disks"],
  catalogue: Catalogue,
  input: { readonly clients: ReadonlyArray<string>; readonly slot: number },
  reset: () => Promise<A>,
): Promise<A> => {
  const clients = findClients(catalogue, input.clients)
  if (clients instanceof ImagelinkError) throw clients
  const slots = clients.map((c) => ({ clientId: c.id, slot: input.slot }))
  const release = await disks.hold(slots)
  try {
    const used = clients
      .map((c, i) => ({ client: c.name, slot: input.slot, sessions: disks.sessions(slots[i]!) }))
      .filter((u) => u.sessions > 0)
    if (used[0] !== undefined)
      throw fail(
        "OVERLAY_IN_USE",
        used[0],
        used.length > 1 ? { details: used.map((u) => `${u.client} is running`) } : {},
      )
    const answer = await reset()
    await disks.sweep(slots)
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
