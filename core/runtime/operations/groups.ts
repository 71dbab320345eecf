/** Operations on groups. */
import * as Effect from "effect/Effect"
import type { Catalogue } from "../../domain/catalogue.ts"
import { findGroup, membersOf } from "../../domain/lookup.ts"
import { ImagelinkError } from "../../errors.ts"
import { cellsAsOf } from "../../projections/as-of.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import { groupRows, groupsProjection } from "../../projections/groups.ts"
import type { Parts } from "../parts.ts"
import type { GroupMember } from "../site/groups.ts"
import type { Operations } from "../site.ts"
import { makeChange } from "./change.ts"
import { effectiveLinks } from "./effective-links.ts"
import { idsOf } from "./ids.ts"
import { resolveMoment } from "./moment.ts"
import { sweeper } from "./sweep.ts"

type Names =
  | "group.create"
  | "group.change"
  | "group.link"
  | "group.unlink"
  | "group.remove"
  | "group.list"
  | "group.show"

export const groupOperations = (parts: Parts): Operations<Names> => {
  const { log, views } = parts
  const change = makeChange(parts)
  const sweep = sweeper(parts)
  return {
    "group.create": (input, options) =>
      change({ type: "CreateGroup", groupId: idsOf(parts.newId, options.commandId)(), ...input }, options).then(sweep),
    "group.change": (input, options) => change({ type: "ChangeGroup", ...input }, options).then(sweep),
    "group.link": (input, options) => change({ type: "LinkGroup", ...input }, options).then(sweep),
    "group.unlink": (input, options) => change({ type: "UnlinkGroup", ...input }, options).then(sweep),
    "group.remove": (input, options) => change({ type: "RemoveGroup", ...input }, options).then(sweep),

    "group.list": async () => groupRows(await views.state(groupsProjection)),

    "group.show": async ({ group: key, ...moment }) => {
      const asOf = await resolveMoment(log, moment)
      const cells = await Effect.runPromise(
        cellsAsOf(log, [catalogueProjection, groupsProjection], asOf.position, views.marks),
      )
      const catalogue = cells[0]!.state as Catalogue
      const found = findGroup(catalogue, key)
      if (found instanceof ImagelinkError) throw found
      const group = groupRows(cells[1]!.state as ReturnType<typeof groupsProjection.initial>).find(
        (row) => row.id === found.id,
      )!
      const members: ReadonlyArray<GroupMember> = membersOf(catalogue, found).map((client) => {
        const { name, mac, address } = client
        return { name, mac, address, links: effectiveLinks(catalogue, client) }
      })
      return { ...asOf, group, members }
    },
  }
}
