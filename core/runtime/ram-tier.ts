/**
 * Images placed in RAM: what fits is decided first, then filled in the background, while clients read.
 *
 *     plan ─► reserved in the budget ─► fill: every cluster kept in the cache ─► release
 *
 * **Details** The current version and those that disks stand on are held; another one once a disk does, and then to the end. A cluster is kept under the version that
 * brought it, so versions share it. How much a version needs, its checksum table says (what has the checksum of zeros takes nothing), or, before its
 * first check, its extents. Until a cluster is there, and where it cannot be had, reads go to the file, as if the image were not placed.
 *
 * **Gotchas** Plans and releases wait for each other, because each leaves the budget as it says. A fill stops before what it filled is released.
 * What a retired version shared with others stays reserved until its image leaves RAM.
 */
import { setImmediate as turn } from "node:timers/promises"
import { isDeepStrictEqual } from "node:util"
import type { ReadCache } from "../block/cache.ts"
import type { ClusterSet } from "../block/cluster-set.ts"
import { hotZone } from "../block/heat/heat.ts"
import { inParallel } from "../block/parallel.ts"
import type { Version } from "../block/version.ts"
import type { Catalogue } from "../domain/catalogue.ts"
import type { EventData } from "../domain/events.ts"
import { fail, type ImagelinkError, isImagelinkError } from "../errors.ts"
import type { JobContext } from "../jobs.ts"
import { limits } from "../limits.ts"
import { countsIn, type HeatService } from "./heat.ts"
import type { ImageStacks } from "./image-stacks.ts"
import type { JobRunner } from "./job-runner.ts"
import { chunksOf, dataClusters, needsOf, zoneClusters } from "./ram-needs.ts"
import { makePace } from "./ram-pace.ts"
import { makeRamRoom } from "./ram-room.ts"
import type { RamHeld } from "./site/image-tiers.ts"
import { type VersionRef, versionRef } from "./version-ref.ts"

const CLUSTER = limits.clusterBytes

export interface RamTier {
  /**
   * Reserves what the image needs on this tier; answers whether nothing was reserved before. Of an image that is there in another way, or whose hot
   * zone is looked at again, it only says whether it fits. @throws RAM_TIER_FULL HEAT_NONE HEAT_DAMAGED, and what opening an image throws
   */
  plan(imageId: string, tier: Tier): Promise<boolean>
  /** An image that is in RAM already gets there as the catalogue has it now, and its hot zone what was learnt since. @throws as `plan` */
  refresh(imageId: string): Promise<void>
  /** Fills what is planned and not there yet. @throws CANCELLED, and what opening an image throws */
  fill(imageId: string, job: JobContext): Promise<RamHeld>
  /** A disk stands on a version that none stood on: if its image belongs in RAM, it is brought there in the background. */
  used(ref: VersionRef): void
  /** Brings every image that belongs in RAM there, in the background. */
  start(): void
  /** The image leaves RAM; its clients read the file. */
  release(imageId: string): Promise<void>
  /** Nobody needs the version any more. */
  retired(imageId: string, version: number): Promise<void>
  /** Stops filling. */
  close(): Promise<void>
}

export interface RamTierOptions {
  readonly cache: ReadCache
  readonly stacks: ImageStacks
  readonly catalogue: () => Catalogue
  readonly table: (ref: VersionRef) => Promise<Uint32Array | undefined>
  readonly heat: Pick<HeatService, "of">
  /** Of the host, without swapping; undefined where nobody knows. */
  readonly memoryAvailableBytes: () => number | undefined
  readonly jobs: JobRunner
  readonly onNotInRam: (error: ImagelinkError) => void
}

type Tier = EventData<"ImagePlaced">["to"]

interface Held {
  readonly imageId: string
  /** As which it is held. */
  readonly tier: Tier
  /** Being planned, or planned. */
  readonly versions: Map<number, Planned>
  /** Clusters that take room, by content. */
  readonly planned: Map<string, ClusterSet>
  readonly ending: AbortController
}

