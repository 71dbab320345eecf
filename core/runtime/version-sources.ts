/**
 * What each version brings by itself, opened once for all the stacks that stand on it: the disk of an image as it was added, or a layer.
 *
 * **Details** A source is closed when its last stack lets go of it. One that was relocated is another source from then on: stacks that have the old
 * one keep it. Clusters are judged by the version's recorded table, once there is one.
 */
import { verifierOf } from "../block/checksums.ts"
import type { LayerMapBudget } from "../block/layers/budget.ts"
import type { MapLayer } from "../block/layers/map.ts"
import { makeRunsFrom } from "../block/layers/runs-builder.ts"
import type { LayerPart } from "../block/layers/version.ts"
import type { ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import type { ImageOpener } from "../storage/opener.ts"
import type { StorageReads } from "./tier-reads.ts"
import { mismatch, openLayer, openRecorded, type VersionRef } from "./version-ref.ts"

export const versionKey = (ref: VersionRef): string => `${ref.imageId}@${ref.version.number}`

export interface Source {
  readonly part: LayerPart
  /** What its layer did, held once for the maps of all versions that contain it; undefined for version 1. */
  readonly layer: MapLayer | undefined
  readonly sizeBytes: number
}

export interface SourceHold {
  readonly source: Source
  release(): Promise<void>
}

export interface VersionSources {
  /** @throws IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED IMAGE_CHANGED IMAGE_DAMAGED LAYER_MAPS_FULL */
  hold(ref: VersionRef): Promise<SourceHold>
  /** A check has just recorded this table. */
  checked(ref: VersionRef, table: Uint32Array): void
}

type Verify = (cluster: number, bytes: Uint8Array) => boolean

interface Judging {
  verify: Verify | undefined
  /** Clusters that were told of since the last check. */
  readonly told: Set<number>
}

/** Told of a cluster that is not what was recorded: the error a client's read ends with, and where it is. */
export type OnDamage = (error: ImagelinkError, ref: VersionRef, cluster: number) => void

interface Entry {
  readonly key: string
  readonly judging: Judging
  readonly opened: Promise<Source & { close(): Promise<void> }>
  holds: number
}

export const makeVersionSources = (
  opener: ImageOpener,
  budget: LayerMapBudget,
  loadTable: (ref: VersionRef) => Promise<Uint32Array | undefined>,
  onDamage: OnDamage,
  reads: Pick<StorageReads, "watch">,
): VersionSources => {
  const entries = new Map<string, Entry>()
  /** Its place too: what is read from elsewhere is another source. */
  const entryKey = (ref: VersionRef) => `${versionKey(ref)} ${JSON.stringify(ref.version.storage)}`

  /** What does not match is told once, and again after a check. */
  const judgeOf =
    (ref: VersionRef, judging: Judging): Verify =>
    (cluster, bytes) => {
      if (judging.verify === undefined || judging.verify(cluster, bytes)) return true
      const { told } = judging
      if (told.size < limits.damageReportsMax && !told.has(cluster)) {
        told.add(cluster)
        onDamage(mismatch(ref, cluster), ref, cluster)
      }
      return false
    }

  const open = async (ref: VersionRef, judging: Judging) => {
    const table = await loadTable(ref)
    judging.verify ??= table && verifierOf({ table })
    const [contentId, verify] = [versionKey(ref), judgeOf(ref, judging)]
    if (ref.below.length === 0) {
      const { disk, sizeBytes } = await openRecorded(opener, ref)
      const part = { layer: 0, contentId, source: reads.watch(ref.version.storage.kind, disk), verify }
      return { part, layer: undefined, sizeBytes, close: () => disk.close() }
    }
    const { data, sizeBytes, runs: read, close } = await openLayer(opener, ref)
    const layer = ref.version.number
    try {
      const runs = await makeRunsFrom(budget, sizeBytes, read())
      const closeAll = async () => {
        runs.release()
        await close()
      }
      const part = { layer, contentId, source: reads.watch(ref.version.storage.kind, data), verify }
      return { part, layer: { layer, runs }, sizeBytes, close: closeAll }
    } catch (e) {
      await close()
      throw e
    }
  }

  const start = (key: string, ref: VersionRef): Entry => {
    const judging: Judging = { verify: undefined, told: new Set() }
    const entry: Entry = { key, judging, opened: open(ref, judging), holds: 0 }
    entries.set(key, entry)
    entry.opened.catch(() => entries.delete(key))
    return entry
  }

  return {
    async hold(ref) {
      const key = entryKey(ref)
      const entry = entries.get(key) ?? start(key, ref)
      entry.holds++
      const source = await entry.opened
      let released = false
      const release = async () => {
        if (released) return
        released = true
        entry.holds--
        if (entry.holds > 0) return
        entries.delete(key)
        await source.close()
      }
      return { source, release }
    },
    checked(ref, table) {
      const entry = entries.get(entryKey(ref))
      if (entry === undefined) return
      entry.judging.verify = verifierOf({ table })
      entry.judging.told.clear()
    },
  }
}
