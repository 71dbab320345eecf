/**
 * Which clusters are read while it runs, in the order of their first read; of one boot, or of all clients in a named window.
 *
 *     order     12  13  900  14  77 …      clusters
 *     contents   0   0    1   0   0 …      which content brought each of them, as the cache keys it
 *
 * **Scans.** A stream that reads one cluster after the other for longer than `limits.heatScanBytes` is a backup, a virus scan or a copy. It is told from
 * other reads that go on beside it by where streams ended; what it was first to read is left out again, what others had read before it stays.
 *
 * **Details** All memory is taken when it is made, whatever the size of the disk; when that is full, what is read later is not recorded. A touch of a cluster that was
 * read before, and where no stream ended, is a look at a bit; any other one looks at eight streams.
 */
import { limits } from "../../limits.ts"
import { SeenClusters } from "./seen-clusters.ts"

const CLUSTER = limits.clusterBytes
const SCAN = limits.heatScanBytes / CLUSTER
const STREAMS = limits.heatStreamsMax

/** Says which content brings a cluster. */
export interface HeatSource {
  contentIdOf(cluster: number): string
}

/** What was read: `contents[contentOf[i]]` brought `clusters[i]`. */
export interface RecordedReads {
  readonly contents: ReadonlyArray<string>
  readonly contentOf: Uint16Array
  readonly clusters: Uint32Array
}

export class HeatRecording {
  /** Clusters recorded; scans that were found since are among them. */
  count = 0
  readonly #max: number
  readonly #order: Uint32Array
  readonly #contentOf: Uint16Array
  readonly #seen: SeenClusters
  readonly #contents: Array<string> = []
  readonly #onFirst: () => void
  /** By which stream each cluster was read first. */
  readonly #streamOf: Uint32Array
  /** Of each stream that is watched: its number, its first cluster, the one it would read next, and whether it is a scan. */
  readonly #numbers = new Uint32Array(STREAMS)
  readonly #starts = new Uint32Array(STREAMS)
  readonly #ends = new Uint32Array(STREAMS)
  /** Low five bits of all ends, as a set. */
  #endBits = 1
  readonly #isScan = new Uint8Array(STREAMS)
  /** Numbers of streams that are scans. */
  readonly #scans = new Set<number>()
  #streams = 0
  #hand = 0

  /** `onFirst` is called at the first read. */
  constructor(onFirst: () => void = () => {}, clustersMax: number = limits.heatClustersMax) {
    this.#onFirst = onFirst
    this.#max = clustersMax
    this.#order = new Uint32Array(clustersMax)
    this.#contentOf = new Uint16Array(clustersMax)
    this.#streamOf = new Uint32Array(clustersMax)
    this.#seen = new SeenClusters(clustersMax)
  }

  /** A client reads this range. */
  touch(source: HeatSource, offset: number, length: number): void {
    const last = ((offset + length - 1) / CLUSTER) | 0
    for (let cluster = (offset / CLUSTER) | 0; cluster <= last; cluster++)
      if (((this.#endBits >>> (cluster & 31)) & 1) === 1 || !this.#seen.has(cluster)) this.#touch(source, cluster)
  }

  /** What was read so far, without scans. */
  reads(): RecordedReads {
    const clusters = new Uint32Array(this.count)
    const contentOf = new Uint16Array(this.count)
    let kept = 0
    for (let i = 0; i < this.count; i++) {
      if (this.#scans.has(this.#streamOf[i]!)) continue
      clusters[kept] = this.#order[i]!
      contentOf[kept++] = this.#contentOf[i]!
    }
    return {
      contents: [...this.#contents],
      clusters: clusters.slice(0, kept),
      contentOf: contentOf.slice(0, kept),
    }
  }

  #touch(source: HeatSource, cluster: number): void {
    const isKnown = this.#seen.has(cluster)
    const stream = this.#streamAt(cluster, isKnown)
    if (isKnown || this.#isScan[stream] === 1 || this.count === this.#max) return
    this.#seen.add(cluster)
    this.#order[this.count] = cluster
    this.#streamOf[this.count] = this.#numbers[stream]!
    this.#contentOf[this.count] = this.#numberOf(source.contentIdOf(cluster))
    if (this.count++ === 0) this.#onFirst()
  }

  /** The stream that reads this cluster. Where another one ended, the longer one goes on; what is known begins none. */
  #streamAt(cluster: number, isKnown: boolean): number {
    let found = -1
    let again = -1
    for (let i = 0; i < STREAMS; i++) {
      const end = this.#ends[i]!
      if (end === cluster + 1) again = i
      if (end === cluster && end > 0 && (found < 0 || this.#starts[i]! < this.#starts[found]!)) found = i
    }
    if (found < 0) return again >= 0 || isKnown ? again : this.#begin(cluster)
    this.#endsAt(found, cluster + 1)
    if (this.#isScan[found] === 0 && cluster + 1 - this.#starts[found]! >= SCAN) this.#markScan(found)
    return found
  }

  #endsAt(stream: number, end: number): void {
    this.#ends[stream] = end
    this.#endBits = 0
    for (let i = 0; i < STREAMS; i++) this.#endBits |= 1 << (this.#ends[i]! & 31)
  }

  #markScan(stream: number): void {
    if (this.#scans.size === limits.heatScansMax) return
    this.#isScan[stream] = 1
    this.#scans.add(this.#numbers[stream]!)
  }

  /** A new stream takes the place of the shortest, in turn: a long one that rests for a while is still known. */
  #begin(cluster: number): number {
    let place = this.#hand
    for (let n = 1; n < STREAMS; n++) {
      const i = (this.#hand + n) % STREAMS
      if (this.#ends[i]! - this.#starts[i]! < this.#ends[place]! - this.#starts[place]!) place = i
    }
    this.#hand = (place + 1) % STREAMS
    this.#numbers[place] = ++this.#streams
    this.#starts[place] = cluster
    this.#endsAt(place, cluster + 1)
    this.#isScan[place] = 0
    return place
  }

  #numberOf(contentId: string): number {
    const known = this.#contents.lastIndexOf(contentId)
    return known >= 0 ? known : this.#contents.push(contentId) - 1
  }
}
