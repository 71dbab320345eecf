/**
 * Places an image in RAM, or back on its file, while clients run on it.
 *
 * **Details** What does not fit is refused before anything is recorded. The event comes before the fill: a server that is stopped meanwhile
 * fills again at its next start, and the same command goes on where a cancelled one stopped. Without a server, the event is all. A hot zone is what
 * was learnt until now: the same command again, and each start of a server, bring what was learnt since.
 */
import { findImage } from "../../domain/lookup.ts"
import { fail, ImagelinkError } from "../../errors.ts"
import { limits } from "../../limits.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import type { Parts } from "../parts.ts"
import type { RamTier } from "../ram-tier.ts"
import type { ImagePlacedAnswer } from "../site/image-tiers.ts"
import type { Changed } from "../site/operation.ts"
import type { CallOptions, Input, Operations } from "../site.ts"
import { makeChange } from "./change.ts"

export const placeOperations = (parts: Parts): Operations<"image.place"> => {
  const change = makeChange(parts)
  const imageOf = async (name: string) => {
    const image = findImage(await parts.views.state(catalogueProjection), name)
    if (image instanceof ImagelinkError) throw image
    return image
  }
  const bodyOf = ({ name, tier, hot, share }: Input<"image.place">) => ({
    type: "PlaceImage" as const,
    name,
    tier,
    ...(hot === true ? { hot, share: share ?? limits.heatShareDefault } : {}),
  })

  const intoRam = async (
    ram: RamTier,
    input: Input<"image.place">,
    options: CallOptions,
  ): Promise<ImagePlacedAnswer> => {
    const { commandId: _, ...asked } = options
    const refusable = await change(bodyOf(input), { ...asked, dryRun: true })
    const { id } = await imageOf(input.name)
    const { hot = false, share = limits.heatShareDefault } = input
    const isNew = await ram.plan(id, { kind: "ramdisk", hot, ...(hot ? { share } : {}) })
    let changed: Changed = refusable
    let stays = false
    try {
      if (!options.dryRun) changed = await change(bodyOf(input), options)
      // A repeated command changed nothing now, and the image may have been placed back since.
      stays = (await imageOf(input.name)).tier.kind === "ramdisk"
    } finally {
      if (isNew && (options.dryRun || !stays)) await ram.release(id)
    }
    if (options.dryRun || !stays) return { ...changed, ram: null }
    if (!isNew) await ram.refresh(id)
    const held = await parts.jobs.run(`place ${input.name} in RAM`, (job) => ram.fill(id, job), options)
    return { ...changed, ram: held }
  }

  return {
    "image.place": async (input, options) => {
      const { tier } = input
      if (tier !== "ramdisk" && tier !== "file")
        throw fail("COMMAND_INVALID", { why: `there is no tier ${JSON.stringify(tier)}; there are ramdisk and file` })
      if (tier === "file" && input.hot === true)
        throw fail("COMMAND_INVALID", { why: "a hot zone is held in RAM: the tier is ramdisk" })
      const ram = parts.serving?.ram
      if (ram !== undefined && tier === "ramdisk") return intoRam(ram, input, options)
      const changed = await change(bodyOf(input), options)
      if (ram !== undefined && !changed.dryRun) {
        const { id, tier: now } = await imageOf(input.name)
        if (now.kind !== "ramdisk") await ram.release(id)
      }
      return { ...changed, ram: null }
    },
  }
}
