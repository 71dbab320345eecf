/**
 * The images: the current version of each, and whatever it is read over, can be opened and is what was recorded.
 *
 * **Details** The files are opened and told apart as a server would; none is read through, which is `imagelink image check`. What the newest check found is said.
 */
import { inParallel } from "../../../core/block/parallel.ts"
import { fail, type ImagelinkError, isImagelinkError } from "../../../core/errors.ts"
import { limits } from "../../../core/limits.ts"
import type { ImageRow, VersionRow } from "../../../core/projections/image-versions.ts"
import { openLayer, openRecorded, type VersionRef } from "../../../core/runtime/version-ref.ts"
import type { ImageOpener } from "../../../core/storage/opener.ts"
import type { Check } from "../check.ts"
import type { Exam } from "../exam.ts"
import { type Found, failed, pass, skip } from "../finding.ts"
import { asDoctor, askSite, isGuest, ownerOf } from "../store.ts"
import { barrier } from "../system/users.ts"

export const images: Check = {
  name: "images",
  side: "server",
  run: (exam) =>
    askSite(exam, "images", async (site) => {
      const rows = await site.call("image.list", {}, asDoctor)
      if (rows.length === 0) return [pass("images", "none yet")]
      const found: Array<Found> = []
      await inParallel(rows.length, limits.doctorImagesAtOnceMax, async (i) => {
        found[i] = await judge(rows[i]!, exam)
      })
      return found
    }),
}

const judge = async (image: ImageRow, exam: Exam): Promise<Found> => {
  const current = image.versions[image.current - 1]
  if (current === undefined) return skip(image.name, "a draft that was not sealed yet")
  const subject = `${image.name}@${image.current}`
  const chain = chainOf(image, current)
  try {
    for (const [i, version] of chain.entries()) {
      const ref: VersionRef = { imageId: image.id, imageName: image.name, version, below: chain.slice(i + 1) }
      await opened(exam.images, ref)
    }
  } catch (e) {
    if (!isImagelinkError(e)) throw e
    if (e.code === "IMAGE_ACCESS_DENIED" && isGuest(exam))
      return skip(subject, "its files are for the server's user alone")
    return failed(subject, e)
  }
  const closed = closedTo(exam, chain)
  if (closed !== undefined) return failed(subject, closed)
  if (current.checked === "mismatch") return failed(subject, damage(image, current))
  const checked = current.checked === "verified" ? "every byte was checked" : "not checked yet"
  return pass(subject, `${current.files[0]?.path ?? current.storage.kind}: ${checked}`)
}

/** From the version down to what all is read from. */
const chainOf = ({ versions }: ImageRow, from: VersionRow): ReadonlyArray<VersionRef["version"]> => {
  const chain = [from]
  for (let at = from.over; at !== null; at = chain.at(-1)!.over) chain.push(versions[at - 1]!)
  return chain.map((row) => ({ ...row, changes: null, check: null }))
}

/** What root opens, the server's own user perhaps may not. */
const closedTo = (exam: Exam, chain: ReadonlyArray<VersionRef["version"]>): ImagelinkError | undefined => {
  const user = ownerOf(exam)
  if (user === undefined || process.getuid?.() !== 0) return undefined
  const files = chain.filter(({ storage }) => storage.kind === "file").flatMap((version) => version.files)
  const path = files.map((file) => barrier(user, file.path)).find((at) => at !== undefined)
  return path === undefined ? undefined : fail("IMAGE_ACCESS_DENIED", { path, user: user.name })
}

const opened = async (opener: ImageOpener, ref: VersionRef): Promise<void> => {
  if (ref.below.length === 0) return (await openRecorded(opener, ref)).disk.close()
  return (await openLayer(opener, ref)).close()
}

/** The first cluster that the newest check found. */
const damage = ({ name }: ImageRow, { number, files, mismatches }: VersionRow) => {
  const offset = (mismatches?.clusters[0] ?? 0) * limits.clusterBytes
  const path = files[0]?.path ?? ""
  return fail("CRC_MISMATCH", { image: name, version: number, offset, length: limits.clusterBytes, path })
}
