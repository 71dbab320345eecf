/** Deciders of SetSuperClient and ClearSuperClient: the one client whose writes become an image's next version. */
import { fail, ImagelinkError } from "../errors.ts"
import type { Catalogue, ClientEntry, ImageEntry } from "./catalogue.ts"
import type { Body } from "./commands.ts"
import { kept } from "./decide-link.ts"
import { imageRef, superClientOf } from "./decide-version.ts"
import { accept, type Decision, event, refuse } from "./decision.ts"
import { clientRef, findClient, findImage, linkState, linkVersion } from "./lookup.ts"

/** The slot that is meant, or the one slot that is linked to the image. */
const slotOf = (client: ClientEntry, image: ImageEntry, slot: number | undefined): number | ImagelinkError => {
  const slots = [...client.links].filter(([, link]) => link.imageId === image.id).map(([s]) => s)
  if (slot !== undefined && slots.includes(slot)) return slot
  if (slot === undefined && slots.length === 1) return slots[0]!
  const where = slot === undefined ? slots.sort((a, b) => a - b).join(", ") : String(slot)
  return fail("SUPER_CLIENT_UNLINKED", { client: client.name, image: image.name, slots: slots.length > 1 ? where : "" })
}

/** One per image. Asked again for the same client and slot it changes nothing. */
export const setSuperClient = (catalogue: Catalogue, command: Body<"SetSuperClient">): Decision => {
  const client = findClient(catalogue, command.client)
  if (client instanceof ImagelinkError) return refuse(client)
  const image = findImage(catalogue, command.image)
  if (image instanceof ImagelinkError) return refuse(image)
  if (image.draft) return refuse(fail("IMAGE_NOT_SEALED", { image: image.name }))
  const slot = slotOf(client, image, command.slot)
  if (slot instanceof ImagelinkError) return refuse(slot)
  if (image.superClient !== null) {
    const { clientId, slot: held } = image.superClient
    if (clientId === client.id && held === slot) return accept()
    const holder = `${catalogue.clients.get(clientId)!.name} slot ${held}`
    return refuse(fail("SUPER_CLIENT_TAKEN", { image: image.name, holder }))
  }
  const link = client.links.get(slot)!
  if (link.overlay === "keep" && command.discardKept !== true)
    return refuse(kept(client, slot, linkState(catalogue, link)))
  const resumed = command.resume === true ? asideOf(image, client, slot) : null
  if (resumed instanceof ImagelinkError) return refuse(resumed)
  const version = resumed?.version ?? linkVersion(image, link)
  const on = { client: clientRef(client), slot, image: imageRef(image), version }
  return accept(event("SuperClientSet", { ...on, resumes: resumed?.epoch ?? null }))
}

/** The newest overlay of this slot that was kept aside. */
const asideOf = (image: ImageEntry, client: ClientEntry, slot: number) =>
  image.aside.findLast((a) => a.clientId === client.id && a.slot === slot) ??
  fail("SUPER_OVERLAY_NOT_FOUND", { client: client.name, image: image.name })

/** Named by client, by image, or by both. */
export const clearSuperClient = (catalogue: Catalogue, command: Body<"ClearSuperClient">): Decision => {
  const client = findClient(catalogue, command.client)
  if (client instanceof ImagelinkError) return refuse(client)
  const images = [...catalogue.images.values()].filter((i) => i.superClient?.clientId === client.id)
  const named = command.image === undefined ? undefined : findImage(catalogue, command.image)
  if (named instanceof ImagelinkError) return refuse(named)
  const meant = named === undefined ? images : images.filter((i) => i === named)
  if (meant.length > 1) {
    const names = meant.map((i) => i.name).join(", ")
    return refuse(fail("COMMAND_INVALID", { why: `${client.name} is the super client of ${names}; name one` }))
  }
  const [image] = meant
  if (image === undefined)
    return refuse(fail("SUPER_CLIENT_NOT", { client: client.name, ...(named && { image: named.name }) }))
  const found = superClientOf(catalogue, image)
  if (found instanceof ImagelinkError) return refuse(found)
  const { slot, link, version } = found
  const on = { client: clientRef(client), slot, image: imageRef(image), version }
  return accept(event("SuperClientCleared", { ...on, overlay: link.epoch, kept: command.keep === true }))
}
