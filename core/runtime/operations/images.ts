/** Operations on images. */
import { isDeepStrictEqual } from "node:util"
import type { EventData } from "../../domain/events.ts"
import { findImage } from "../../domain/lookup.ts"
import { fail, ImagelinkError } from "../../errors.ts"
import type { JobContext } from "../../jobs.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import { imageRows, imageVersions } from "../../projections/image-versions.ts"
import { removeCheckPart } from "../check-part.ts"
import { damagedRanges, damageError } from "../damage-report.ts"
import { removeDraft } from "../drafts.ts"
import { makeHeatStore } from "../heat-store.ts"
import { checkVersion } from "../image-check.ts"
import { provenFiles } from "../image-relocate.ts"
import type { Parts } from "../parts.ts"
import type { CheckAnswer } from "../site/images.ts"
import type { CallOptions, Operations } from "../site.ts"
import { changed as changedError, type VersionRef, versionRef } from "../version-ref.ts"
import { type Change, makeChange } from "./change.ts"
import { idsOf } from "./ids.ts"

type Names = "image.add" | "image.check" | "image.list" | "image.relocate" | "image.remove"

export const imageOperations = (parts: Parts): Operations<Names> => {
  const change = makeChange(parts)
  return {
    "image.add": async ({ name, path, storage, note, check }, options) => {
      const location = storage ?? (await parts.opener.locate(path ?? ""))
      const { disk, format, sizeBytes, files } = await parts.opener.open(location)
      const notes = await partitionNote(disk).finally(() => disk.close())
      const body = {
        type: "AddImage" as const,
        imageId: idsOf(parts.newId, options.commandId)(),
        name,
        storage: location,
        format,
        sizeBytes: String(sizeBytes),
        files: files.map((f) => ({ path: f.path, sizeBytes: String(f.sizeBytes), identity: f.identity })),
        ...(note === undefined ? {} : { note }),
      }
      const changed = await change(body, options)
      const added = changed.events.find((e) => e.type === "ImageAdded")?.data as EventData<"ImageAdded"> | undefined
      if (!check || changed.dryRun || added === undefined) return { ...changed, notes, check: null }
      return { ...changed, notes, check: await runCheck(parts, change, added.image.id, 1, options) }
    },

    "image.check": async ({ name, version }, options) => {
      const { expectedPosition: expected } = options
      const actual = parts.log.head()
      if (expected !== undefined && expected !== actual) throw fail("LOG_CONFLICT", { expected, actual })
      const ref = await refOf(parts, name, version)
      return runCheck(parts, change, ref.imageId, ref.version.number, options)
    },

    "image.relocate": async ({ name, version, path, storage }, options) => {
      // Layers are in the data folder and move with it; the one file with a place of its own is version 1's.
      const ref = await refOf(parts, name, version ?? 1)
      if (ref.version.number !== 1) {
        const why = `${ref.imageName}@${version} is kept in the data folder; only version 1 can be relocated`
        throw fail("COMMAND_INVALID", { why })
      }
      const location = storage ?? (await parts.opener.locate(path ?? ""))
      const title = `relocate ${ref.imageName}@${ref.version.number}`
      const prove = (job: JobContext) => provenFiles(parts.opener, parts.sidecars, ref, location, job)
      const files = await parts.jobs.run(title, prove, options)
      const { imageId } = ref
      const body = { type: "RelocateImage" as const, imageId, version: ref.version.number, storage: location, files }
      const changed = await change(body, options)
      if (changed.dryRun || changed.events.length === 0) return changed
      await parts.serving?.stacks.relocated(ref)
      await parts.layers.repoint(imageId, { ...ref.version, storage: location })
      return changed
    },

    "image.remove": async (input, options) => {
      const image = findImage(await parts.views.state(catalogueProjection), input.name)
      const isDraft = !(image instanceof ImagelinkError) && image.draft !== null
      const release = (isDraft && parts.serving?.drafts.hold(image)) || (() => {})
      const changed = await change({ type: "RemoveImage", ...input }, options).finally(release)
      if (changed.dryRun) return changed
      // A repeated command comes here again, so that what a crash left behind goes too.
      for (const { image, sidecars } of changed.events.map((e) => e.data as EventData<"ImageRemoved">)) {
        await parts.serving?.ram.release(image.id)
        await parts.serving?.stacks.removed(image.id)
        await (parts.serving?.heat.removed(image.id) ?? makeHeatStore(parts.data).remove(image.id))
        for (const sidecar of sidecars) await dropSidecar(parts, sidecar)
        await removeCheckPart(parts.sidecars, image.id)
        await parts.layers.removeImage(image.id)
        await removeDraft(parts.data, image.id)
      }
      return changed
    },

    "image.list": async () => imageRows(await parts.views.state(imageVersions)),
  }
}

