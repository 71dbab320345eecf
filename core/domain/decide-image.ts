/** Deciders of the commands about images: AddImage and RecordCheck. */
import { isDeepStrictEqual } from "node:util"
import { fail, ImagelinkError } from "../errors.ts"
import type { Catalogue, ImageEntry } from "./catalogue.ts"
import type { Body } from "./commands.ts"
import { accept, type Decision, event, refuse } from "./decision.ts"
import { findVersion } from "./lookup.ts"
import { isImageName, nameKey } from "./names.ts"

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
