/** `image.create` and `image.seal`: a disk that is written to first. */
import { findImage } from "../../domain/lookup.ts"
import { fail, ImagelinkError } from "../../errors.ts"
import { limits } from "../../limits.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import { inData } from "../../storage/opener.ts"
import { draftFile } from "../drafts.ts"
import type { Parts } from "../parts.ts"
import type { Operations } from "../site.ts"
import { madeBefore } from "./before.ts"
import { makeChange } from "./change.ts"
import { idsOf } from "./ids.ts"
import { runCheck } from "./images.ts"

export const draftOperations = (parts: Parts): Operations<"image.create" | "image.seal"> => {
  const change = makeChange(parts)
  return {
    "image.create": async ({ name, sizeBytes, note }, options) => {
      const imageId = idsOf(parts.newId, options.commandId)()
      const file = draftFile(imageId)
      const noted = note === undefined ? {} : { note }
      const body = { type: "CreateImage" as const, imageId, name, sizeBytes: String(sizeBytes), storage: inData(file) }
      // Refused before anything is made; what is made is announced only once it is on the disk.
      await change({ ...body, ...noted }, { ...options, dryRun: true })
      if (!options.dryRun && !(await isThere(parts, imageId))) await parts.files.create(file, sizeBytes)
      return change({ ...body, ...noted }, options)
    },

    "image.seal": async ({ name }, options) => {
      const catalogue = await parts.views.state(catalogueProjection)
      const image = findImage(catalogue, name)
      if (image instanceof ImagelinkError) throw image
      const before = await madeBefore(parts, "ImageSealed", name, options)
      if (before !== undefined) return before
      const { dryRun = false, expectedPosition: expected } = options
      const { position: actual } = catalogue
      if (image.draft === null && expected !== undefined && expected !== actual)
        throw fail("LOG_CONFLICT", { expected, actual })
      if (image.draft === null) return { events: [], position: actual, repeated: false, dryRun }
      const { storage, sizeBytes } = image.draft
      const release = parts.serving?.drafts.hold(image) ?? (() => {})
      try {
        await flushDraft(parts, image.id)
        const path = draftFile(image.id)
        const [identity = {}] = await parts.opener.identify(storage, [{ path }])
        const files = [{ path, sizeBytes, identity }]
        const body = { type: "SealImage" as const, imageId: image.id, storage, format: "raw", sizeBytes, files }
        const changed = await change(body, options)
        if (!changed.dryRun && parts.serving) runCheck(parts, change, image.id, 1, options).catch(() => {})
        return changed
      } finally {
        release()
      }
    },
  }
}

/** A retried command finds the file that it made the first time. */
const isThere = async ({ views }: Parts, imageId: string): Promise<boolean> =>
  (await views.state(catalogueProjection)).images.has(imageId)

const flushDraft = async ({ data }: Parts, imageId: string): Promise<void> => {
  const [folder = "", name = ""] = draftFile(imageId).split("/")
  const volume = await data.folder(folder).open(name)
  try {
    const last = new Uint8Array(Math.min(limits.logicalBlockBytes, volume.sizeBytes))
    await volume.read(last, 0, volume.sizeBytes - last.length, last.length)
    await volume.flush()
  } catch (e) {
    throw e instanceof ImagelinkError ? e : fail("IO_ERROR", { what: name, why: String(e) })
  } finally {
    await volume.close()
  }
}
