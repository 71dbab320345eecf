/**
 * The cached content of a version made of layers: each cluster under the layer that changed it last, so that versions share it.
 *
 *     version 4    cluster 0: base    cluster 1: layer 3    cluster 2: layer 4
 *     version 3    cluster 0: base    cluster 1: layer 3    cluster 2: base
 *
 * No layer between that one and the version touches the cluster, so its bytes are those of that layer's own version, and the cache
 * holds them once.
 *
 * **Details** Which layer it is, the map says, and then that layer's content says where the cache holds the cluster. Both were seen to cost half as
 * much as a hot 4 KiB read, so the answer is remembered: one entry of four numbers for each slot of the cache, by the low bits of the cluster.
 * An entry is believed only when the slot still holds that cluster of that content.
 */
import { limits } from "../../limits.ts"
import type { ReadCache } from "../cache.ts"
import type { CachedContent } from "../cached-content.ts"
import { inParallel } from "../parallel.ts"
import type { VersionContent } from "../version.ts"
import type { LayerMap } from "./map.ts"

const CLUSTER = limits.clusterBytes
/** Numbers of an entry: cluster, slot, content. The fourth only makes it a power of two. */
const ENTRY_BITS = 2

export class LayeredContent implements VersionContent {
  readonly #cache: ReadCache
  readonly #map: LayerMap
  readonly #open: (layer: number) => CachedContent
  /** By layer number, opened when a cluster of that layer is first asked for: a content costs the cache a table of its disk. */
  readonly #contents: Array<CachedContent | undefined>
  readonly #touched: ((contentIndex: number, cluster: number) => void) | undefined
  readonly #seen: Int32Array
  readonly #mask: number

  constructor(
    cache: ReadCache,
    map: LayerMap,
    open: (layer: number) => CachedContent,
    touched: ((contentIndex: number, cluster: number) => void) | undefined,
  ) {
    this.#cache = cache
    this.#map = map
    this.#open = open
    this.#contents = new Array(map.layer + 1).fill(undefined)
    this.#touched = touched
    const entries = 2 ** Math.ceil(Math.log2(Math.min(cache.slots, Math.ceil(map.sizeBytes / CLUSTER))))
    this.#seen = new Int32Array(entries << ENTRY_BITS).fill(-1)
    this.#mask = entries - 1
  }

  readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    const cluster = (offset / CLUSTER) | 0
    const from = offset - cluster * CLUSTER
    if (from + length > CLUSTER) return this.#readManySync(into, at, offset, length)
    const slot = this.#slotOf(cluster)
    if (slot < 0) return this.#of(cluster).readSync(into, at, offset, length)
    if (this.#touched !== undefined) this.#touched(this.#of(cluster).number, cluster)
    this.#cache.copyFrom(slot, into, at, from, length)
    return true
  }

  /** Looks first and copies then, so that a miss leaves the caller's buffer as it was. */
  #readManySync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    const end = offset + length
    const last = ((end - 1) / CLUSTER) | 0
    for (let cluster = (offset / CLUSTER) | 0; cluster <= last; cluster++) {
      if (this.#slotOf(cluster) < 0) return false
    }
    for (let from = offset; from < end; ) {
      const n = Math.min(CLUSTER - (from % CLUSTER), end - from)
      this.readSync(into, at + from - offset, from, n)
      from += n
    }
    return true
  }

  /** Slot that holds a cluster, or -1. */
  #slotOf(cluster: number): number {
    const seen = this.#seen
    const entry = (cluster & this.#mask) << ENTRY_BITS
    if (seen[entry] === cluster && this.#cache.holds(seen[entry + 1]!, seen[entry + 2]!, cluster))
      return seen[entry + 1]!
    const content = this.#of(cluster)
    const slot = content.slotOf(cluster)
    if (slot < 0) return slot
    seen[entry] = cluster
    seen[entry + 1] = slot
    seen[entry + 2] = content.number
    return slot
  }

  async read(into: Uint8Array, at: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    const end = offset + length
    const first = Math.floor(offset / CLUSTER)
    if (end <= (first + 1) * CLUSTER) return this.#of(first).read(into, at, offset, length, signal)
    await this.#eachCluster(offset, length, (content, cluster) => {
      const from = Math.max(offset, cluster * CLUSTER)
      const to = Math.min(end, (cluster + 1) * CLUSTER)
      return content.read(into, at + from - offset, from, to - from, signal)
    })
  }

  async prefetch(offset: number, length: number, signal?: AbortSignal): Promise<void> {
    await this.#eachCluster(offset, length, (content, cluster) => content.prefetch(cluster * CLUSTER, 1, signal))
  }

  keep(cluster: number): Promise<boolean> {
    return this.#of(cluster).keep(cluster)
  }

  contentIdOf(cluster: number): string {
    return this.#of(cluster).contentIdOf(cluster)
  }

  async close(): Promise<void> {
    await Promise.all(this.#contents.map((content) => content?.close()))
  }

  #of(cluster: number): CachedContent {
    const layer = this.#map.contentOf(cluster)
    return this.#contents[layer] ?? (this.#contents[layer] = this.#open(layer))
  }

  async #eachCluster(
    offset: number,
    length: number,
    piece: (content: CachedContent, cluster: number) => Promise<void>,
  ): Promise<void> {
    const first = Math.floor(offset / CLUSTER)
    const count = Math.floor((offset + length - 1) / CLUSTER) - first + 1
    await inParallel(count, limits.requestPiecesMax, (i) => piece(this.#of(first + i), first + i))
  }
}
