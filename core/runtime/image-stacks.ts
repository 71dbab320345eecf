/**
 * Opened versions of images, each opened once however many disks stand on it.
 *
 * **Details** A stack is `version ─► cache ─► format ─► guard ─► storage plugin`. It stays open until `close`, because a hundred clients come
 * and go over the same file; but once its image was removed or relocated, it closes when the last disk on it has gone. Each opening of a disk looks at the
 * file again, so one that was replaced, written to or taken away refuses new boots, while running clients keep what they opened.
 */
import { isDeepStrictEqual } from "node:util"
import type { ReadCache } from "../block/cache.ts"
import type { LayerMapBudget } from "../block/layers/budget.ts"
import { LayerMap } from "../block/layers/map.ts"
import { openLayeredVersion } from "../block/layers/version.ts"
import { openVersion, type Version } from "../block/version.ts"
import type { ImageOpener } from "../storage/opener.ts"
import type { StorageLocation } from "../storage/plugin.ts"
import { closeEach } from "./close-each.ts"
import type { StorageReads } from "./tier-reads.ts"
import { baseRef, parentRef, refuseIfChanged, type VersionRef } from "./version-ref.ts"
import { makeVersionSources, type OnDamage, type Source, versionKey } from "./version-sources.ts"

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
  /** Whether an open stack reads the version from there, itself or on the way to a newer one. */
  reads(imageId: string, version: number, place: StorageLocation): boolean
  /** Settles once no disk is read from what the version was read from: true, or false when the server stops first. After `relocated` or `retired`. */
  unread(imageId: string, version: number, place: StorageLocation): Promise<boolean>
  /** Nobody needs the version any more. */
  retired(imageId: string, version: number): Promise<void>
  /** The image is in the catalogue no more: what nobody uses closes and leaves the cache, the rest when its last user has gone. */
  removed(imageId: string): Promise<void>
  /** Numbers of the versions of an image that disks stand on now. */
  usedVersions(imageId: string): ReadonlyArray<number>
  close(): Promise<void>
}

/** One disk's use of a stack. */
export interface StackHold {
  readonly device: Version
  /** Once, when the device is not used any more. */
  release(): Promise<void>
}

interface Opened {
  readonly device: Version
  /** Closes what is below the device; the device is closed first. */
  closeBelow(): Promise<void>
}

type Places = ReadonlyMap<number, StorageLocation>

interface Stack {
  readonly key: string
  readonly imageId: string
  readonly version: number
  /** Where it and the versions that it is made on are read from, by their numbers. */
  readonly places: Places
  readonly opened: Promise<Opened>
  holds: number
  /** No new disk stands on it; it closes when the last one has gone. A relocated one has the same bytes as its successor in the cache. */
  retired: undefined | "relocated" | "removed"
  closing: Promise<void> | undefined
  readonly closed: PromiseWithResolvers<void>
}

const chainOf = (ref: VersionRef): ReadonlyArray<VersionRef> => {
  const refs: Array<VersionRef> = []
  for (let at: VersionRef | undefined = ref; at !== undefined; at = parentRef(at)) refs.push(at)
  return refs.reverse()
}

const placesOf = ({ version, below }: VersionRef): Places =>
  new Map([version, ...below].map(({ number, storage }) => [number, storage]))

const uncounted: Pick<StorageReads, "watch"> = { watch: (_, source) => source }

