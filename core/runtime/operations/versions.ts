/** Operations on versions and super clients that move pointers only: nothing is read, copied or deleted by them. */
import { catalogueProjection } from "../../projections/catalogue.ts"
import type { Parts } from "../parts.ts"
import type { Changed, Operations } from "../site.ts"
import { makeChange } from "./change.ts"

type Names = "image.rollback" | "client.set-super" | "client.clear-super" | "client.next-boot"

export const versionOperations = (parts: Parts): Operations<Names> => {
  const change = makeChange(parts)
  /** A generation that the change ended goes now, or when its last session leaves. */
  const sweep = async (changed: Changed): Promise<Changed> => {
    if (changed.dryRun || parts.serving === undefined) return changed
    const touched = changed.events.map((e) => e.data as { readonly client: { readonly id: string }; slot: number })
    await parts.views.state(catalogueProjection)
    await parts.serving.disks.sweep(touched.map(({ client, slot }) => ({ clientId: client.id, slot })))
    return changed
  }
  return {
    "image.rollback": (input, options) => change({ type: "RollBackImage", ...input }, options),
    "client.set-super": (input, options) => change({ type: "SetSuperClient", ...input }, options).then(sweep),
    "client.clear-super": (input, options) => change({ type: "ClearSuperClient", ...input }, options).then(sweep),
    "client.next-boot": (input, options) => change({ type: "SetNextBoot", ...input }, options),
  }
}
