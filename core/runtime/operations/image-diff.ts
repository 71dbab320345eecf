/** `image.diff`: where two versions of an image differ. */
import { findImage } from "../../domain/lookup.ts"
import { fail, ImagelinkError } from "../../errors.ts"
import type { JobContext } from "../../jobs.ts"
import { limits } from "../../limits.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import { diffFiles } from "../file-diff.ts"
import type { Parts } from "../parts.ts"
import type { VersionNamed } from "../site/images.ts"
import type { Operations } from "../site.ts"
import { describeDifferences, versionDifferences } from "../version-diff.ts"
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
    "image.diff": async ({ from, to, runsMax = limits.diffRunsMax, filesMax }, options) => {
      const [before, after] = [await refOf(from), await refOf(to)]
      if (before.imageId !== after.imageId) throw fail("IMAGE_DIFF_REFUSED", { from: named(before), to: named(after) })
      const image = (await parts.views.state(catalogueProjection)).images.get(after.imageId)
      if (image === undefined) throw fail("IMAGE_NOT_FOUND", { name: after.imageName })
      const request = { image, from: before, to: after, runsMax: Math.min(runsMax, limits.diffRunsMax) }
      const differences = await versionDifferences(parts, request)
      try {
        const answer = await describeDifferences(differences, request, options.signal)
        if (filesMax === undefined) return answer
        const rowsMax = Math.min(filesMax, limits.diffFilesListedMax)
        const title = `list files of ${named(before)} and @${after.version.number}`
        const { runs } = differences
        const work = (job: JobContext) => diffFiles(parts, { from: before, to: after, runs, rowsMax }, job)
        return { ...answer, files: await parts.jobs.run(title, work, options) }
      } finally {
        differences.close()
      }
    },
  }
}

const named = ({ imageName, version }: VersionRef): string => `${imageName}@${version.number}`
