/** How the server stands, and what it goes by: what a running one alone can tell. */
import { fail } from "../../errors.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import { linkRows, linkTable } from "../../projections/link-table.ts"
import type { Parts } from "../parts.ts"
import type { Operations } from "../site.ts"
import { type ClientStatus, clientStatus } from "../status.ts"

/** Where every PC stands now; undefined where nothing is served. */
export const clientRows = async ({
  views,
  serving,
}: Pick<Parts, "views" | "serving">): Promise<ReadonlyArray<ClientStatus> | undefined> => {
  if (serving === undefined) return undefined
  const links = linkRows(await views.state(linkTable))
  const catalogue = await views.state(catalogueProjection)
  const live = serving.liveBoots?.list() ?? []
  const traffic = serving.sessions?.traffic() ?? new Map()
  const overlays = serving.disks.overlays()
  const rebootRequested = (clientId: string) => serving.actions?.reboots.at(clientId)
  return clientStatus({ catalogue, links, live, overlays, traffic, rebootRequested })
}

export const statusOperations = (parts: Parts): Operations<"status" | "config.reload"> => ({
  async status() {
    const about = parts.serving?.about?.()
    const clients = about === undefined ? undefined : await clientRows(parts)
    if (about === undefined || clients === undefined) throw noServer()
    const { listeners, ...own } = about
    return { server: { ...own, position: parts.log.head() }, listeners, clients }
  },
  async "config.reload"() {
    if (parts.serving?.reload === undefined) throw noServer()
    return parts.serving.reload()
  },
})

const noServer = () => fail("SERVER_NOT_REACHABLE", { path: "the data folder", why: "no server runs on it" })
