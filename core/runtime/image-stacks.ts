/**
 * Opened versions of images, each opened once however many disks stand on it.
 *
 * **Details** A stack is `version ─► cache ─► format ─► guard ─► storage plugin`. It stays open until `close`, because a hundred clients come
 * and go over the same file. Each opening of a disk compares what identifies the file (device, inode, size, mtime, ctime) with what the
 * log recorded, so a file that was replaced, written to or taken away refuses new boots, while running clients keep what they opened.
 */
import type { ReadCache } from "../block/cache.ts"
import { verifierOf } from "../block/checksums.ts"
import type { BlockDevice } from "../block/device.ts"
import { openVersion } from "../block/version.ts"
import type { Catalogue, VersionEntry } from "../domain/catalogue.ts"
import { fail, type ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import type { OpenedImage } from "../storage/open-image.ts"
import type { ImageOpener } from "../storage/opener.ts"
import type { VolumeIdentity } from "../storage/volume.ts"

/** A version as the log has it, with its image's id and name. */
export interface VersionRef {
  readonly imageId: string
  readonly imageName: string
  readonly version: VersionEntry
}

export const versionRef = (catalogue: Catalogue, imageId: string, version: number): VersionRef => {
  const image = catalogue.images.get(imageId)
  const entry = image?.versions[version - 1]
  if (image === undefined || entry === undefined)
    throw fail("IMAGE_VERSION_NOT_FOUND", {
      name: image?.name ?? imageId,
      version,
      newest: image?.versions.length ?? 0,
    })
  return { imageId, imageName: image.name, version: entry }
}

export interface ImageStacks {
  /** @throws IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED IMAGE_CHANGED */
  open(ref: VersionRef): Promise<BlockDevice>
  /** A check has just recorded this table: what fills the cache is verified from now on. */
  checked(ref: VersionRef, table: Uint32Array): void
  close(): Promise<void>
}

type Verify = (cluster: number, bytes: Uint8Array) => boolean

interface Stack {
  readonly device: BlockDevice
  readonly image: OpenedImage
  verify: Verify | undefined
}

const keyOf = (ref: VersionRef) => `${ref.imageId}@${ref.version.number}`

export const makeImageStacks = (
  opener: ImageOpener,
  cache: ReadCache,
  loadTable: (ref: VersionRef) => Promise<Uint32Array | undefined>,
  /** Told once of each cluster that is not what was recorded; the client gets MEDIUM ERROR for that range. */
  onDamage: (error: ImagelinkError) => void,
): ImageStacks => {
  const stacks = new Map<string, Promise<Stack>>()

  const openStack = async (ref: VersionRef): Promise<Stack> => {
    const table = await loadTable(ref)
    const { storage, format } = ref.version
    const image = await opener.open(storage, format)
    const changed = openedOther(ref, image)
    if (changed !== undefined) {
      await image.disk.close()
      throw changed
    }
    const id = keyOf(ref)
    const stack: { verify: Verify | undefined } = { verify: table && verifierOf({ table }) }
    const reported = new Set<number>()
    const verify = (cluster: number, bytes: Uint8Array) => {
      if (stack.verify === undefined || stack.verify(cluster, bytes)) return true
      if (reported.size < limits.damageReportsMax && !reported.has(cluster)) onDamage(mismatch(ref, cluster))
      reported.add(cluster)
      return false
    }
    const device = openVersion({ id, contentId: id, cache, below: image.disk, sizeBytes: image.sizeBytes, verify })
    return Object.assign(stack, { device, image })
  }

  return {
    async open(ref) {
      const key = keyOf(ref)
      const opening = stacks.get(key) ?? openStack(ref)
      stacks.set(key, opening)
      const stack = await opening.catch((e) => {
        stacks.delete(key)
        throw e
      })
      await refuseIfChanged(opener, ref)
      return stack.device
    },
    checked(ref, table) {
      stacks.get(keyOf(ref))?.then(
        (stack) => {
          stack.verify = verifierOf({ table })
        },
        () => {},
      )
    },
    async close() {
      const all = [...stacks.values()]
      stacks.clear()
      for (const opening of all) await (await opening.catch(() => undefined))?.device.close()
    },
  }
}

export const mismatch = ({ imageName, version }: VersionRef, cluster: number): ImagelinkError => {
  const offset = cluster * limits.clusterBytes
  const length = Math.min(limits.clusterBytes, Number(version.sizeBytes) - offset)
  const path = version.files[0]?.path
  const where = { image: imageName, version: version.number, offset, length }
  return fail("CRC_MISMATCH", path === undefined ? where : { ...where, path })
}

/** @throws IMAGE_CHANGED IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED */
export const refuseIfChanged = async (opener: ImageOpener, ref: VersionRef): Promise<void> => {
  const recorded = ref.version.files[0]
  if (recorded === undefined) return
  const now = await opener.identify(ref.version.storage)
  const what = difference(recorded.identity, now)
  if (what !== undefined) throw fail("IMAGE_CHANGED", { image: ref.imageName, path: recorded.path, what })
}

/** What was opened, judged by its handles: a stack stays open, and so must never stand on another file than the recorded one. */
const openedOther = (ref: VersionRef, { sizeBytes, files }: OpenedImage): ImagelinkError | undefined => {
  const { version, imageName: image } = ref
  for (const [i, recorded] of version.files.entries()) {
    const opened = files[i]
    const what = opened === undefined ? "it is not needed any more" : difference(recorded.identity, opened.identity)
    if (what !== undefined) return fail("IMAGE_CHANGED", { image, path: recorded.path, what })
  }
  if (sizeBytes === Number(version.sizeBytes)) return undefined
  const what = `it is ${sizeBytes} bytes long and was ${version.sizeBytes}`
  return fail("IMAGE_CHANGED", { image, path: version.files[0]?.path ?? "its file", what })
}

/** What differs, in words; undefined when nothing does. */
const difference = (recorded: VolumeIdentity, now: VolumeIdentity): string | undefined => {
  const changed = Object.keys(recorded).filter((key) => recorded[key] !== now[key])
  return changed.length === 0 ? undefined : `${changed.join(", ")} changed`
}
