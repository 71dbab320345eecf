/**
 * The operation that brings clients and links back to a moment.
 *
 * **Details** What was there then is folded from the log and goes into the command whole, so that the decider needs nothing but it and the
 * catalogue of today. Clients that are to go are held while it is carried out, as for `client remove`.
 */
import * as Effect from "effect/Effect"
import type { Catalogue } from "../../domain/catalogue.ts"
import type { Body } from "../../domain/commands.ts"
import type { EventData } from "../../domain/events.ts"
import { isImagelinkError } from "../../errors.ts"
import { limits } from "../../limits.ts"
import { foldAsOf } from "../../projections/as-of.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import type { Parts } from "../parts.ts"
import type { Changed } from "../site/operation.ts"
import type { CallOptions, Operations } from "../site.ts"
import { makeChange } from "./change.ts"
import { everySlot } from "./clients.ts"
import { idsOf } from "./ids.ts"
import { resolveMoment } from "./moment.ts"
import { sweeper } from "./sweep.ts"
import { whileUnused } from "./while-unused.ts"

export const restoreOperations = (parts: Parts): Operations<"links.restore"> => {
  const { log, views, serving } = parts
  const change = makeChange(parts)

  /** Decides first who goes, and carries it out on that very catalogue. */
  const attempt = async (body: Body<"RestoreLinks">, options: Omit<CallOptions, "onItem">): Promise<Changed> => {
    if (serving === undefined || options.dryRun) return change(body, options)
    const { events, position } = await change(body, { ...options, dryRun: true })
    const names = events.filter((e) => e.type === "ClientRemoved").map((e) => (e.data as Of).client.name)
    const changed = await whileUnused({
      disks: serving.disks,
      catalogue: () => views.state(catalogueProjection),
      names,
      slotsOfEach: everySlot,
      options: { ...options, expectedPosition: options.expectedPosition ?? position },
      change: (held) => change(body, held),
    })
    return sweeper(parts)(changed)
  }

  const untilDecided = async (body: Body<"RestoreLinks">, options: Omit<CallOptions, "onItem">): Promise<Changed> => {
    for (let tries = 1; ; tries++) {
      try {
        return await attempt(body, options)
      } catch (e) {
        const movedOn = isImagelinkError(e) && e.code === "LOG_CONFLICT" && options.expectedPosition === undefined
        if (!movedOn || tries > limits.commandConflictRetriesMax) throw e
      }
    }
  }

  return {
    "links.restore": async ({ discardKept, ...moment }, options) => {
      const asOf = await resolveMoment(log, moment)
      const then = await Effect.runPromise(foldAsOf(log, catalogueProjection, asOf.position, views.marks))
      const newId = idsOf(parts.newId, options.commandId)
      const clients = clientsOf(then, newId)
      const body = {
        type: "RestoreLinks" as const,
        at: asOf.position,
        clients,
        groups: groupsOf(then, newId),
        ...(discardKept ? { discardKept } : {}),
      }
      return { asOf, ...(await untilDecided(body, options)) }
    },
  }
}

type Of = Pick<EventData<"ClientLinked">, "client">

const clientsOf = ({ clients, images }: Catalogue, newId: () => string): Body<"RestoreLinks">["clients"] =>
  [...clients.values()].map(({ id, name, mac, address, links }) => ({
    ...{ clientId: id, newId: newId(), name, mac, address },
    links: [...links]
      .sort(([a], [b]) => a - b)
      .map(([slot, { imageId, pinned, overlay, group }]) => ({
        ...{ slot, imageId, pinned, overlay, ...(group === undefined ? {} : { group }) },
        image: images.get(imageId)!.name,
      })),
  }))

const groupsOf = ({ groups, images }: Catalogue, newId: () => string): NonNullable<Body<"RestoreLinks">["groups"]> =>
  [...groups.values()].map(({ id, name, members, links, options }) => ({
    ...{ groupId: id, newId: newId(), name, options, clients: [...members] },
    links: [...links].map(([slot, link]) => ({ slot, ...link, image: images.get(link.imageId)!.name })),
  }))
