/**
 * Looking back: the state at a moment, and what differs between two.
 *
 * **Details** Everything here folds to a position from the nearest mark and leaves the running projections alone; without a moment it
 * answers for the head.
 */
import * as Effect from "effect/Effect"
import type { ClientEntry } from "../../domain/catalogue.ts"
import { effectiveOptions, groupsOf } from "../../domain/group-links.ts"
import { findClient } from "../../domain/lookup.ts"
import { nameKey } from "../../domain/names.ts"
import { nearest } from "../../domain/nearest.ts"
import { fail, ImagelinkError } from "../../errors.ts"
import { cellsAsOf } from "../../projections/as-of.ts"
import { bootHistory, bootRows } from "../../projections/boot-history.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import type { AnyProjection } from "../../projections/cell.ts"
import { describe } from "../../projections/client-history.ts"
import { imageRows, imageVersions } from "../../projections/image-versions.ts"
import { lastChanges } from "../../projections/last-changes.ts"
import { diffLinks } from "../../projections/link-diff.ts"
import { type LinkTable, linkRows, linkTable } from "../../projections/link-table.ts"
import type { Projection } from "../../projections/projection.ts"
import { readPage } from "../../projections/read.ts"
import { clientSettings } from "../client-settings.ts"
import type { Parts } from "../parts.ts"
import type { ClientLive } from "../site/clients.ts"
import type { AsOf } from "../site/operation.ts"
import type { Operations } from "../site.ts"
import { effectiveLinks } from "./effective-links.ts"
import { resolveMoment } from "./moment.ts"
import { clientRows } from "./status.ts"

type Names = "links.at" | "links.diff" | "image.show" | "client.show"

/** The states of projections after a position, each under its own type. */
type States = <S>(projection: Projection<S>) => S

export const timeOperations = (parts: Parts): Operations<Names> => {
  const { log, views } = parts

  const statesAt = async (asOf: AsOf, projections: ReadonlyArray<AnyProjection>): Promise<States> => {
    const cells = await Effect.runPromise(cellsAsOf(log, projections, asOf.position, views.marks))
    return <S>(projection: Projection<S>) => cells.find((cell) => cell.projection === projection)!.state as S
  }
  const linksAt = async (asOf: AsOf): Promise<LinkTable> => (await statesAt(asOf, [linkTable]))(linkTable)

  const liveOf = async ({ id, mac }: ClientEntry): Promise<ClientLive | null> => {
    const row = (await clientRows(parts))?.find((one) => one.mac === mac)
    return row === undefined ? null : { ...row, sessions: parts.serving?.sessions?.of(id) ?? [] }
  }

  return {
    "links.at": async (moment) => {
      const asOf = await resolveMoment(log, moment)
      return { ...asOf, rows: linkRows(await linksAt(asOf)) }
    },

    "links.diff": async (input) => {
      const from = await resolveMoment(log, input.from)
      const to = await resolveMoment(log, input.to)
      return { from, to, ...diffLinks(await linksAt(from), await linksAt(to)) }
    },

    "image.show": async ({ name, ...moment }) => {
      const asOf = await resolveMoment(log, moment)
      const state = await statesAt(asOf, [imageVersions, linkTable])
      const rows = imageRows(state(imageVersions))
      const image = rows.find((row) => nameKey(row.name) === nameKey(name))
      if (image === undefined) throw imageNotFound(name, rows)
      const links = linkRows(state(linkTable)).filter((row) => row.image === image.name)
      const users = image.versions.map(({ number }) => ({
        version: number,
        links: links.filter((row) => row.version === number),
      }))
      return { ...asOf, image, users }
    },

    "client.show": async ({ client: key, ...moment }) => {
      const asOf = await resolveMoment(log, moment)
      const isNow = moment.at === undefined && moment.position === undefined
      const state = await statesAt(asOf, [catalogueProjection, lastChanges])
      const catalogue = state(catalogueProjection)
      const client = findClient(catalogue, key)
      if (client instanceof ImagelinkError) throw client
      const { id, name, mac, address } = client
      const positions = state(lastChanges).clients.get(id) ?? []
      const pages = positions.map((position) => Effect.runPromise(readPage(log, position - 1, 1)))
      const changes = (await Promise.all(pages)).flatMap((page) => page.map(describe))
      const links = effectiveLinks(catalogue, client)
      const groups = groupsOf(catalogue, id).map((group) => group.name)
      const options = effectiveOptions(catalogue, client)
      const boots = isNow ? await views.state(bootHistory) : (await statesAt(asOf, [bootHistory]))(bootHistory)
      const settings = clientSettings(catalogue, client, isNow ? parts.serving?.siteSettings?.() : undefined)
      return {
        ...asOf,
        client: { id, name, mac, address, links, groups, options, settings },
        lastChanges: changes,
        lastBoot: bootRows(boots, id).at(-1) ?? null,
        live: isNow ? await liveOf(client) : null,
      }
    },
  }
}

const imageNotFound = (name: string, rows: ReadonlyArray<{ readonly name: string }>): ImagelinkError => {
  const names = rows.map((row) => row.name)
  const near = nearest(name, names)
  return fail("IMAGE_NOT_FOUND", { name, ...(near === undefined ? {} : { near }) })
}
