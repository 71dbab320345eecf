/** Deciders of the commands about images: AddImage, RecordCheck, RelocateImage and RemoveImage. */
import { isDeepStrictEqual } from "node:util"
import { fail, ImagelinkError } from "../errors.ts"
import type { Catalogue, ImageEntry } from "./catalogue.ts"
import type { Body } from "./commands.ts"
import { accept, type Decision, event, refuse } from "./decision.ts"
import { groupUsersOf } from "./group-links.ts"
import { findImage, findVersion } from "./lookup.ts"
import { isImageName, nameKey } from "./names.ts"
import { compareNatural } from "./natural.ts"
import { removedIdProblem } from "./registration.ts"

/** The image's first version reads the very same files: adding it again changes nothing. */
const isSame = (image: ImageEntry, command: Body<"AddImage">): boolean => {
  const { format, sizeBytes, storage, files } = image.versions[0]!
  const { format: f, sizeBytes: s, storage: st, files: fs } = command
  return isDeepStrictEqual({ format, sizeBytes, storage, files }, { format: f, sizeBytes: s, storage: st, files: fs })
}

export const addImage = (catalogue: Catalogue, command: Body<"AddImage">): Decision => {
  const { imageId, name, storage, format, sizeBytes, files, note } = command
  if (!isImageName(name)) return refuse(fail("IMAGE_NAME_INVALID", { name }))
  const sameName = catalogue.imagesByName.get(nameKey(name))
  if (sameName) return isSame(sameName, command) ? accept() : refuse(fail("IMAGE_EXISTS", { name }))
  const sameId = catalogue.images.get(imageId)
  if (sameId) return refuse(fail("ID_TAKEN", { id: imageId, holder: `the image ${sameId.name}` }))
  const removed = removedIdProblem(catalogue, imageId)
  if (removed) return refuse(removed)
  const noted = note === undefined ? {} : { note }
  return accept(
    event("ImageAdded", { image: { id: imageId, name }, version: 1, storage, format, sizeBytes, files, ...noted }),
  )
}

/** A check that finds what the last one found changes nothing. */
export const recordCheck = (catalogue: Catalogue, command: Body<"RecordCheck">): Decision => {
  const { imageId, version, result, checksums, mismatches, files } = command
  const image = catalogue.images.get(imageId)
  if (!image) return refuse(fail("IMAGE_NOT_FOUND", { name: imageId }))
  const target = findVersion(image, version)
  if (target instanceof ImagelinkError) return refuse(target)
  const check = { result, checksums, mismatches }
  const before = image.versions[version - 1]!
  const sameFiles = files === undefined || isDeepStrictEqual(before.files, files)
  if (sameFiles && isDeepStrictEqual(before.check, check)) return accept()
  const moved = files === undefined ? {} : { files }
  return accept(event("ImageChecked", { image: { id: image.id, name: image.name }, version, ...check, ...moved }))
}

/** Only what was checked has checksums that can tell whether another file is the same disk. */
export const relocateImage = (catalogue: Catalogue, command: Body<"RelocateImage">): Decision => {
  const { imageId, version, storage, files } = command
  const image = catalogue.images.get(imageId)
  if (!image) return refuse(fail("IMAGE_NOT_FOUND", { name: imageId }))
  const target = findVersion(image, version)
  if (target instanceof ImagelinkError) return refuse(target)
  const before = image.versions[version - 1]!
  if (before.check === null) return refuse(fail("IMAGE_UNVERIFIED", { image: image.name, version }))
  const from = { storage: before.storage, files: before.files }
  const to = { storage, files }
  if (isDeepStrictEqual(from, to)) return accept()
  return accept(event("ImageRelocated", { image: { id: image.id, name: image.name }, version, from, to }))
}

const usersNamed = 3

/** Every slot that is linked to an image, as `PC-001 slot 0`, in natural order, after the groups that are. */
const usersOf = (catalogue: Catalogue, imageId: string): ReadonlyArray<string> => {
  const clients = [...catalogue.clients.values()].sort((a, b) => compareNatural(a.name, b.name))
  const slotsOf = clients.flatMap(({ name, links }) => {
    const slots = [...links].filter(([, link]) => link.imageId === imageId).map(([slot]) => slot)
    return slots.sort((a, b) => a - b).map((slot) => `${name} slot ${slot}`)
  })
  return [...groupUsersOf(catalogue, imageId), ...slotsOf]
}

/** An image that is linked stays, whoever links it. */
export const removeImage = (catalogue: Catalogue, command: Body<"RemoveImage">): Decision => {
  const image = findImage(catalogue, command.name)
  if (image instanceof ImagelinkError) return refuse(image)
  const users = usersOf(catalogue, image.id)
  if (users.length > 0) {
    const more = users.length > usersNamed ? ` and ${users.length - usersNamed} more` : ""
    const who = `${users.slice(0, usersNamed).join(", ")}${more}`
    return refuse(fail("IMAGE_IN_USE", { image: image.name, links: users.length, who }, { details: users }))
  }
  const sidecars = image.versions.flatMap(({ check }) => (check ? [check.checksums.sidecar] : []))
  const { id, name, versions } = image
  return accept(event("ImageRemoved", { image: { id, name }, versions: versions.length, sidecars }))
}
