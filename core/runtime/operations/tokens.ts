/** Operations on API tokens. None of them is an event: what is secret is never in the log. */

import { findGroup } from "../../domain/lookup.ts"
import { ImagelinkError } from "../../errors.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import type { Parts } from "../parts.ts"
import type { TokenShown } from "../site/tokens.ts"
import type { Operations } from "../site.ts"
import type { TokenRow } from "../tokens.ts"

export const tokenOperations = (parts: Parts): Operations<"token.create" | "token.list" | "token.revoke"> => {
  const catalogue = () => parts.views.state(catalogueProjection)
  const shown = async ({ groups, ...row }: TokenRow): Promise<TokenShown> => {
    const known = (await catalogue()).groups
    return { ...row, groups: groups.map((id) => known.get(id)?.name ?? `removed (${id})`) }
  }
  return {
    "token.create": async ({ name, role, groups = [], days = null }) => {
      const known = await catalogue()
      const ids = groups.map((key) => {
        const group = findGroup(known, key)
        if (group instanceof ImagelinkError) throw group
        return group.id
      })
      const { row, token } = await (await parts.tokens()).create({ name, role, groups: ids, days })
      return { ...(await shown(row)), token }
    },
    "token.list": async () => Promise.all((await parts.tokens()).list().map(shown)),
    "token.revoke": async ({ name }) => shown(await (await parts.tokens()).revoke(name)),
  }
}
