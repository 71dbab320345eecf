/** Deciders about an image's versions: CommitImage, RollBackImage, RetireVersion, FlattenVersion and PlaceImage. */
import { isDeepStrictEqual } from "node:util"
import { fail, ImagelinkError } from "../errors.ts"
import type { Catalogue, ImageEntry, VersionEntry } from "./catalogue.ts"
import type { Body } from "./commands.ts"
import { accept, type Decision, event, refuse } from "./decision.ts"
import type { ImageRef } from "./events.ts"
import { clientRef, findImage, findVersion } from "./lookup.ts"
import { versionNeeds, whoNeeds } from "./needs.ts"

export const imageRef = ({ id, name }: ImageEntry): ImageRef => ({ id, name })

/** The image's super client as it stands, or NO_SUPER_CLIENT. */
export const superClientOf = (catalogue: Catalogue, image: ImageEntry) => {
  if (image.superClient === null) return fail("NO_SUPER_CLIENT", { image: image.name })
  const { clientId, slot } = image.superClient
  const client = catalogue.clients.get(clientId)!
  const link = client.links.get(slot)!
  return { client, slot, link, version: link.superVersion! }
}

/** Whoever asks has sealed the overlay that is named; another one, or one that was committed already, is refused. */
export const commitImage = (catalogue: Catalogue, command: Body<"CommitImage">): Decision => {
  const { imageId, version, sealedOverlay, storage, format, sizeBytes, files, layer, note } = command
  const image = catalogue.images.get(imageId)
  if (!image) return refuse(fail("IMAGE_NOT_FOUND", { name: imageId }))
  const found = superClientOf(catalogue, image)
  if (found instanceof ImagelinkError) return refuse(found)
  const { client, slot, link } = found
  if (link.epoch !== sealedOverlay || version !== image.versions.length + 1)
    return refuse(fail("COMMIT_STALE", { image: image.name, version }))
  const noted = note === undefined ? {} : { note }
  const who = { client: clientRef(client), slot, sealedOverlay }
  const made = { storage, format, sizeBytes, files, layer, ...who, ...noted }
  return accept(
    event("ImageCommitted", { image: imageRef(image), version, parent: found.version, from: image.current, ...made }),
  )
}

/** Without `to`, the version that the current one was made on. What is current already changes nothing. */
export const rollBackImage = (catalogue: Catalogue, command: Body<"RollBackImage">): Decision => {
  const image = findImage(catalogue, command.name)
  if (image instanceof ImagelinkError) return refuse(image)
  if (image.draft) return refuse(fail("IMAGE_NOT_SEALED", { image: image.name }))
  const to = command.to ?? image.versions[image.current - 1]!.parent
  if (to === null) return refuse(fail("IMAGE_NOTHING_BEFORE", { image: image.name, version: image.current }))
  const target = findVersion(image, to)
  if (target instanceof ImagelinkError) return refuse(target)
  if (to === image.current) return accept()
  const noted = command.note === undefined ? {} : { note: command.note }
  return accept(event("ImageRolledBack", { image: imageRef(image), from: image.current, to, ...noted }))
}

/** The current version stays, and so does what anyone needs. Retiring twice changes nothing. */
export const retireVersion = (catalogue: Catalogue, command: Body<"RetireVersion">): Decision => {
  const image = findImage(catalogue, command.name)
  if (image instanceof ImagelinkError) return refuse(image)
  const { version } = command
  if (image.versions[version - 1]?.retired) return accept()
  const target = findVersion(image, version)
  if (target instanceof ImagelinkError) return refuse(target)
  const needs = versionNeeds(catalogue, image, version)
  const current = version === image.current ? [{ who: "it is the current version", version }] : []
  const all = [...current, ...needs]
  if (all.length > 0) {
    const details = all.map(({ who }) => who)
    return refuse(fail("VERSION_IN_USE", { image: image.name, version, who: whoNeeds(all) }, { details }))
  }
  const sidecar = image.versions[version - 1]!.check?.checksums.sidecar ?? null
  return accept(event("ImageVersionRetired", { image: imageRef(image), version, sidecar }))
}

/** Whoever asks has copied and synced what the versions after `over` changed, and compared it with the recorded checksums. */
export const flattenVersion = (catalogue: Catalogue, command: Body<"FlattenVersion">): Decision => {
  const { imageId, version, over, storage, format, files, layer, changes, from } = command
  const image = catalogue.images.get(imageId)
  if (!image) return refuse(fail("IMAGE_NOT_FOUND", { name: imageId }))
  const target = findVersion(image, version)
  if (target instanceof ImagelinkError) return refuse(target)
  const entry = image.versions[version - 1]!
  if (isDeepStrictEqual(entry.storage, storage)) return accept()
  if (!isDeepStrictEqual([entry.over, entry.storage], [from.over, from.storage]))
    return refuse(fail("FLATTEN_STALE", { image: image.name, version }))
  if (!canBeOver(image, entry, over))
    return refuse(fail("FLATTEN_NOTHING", { image: image.name, version, over: entry.over }))
  const was = { over: from.over, storage: entry.storage, format: entry.format, files: entry.files }
  const made = { over, storage, format, files, layer, changes, from: was }
  return accept(event("ImageVersionFlattened", { image: imageRef(image), version, ...made }))
}

/** A version further below than the one that it is read over now, or none. */
const canBeOver = (image: ImageEntry, entry: VersionEntry, over: number | null): boolean => {
  if (entry.over === null || entry.over === over) return false
  let at: number | null = entry.over
  while (at !== null && at !== over) at = image.versions[at - 1]!.over
  return at === over
}

export const placeImage = (catalogue: Catalogue, command: Body<"PlaceImage">): Decision => {
  const image = findImage(catalogue, command.name)
  if (image instanceof ImagelinkError) return refuse(image)
  if (image.draft) return refuse(fail("IMAGE_NOT_SEALED", { image: image.name }))
  const { tier: kind, hot = false, share } = command
  if (share !== undefined && (share < 1 || share > 100))
    return refuse(fail("COMMAND_INVALID", { why: `a hot zone covers 1 to 100 per cent of the reads, not ${share}` }))
  const to = { kind, hot, ...(hot && share !== undefined ? { share } : {}) }
  if (isDeepStrictEqual(image.tier, to)) return accept()
  return accept(event("ImagePlaced", { image: imageRef(image), from: image.tier, to }))
}
