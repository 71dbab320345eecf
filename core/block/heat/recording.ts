/**
 * Which clusters are read while it runs, in the order of their first read; of one boot, or of all clients in a named window.
 *
 *     order     12  13  900  14  77 …      clusters
 *     contents   0   0    1   0   0 …      which content brought each of them, as the cache keys it
 *
 * **Scans.** A stream that reads one cluster after the other for longer than `limits.heatScanBytes` is a backup, a virus scan or a copy. It is told from
 * other reads that go on beside it by where streams ended; what it read first is left out again, what was read before it stays.
 *
 * **Details** All memory is taken when it is made, whatever the size of the disk; when that is full, what is read later is not recorded. A touch of the
 * cluster that was read last costs one comparison, any other one a look at eight streams and a table.
 */
import { limits } from "../../limits.ts"
import { ClusterTable } from "./cluster-table.ts"

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

interface Scan {
  readonly start: number
  end: number
  /** Place in the order of the first cluster that can be its. */
  readonly since: number
}

export class HeatRecording {
  /** Clusters recorded; scans that were found since are among them. */
  count = 0
  readonly #max: number
  readonly #order: Uint32Array
  readonly #contentOf: Uint16Array
  readonly #table: ClusterTable
  readonly #contents: Array<string> = []
  readonly #onFirst: () => void
  #last = -1
  /** Of each stream: its first cluster, the one it would read next, and the place in the order that it began at. */
  readonly #starts = new Uint32Array(STREAMS)
  readonly #ends = new Uint32Array(STREAMS)
  readonly #since = new Uint32Array(STREAMS)
  readonly #scanOf: Array<Scan | undefined> = new Array(STREAMS).fill(undefined)
  readonly #scans: Array<Scan> = []
  #hand = 0

  /** `onFirst` is called at the first read. */
  constructor(onFirst: () => void = () => {}, clustersMax: number = limits.heatClustersMax) {
    this.#onFirst = onFirst
    this.#max = clustersMax
    this.#order = new Uint32Array(clustersMax)
    this.#contentOf = new Uint16Array(clustersMax)
    this.#table = new ClusterTable(clustersMax)
  }

  /** A client reads this range. */
  touch(source: HeatSource, offset: number, length: number): void {
    const last = Math.floor((offset + length - 1) / CLUSTER)
    for (let cluster = Math.floor(offset / CLUSTER); cluster <= last; cluster++)
      if (cluster !== this.#last) this.#touch(source, cluster)
  }

  /** What was read so far, without scans. */
  reads(): RecordedReads {
    const clusters = new Uint32Array(this.count)
    const contentOf = new Uint16Array(this.count)
    let kept = 0
    for (let i = 0; i < this.count; i++) {
      const cluster = this.#order[i]!
      if (this.#scans.some(({ start, end, since }) => i >= since && cluster >= start && cluster < end)) continue
      clusters[kept] = cluster
      contentOf[kept++] = this.#contentOf[i]!
    }
    return {
      contents: [...this.#contents],
      clusters: clusters.slice(0, kept),
      contentOf: contentOf.slice(0, kept),
    }
  }

  #touch(source: HeatSource, cluster: number): void {
    this.#last = cluster
    if (this.#goesOn(cluster) || this.count === this.#max) return
    if (!this.#table.add(cluster, this.count)) return
    this.#order[this.count] = cluster
    this.#contentOf[this.count] = this.#numberOf(source.contentIdOf(cluster))
    if (this.count++ === 0) this.#onFirst()
  }

  /** Whether the stream that this cluster belongs to is a scan. */
  #goesOn(cluster: number): boolean {
    for (let i = 0; i < STREAMS; i++) {
      const end = this.#ends[i]!
      if (end === 0) continue
      if (end === cluster + 1) return this.#scanOf[i] !== undefined
      if (end !== cluster) continue
      this.#ends[i] = cluster + 1
      const scan = this.#scanOf[i]
      if (scan !== undefined) scan.end = cluster + 1
      else if (cluster + 1 - this.#starts[i]! >= SCAN) this.#found(i)
      return this.#scanOf[i] !== undefined
    }
    this.#begin(cluster)
    return false
  }

  #found(i: number): void {
    if (this.#scans.length === limits.heatScansMax) return
    const scan = { start: this.#starts[i]!, end: this.#ends[i]!, since: this.#since[i]! }
    this.#scanOf[i] = scan
    this.#scans.push(scan)
  }

  /** A new stream takes the place of the shortest, in turn: a long one that rests for a while is still known. */
  #begin(cluster: number): void {
    let place = this.#hand
    for (let n = 1; n < STREAMS; n++) {
      const i = (this.#hand + n) % STREAMS
      if (this.#ends[i]! - this.#starts[i]! < this.#ends[place]! - this.#starts[place]!) place = i
    }
    this.#hand = (place + 1) % STREAMS
    this.#starts[place] = cluster
    this.#ends[place] = cluster + 1
    this.#since[place] = this.count
    this.#scanOf[place] = undefined
  }

  #numberOf(contentId: string): number {
    const known = this.#contents.lastIndexOf(contentId)
    return known >= 0 ? known : this.#contents.push(contentId) - 1
  }
}
