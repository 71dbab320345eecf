/**
 * `image.flatten`: merges the layers of a version into one file, while clients run.
 *
 *     layers copied and compared ─► file synced ─► ImageVersionFlattened ─► pointer ─► the version's own old file, when nobody reads it any more
 *
 * **Details** The bytes of the version are what they were, so links, overlays, caches and checksums go on. New disks stand on the new file; those that run keep
 * what they opened. Versions that were merged stay until they are retired: their own bytes are their own.
 */
import { findImage } from "../../domain/lookup.ts"
import { fail, ImagelinkError, isImagelinkError } from "../../errors.ts"
import type { JobContext } from "../../jobs.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import { type FlattenedVersion, type FlattenOptions, flatPlace, makeFlattened } from "../flatten.ts"
import { loadTable } from "../image-check.ts"
import { LAYER_FORMAT } from "../layer-store.ts"
import type { Parts } from "../parts.ts"
import type { Changed } from "../site/operation.ts"
import type { CallOptions, Input, Operations } from "../site.ts"
import { type VersionRef, versionRef } from "../version-ref.ts"
import { madeBefore } from "./before.ts"
import { type Change, makeChange } from "./change.ts"

type Asked = Input<"image.flatten">

export const flattenOperations = (parts: Parts): Operations<"image.flatten"> => {
  const change = makeChange(parts)
  return {
    "image.flatten": async (input, options) =>
      (await madeBefore(parts, "ImageVersionFlattened", input.name, options)) ??
      flatten(parts, change, input, options, { pace: async () => {}, spaceShare: 1 }),
  }
}

interface Target {
  readonly ref: VersionRef
  /** What it will be read over. */
  readonly over: number | null
  /** What it is read over now. */
  readonly from: number
  readonly table: Uint32Array
}

/** @throws FLATTEN_NOTHING IMAGE_UNVERIFIED CRC_MISMATCH IMAGE_CHANGED FLATTEN_STALE CANCELLED, and what opening a version throws */
export const flatten = async (
  parts: Parts,
  change: Change,
  input: Asked,
  options: CallOptions,
  means: Pick<FlattenOptions, "pace" | "spaceShare">,
): Promise<Changed> => {
  const first = await targetOf(parts, input)
  if (options.dryRun) return change(bodyOf(first, unmade(first)), options)
  const title = `flatten ${first.ref.imageName}@${first.ref.version.number}`
  const work = (job: JobContext) =>
    parts.layers.flattening(first.ref.imageId, async () => {
      // Another one may have merged its layers meanwhile.
      const target = await targetOf(parts, { ...input, version: first.ref.version.number })
      const { over, table, ref } = target
      const made = await makeFlattened(parts, ref, { over, table, ...means }, job)
      const changed = await change(bodyOf(target, made), options).catch(async (e: unknown) => {
        if (isImagelinkError(e) && refusals.has(e.code)) await discard(parts, ref, made)
        throw e
      })
      await follow(parts, ref)
      return changed
    })
  return parts.jobs.run(title, work, options)
}

const targetOf = async (parts: Parts, { name, version, whole = false }: Asked): Promise<Target> => {
  const catalogue = await parts.views.state(catalogueProjection)
  const image = findImage(catalogue, name)
  if (image instanceof ImagelinkError) throw image
  if (image.draft !== null) throw fail("IMAGE_NOT_SEALED", { image: image.name })
  const ref = versionRef(catalogue, image.id, version ?? image.current)
  const { number, over: from } = ref.version
  const over = whole ? null : (ref.below.at(-1)?.number ?? null)
  if (from === null || from === over) throw fail("FLATTEN_NOTHING", { image: image.name, version: number, over: from })
  const table = await loadTable(parts.sidecars, ref)
  if (table === undefined) throw fail("IMAGE_UNVERIFIED", { image: image.name, version: number })
  return { ref, over, from, table }
}

const bodyOf = ({ ref, over, from }: Target, made: FlattenedVersion) => ({
  type: "FlattenVersion" as const,
  imageId: ref.imageId,
  version: ref.version.number,
  over,
  ...made,
  from: { over: from, storage: ref.version.storage },
})

/** What a dry run tells: nothing is read, so how much it would be is not known. */
const unmade = ({ ref, over }: Target): FlattenedVersion => {
  const storage = flatPlace(ref, over)
  const changes = ref.version.changes ?? { storage, files: [] }
  return { storage, format: LAYER_FORMAT, files: [], layer: { dataBytes: "0", zeroBytes: "0" }, changes }
}

/** After anything else the log may have it all the same. */
const refusals: ReadonlySet<string> = new Set(["FLATTEN_STALE", "FLATTEN_NOTHING", "IMAGE_VERSION_RETIRED"])

/** The log did not take it, so nobody reads what was made. */
const discard = async ({ layers, views }: Parts, before: VersionRef, made: FlattenedVersion): Promise<void> => {
  const { number } = before.version
  const now = (await views.state(catalogueProjection)).images.get(before.imageId)?.versions[number - 1]
  const unread = { ...before.version, ...made }
  if (now !== undefined) await layers.removeFlattened(before.imageId, unread, now)
}

/** The log has it: whoever opens the version from now on reads the new file. What a stop leaves undone is done at the next start. */
const follow = async ({ layers, serving, views }: Parts, before: VersionRef): Promise<void> => {
  const { imageId, version } = before
  const image = (await views.state(catalogueProjection)).images.get(imageId)
  const now = image?.versions[version.number - 1]
  if (image === undefined || now === undefined) return
  await layers.pointFlattened(imageId, now)
  const remove = () => layers.removeFlattened(imageId, version, now)
  if (serving === undefined) return remove()
  await serving.stacks.relocated(before)
  if (image.tier.kind === "ramdisk") {
    // What is held under the merged versions' names is not found under the new one's.
    await serving.ram.release(imageId)
    serving.ram.start()
  }
  if (!serving.stacks.reads(imageId, version.number, version.storage)) return remove()
  void serving.stacks.unread(imageId, version.number, version.storage).then(
    (isUnread) => (isUnread ? remove() : undefined),
    () => {},
  )
}
