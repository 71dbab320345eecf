/**
 * Makes the file of a flattened version: whole, compared with the recorded checksums and synced, or not there.
 *
 * **Details** The file that the version was read from so far stays as it is, and so does the log: nobody reads the new one until it is announced.
 * What a crash leaves behind is swept at the next start.
 */
import assert from "node:assert"
import { setImmediate } from "node:timers/promises"
import type { Extent } from "../block/device.ts"
import { flattenedBytesMax, flattenLayers, type MergeSource } from "../block/layers/flatten.ts"
import type { VersionEntry } from "../domain/catalogue.ts"
import { fail } from "../errors.ts"
import type { JobContext } from "../jobs.ts"
import { limits } from "../limits.ts"
import type { OpenedImage } from "../storage/open-image.ts"
import { inData } from "../storage/opener.ts"
import type { StorageLocation } from "../storage/plugin.ts"
import { flatNames, LAYER_FORMAT, layerPath } from "./layer-store.ts"
import type { Parts } from "./parts.ts"
import { mismatch, openLayer, openRecorded, parentRef, type VersionRef } from "./version-ref.ts"

export interface FlattenedVersion {
  readonly storage: StorageLocation
  readonly format: string
  readonly files: VersionEntry["files"]
  readonly layer: { readonly dataBytes: string; readonly zeroBytes: string }
  readonly changes: NonNullable<VersionEntry["changes"]>
}

export interface FlattenOptions {
  /** The version that it will be read over, or null. */
  readonly over: number | null
  readonly table: Uint32Array
  /** How much of the room on the disk it may take. */
  readonly spaceShare: number
  /** Waited for after so many bytes were read and written. */
  readonly pace: (bytes: number, signal: AbortSignal) => Promise<void>
}

type Means = Pick<Parts, "opener" | "layers" | "files" | "data">

/** Where the file would be. */
export const flatPlace = ({ imageId, version }: VersionRef, over: number | null): StorageLocation =>
  inData(layerPath(imageId, flatNames(version.number, over).flat))

/** @throws CRC_MISMATCH IMAGE_CHANGED IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED IMAGE_DAMAGED NO_SPACE CANCELLED */
export const makeFlattened = async (
  parts: Means,
  ref: VersionRef,
  options: FlattenOptions,
  job: JobContext,
): Promise<FlattenedVersion> => {
  const { imageId, version } = ref
  const { flat: name, changes: changesName } = flatNames(version.number, options.over)
  const folder = parts.data.folder("layers").folder(imageId)
  await folder.remove(name)
  try {
    const totals = await write(parts, ref, options, job, name)
    const changes = version.changes ?? (await keepTables(parts, ref, changesName))
    await folder.sync()
    const { dataBytes, zeroBytes } = totals
    return {
      storage: flatPlace(ref, options.over),
      format: LAYER_FORMAT,
      files: [await parts.layers.record(imageId, name)],
      layer: { dataBytes: String(dataBytes), zeroBytes: String(zeroBytes) },
      changes,
    }
  } catch (e) {
    await folder.remove(name)
    throw e
  }
}

/** The tables of what the version itself changed get a second name; its bytes will go. */
const keepTables = async ({ files, layers }: Means, { imageId, version }: VersionRef, name: string) => {
  const { file } = version.storage.config as { readonly file: string }
  await files.link(file, layerPath(imageId, name))
  return { storage: inData(layerPath(imageId, name)), files: [await layers.record(imageId, name)] }
}

/** The versions that are merged, the oldest first, and what is below them. */
const merged = (ref: VersionRef, over: number | null): { layers: Array<VersionRef>; below: VersionRef | undefined } => {
  const layers: Array<VersionRef> = []
  let at: VersionRef | undefined = ref
  for (; at !== undefined && at.version.number !== over; at = parentRef(at)) layers.push(at)
  return { layers: layers.reverse(), below: at }
}

const write = async (parts: Means, ref: VersionRef, options: FlattenOptions, job: JobContext, name: string) => {
  const { opener, layers: store, data } = parts
  const { over, table, pace } = options
  const sizeBytes = Number(ref.version.sizeBytes)
  const { layers, below } = merged(ref, over)
  const backing = below && (await store.backing(ref.imageId, below.version))
  const format = await opener.format(LAYER_FORMAT)
  const flat = format.flat!({ sizeBytes, grainBytes: limits.grainBytes, ...(backing && { parent: backing }) })
  const closers: Array<() => Promise<void>> = []
  const file = await data
    .folder("layers")
    .folder(ref.imageId)
    .open(name, { create: { sizeBytes: flat.fileBytes } })
  closers.push(() => file.close())
  try {
    const sources = await openSources(parts, layers, below, closers)
    await refuseWithoutSpace(parts, await flattenedBytesMax({ sizeBytes, ...sources }), options.spaceShare, name)
    const totals = await flattenLayers({
      ...{ sizeBytes, ...sources, table, into: file, flat, signal: job.signal },
      mismatch: (cluster) => mismatch(ref, cluster),
      onStep: async (done, bytes) => {
        job.progress({ done, total: sizeBytes, unit: "bytes" })
        await setImmediate()
        await pace(bytes, job.signal)
      },
    })
    await file.flush()
    return totals
  } finally {
    for (const close of closers.reverse()) await close()
  }
}

/** Clients need the room too, for what they write: so it is asked before, and not found out. @throws NO_SPACE */
const refuseWithoutSpace = async ({ files }: Means, bytes: number, share: number, name: string): Promise<void> => {
  const free = await files.freeBytes()
  if (free !== undefined && bytes > free * share) throw fail("NO_SPACE", { offset: 0, length: bytes, what: name })
}

type Sources = { readonly layers: ReadonlyArray<MergeSource>; readonly below: MergeSource["data"] | undefined }

const openSources = async (
  { opener }: Means,
  layers: ReadonlyArray<VersionRef>,
  below: VersionRef | undefined,
  closers: Array<() => Promise<void>>,
): Promise<Sources> => {
  const sources: Array<MergeSource> = []
  for (const ref of layers) {
    if (ref.below.length === 0) {
      const { disk } = await openDisk(opener, ref, closers)
      sources.push({ data: disk, runs: () => dataRuns(disk) })
      continue
    }
    const layer = await openLayer(opener, ref)
    closers.push(layer.close)
    sources.push({ data: layer.data, runs: () => layer.runs() })
  }
  if (below === undefined) return { layers: sources, below: undefined }
  assert.equal(below.below.length, 0, "a version is flattened over one that stands alone")
  return { layers: sources, below: (await openDisk(opener, below, closers)).disk }
}

const openDisk = async (opener: Means["opener"], ref: VersionRef, closers: Array<() => Promise<void>>) => {
  const image = await openRecorded(opener, ref)
  closers.push(() => image.disk.close())
  return image
}

const EXTENTS_ASKED = 1024

/** What of a disk is data, in whole grains: what a copy of all of it has to hold. */
async function* dataRuns(disk: OpenedImage["disk"]): AsyncGenerator<Extent> {
  const { sizeBytes } = disk
  const grain = limits.grainBytes
  let from = 0
  for (let at = 0; at < sizeBytes; ) {
    for (const { offset, length, kind } of await disk.extents(at, sizeBytes - at, EXTENTS_ASKED)) {
      at = offset + length
      const start = Math.max(from, Math.floor(offset / grain) * grain)
      const end = Math.min(sizeBytes, Math.ceil(at / grain) * grain)
      if (kind !== "data" || end <= start) continue
      yield { offset: start, length: end - start, kind: "data" }
      from = end
    }
  }
}