interface Planned {
  readonly ref: VersionRef
  readonly ending: AbortController
  /** Its hot zone, in the order to fill it; undefined: all of it. */
  only: Uint32Array | undefined
  ready: boolean
  filling: Promise<void> | undefined
  filled: boolean
  left: number
}

export const makeRamTier = (options: RamTierOptions): RamTier => {
  const { cache, stacks, catalogue, heat, jobs, onNotInRam } = options
  const images = new Map<string, Held>()
  const room = makeRamRoom(cache.ram, options.memoryAvailableBytes)
  let closed = false
  let last: Promise<unknown> = Promise.resolve()

  const exclusive = <A>(work: () => Promise<A>): Promise<A> => {
    const next = last.then(work, work)
    last = next.catch(() => {})
    return next
  }

  const chunksIn = ({ planned }: Held): number => {
    let chunks = 0
    for (const set of planned.values()) chunks += chunksOf(set.size)
    return chunks
  }

  /** What others leave for this one; `instead`, which it would replace, leaves everything. */
  const leftFor = (held: Held, instead: Held | undefined) => {
    const { bytes, bound } = room.all()
    let chunks = Math.floor(bytes / limits.ramChunkBytes) - chunksIn(held)
    for (const other of images.values()) if (other !== held && other !== instead) chunks -= chunksIn(other)
    return { has: Math.max(0, chunks) * limits.ramChunkBytes, bound }
  }

  /** Reserves one version, or throws and leaves everything as it was. */
  const reserve = async (held: Held, version: Planned, instead: Held | undefined): Promise<void> => {
    const { ref } = version
    if (closed) throw cancelled(ref)
    const signal = AbortSignal.any([held.ending.signal, version.ending.signal])
    const hold = await stacks.open(ref)
    try {
      version.only = await zoneOf(held.tier, ref, hold.device)
      const table = await options.table(ref)
      const runs = version.only === undefined ? dataClusters(hold.device, table) : zoneClusters(version.only, table)
      const fresh = await needsOf(hold.device, runs, held.planned, signal)
      let chunks = 0
      for (const [id, set] of fresh) {
        const before = held.planned.get(id)?.size ?? 0
        chunks += chunksOf(before + set.size) - chunksOf(before)
      }
      const needs = chunks * limits.ramChunkBytes
      const { has, bound } = leftFor(held, instead)
      if (needs > has)
        throw fail("RAM_TIER_FULL", { image: ref.imageName, version: ref.version.number, needs, has, bound })
      for (const [id, set] of fresh) {
        const planned = held.planned.get(id)
        if (planned === undefined) held.planned.set(id, set)
        else planned.addAll(set)
      }
      version.ready = true
    } finally {
      await hold.release()
    }
  }

  const zoneOf = async ({ hot, share = limits.heatShareDefault }: Tier, ref: VersionRef, device: Version) => {
    if (!hot) return undefined
    const { imageId, imageName } = ref
    return hotZone(await heat.of({ id: imageId, name: imageName }), share, countsIn(imageId, device), turn)
  }

  const planVersion = async (held: Held, ref: VersionRef, instead?: Held): Promise<void> => {
    const known = held.versions.get(ref.version.number)
    const version = known ?? newlyPlanned(ref)
    if (version.ready) return
    held.versions.set(ref.version.number, version)
    await reserve(held, version, instead).catch((e) => {
      held.versions.delete(ref.version.number)
      throw e
    })
  }

  /** The current version, those that disks stand on, and those that were held before. */
  const planAll = async (held: Held, instead?: Held): Promise<void> => {
    const { imageId, tier } = held
    const image = catalogue().images.get(imageId)
    const before = [...(instead?.versions.keys() ?? [])]
    const numbers = new Set([image?.current ?? 1, ...stacks.usedVersions(imageId), ...before])
    for (const number of numbers) await planVersion(held, versionRef(catalogue(), imageId, number), instead)
    const isEmpty = [...held.versions.values()].every(({ only }) => only?.length === 0)
    if (tier.hot && isEmpty) throw fail("HEAT_NONE", { image: image?.name ?? imageId })
  }

  const tierOf = (imageId: string): Tier => catalogue().images.get(imageId)?.tier ?? { kind: "file", hot: false }

  const heldOf = (imageId: string): Held => {
    const held = images.get(imageId) ?? newlyHeld(imageId, tierOf(imageId))
    images.set(imageId, held)
    return held
  }

  const fillVersion = async (version: Planned, onCluster: () => void, job: AbortSignal): Promise<void> => {
    if (closed) throw cancelled(version.ref)
    const signal = AbortSignal.any([version.ending.signal, job])
    // It may have been relocated since it was planned.
    const { imageId, version: planned } = version.ref
    const hold = await stacks.open(versionRef(catalogue(), imageId, planned.number))
    let left = 0
    let short = false
    try {
      const { only } = version
      const count = only?.length ?? Math.ceil(hold.device.sizeBytes / CLUSTER)
      const pace = makePace(cache.waiting)
      await inParallel(count, limits.ramFillAtOnceMax, async (i) => {
        await pace.turn()
        if (i % limits.ramLookClusters === 0) short ||= room.isShort()
        const kept = !signal.aborted && !short && (await hold.device.keep(only?.[i] ?? i).catch(() => false))
        pace.done()
        if (signal.aborted) throw cancelled(version.ref)
        if (!kept) left++
        onCluster()
      })
      if (signal.aborted) throw cancelled(version.ref)
      if (short) throw noMemory(version.ref, left)
      version.filled = left === 0
    } finally {
      version.left = left
      await hold.release()
    }
  }

  /** Fills each planned version, one after the other; one that is being filled is waited for. */
  const fill = async (imageId: string, job: JobContext): Promise<RamHeld> => {
    const held = images.get(imageId)
    if (held === undefined) throw fail("CANCELLED", { what: "placing an image in RAM" })
    const versions = [...held.versions.values()].filter((v) => v.ready)
    const bytesOf = ({ only, ref }: Planned) =>
      only === undefined ? Number(ref.version.sizeBytes) : only.length * CLUSTER
    const total = versions.reduce((sum, v) => sum + bytesOf(v), 0)
    let clusters = 0
    const onCluster = () => job.progress({ done: Math.min(total, ++clusters * CLUSTER), total, unit: "bytes" })
    for (const version of versions) {
      while (version.filling !== undefined) await version.filling.catch(() => {})
      if (version.ending.signal.aborted) throw cancelled(version.ref)
      if (version.filled) continue
      version.filling = fillVersion(version, onCluster, job.signal).finally(() => {
        version.filling = undefined
      })
      await version.filling
    }
    let bytes = 0
    for (const id of held.planned.keys()) bytes += cache.ram.bytesOf(id)
    const left = versions.reduce((sum, v) => sum + v.left, 0)
    return { versions: versions.map((v) => v.ref.version.number), bytes, left }
  }

  const stop = async (version: Planned): Promise<void> => {
    version.ending.abort()
    while (version.filling !== undefined) await version.filling.catch(() => {})
  }

  const letGo = async (contentId: string): Promise<void> => {
    while (!cache.letGo(contentId, limits.ramLetGoChunks)) await turn()
  }

  const inBackground = (title: string, imageId: string, plan: () => Promise<unknown>): void => {
    const work = async (job: JobContext) => {
      await plan()
      await fill(imageId, job)
    }
    jobs.run(title, work).catch((e: unknown) => {
      if (closed || isStopped(e)) return
      const error = isImagelinkError(e) ? e : fail("INTERNAL_ERROR", { what: title, why: String(e) })
      onNotInRam(error)
    })
  }

  const belongs = (imageId: string) => catalogue().images.get(imageId)?.tier.kind === "ramdisk"

  /** Looked at again once it is its turn: the image may have been placed back meanwhile. */
  const planUsed = (ref: VersionRef) =>
    exclusive(async () => {
      if (belongs(ref.imageId)) await planVersion(heldOf(ref.imageId), ref)
    })

  const tier: RamTier = {
    plan: (imageId, wanted) =>
      exclusive(async () => {
        const before = images.get(imageId)
        const isSame = before !== undefined && !wanted.hot && isDeepStrictEqual(before.tier, wanted)
        const held = isSame ? before : newlyHeld(imageId, wanted)
        if (before === undefined) images.set(imageId, held)
        try {
          await planAll(held, isSame ? undefined : before)
        } catch (e) {
          if (before === undefined) images.delete(imageId)
          throw e
        }
        return before === undefined
      }),

    refresh: (imageId) =>
      exclusive(async () => {
        const before = images.get(imageId)
        const tier = tierOf(imageId)
        if (before === undefined || (!tier.hot && isDeepStrictEqual(before.tier, tier))) return
        const next = newlyHeld(imageId, tier)
        await planAll(next, before)
        if (isDeepStrictEqual(before.tier, tier) && holdsAll(before, next)) return
        before.ending.abort()
        for (const version of before.versions.values()) await stop(version)
        // What is kept stays where it is, as long as all of it is wanted.
        if (!holdsAll(next, before)) for (const id of before.planned.keys()) await letGo(id)
        images.set(imageId, next)
      }),

    fill,

    used(ref) {
      const { imageId, imageName, version } = ref
      if (closed || !belongs(imageId) || images.get(imageId)?.versions.has(version.number)) return
      inBackground(`place ${imageName}@${version.number} in RAM`, imageId, () => planUsed(ref))
    },

    start() {
      for (const { id, name, current } of catalogue().images.values())
        if (belongs(id) && current > 0)
          inBackground(`place ${name} in RAM`, id, () =>
            exclusive(async () => {
              if (!belongs(id)) return
              const held = heldOf(id)
              await planVersion(held, versionRef(catalogue(), id, current))
              if (held.versions.get(current)?.only?.length === 0) throw fail("HEAT_NONE", { image: name })
            }),
          )
    },

    async release(imageId) {
      const now = images.get(imageId)
      now?.ending.abort()
      await exclusive(async () => {
        const held = images.get(imageId)
        if (held === undefined) return
        for (const version of held.versions.values()) await stop(version)
        for (const id of held.planned.keys()) await letGo(id)
        images.delete(imageId)
      })
    },

    async retired(imageId, number) {
      await exclusive(async () => {
        const held = images.get(imageId)
        const version = held?.versions.get(number)
        if (held === undefined || version === undefined) return
        await stop(version)
        held.versions.delete(number)
        const id = `${imageId}@${number}`
        if (held.planned.delete(id)) await letGo(id)
      })
    },

    async close() {
      closed = true
      for (const { ending, versions } of images.values()) {
        ending.abort()
        for (const version of versions.values()) await stop(version)
      }
      await last
    },
  }
  return tier
}

const newlyHeld = (imageId: string, tier: Tier): Held => ({
  imageId,
  tier,
  versions: new Map(),
  planned: new Map(),
  ending: new AbortController(),
})
const newlyPlanned = (ref: VersionRef): Planned => ({
  ref,
  ending: new AbortController(),
  only: undefined,
  ready: false,
  filling: undefined,
  filled: false,
  left: 0,
})

const cancelled = (ref: VersionRef) => fail("CANCELLED", { what: `placing ${ref.imageName} in RAM` })
const isStopped = (e: unknown): boolean => isImagelinkError(e) && (e.code === "CANCELLED" || e.code === "CLOSED")
const noMemory = ({ imageName: image, version: { number: version } }: VersionRef, left: number) =>
  fail("RAM_TIER_FULL", { image, version, needs: left * CLUSTER, has: 0, bound: "memory" })
/** Whether this one holds every cluster of the other. */
const holdsAll = (held: Held, other: Held): boolean =>
  [...other.planned].every(([id, set]) => set.size === 0 || held.planned.get(id)?.hasAll(set) === true)
