/**
 * What a client's next boot is given in place of its link, once: another image, the computer's own disk, or a menu.
 *
 * **Details** Another image is booted on a fresh disk, which ends with the boot. So it can stand in for a link whose writes end with each boot, and for
 * no other: what is kept would have to step aside for it.
 */
import type { ClientEntry, LinkEntry } from "../domain/catalogue.ts"
import { policyOf } from "./generations.ts"

type Client = Pick<ClientEntry, "nextBoot">

export const canStandIn = (link: LinkEntry): boolean => policyOf(link) === "discard"

/** The link of a slot as a new boot begins on it. */
export const bootLink = ({ nextBoot }: Client, slot: number, link: LinkEntry): LinkEntry => {
  if (slot !== 0 || nextBoot?.kind !== "image" || !canStandIn(link)) return link
  return { ...link, imageId: nextBoot.image.id, pinned: nextBoot.pinned }
}

/** The same of a boot that runs already, by the image that its disk stands on: what was set meanwhile is for the boot after it. */
export const wasNextBoot = ({ nextBoot }: Client, imageId: string): boolean =>
  nextBoot?.kind === "image" && nextBoot.image.id === imageId

/** Whether a boot that begins on a disk is the one that was meant. */
export const isNextBoot = ({ nextBoot }: Client, link: LinkEntry): boolean =>
  nextBoot !== null && (nextBoot.kind === "menu" || (nextBoot.kind === "image" && canStandIn(link)))