/** Removes a checksum file that nothing in the catalogue names any more. */
const dropSidecar = async (parts: Parts, sidecar: string): Promise<void> => {
  const { images } = await parts.views.state(catalogueProjection)
  const isNamed = [...images.values()].some((i) => i.versions.some((v) => v.check?.checksums.sidecar === sidecar))
  if (!isNamed) await parts.sidecars.remove(sidecar)
}

/** A version as people name it; without a number the current one. @throws IMAGE_NOT_FOUND IMAGE_VERSION_NOT_FOUND */
const refOf = async (parts: Parts, name: string, version: number | undefined): Promise<VersionRef> => {
  const catalogue = await parts.views.state(catalogueProjection)
  const image = findImage(catalogue, name)
  if (image instanceof ImagelinkError) throw image
  return versionRef(catalogue, image.id, version ?? image.current)
}

/** One reading of a whole version as a job; what it finds is recorded. */
export const runCheck = async (
  parts: Parts,
  change: Change,
  imageId: string,
  version: number,
  options: Omit<CallOptions, "onItem">,
): Promise<CheckAnswer> => {
  const ref: VersionRef = versionRef(await parts.views.state(catalogueProjection), imageId, version)
  const title = `check ${ref.imageName}@${version}`
  const work = (job: JobContext) => checkVersion(parts, ref, job)
  const checked = await parts.jobs.run(title, work, options).catch(async (e: unknown) => {
    if (await wasFlattened(parts, ref)) return undefined
    throw e
  })
  // What was read was merged into another file meanwhile: that one is what is checked now.
  if (checked === undefined || (await wasFlattened(parts, ref)))
    return runCheck(parts, change, imageId, version, options)
  const { check, table, files, bad } = checked
  const { actor } = options
  const now = (await parts.views.state(catalogueProjection)).images.get(imageId)?.versions[version - 1]
  if (now === undefined) {
    await dropSidecar(parts, check.checksums.sidecar)
    throw fail("IMAGE_NOT_FOUND", { name: ref.imageName })
  }
  if (!isDeepStrictEqual(now.storage, ref.version.storage))
    throw changedError(ref, "it was relocated while it was read")
  await change({ type: "RecordCheck", imageId, version, ...check, ...(files && { files }) }, { actor })
  parts.serving?.stacks.checked(ref, table)
  const damage = await damagedRanges(parts, ref, bad)
  const [first] = damage
  return {
    image: ref.imageName,
    version,
    result: check.result,
    clusters: check.checksums.clusters,
    mismatches: check.mismatches.count,
    firstMismatch: first === undefined ? null : damageError(ref, first).toJSON(),
    damage,
  }
}

const wasFlattened = async ({ views }: Parts, { imageId, version }: VersionRef): Promise<boolean> => {
  const now = (await views.state(catalogueProjection)).images.get(imageId)?.versions[version.number - 1]
  return now !== undefined && now.over !== version.over
}

/** A disk without a partition table boots nothing, and may still be right: a file system of its own, or an empty disk to install onto. */
const partitionNote = async (disk: {
  readonly sizeBytes: number
  read(into: Uint8Array, at: number, offset: number, length: number): Promise<void>
}) => {
  const head = new Uint8Array(Math.min(disk.sizeBytes, 1024))
  await disk.read(head, 0, 0, head.length)
  if (head[510] === 0x55 && head[511] === 0xaa) return []
  return ["the disk has no partition table (no boot signature in its first block); nothing will boot from it as it is"]
}

/** The versions that no check has read yet. */
export const unverified = async (
  parts: Parts,
): Promise<ReadonlyArray<{ readonly imageId: string; readonly version: number }>> => {
  const { images } = await parts.views.state(catalogueProjection)
  return [...images.values()].flatMap((i) =>
    i.versions.filter((v) => v.check === null && !v.retired).map((v) => ({ imageId: i.id, version: v.number })),
  )
}
