/**
 * Opens a whole version past the cache, as it is on the disk now: for checks, and whatever else reads all of it once.
 *
 * **Details** The layers of a committed version are put together as the server does it, through one flattened map.
 */
import { type LayerMap, readMap } from "../block/layers/map.ts"
import { type LayerSource, layeredVolume } from "../block/layers/volume.ts"
import type { ImageFile } from "../storage/open-image.ts"
import type { Volume } from "../storage/volume.ts"
import type { Parts } from "./parts.ts"
import { openAsItIs, openLayer, openLayerAsItIs, parentRef, type VersionRef } from "./version-ref.ts"

export interface VersionDisk {
  readonly disk: Pick<Volume, "sizeBytes" | "read" | "extents" | "close">
  readonly sizeBytes: number
  /** Those of the version itself: its own layer's, or all that it is read from where it has no parent. */
  readonly files: ReadonlyArray<ImageFile>
  /** Of a committed version: which layer has what. Until the disk is closed. */
  readonly map?: LayerMap
}

type MapMeans = Pick<Parts, "opener" | "layerMaps">

/** @throws IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED IMAGE_CHANGED IMAGE_DAMAGED LAYER_MAPS_FULL */
export const openVersionDisk = async (means: MapMeans, ref: VersionRef): Promise<VersionDisk> => {
  if (ref.below.length === 0) return openAsItIs(means.opener, ref)
  const closers: Array<() => Promise<void>> = []
  const close = async () => {
    for (const one of closers.splice(0).reverse()) await one()
  }
  try {
    const { disk, map } = await flattened(means, ref, closers)
    const identities = await means.opener.identify(ref.version.storage, ref.version.files)
    const files = ref.version.files.map(({ path, sizeBytes }, i) => {
      return { path, sizeBytes: Number(sizeBytes), identity: identities[i] ?? {} }
    })
    return {
      disk: { sizeBytes: disk.sizeBytes, read: disk.read.bind(disk), extents: disk.extents.bind(disk), close },
      sizeBytes: disk.sizeBytes,
      files,
      map,
    }
  } catch (e) {
    await close()
    throw e
  }
}

const flattened = async ({ opener, layerMaps }: MapMeans, ref: VersionRef, closers: Array<() => Promise<void>>) => {
  const refs: Array<VersionRef> = []
  for (let at: VersionRef | undefined = ref; at !== undefined; at = parentRef(at)) refs.push(at)
  const [base, ...layers] = refs.reverse()
  const { disk } = await openAsItIs(opener, base!)
  closers.push(() => disk.close())
  const sources = new Map<number, LayerSource>([[0, disk]])
  const opened = async function* () {
    for (const layerRef of layers) {
      // What was touched below it is for the check of that version to judge.
      const layer = await (layerRef === ref ? openLayerAsItIs : openLayer)(opener, layerRef)
      closers.push(layer.close)
      sources.set(layerRef.version.number, layer.data)
      yield { layer: layerRef.version.number, runs: layer.runs }
    }
  }
  const map = await readMap(layerMaps, disk.sizeBytes, opened())
  closers.push(async () => map.release())
  return { disk: layeredVolume(map, sources), map }
}
