/** Operations on versions and super clients that move pointers only: nothing is read, copied or deleted by them. */
import type { EventData } from "../../domain/events.ts"
import { findImage } from "../../domain/lookup.ts"
import { whoNeeds } from "../../domain/needs.ts"
import { fail, ImagelinkError } from "../../errors.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import { removeDraft } from "../drafts.ts"
import { overlaysOn } from "../overlays-on.ts"
import type { Parts } from "../parts.ts"
import type { Changed } from "../site/operation.ts"
import type { Input, Operations } from "../site.ts"
import { makeChange } from "./change.ts"

type Names = "image.retire" | "image.rollback" | "client.set-super" | "client.clear-super" | "client.next-boot"

/** @throws VERSION_IN_USE when an overlay was made on it; what else keeps it is the decider's to say */
const refuseIfStoodOn = async (parts: Parts, { name, version }: Input<"image.retire">): Promise<void> => {
  const catalogue = await parts.views.state(catalogueProjection)
  const image = findImage(catalogue, name)
  if (image instanceof ImagelinkError || image.current === version) return
  const details = await overlaysOn(parts, catalogue, image.id, version)
  if (details.length === 0) return
  const who = whoNeeds(details.map((needed) => ({ who: needed, version })))
  throw fail("VERSION_IN_USE", { image: image.name, version, who }, { details })
}

/** Disks that run since before it was merged into a newer version may still read it: then its files go when the last of them has gone. */
const removeUnread = async (
  { views, layers, serving, data }: Parts,
  imageId: string,
  version: number,
): Promise<void> => {
  const { images } = await views.state(catalogueProjection)
  const place = images.get(imageId)?.versions[version - 1]?.storage
  const remove = async () => {
    await layers.remove(imageId, version)
    // The first version goes when all others were flattened whole; a file that was added stays where it is.
    if (version === 1) await removeDraft(data, imageId)
  }
  if (serving === undefined || place === undefined || !serving.stacks.reads(imageId, version, place)) return remove()
  // What a stop leaves behind is swept at the next start.
  void serving.stacks.unread(imageId, version, place).then(
    (isUnread) => (isUnread ? remove() : undefined),
    () => {},
  )
}

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
      await refuseIfStoodOn(parts, input)
      const changed = await change({ type: "RetireVersion", ...input }, options)
      if (changed.dryRun) return changed
      // A repeated command comes here again, so that what a crash left behind goes too.
      for (const { image, version, sidecar } of changed.events.map((e) => e.data as EventData<"ImageVersionRetired">)) {
        await parts.serving?.ram.retired(image.id, version)
        await parts.serving?.stacks.retired(image.id, version)
        await removeUnread(parts, image.id, version)
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
