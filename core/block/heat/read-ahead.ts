/**
 * Reads ahead of a boot, in the order of an earlier one, when what lies below is slow.
 *
 *     recorded order   … a  b  c  d  e  f …
 *     this boot            ▲ here └────────┘ loaded next, at most `heatAheadMax` clusters in front
 *
 * **Details** A boot is slow when its first misses took longer on average than `heatSlowMissMillis`; that is found out once. What is asked for goes
 * through the cache like a client's miss, so each cluster is loaded once whoever asks first. A boot that reads `heatStraysMax` clusters in a row that
 * are not expected near where it is has left the recorded order: reading ahead stops for good.
 */
import { limits } from "../../limits.ts"
import { ClusterTable } from "./cluster-table.ts"

const CLUSTER = limits.clusterBytes
const { heatAheadMax: AHEAD, heatAheadAtOnceMax: AT_ONCE, heatStraysMax: STRAYS } = limits

/** An order of clusters, and where each of them is in it; boots of one version share it. */
export class ExpectedOrder {
  readonly clusters: Uint32Array
  readonly #places: ClusterTable

  /** Each cluster once. */
  constructor(clusters: Uint32Array) {
    this.clusters = clusters
    this.#places = new ClusterTable(Math.max(1, clusters.length))
    for (let i = 0; i < clusters.length; i++) this.#places.add(clusters[i]!, i)
  }

  /** Place of a cluster, or -1. */
  placeOf(cluster: number): number {
    return this.#places.get(cluster)
  }
}

export interface ReadAheadOptions {
  readonly order: ExpectedOrder
  readonly device: { prefetch(offset: number, length: number, signal?: AbortSignal): Promise<void> }
  /** Milliseconds, from any origin, never going back. */
  readonly monotonic: () => number
}

export class ReadAhead {
  /** Clusters that were asked for. */
  asked = 0
  readonly #options: ReadAheadOptions
  readonly #stopping = new AbortController()
  #here = -1
  #next = 0
  #strays = 0
  #inFlight = 0
  #misses = 0
  #missMillis = 0
  #isSlow = false
  #last = -1

  constructor(options: ReadAheadOptions) {
    this.#options = options
  }

  get stopped(): boolean {
    return this.#stopping.signal.aborted
  }

  stop(): void {
    this.#stopping.abort()
  }

  /** The boot reads this range. */
  touch(offset: number, length: number): void {
    if (this.stopped) return
    const last = Math.floor((offset + length - 1) / CLUSTER)
    for (let cluster = Math.floor(offset / CLUSTER); cluster <= last; cluster++)
      if (cluster !== this.#last) this.#touch(cluster)
  }

  /** Times a miss of the boot. */
  async timed(asked: Promise<void>): Promise<void> {
    if (this.#isSlow || this.stopped) return asked
    const began = this.#options.monotonic()
    await asked
    this.#missMillis += this.#options.monotonic() - began
    if (++this.#misses < limits.heatSlowMissesMin) return
    if (this.#missMillis / this.#misses < limits.heatSlowMissMillis) {
      // What counts are the last few: a disk may become slow, or have been woken up.
      this.#misses = 0
      this.#missMillis = 0
      return
    }
    this.#isSlow = true
    this.#go()
  }

  #touch(cluster: number): void {
    this.#last = cluster
    const place = this.#options.order.placeOf(cluster)
    const isNear = place >= 0 && place <= Math.max(this.#here, 0) + 2 * AHEAD
    if (!isNear) {
      if (++this.#strays >= STRAYS) this.stop()
      return
    }
    this.#strays = 0
    if (place <= this.#here) return
    this.#here = place
    if (this.#isSlow) this.#go()
  }

  #go(): void {
    const { clusters } = this.#options.order
    if (this.#next <= this.#here) this.#next = this.#here + 1
    const end = Math.min(clusters.length, this.#here + 1 + AHEAD)
    while (this.#inFlight < AT_ONCE && this.#next < end && !this.stopped) void this.#load(clusters[this.#next++]!)
  }

  async #load(cluster: number): Promise<void> {
    this.#inFlight++
    this.asked++
    await this.#options.device.prefetch(cluster * CLUSTER, 1, this.#stopping.signal).catch(() => {})
    this.#inFlight--
    if (!this.stopped) this.#go()
  }
}
