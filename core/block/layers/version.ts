/**
 * Opens a version made of layers as a read-only device: its map, the files it names, and the cache that versions share.
 *
 *     version ─► LayeredContent ─► cache (content id of the newest layer in the cluster) ─► LayeredVolume ─► base, data files
 *
 * **Details** A cluster that is loaded here under an older layer's content id serves every version that has it from there. It is judged by
 * that layer's `verify`, because it is that version's cluster too.
 *
 * **Gotchas** Closing the device closes no source and does not release the map: whoever opened those does, after the device is closed.
 */
import assert from "node:assert"
import type { ReadCache } from "../cache.ts"
import type { CacheSource } from "../cached-content.ts"
import { Version } from "../version.ts"
import { LayeredContent } from "./content.ts"
import type { LayerMap } from "./map.ts"
import { type LayerSource, layeredVolume } from "./volume.ts"

/** One layer of a version's chain, or its base. */
export interface LayerPart {
  /** 0 for the base, otherwise the number its map knows it by. */
  readonly layer: number
  /** Key in the cache of the version that this layer made; the base's is that of the first version. */
  readonly contentId: string
  /** The base's disk, or the layer's sealed data file, guest bytes at their own offsets. */
  readonly source: LayerSource
  /** Judges a whole cluster of the version that this layer made. */
  readonly verify?: ((cluster: number, bytes: Uint8Array) => boolean) | undefined
}

export interface LayeredVersionOptions {
  /** Identity of the disk as initiators see it. */
  readonly id: string
  readonly cache: ReadCache
  readonly map: LayerMap
  /** One for each layer of `map.chain`, in any order. */
  readonly parts: ReadonlyArray<LayerPart>
  /** Called for each cluster a client reads. */
  readonly heat?: ((contentIndex: number, cluster: number) => void) | undefined
}

export const openLayeredVersion = ({ id, cache, map, parts, heat }: LayeredVersionOptions): Version => {
  const layers = parts.map((part) => part.layer).sort((a, b) => a - b)
  assert.deepEqual(layers, map.chain, "the base and every layer of the version, each once")
  const { sizeBytes } = map
  const below = layeredVolume(map, new Map(parts.map((part) => [part.layer, part.source])))
  const byLayer = new Map(parts.map((part) => [part.layer, part]))
  const openContent = (layer: number) => {
    const { contentId, verify } = byLayer.get(layer)!
    const read: CacheSource["read"] = (into, at, offset, length) => below.read(into, at, offset, length)
    const { readSync } = below
    return cache.open({ contentId, sizeBytes, read, ...(readSync && { readSync }), verify, touched: heat })
  }
  return new Version({ id, sizeBytes, content: new LayeredContent(cache, map, openContent, heat), below })
}
