/** Operations on versions and super clients that move pointers only: nothing is read, copied or deleted by them. */
import type { EventData } from "../../domain/events.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import type { Parts } from "../parts.ts"
import type { Changed, Operations } from "../site.ts"
import { makeChange } from "./change.ts"

type Names = "image.retire" | "image.rollback" | "client.set-super" | "client.clear-super" | "client.next-boot"

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
    "image.retire": async (input, options) => {
      const changed = await change({ type: "RetireVersion", ...input }, options)
      if (changed.dryRun) return changed
      // A repeated command comes here again, so that what a crash left behind goes too.
      for (const { image, version, sidecar } of changed.events.map((e) => e.data as EventData<"ImageVersionRetired">)) {
        await parts.serving?.ram.retired(image.id, version)
        await parts.serving?.stacks.retired(image.id, version)
        await parts.layers.remove(image.id, version)
        if (sidecar !== null) await parts.sidecars.remove(sidecar)
      }
      return changed
    },
    "image.rollback": (input, options) => change({ type: "RollBackImage", ...input }, options),
    "client.set-super": (input, options) => change({ type: "SetSuperClient", ...input }, options).then(sweep),
    "client.clear-super": (input, options) => change({ type: "ClearSuperClient", ...input }, options).then(sweep),
    "client.next-boot": (input, options) => change({ type: "SetNextBoot", ...input }, options),
  }
}
