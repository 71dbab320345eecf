/** How the server stands, and what it goes by: what a running one alone can tell. */
import { fail } from "../../errors.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import { linkRows, linkTable } from "../../projections/link-table.ts"
import type { Parts } from "../parts.ts"
import type { Operations } from "../site.ts"
import { clientStatus } from "../status.ts"

export const statusOperations = ({ log, views, serving }: Parts): Operations<"status" | "config.reload"> => ({
  async status() {
    const about = serving?.about?.()
    if (serving === undefined || about === undefined) throw noServer()
    const links = linkRows(await views.state(linkTable))
    const catalogue = await views.state(catalogueProjection)
    const live = serving.liveBoots?.list() ?? []
    const traffic = serving.sessions?.traffic() ?? new Map()
    const { listeners, ...own } = about
    return {
      server: { ...own, position: log.head() },
      listeners,
      clients: clientStatus({ catalogue, links, live, overlays: serving.disks.overlays(), traffic }),
    }
  },
  async "config.reload"() {
    if (serving?.reload === undefined) throw noServer()
    return serving.reload()
  },
})

const noServer = () => fail("SERVER_NOT_REACHABLE", { path: "the data folder", why: "no server runs on it" })
