/**
 * The cached content of a version made of layers: each cluster under the layer that changed it last, so that versions share it.
 *
 *     version 4    cluster 0: base    cluster 1: layer 3    cluster 2: layer 4
 *     version 3    cluster 0: base    cluster 1: layer 3    cluster 2: base
 *
 * No layer between that one and the version touches the cluster, so its bytes are those of that layer's own version, and the cache
 * holds them once. Which layer it is, the map says; a hit costs that look-up more than one of a version without layers.
 */
import assert from "node:assert"
import { limits } from "../../limits.ts"
import type { CachedContent } from "../cache.ts"
import { inParallel } from "../parallel.ts"
import type { VersionContent } from "../version.ts"
import type { LayerMap } from "./map.ts"

const CLUSTER = limits.clusterBytes

export class LayeredContent implements VersionContent {
  readonly #map: LayerMap
  /** By layer number. */
  readonly #contents: ReadonlyArray<CachedContent | undefined>

  constructor(map: LayerMap, contents: ReadonlyArray<CachedContent | undefined>) {
    this.#map = map
    this.#contents = contents
  }

  readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    const cluster = (offset / CLUSTER) | 0
    if (offset - cluster * CLUSTER + length > CLUSTER) return this.#readManySync(into, at, offset, length)
    return this.#contents[this.#map.contentOf(cluster)]!.readSync(into, at, offset, length)
  }

  /** Looks first and copies then, so that a miss leaves the caller's buffer as it was. */
  #readManySync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    const end = offset + length
    const last = ((end - 1) / CLUSTER) | 0
    for (let cluster = (offset / CLUSTER) | 0; cluster <= last; cluster++) {
      if (!this.#of(cluster).holds(cluster)) return false
    }
    for (let from = offset; from < end; ) {
      const cluster = (from / CLUSTER) | 0
      const to = Math.min(end, (cluster + 1) * CLUSTER)
      this.#of(cluster).readSync(into, at + from - offset, from, to - from)
      from = to
    }
    return true
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

  touch(offset: number, length: number): void {
    const last = Math.floor((offset + length - 1) / CLUSTER)
    for (let cluster = Math.floor(offset / CLUSTER); cluster <= last; cluster++) {
      this.#of(cluster).touch(cluster * CLUSTER, 1)
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#contents.map((content) => content?.close()))
  }

  #of(cluster: number): CachedContent {
    const content = this.#contents[this.#map.contentOf(cluster)]
    assert(content !== undefined, "every layer of the version has its content")
    return content
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
