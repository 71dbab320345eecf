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
import type { ReadCache } from "../block/cache.ts"
import { ZERO_CRC } from "../block/checksums.ts"
import { ClusterSet } from "../block/cluster-set.ts"
import { inParallel } from "../block/parallel.ts"
import type { Version } from "../block/version.ts"
import type { Catalogue } from "../domain/catalogue.ts"
import { fail, type ImagelinkError, isImagelinkError } from "../errors.ts"
import type { JobContext } from "../jobs.ts"
import { limits } from "../limits.ts"
import type { ImageStacks } from "./image-stacks.ts"
import type { JobRunner } from "./job-runner.ts"
import type { RamHeld } from "./site.ts"
import { type VersionRef, versionRef } from "./version-ref.ts"

const CLUSTER = limits.clusterBytes

export interface RamTier {
  /** Reserves what the image needs; answers whether nothing was reserved before. @throws RAM_TIER_FULL, and what opening an image throws */
  plan(imageId: string): Promise<boolean>
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
  readonly jobs: JobRunner
  readonly onNotInRam: (error: ImagelinkError) => void
}

interface Held {
  readonly imageId: string
  /** Being planned, or planned. */
  readonly versions: Map<number, Planned>
  /** Clusters that take room, by content. */
  readonly planned: Map<string, ClusterSet>
  readonly ending: AbortController
}

interface Planned {
  readonly ref: VersionRef
  readonly ending: AbortController
  ready: boolean
  filling: Promise<void> | undefined
  filled: boolean
  left: number
}

export const makeRamTier = (options: RamTierOptions): RamTier => {
  const { cache, stacks, catalogue, jobs, onNotInRam } = options
  const images = new Map<string, Held>()
  let closed = false
  let last: Promise<unknown> = Promise.resolve()

  const exclusive = <A>(work: () => Promise<A>): Promise<A> => {
    const next = last.then(work, work)
    last = next.catch(() => {})
    return next
  }

  const leftBytes = (): number => {
    let chunks = cache.ram.chunks
    for (const { planned } of images.values()) for (const set of planned.values()) chunks -= chunksOf(set.size)
    return chunks * limits.ramChunkBytes
  }

  /** Reserves one version, or throws and leaves everything as it was. */
  const reserve = async (held: Held, version: Planned): Promise<void> => {
    const { ref } = version
    if (closed) throw cancelled(ref)
    const signal = AbortSignal.any([held.ending.signal, version.ending.signal])
    const hold = await stacks.open(ref)
    try {
      const fresh = await needsOf(hold.device, await options.table(ref), held.planned, signal)
      let chunks = 0
      for (const [id, set] of fresh) {
        const before = held.planned.get(id)?.size ?? 0
        chunks += chunksOf(before + set.size) - chunksOf(before)
      }
      const needs = chunks * limits.ramChunkBytes
      const has = leftBytes()
      if (needs > has) throw fail("RAM_TIER_FULL", { image: ref.imageName, version: ref.version.number, needs, has })
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

  const planVersion = async (held: Held, ref: VersionRef): Promise<void> => {
    const known = held.versions.get(ref.version.number)
    const version = known ?? newlyPlanned(ref)
    if (version.ready) return
    held.versions.set(ref.version.number, version)
    await reserve(held, version).catch((e) => {
      held.versions.delete(ref.version.number)
      throw e
    })
  }

  const heldOf = (imageId: string): Held => {
    const held = images.get(imageId) ?? newlyHeld(imageId)
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
    try {
      const count = Math.ceil(hold.device.sizeBytes / CLUSTER)
      await inParallel(count, limits.ramFillAtOnceMax, async (cluster) => {
        if (signal.aborted) throw cancelled(version.ref)
        const kept = await hold.device.keep(cluster).catch(() => false)
        if (!kept) left++
        onCluster()
        if (cluster % limits.ramFillTurnClusters === 0) await turn()
      })
      if (signal.aborted) throw cancelled(version.ref)
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
    const total = versions.reduce((sum, v) => sum + Number(v.ref.version.sizeBytes), 0)
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
    plan: (imageId) =>
      exclusive(async () => {
        const isNew = !images.has(imageId)
        const image = catalogue().images.get(imageId)
        const held = heldOf(imageId)
        try {
          const numbers = new Set([image?.current ?? 1, ...stacks.usedVersions(imageId)])
          for (const number of numbers) await planVersion(held, versionRef(catalogue(), imageId, number))
        } catch (e) {
          if (isNew) images.delete(imageId)
          throw e
        }
        return isNew
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
              if (belongs(id)) await planVersion(heldOf(id), versionRef(catalogue(), id, current))
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
        for (const id of held.planned.keys()) cache.letGo(id)
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
        if (held.planned.delete(id)) cache.letGo(id)
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

const newlyHeld = (imageId: string): Held => ({
  imageId,
  versions: new Map(),
  planned: new Map(),
  ending: new AbortController(),
})
const newlyPlanned = (ref: VersionRef): Planned => ({
  ref,
  ending: new AbortController(),
  ready: false,
  filling: undefined,
  filled: false,
  left: 0,
})

const cancelled = (ref: VersionRef) => fail("CANCELLED", { what: `placing ${ref.imageName} in RAM` })
const isStopped = (e: unknown): boolean => isImagelinkError(e) && (e.code === "CANCELLED" || e.code === "CLOSED")
const chunksOf = (clusters: number): number => Math.ceil((clusters * CLUSTER) / limits.ramChunkBytes)

/** The clusters of a version that take room and are not planned yet, by content. */
const needsOf = async (
  device: Version,
  table: Uint32Array | undefined,
  planned: ReadonlyMap<string, ClusterSet>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, ClusterSet>> => {
  const fresh = new Map<string, ClusterSet>()
  let walked = 0
  for await (const [first, end] of dataClusters(device, table))
    for (let cluster = first; cluster < end; cluster++) {
      if (++walked % limits.ramPlanTurnClusters === 0) await turn()
      if (signal.aborted) throw fail("CANCELLED", { what: "placing an image in RAM" })
      const id = device.contentIdOf(cluster)
      if (planned.get(id)?.has(cluster)) continue
      const set = fresh.get(id) ?? new ClusterSet()
      fresh.set(id, set)
      set.add(cluster)
    }
  return fresh
}

/** Runs of clusters, `[first, end)`, that are not known to be zeros. */
async function* dataClusters(
  device: Version,
  table: Uint32Array | undefined,
): AsyncGenerator<readonly [first: number, end: number]> {
  const { sizeBytes } = device
  if (table !== undefined) {
    for (let first = 0; first < table.length; first++) {
      let end = first
      while (end < table.length && table[end] !== ZERO_CRC) end++
      if (end > first) yield [first, end]
      first = end
    }
    return
  }
  for (let offset = 0; offset < sizeBytes; ) {
    const found = await device.extents(offset, sizeBytes - offset, limits.formatExtentLookupsMax)
    for (const { offset: from, length, kind } of found)
      if (kind === "data") yield [Math.floor(from / CLUSTER), Math.ceil((from + length) / CLUSTER)]
    const end = found.at(-1)
    offset = end === undefined ? sizeBytes : end.offset + end.length
  }
}