export const makeImageStacks = (
  opener: ImageOpener,
  cache: ReadCache,
  budget: LayerMapBudget,
  loadTable: (ref: VersionRef) => Promise<Uint32Array | undefined>,
  /** Told once of each cluster that is not what was recorded; the client gets MEDIUM ERROR for that range. */
  onDamage: OnDamage,
  /** A disk stands on a version that none stood on. */
  onUsed: (ref: VersionRef) => void = () => {},
  reads: Pick<StorageReads, "watch"> = uncounted,
): ImageStacks => {
  const stacks = new Map<string, Stack>()
  const retired = new Set<Stack>()
  let stopping = false
  const sources = makeVersionSources(opener, budget, loadTable, onDamage, reads)

  /** From version 1 up to the version itself. */
  const openStack = async (ref: VersionRef): Promise<Opened> => {
    const closers: Array<() => Promise<void>> = []
    const closeBelow = () => closeEach(closers.splice(0).reverse())
    try {
      const chain: Array<Source> = []
      for (const one of chainOf(ref)) {
        const { source, release } = await sources.hold(one)
        closers.push(release)
        chain.push(source)
      }
      return { device: openChain(versionKey(ref), chain, closers), closeBelow }
    } catch (e) {
      await closeBelow()
      throw e
    }
  }

  const openChain = (id: string, chain: ReadonlyArray<Source>, closers: Array<() => Promise<void>>) => {
    const [base] = chain
    const { part, sizeBytes } = base!
    if (chain.length === 1) {
      const { contentId, source: below, verify } = part
      return openVersion({ id, contentId, cache, below, sizeBytes, verify })
    }
    const map = new LayerMap(
      budget,
      sizeBytes,
      chain.flatMap(({ layer }) => layer ?? []),
    )
    closers.push(async () => map.release())
    return openLayeredVersion({ id, cache, map, parts: chain.map((source) => source.part) })
  }

  const start = (ref: VersionRef): Stack => {
    const key = versionKey(ref)
    const { imageId, version } = ref
    const opened = openStack(ref)
    const at = { key, imageId, version: version.number, places: placesOf(ref) }
    const stack: Stack = {
      ...at,
      opened,
      holds: 0,
      retired: undefined,
      closing: undefined,
      closed: Promise.withResolvers(),
    }
    stacks.set(key, stack)
    stack.opened.catch(() => {
      if (stacks.get(key) === stack) stacks.delete(key)
    })
    return stack
  }

  const closeNow = async (stack: Stack): Promise<void> => {
    const opened = await stack.opened.catch(() => undefined)
    await opened?.device.close()
    await opened?.closeBelow()
    if (stack.retired === "removed") cache.forget(stack.key)
    retired.delete(stack)
    stack.closed.resolve()
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
    const stack = stacks.get(versionKey(ref))
    if (stack !== undefined && !isDeepStrictEqual(stack.places, placesOf(ref))) await retire(stack, "relocated")
  }

  const readersOf = (imageId: string, version: number, place: StorageLocation): ReadonlyArray<Stack> =>
    [...stacks.values(), ...retired].filter(
      (s) => s.imageId === imageId && isDeepStrictEqual(s.places.get(version), place),
    )

  const hold = (ref: VersionRef): { readonly stack: Stack; release(): Promise<void> } => {
    const stack = stacks.get(versionKey(ref)) ?? start(ref)
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
        if (stack.holds === 1) onUsed(ref)
        return { device, release }
      } catch (e) {
        await release()
        throw e
      }
    },
    checked: sources.checked,
    async relocated({ imageId, version }) {
      for (const stack of [...stacks.values()])
        if (stack.imageId === imageId && isDeepStrictEqual(stack.places.get(version.number), version.storage))
          await retire(stack, "relocated")
    },
    reads: (imageId, version, place) => readersOf(imageId, version, place).length > 0,
    async unread(imageId, version, place) {
      for (let all = readersOf(imageId, version, place); all.length > 0; all = readersOf(imageId, version, place))
        for (const stack of all) await stack.closed.promise
      return !stopping
    },
    async retired(imageId, version) {
      const stack = stacks.get(`${imageId}@${version}`)
      if (stack !== undefined) await retire(stack, "removed")
    },
    async removed(imageId) {
      for (const stack of [...stacks.values()]) if (stack.imageId === imageId) await retire(stack, "removed")
    },
    usedVersions: (imageId) =>
      [...stacks.values()].filter((s) => s.imageId === imageId && s.holds > 0).map((s) => s.version),
    async close() {
      stopping = true
      const all = [...stacks.values(), ...retired]
      stacks.clear()
      await closeEach(all.map((stack) => () => closeStack(stack)))
    },
  }
}
