/** Deciders of SetNextBoot and RecordBoots: what the next boot gets, and what a boot really got. */
import { isDeepStrictEqual } from "node:util"
import { ImagelinkError } from "../errors.ts"
import type { Catalogue, ClientEntry } from "./catalogue.ts"
import type { Body } from "./commands.ts"
import { forEach } from "./decide-link.ts"
import { acceptAll, type Decision, event, refuse } from "./decision.ts"
import type { NextBoot } from "./events.ts"
import { clientRef, findClients, findTarget } from "./lookup.ts"

const nextBootOf = (catalogue: Catalogue, given: Body<"SetNextBoot">["to"]): NextBoot | null | ImagelinkError => {
  if (given === null || given.kind !== "image") return given
  const target = findTarget(catalogue, given.image)
  if (target instanceof ImagelinkError) return target
  const { image, pinned } = target
  return { kind: "image", image: { id: image.id, name: image.name }, pinned }
}

export const setNextBoot = (catalogue: Catalogue, command: Body<"SetNextBoot">): Decision => {
  const to = nextBootOf(catalogue, command.to)
  if (to instanceof ImagelinkError) return refuse(to)
  const clients = findClients(catalogue, command.clients)
  if (clients instanceof ImagelinkError) return refuse(clients)
  return forEach(clients, (client: ClientEntry) =>
    isDeepStrictEqual(client.nextBoot, to)
      ? undefined
      : event("ClientNextBootSet", { client: clientRef(client), from: client.nextBoot, to }),
  )
}

/** Several at once. What was booted stays true when the client or the image has gone since, so nothing is refused. */
export const recordBoots = (_: Catalogue, command: Body<"RecordBoots">): Decision =>
  acceptAll(command.boots.map((boot) => event("ClientBooted", boot)))
