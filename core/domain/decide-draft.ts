/** Deciders of CreateImage and SealImage: a disk that is written to first, and served afterwards. */
import { fail, type ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import type { Catalogue } from "./catalogue.ts"
import type { Body } from "./commands.ts"
import { accept, type Decision, event, refuse } from "./decision.ts"
import { isImageName, nameKey } from "./names.ts"
import { removedIdProblem } from "./registration.ts"

const newImageProblem = (catalogue: Catalogue, id: string, name: string): ImagelinkError | undefined => {
  if (!isImageName(name)) return fail("IMAGE_NAME_INVALID", { name })
  if (catalogue.imagesByName.has(nameKey(name))) return fail("IMAGE_EXISTS", { name })
  const sameId = catalogue.images.get(id)
  if (sameId) return fail("ID_TAKEN", { id, holder: `the image ${sameId.name}` })
  return removedIdProblem(catalogue, id)
}

export const createImage = (catalogue: Catalogue, command: Body<"CreateImage">): Decision => {
  const { imageId: id, name, sizeBytes, storage, note } = command
  const problem = newImageProblem(catalogue, id, name)
  if (problem) return refuse(problem)
  const size = Number(sizeBytes)
  if (size === 0 || size % limits.logicalBlockBytes !== 0)
    return refuse(fail("IMAGE_SIZE_ODD", { path: name, sizeBytes: size, made: true }))
  if (size > limits.imageBytesMax)
    return refuse(fail("IMAGE_TOO_LARGE", { path: name, sizeBytes: size, maxBytes: limits.imageBytesMax }))
  const noted = note === undefined ? {} : { note }
  return accept(event("ImageCreated", { image: { id, name }, sizeBytes, storage, ...noted }))
}

/** Whoever asks has made sure that what was written is on the disk. Sealing what is sealed changes nothing. */
export const sealImage = (catalogue: Catalogue, command: Body<"SealImage">): Decision => {
  const { imageId, storage, format, sizeBytes, files } = command
  const image = catalogue.images.get(imageId)
  if (!image) return refuse(fail("IMAGE_NOT_FOUND", { name: imageId }))
  if (image.draft === null) return accept()
  const { id, name } = image
  return accept(event("ImageSealed", { image: { id, name }, version: 1, storage, format, sizeBytes, files }))
}
