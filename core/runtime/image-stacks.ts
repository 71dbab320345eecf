/**
 * Opened versions of images, each opened once however many disks stand on it.
 *
 * **Details** A stack is `version ─► cache ─► format ─► guard ─► storage plugin`. It stays open until `close`, because a hundred clients come
 * and go over the same file; but once its image was removed or relocated, it closes when the last disk on it has gone. Each opening of a disk looks at the
 * file again, so one that was replaced, written to or taken away refuses new boots, while running clients keep what they opened.
 */
import { isDeepStrictEqual } from "node:util"
import type { ReadCache } from "../block/cache.ts"
import { verifierOf } from "../block/checksums.ts"
import type { BlockDevice } from "../block/device.ts"
import { openVersion } from "../block/version.ts"
import type { ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import type { OpenedImage } from "../storage/open-image.ts"
import type { ImageOpener } from "../storage/opener.ts"
import type { StorageLocation } from "../storage/plugin.ts"
import { mismatch, openRecorded, refuseIfChanged, type VersionRef } from "./version-ref.ts"

export interface ImageStacks {
  /** @throws IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED IMAGE_CHANGED */
  open(ref: VersionRef): Promise<StackHold>
  /** A check has just recorded this table: what fills the cache is verified from now on. */
  checked(ref: VersionRef, table: Uint32Array): void
  /** The version is read from another place: new disks stand on that; the file so far closes when its last user has gone. */
  relocated(before: VersionRef): Promise<void>
  /** The image is in the catalogue no more: what nobody uses closes and leaves the cache, the rest when its last user has gone. */
  removed(imageId: string): Promise<void>
  close(): Promise<void>
}

/** One disk's use of a stack. */
export interface StackHold {
  readonly device: BlockDevice
  /** Once, when the device is not used any more. */
  release(): Promise<void>
}

type Verify = (cluster: number, bytes: Uint8Array) => boolean

interface Opened {
  readonly device: BlockDevice
  readonly image: OpenedImage
  verify: Verify | undefined
}

interface Stack {
  readonly key: string
  readonly imageId: string
  readonly opened: Promise<Opened>
  holds: number
  readonly storage: StorageLocation
  /** No new disk stands on it; it closes when the last one has gone. A relocated one has the same bytes as its successor in the cache. */
  retired: undefined | "relocated" | "removed"
  closing: Promise<void> | undefined
}

const keyOf = (ref: VersionRef) => `${ref.imageId}@${ref.version.number}`

export const makeImageStacks = (
  opener: ImageOpener,
  cache: ReadCache,
  loadTable: (ref: VersionRef) => Promise<Uint32Array | undefined>,
  /** Told once of each cluster that is not what was recorded; the client gets MEDIUM ERROR for that range. */
  onDamage: (error: ImagelinkError) => void,
): ImageStacks => {
  const stacks = new Map<string, Stack>()
  const retired = new Set<Stack>()

  const openStack = async (ref: VersionRef): Promise<Opened> => {
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

  const start = (ref: VersionRef): Stack => {
    const key = keyOf(ref)
    const { imageId, version } = ref
    const opened = openStack(ref)
    const { storage } = version
    const stack: Stack = { key, imageId, storage, opened, holds: 0, retired: undefined, closing: undefined }
    stacks.set(key, stack)
    stack.opened.catch(() => {
      if (stacks.get(key) === stack) stacks.delete(key)
    })
    return stack
  }

  const closeNow = async (stack: Stack): Promise<void> => {
    const opened = await stack.opened.catch(() => undefined)
    await opened?.device.close()
    await opened?.image.disk.close()
    if (stack.retired === "removed") cache.forget(stack.key)
    retired.delete(stack)
  }
  const closeStack = (stack: Stack): Promise<void> => (stack.closing ??= closeNow(stack))
  const closeIfUnused = async (stack: Stack): Promise<void> => {
    if (stack.retired && stack.holds === 0) await closeStack(stack)
  }

  const retire = (stack: Stack, why: "relocated" | "removed"): Promise<void> => {
    stacks.delete(stack.key)
    stack.retired = why
    retired.add(stack)
    return closeIfUnused(stack)
  }

  /** A command that moved a version is seen here before it says so. */
  const retireIfMoved = async (ref: VersionRef): Promise<void> => {
    const stack = stacks.get(keyOf(ref))
    if (stack !== undefined && !isDeepStrictEqual(stack.storage, ref.version.storage)) await retire(stack, "relocated")
  }

  return {
    async open(ref) {
      const moved = retireIfMoved(ref)
      const stack = stacks.get(keyOf(ref)) ?? start(ref)
      stack.holds++
      let released = false
      const release = async () => {
        if (released) return
        released = true
        stack.holds--
        await closeIfUnused(stack)
      }
      try {
        await moved
        const { device } = await stack.opened
        await refuseIfChanged(opener, ref)
        return { device, release }
      } catch (e) {
        await release()
        throw e
      }
    },
    checked(ref, table) {
      stacks.get(keyOf(ref))?.opened.then(
        (opened) => {
          opened.verify = verifierOf({ table })
        },
        () => {},
      )
    },
    async relocated(before) {
      const stack = stacks.get(keyOf(before))
      if (stack !== undefined && isDeepStrictEqual(stack.storage, before.version.storage))
        await retire(stack, "relocated")
    },
    async removed(imageId) {
      for (const stack of [...stacks.values()]) if (stack.imageId === imageId) await retire(stack, "removed")
    },
    async close() {
      const all = [...stacks.values(), ...retired]
      stacks.clear()
      for (const stack of all) await closeStack(stack)
    },
  }
}
