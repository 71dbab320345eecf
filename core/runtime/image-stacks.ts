/**
 * Opened versions of images, each opened once however many disks stand on it.
 *
 * **Details** A stack is `version ─► cache ─► format ─► guard ─► storage plugin`. It stays open until `close`, because a hundred clients come
 * and go over the same file. Each opening of a disk looks at the file again, so one that was replaced, written to or taken away refuses new
 * boots, while running clients keep what they opened.
 */
import type { ReadCache } from "../block/cache.ts"
import { verifierOf } from "../block/checksums.ts"
import type { BlockDevice } from "../block/device.ts"
import { openVersion } from "../block/version.ts"
import type { ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import type { OpenedImage } from "../storage/open-image.ts"
import type { ImageOpener } from "../storage/opener.ts"
import { mismatch, openRecorded, refuseIfChanged, type VersionRef } from "./version-ref.ts"

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
    const image = await openRecorded(opener, ref)
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
      for (const opening of all) {
        const stack = await opening.catch(() => undefined)
        await stack?.device.close()
        await stack?.image.disk.close()
      }
    },
  }
}
