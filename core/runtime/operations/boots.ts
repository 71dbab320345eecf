/** What clients boot: the last boots from the projection that holds them, and the script of the next. */
import { findClient } from "../../domain/lookup.ts"
import { ImagelinkError } from "../../errors.ts"
import { bootHistory, bootRows } from "../../projections/boot-history.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import { previewScript } from "../boot-preview.ts"
import type { Parts } from "../parts.ts"
import type { Operations } from "../site.ts"

export const bootOperations = ({ views, serving }: Parts): Operations<"boots" | "client.script"> => ({
  boots: async ({ client: key }) => {
    if (key === undefined) return bootRows(await views.state(bootHistory))
    const client = findClient(await views.state(catalogueProjection), key)
    if (client instanceof ImagelinkError) throw client
    return bootRows(await views.state(bootHistory), client.id)
  },
  "client.script": async ({ client: key }) => {
    const catalogue = await views.state(catalogueProjection)
    const client = findClient(catalogue, key)
    if (client instanceof ImagelinkError) throw client
    const script = await previewScript(catalogue, client, serving?.stacks, serving?.bootServer?.())
    return { client: client.name, script }
  },
})
