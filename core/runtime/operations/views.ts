/** Reading operations: they fold what they show and change nothing. */
import * as Effect from "effect/Effect"
import { ImagelinkError } from "../../errors.ts"
import { bootHistory } from "../../projections/boot-history.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import type { AnyProjection } from "../../projections/cell.ts"
import { historyFilter, readHistory } from "../../projections/client-history.ts"
import { groupsProjection } from "../../projections/groups.ts"
import { imageVersions } from "../../projections/image-versions.ts"
import { lastChanges } from "../../projections/last-changes.ts"
import { linkRows, linkTable } from "../../projections/link-table.ts"
import { makeProjector, type Projector } from "../../projections/projector.ts"
import type { Parts } from "../parts.ts"
import type { Operations } from "../site.ts"

type Names = "links" | "history" | "rebuild" | "rebuild.check" | "jobs" | "job.cancel"

const projections = [catalogueProjection, linkTable, imageVersions, lastChanges, bootHistory, groupsProjection]

export const viewOperations = (parts: Parts): Operations<Names> => {
  const { log, views, jobs } = parts
  return {
    links: async () => linkRows(await views.state(linkTable)),

    history: async (input, { onItem }) => {
      const named = input.client !== undefined || input.image !== undefined || input.group !== undefined
      const filter = named
        ? historyFilter(await views.state(catalogueProjection), input)
        : { since: input.since, until: input.until }
      if (filter instanceof ImagelinkError) throw filter
      return { position: await Effect.runPromise(readHistory(log, filter, (line) => void onItem?.(line))) }
    },

    rebuild: async () => {
      const rebuilt = await views.rebuild(projections)
      const stopped = rebuilt.find((p) => p.stopped !== undefined)?.stopped
      if (stopped !== undefined) throw stopped
      return rebuilt.map(({ name, position }) => ({ name, position }))
    },
    "rebuild.check": async () => {
      const rebuilt = makeProjector({ log, projections })
      await Effect.runPromise(rebuilt.start())
      return Promise.all(projections.map((p) => compareWithRebuild(parts, p, rebuilt)))
    },

    jobs: async () => jobs.list(),
    "job.cancel": async ({ id }) => ({ cancelled: jobs.cancel(id) }),
  }
}

/** Compares a projection, byte for byte, with what was folded again from zero. */
const compareWithRebuild = async ({ log, views }: Parts, projection: AnyProjection, rebuilt: Projector) => {
  const encoded = (state: unknown) => JSON.stringify(projection.encode(state))
  const live = encoded(await views.state(projection))
  await Effect.runPromise(rebuilt.catchUp())
  return { name: projection.name, position: log.head(), equal: live === encoded(rebuilt.state(projection)) }
}
