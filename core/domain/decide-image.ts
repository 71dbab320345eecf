/** Deciders of the commands about images: AddImage, RecordCheck, RecordDamage, RelocateImage and RemoveImage. */
import { isDeepStrictEqual } from "node:util"
import { fail, ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import type { Catalogue, ImageEntry } from "./catalogue.ts"
import type { Body } from "./commands.ts"
import { accept, type Decision, event, refuse } from "./decision.ts"
import { findImage, findVersion } from "./lookup.ts"
import { isImageName, nameKey } from "./names.ts"
import { imageNeeds, whoNeeds } from "./needs.ts"
import { removedIdProblem } from "./registration.ts"

/** The image's first version reads the very same files: adding it again changes nothing. */
const isSame = (image: ImageEntry, command: Body<"AddImage">): boolean => {
  if (image.draft) return false
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

/** A check that finds what the last one found changes nothing, unless it is to be told `again`. */
export const recordCheck = (catalogue: Catalogue, command: Body<"RecordCheck">): Decision => {
  const { imageId, version, result, checksums, mismatches, files, again = false } = command
  const image = catalogue.images.get(imageId)
  if (!image) return refuse(fail("IMAGE_NOT_FOUND", { name: imageId }))
  const target = findVersion(image, version)
  if (target instanceof ImagelinkError) return refuse(target)
  const check = { result, checksums, mismatches }
  const before = image.versions[version - 1]!
  const sameFiles = files === undefined || isDeepStrictEqual(before.files, files)
  if (!again && sameFiles && isDeepStrictEqual(before.check, check)) return accept()
  const moved = files === undefined ? {} : { files }
  return accept(event("ImageChecked", { image: { id: image.id, name: image.name }, version, ...check, ...moved }))
}

/**
 * Each bad cluster once, until a check has read the version again. Once as many are listed as an event may list, no more are recorded: which
 * of the others are known cannot be told any more, and that the version is damaged can.
 */
export const recordDamage = (catalogue: Catalogue, command: Body<"RecordDamage">): Decision => {
  const { imageId, version } = command
  const image = catalogue.images.get(imageId)
  if (!image) return refuse(fail("IMAGE_NOT_FOUND", { name: imageId }))
  const target = findVersion(image, version)
  if (target instanceof ImagelinkError) return refuse(target)
  const { check } = image.versions[version - 1]!
  if (check === null) return accept()
  const { checksums, mismatches: known } = check
  const isFull = known.clusters.length >= limits.checkClustersListedMax
  const found = isFull ? [] : command.clusters.filter((c) => c < checksums.clusters && !known.clusters.includes(c))
  if (found.length === 0) return accept()
  const all = [...known.clusters, ...found].sort((a, b) => a - b)
  const mismatches = { count: known.count + found.length, clusters: all.slice(0, limits.checkClustersListedMax) }
  const of = { image: { id: image.id, name: image.name }, version }
  return accept(event("ImageChecked", { ...of, result: "mismatch", checksums, mismatches, partial: true }))
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

/** An image that is linked stays, whoever links it. */
export const removeImage = (catalogue: Catalogue, command: Body<"RemoveImage">): Decision => {
  const image = findImage(catalogue, command.name)
  if (image instanceof ImagelinkError) return refuse(image)
  const needs = imageNeeds(catalogue, image)
  if (needs.length > 0) {
    const details = needs.map(({ who }) => who)
    const used = { image: image.name, links: needs.length, who: whoNeeds(needs) }
    return refuse(fail("IMAGE_IN_USE", used, { details }))
  }
  const sidecars = image.versions.flatMap(({ check }) => (check ? [check.checksums.sidecar] : []))
  const { id, name, versions } = image
  return accept(event("ImageRemoved", { image: { id, name }, versions: versions.length, sidecars }))
}
