/**
 * `image.commit`: seals what the super client wrote as the image's next version.
 *
 *     nobody uses the slot ─► overlay settled ─► layer sealed and synced ─► ImageCommitted ─► overlay's folder swept
 *
 * **Details** Everything before the event is made again by the next commit, and everything after it by the next start, so a crash loses nothing
 * and commits nothing twice. The overlay's data file gets a second name and no copy: what a commit costs is metadata.
 */
import { isDeepStrictEqual } from "node:util"
import { readOwnExtents } from "../../block/overlay/sealed.ts"
import { superClientOf } from "../../domain/decide-version.ts"
import type { EventData } from "../../domain/events.ts"
import { findImage } from "../../domain/lookup.ts"
import { fail, ImagelinkError } from "../../errors.ts"
import type { JobContext } from "../../jobs.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import { LAYER_FORMAT, layerNames } from "../layer-store.ts"
import { generationPath } from "../overlay-folders.ts"
import type { Parts } from "../parts.ts"
import type { Changed } from "../site/operation.ts"
import type { CallOptions, Input, Operations } from "../site.ts"
import type { SlotRef } from "../slot-owners.ts"
import { makeTurns, type Turns } from "../turns.ts"
import { madeBefore } from "./before.ts"
import { type Change, makeChange } from "./change.ts"
import { runCheck } from "./images.ts"

type Asked = Input<"image.commit">

export const commitOperations = (parts: Parts): Operations<"image.commit"> => {
  const change = makeChange(parts)
  const inTurn = makeTurns()
  return {
    "image.commit": async (input, options) => {
      const title = `commit ${input.name}`
      const work = ({ signal }: JobContext) => commit(parts, { change, inTurn }, input, options, signal)
      const changed =
        (await madeBefore(parts, "ImageCommitted", input.name, options)) ?? (await parts.jobs.run(title, work, options))
      if (!changed.dryRun && !changed.repeated) await afterwards(parts, change, changed, options)
      return changed
    },
  }
}

interface Means {
  readonly change: Change
  readonly inTurn: Turns
}

/**
 * **Gotchas** Two commits of an image would make the same file, so one seals after the other. And who is super client may have changed
 * while the one before was waited for: the slot that is sealed is the one that is held.
 */
const commit = async (
  parts: Parts,
  { change, inTurn }: Means,
  input: Asked,
  options: CallOptions,
  signal: AbortSignal,
): Promise<Changed> => {
  for (;;) {
    const slot = await slotOf(parts, input.name)
    const release = await unused(parts, slot, input, options.dryRun === true, signal)
    try {
      const changed = await inTurn(slot.imageId, async () => {
        const before = await madeBefore(parts, "ImageCommitted", input.name, options)
        if (before !== undefined) return before
        const now = await slotOf(parts, input.name)
        return isDeepStrictEqual(now, slot) ? seal(parts, change, input, options) : undefined
      })
      if (changed !== undefined) return changed
    } finally {
      release()
    }
  }
}

const targetOf = async ({ views }: Parts, name: string) => {
  const catalogue = await views.state(catalogueProjection)
  const image = findImage(catalogue, name)
  if (image instanceof ImagelinkError) throw image
  const found = superClientOf(catalogue, image)
  if (found instanceof ImagelinkError) throw found
  return { image, ...found }
}

interface SuperSlot extends SlotRef {
  readonly client: string
  readonly imageId: string
}

const slotOf = async (parts: Parts, name: string): Promise<SuperSlot> => {
  const { image, client, slot } = await targetOf(parts, name)
  return { imageId: image.id, client: client.name, clientId: client.id, slot }
}

/**
 * Keeps the slot for this commit, once nobody uses it and the overlay of who did is closed. A dry run waits for nobody and ends nobody.
 * @throws OVERLAY_IN_USE CANCELLED
 */
const unused = async (
  { serving }: Parts,
  slot: SuperSlot,
  { whenOff, fence }: Asked,
  dryRun: boolean,
  signal: AbortSignal,
): Promise<() => void> => {
  if (serving === undefined) return () => {}
  for (;;) {
    const release = await serving.disks.hold([slot])
    try {
      if (fence && !dryRun) await serving.disks.end(slot)
      const sessions = serving.disks.sessions(slot)
      if (sessions === 0) {
        await serving.disks.unused(slot, signal)
        return release
      }
      if (!whenOff || dryRun) throw fail("OVERLAY_IN_USE", { client: slot.client, slot: slot.slot, sessions })
    } catch (e) {
      release()
      throw e
    }
    release()
    await serving.disks.unused(slot, signal)
  }
}

const seal = async (parts: Parts, change: Change, { name, note }: Asked, options: CallOptions): Promise<Changed> => {
  const { image, client, slot, link, version: parentNumber } = await targetOf(parts, name)
  const parent = image.versions[parentNumber - 1]!
  const version = image.versions.length + 1
  const overlay = generationPath({ clientId: client.id, slot, epoch: link.epoch, serial: 0 })
  const own = await readOwn(parts, overlay, { image: image.name, client: client.name, slot })
  const { dataBytes, zeroBytes } = own
  const request = { imageId: image.id, version, parent, overlay, own }
  const sealed = options.dryRun ? unsealed(image.id, version) : await parts.layers.seal(request)
  const body = {
    type: "CommitImage" as const,
    imageId: image.id,
    version,
    sealedOverlay: link.epoch,
    ...sealed,
    format: LAYER_FORMAT,
    sizeBytes: parent.sizeBytes,
    layer: { dataBytes: String(dataBytes), zeroBytes: String(zeroBytes) },
    ...(note === undefined ? {} : { note }),
  }
  return change(body, options)
}

/** Where the layer would be; a dry run seals none. */
const unsealed = (imageId: string, version: number) => ({
  storage: { kind: "data", config: { file: `layers/${imageId}/${layerNames(version).tables}` } },
  files: [],
})

/** What the super client wrote. @throws NOTHING_TO_COMMIT OVERLAY_DAMAGED */
const readOwn = async (
  { data, hostBootId }: Parts,
  overlay: string,
  who: { readonly image: string; readonly client: string; readonly slot: number },
) => {
  const folder = overlay.split("/").reduce((at, name) => at.folder(name), data)
  if ((await folder.readFile("header")) === undefined) throw fail("NOTHING_TO_COMMIT", who)
  const own = await readOwnExtents(folder, hostBootId)
  if (own.dataBytes + own.zeroBytes > 0) return own
  throw fail("NOTHING_TO_COMMIT", who)
}

/** The overlay's folder goes, and the new version is read once for its checksums, while it is served already. */
const afterwards = async (parts: Parts, change: Change, { events }: Changed, { actor }: CallOptions): Promise<void> => {
  const { image, version, client, slot } = events[0]!.data as EventData<"ImageCommitted">
  const { serving } = parts
  if (serving === undefined) return
  await parts.views.state(catalogueProjection)
  await serving.disks.sweep([{ clientId: client.id, slot }])
  // The job list says how it went; a version that it could not read now is read at the next start.
  runCheck(parts, change, image.id, version, { actor }).catch(() => {})
}
