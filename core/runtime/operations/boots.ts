/** What clients booted: the last boots from the projection that holds them. */
import { findClient } from "../../domain/lookup.ts"
import { ImagelinkError } from "../../errors.ts"
import { bootHistory, bootRows } from "../../projections/boot-history.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import type { Parts } from "../parts.ts"
import type { Operations } from "../site.ts"

export const bootOperations = ({ views }: Parts): Operations<"boots"> => ({
  boots: async ({ client: key }) => {
    if (key === undefined) return bootRows(await views.state(bootHistory))
    const client = findClient(await views.state(catalogueProjection), key)
    if (client instanceof ImagelinkError) throw client
    return bootRows(await views.state(bootHistory), client.id)
  },
})
