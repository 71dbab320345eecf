/** `image.diff`: where two versions of an image differ. */
import { findImage } from "../../domain/lookup.ts"
import { fail, ImagelinkError } from "../../errors.ts"
import { limits } from "../../limits.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import type { Parts } from "../parts.ts"
import type { Operations, VersionNamed } from "../site.ts"
import { diffVersions } from "../version-diff.ts"
import { type VersionRef, versionRef } from "../version-ref.ts"

export const diffOperations = (parts: Parts): Operations<"image.diff"> => {
  const refOf = async ({ name, version }: VersionNamed): Promise<VersionRef> => {
    const catalogue = await parts.views.state(catalogueProjection)
    const image = findImage(catalogue, name)
    if (image instanceof ImagelinkError) throw image
    if (image.draft !== null) throw fail("IMAGE_NOT_SEALED", { image: image.name })
    return versionRef(catalogue, image.id, version ?? image.current)
  }
  return {
    "image.diff": async ({ from, to, runsMax = limits.diffRunsMax }, { signal }) => {
      const [before, after] = [await refOf(from), await refOf(to)]
      if (before.imageId !== after.imageId) throw fail("IMAGE_DIFF_REFUSED", { from: named(before), to: named(after) })
      const image = (await parts.views.state(catalogueProjection)).images.get(after.imageId)
      if (image === undefined) throw fail("IMAGE_NOT_FOUND", { name: after.imageName })
      const request = { image, from: before, to: after, runsMax: Math.min(runsMax, limits.diffRunsMax) }
      return diffVersions(parts, request, signal)
    },
  }
}

const named = ({ imageName, version }: VersionRef): string => `${imageName}@${version.number}`
