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
import { extendMapFrom } from "../block/layers/extend.ts"
import { type LayerMap, LayerMapBudget } from "../block/layers/map.ts"
import { type LayerPart, openLayeredVersion } from "../block/layers/version.ts"
import { openVersion, type Version } from "../block/version.ts"
import type { ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import type { ImageOpener } from "../storage/opener.ts"
import type { StorageLocation } from "../storage/plugin.ts"
import {
  baseRef,
  mismatch,
  openLayer,
  openRecorded,
  parentRef,
  refuseIfChanged,
  type VersionRef,
} from "./version-ref.ts"

export interface ImageStacks {
  /** @throws IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED IMAGE_CHANGED */
  open(ref: VersionRef): Promise<StackHold>
  /** A check has just recorded this table: what fills the cache is verified from now on. */
  checked(ref: VersionRef, table: Uint32Array): void
  /**
   * The version is read from another place: new disks stand on that, also those of versions made on it; the file so far closes when its last
   * user has gone.
   */
  relocated(before: VersionRef): Promise<void>
  /** Nobody needs the version any more. */
  retired(imageId: string, version: number): Promise<void>
  /** The image is in the catalogue no more: what nobody uses closes and leaves the cache, the rest when its last user has gone. */
  removed(imageId: string): Promise<void>
  /** Numbers of the versions of an image that disks stand on now; not those that are open only because others are made on them. */
  usedVersions(imageId: string): ReadonlyArray<number>
  close(): Promise<void>
}

/** One disk's use of a stack. */
export interface StackHold {
  readonly device: Version
  /** Once, when the device is not used any more. */
  release(): Promise<void>
}

type Verify = (cluster: number, bytes: Uint8Array) => boolean

interface Opened {
  readonly device: Version
  /** Its own layer, after those of the versions it is made on. */
  readonly parts: ReadonlyArray<LayerPart>
  /** Of a base only once a version made on it is opened. */
  map: LayerMap | undefined
  verify: Verify | undefined
  /** Closes what is below the device; the device is closed first. */
  closeBelow(): Promise<void>
}

interface Stack {
  readonly key: string
  readonly imageId: string
  readonly version: number
  /** Numbers of the versions that it is made on. */
  readonly below: ReadonlySet<number>
  readonly opened: Promise<Opened>
  holds: number
  /** Holds that are disks; the others are of versions made on it. */
  disks: number
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
  /** A disk stands on a version that none stood on. */
  onUsed: (ref: VersionRef) => void = () => {},
): ImageStacks => {
  const stacks = new Map<string, Stack>()
  const retired = new Set<Stack>()
  const maps = new LayerMapBudget()

  /** Judges clusters by the recorded table, once there is one; what does not match is told once. */
  const judging = async (ref: VersionRef): Promise<{ verify: Verify | undefined; readonly judge: Verify }> => {
    const table = await loadTable(ref)
    const own: { verify: Verify | undefined } = { verify: table && verifierOf({ table }) }
    const reported = new Set<number>()
    const judge = (cluster: number, bytes: Uint8Array) => {
      if (own.verify === undefined || own.verify(cluster, bytes)) return true
      if (reported.size < limits.damageReportsMax && !reported.has(cluster)) onDamage(mismatch(ref, cluster))
      reported.add(cluster)
      return false
    }
    return Object.assign(own, { judge })
  }

  const openBase = async (ref: VersionRef): Promise<Opened> => {
    const own = await judging(ref)
    const { disk, sizeBytes } = await openRecorded(opener, ref)
    const id = keyOf(ref)
    const verify = own.judge
    const device = openVersion({ id, contentId: id, cache, below: disk, sizeBytes, verify })
    const parts = [{ layer: 0, contentId: id, source: disk, verify }]
    return Object.assign(own, { device, parts, map: undefined, closeBelow: () => disk.close() })
  }

  /** Stands on its parent's stack, and keeps that open. */
  const openChild = async (ref: VersionRef, parent: VersionRef): Promise<Opened> => {
    const own = await judging(ref)
    const beneath = hold(parent)
    try {
      const { parts: below, map } = await mapped(beneath.stack)
      const layer = await openLayer(opener, ref)
      const number = ref.version.number
      const contentId = keyOf(ref)
      const parts = [...below, { layer: number, contentId, source: layer.data, verify: own.judge }]
      const flat = await extendMapFrom(map, number, layer.runs()).catch((e) =>
        layer.close().then(() => Promise.reject(e)),
      )
      const device = openLayeredVersion({ id: contentId, cache, map: flat, parts })
      const closeBelow = async () => {
        flat.release()
        await layer.close()
        await beneath.release()
      }
      return Object.assign(own, { device, parts, map: flat, closeBelow })
    } catch (e) {
      await beneath.release()
      throw e
    }
  }

  const mapped = async (stack: Stack): Promise<Opened & { readonly map: LayerMap }> => {
    const opened = await stack.opened
    const map = (opened.map ??= maps.baseMap(opened.device.sizeBytes))
    return { ...opened, map }
  }

  const openStack = (ref: VersionRef): Promise<Opened> => {
    const parent = parentRef(ref)
    return parent === undefined ? openBase(ref) : openChild(ref, parent)
  }

  const start = (ref: VersionRef): Stack => {
    const key = keyOf(ref)
    const { imageId, version } = ref
    const { storage, number } = version
    const below = new Set(ref.below.map((v) => v.number))
    const opened = openStack(ref)
    const at = { key, imageId, version: number, below, storage }
    const stack: Stack = { ...at, opened, holds: 0, disks: 0, retired: undefined, closing: undefined }
    stacks.set(key, stack)
    stack.opened.catch(() => {
      if (stacks.get(key) === stack) stacks.delete(key)
    })
    return stack
  }

  const closeNow = async (stack: Stack): Promise<void> => {
    const opened = await stack.opened.catch(() => undefined)
    await opened?.device.close()
    if (opened !== undefined && opened.parts.length === 1) opened.map?.release()
    await opened?.closeBelow()
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

  /** A command that moved a version, or one that it is made on, is seen here before it says so. */
  const retireMoved = async (ref: VersionRef): Promise<void> => {
    for (let at: VersionRef | undefined = ref; at !== undefined; at = parentRef(at)) {
      const stack = stacks.get(keyOf(at))
      if (stack !== undefined && !isDeepStrictEqual(stack.storage, at.version.storage)) await retireWithChildren(stack)
    }
  }

  /** Versions made on it read from it too. */
  const retireWithChildren = async (stack: Stack): Promise<void> => {
    const { imageId, version } = stack
    for (const other of [...stacks.values()])
      if (other.imageId === imageId && other.below.has(version)) await retire(other, "relocated")
    await retire(stack, "relocated")
  }

  const hold = (ref: VersionRef): { readonly stack: Stack; release(): Promise<void> } => {
    const stack = stacks.get(keyOf(ref)) ?? start(ref)
    stack.holds++
    let released = false
    const release = async () => {
      if (released) return
      released = true
      stack.holds--
      await closeIfUnused(stack)
    }
    return { stack, release }
  }

  return {
    async open(ref) {
      const moved = retireMoved(ref)
      const { stack, release } = hold(ref)
      try {
        await moved
        const { device } = await stack.opened
        await refuseIfChanged(opener, ref)
        if (ref.below.length > 0) await refuseIfChanged(opener, baseRef(ref))
        if (stack.disks++ === 0) onUsed(ref)
        let left = false
        const leave = () => {
          if (!left) stack.disks--
          left = true
          return release()
        }
        return { device, release: leave }
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
        await retireWithChildren(stack)
    },
    async retired(imageId, version) {
      const stack = stacks.get(`${imageId}@${version}`)
      if (stack !== undefined) await retire(stack, "removed")
    },
    async removed(imageId) {
      for (const stack of [...stacks.values()]) if (stack.imageId === imageId) await retire(stack, "removed")
    },
    usedVersions: (imageId) =>
      [...stacks.values()].filter((s) => s.imageId === imageId && s.disks > 0).map((s) => s.version),
    async close() {
      // Newest first, because a version stands on its parent's stack.
      const all = [...stacks.values(), ...retired].sort((a, b) => b.version - a.version)
      stacks.clear()
      for (const stack of all) await closeStack(stack)
    },
  }
}
