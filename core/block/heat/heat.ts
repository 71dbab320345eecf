/**
 * The heat of an image: recordings of what boots and named windows read, a bounded number of each label, oldest first.
 *
 * **Details** A cluster is named with the version that brought it, so what was learnt on one version holds for the next as far as that shares it. A
 * cluster counts once in a recording, because what lies below is asked once. What a hot zone covers is a share of those reads, of each label by itself.
 *
 * **Gotchas** A recording that is much shorter than those before it is a boot that was cut short; it is counted and not kept, so that a PC which
 * starts again and again takes nothing from what others taught.
 */
import { limits } from "../../limits.ts"
import { ClusterTable } from "./cluster-table.ts"

/** The label of what real boots read. */
export const BOOT = "boot"
/** A recording with less than this part of the longest one that is kept is not kept. */
const SHORT = 1 / 4

/** One recording: `versions[i]` brought `clusters[i]`, in the order of their first read. */
export interface KeptReads {
  readonly label: string
  /** When it ended, UTC milliseconds. */
  readonly at: number
  readonly versions: Uint32Array
  readonly clusters: Uint32Array
}

export interface Heat {
  readonly imageId: string
  /** Of the disk, when it was last recorded. */
  readonly sizeBytes: number
  /** How often each label was recorded, kept or not; the one recorded last comes last. */
  readonly labels: ReadonlyArray<{ readonly label: string; readonly recorded: number }>
  readonly kept: ReadonlyArray<KeptReads>
}

export const noHeat = (imageId: string): Heat => ({ imageId, sizeBytes: 0, labels: [], kept: [] })

/** `boot`, or a name like an image's. */
export const isLabel = (text: string): boolean =>
  text.length <= limits.heatLabelCharsMax && /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(text)

/** The heat with one more recording, within its bounds. */
export const withReads = (heat: Heat, reads: KeptReads, sizeBytes: number): Heat => {
  const { label } = reads
  const before = heat.labels.find((l) => l.label === label)?.recorded ?? 0
  const others = heat.labels.filter((l) => l.label !== label)
  const labels = withoutOldest([...others, { label, recorded: before + 1 }])
  const known = new Set(labels.map((l) => l.label))
  const kept = heat.kept.filter((k) => known.has(k.label))
  const longest = Math.max(0, ...kept.filter((k) => k.label === label).map((k) => k.clusters.length))
  const isKept = reads.clusters.length > 0 && reads.clusters.length >= longest * SHORT
  return { imageId: heat.imageId, sizeBytes, labels, kept: bounded(isKept ? [...kept, reads] : kept) }
}

/** Boots are never the label that goes. */
const withoutOldest = (labels: Heat["labels"]): Heat["labels"] => {
  if (labels.length <= limits.heatLabelsMax) return labels
  const goes = labels.findIndex((l) => l.label !== BOOT)
  return labels.filter((_, i) => i !== goes)
}

const bounded = (all: ReadonlyArray<KeptReads>): ReadonlyArray<KeptReads> => {
  const kept = [...all]
  for (const { label } of all) {
    const same = kept.filter((k) => k.label === label)
    if (same.length > limits.heatKeptMax) kept.splice(kept.indexOf(same[0]!), 1)
  }
  while (kept.reduce((sum, k) => sum + k.clusters.length, 0) > limits.heatEntriesMax) {
    const entries = (label: string) => kept.reduce((sum, k) => sum + (k.label === label ? k.clusters.length : 0), 0)
    const most = kept.reduce((a, b) => (entries(b.label) > entries(a.label) ? b : a))
    kept.splice(
      kept.findIndex((k) => k.label === most.label),
      1,
    )
  }
  return kept
}

/** Says whether a cluster that this version brought counts. */
export type Counts = (version: number, cluster: number) => boolean

/** Clusters with the number of recordings that read them, in the order that they came in. */
export class Ranking {
  /** Sum of the weights. */
  reads = 0
  #found = 0
  readonly #table: ClusterTable
  readonly #clusters: Uint32Array
  readonly #weights: Uint8Array

  /** For recordings with at most so many clusters together. */
  constructor(clustersMax: number) {
    this.#table = new ClusterTable(Math.max(1, clustersMax))
    this.#clusters = new Uint32Array(clustersMax)
    this.#weights = new Uint8Array(clustersMax)
  }

  add({ versions, clusters }: KeptReads, counts: Counts): void {
    for (let i = 0; i < clusters.length; i++) {
      const cluster = clusters[i]!
      if (!counts(versions[i]!, cluster)) continue
      if (this.#table.add(cluster, this.#found)) this.#clusters[this.#found++] = cluster
      this.#weights[this.#table.get(cluster)]!++
      this.reads++
    }
  }

  /** The smallest set that covers this share of the reads, in per cent. */
  covering(share: number): Uint32Array {
    const wanted = Math.ceil((this.reads * share) / 100)
    const weights = this.#weights
    const ofWeight = new Uint32Array(limits.heatKeptMax + 1)
    for (let i = 0; i < this.#found; i++) ofWeight[weights[i]!]!++
    let [covered, least, ofLeast] = [0, limits.heatKeptMax + 1, 0]
    while (covered < wanted && least > 1) {
      least--
      ofLeast = Math.min(ofWeight[least]!, Math.ceil((wanted - covered) / least))
      covered += ofLeast * least
    }
    const found = this.#clusters.subarray(0, this.#found)
    return found.filter((_, i) => weights[i]! > least || (weights[i] === least && ofLeast-- > 0))
  }
}

/** The recordings of one label, ranked in the order of the newest, then of the one before it, and so on. `turn` lets others go on in between. */
export const rank = async (heat: Heat, label: string, counts: Counts, turn: () => Promise<void>): Promise<Ranking> => {
  const recordings = heat.kept.filter((k) => k.label === label).reverse()
  const ranking = new Ranking(recordings.reduce((sum, { clusters }) => sum + clusters.length, 0))
  for (const reads of recordings) {
    ranking.add(reads, counts)
    await turn()
  }
  return ranking
}

/** What a hot zone holds: of each label, what covers the share; boots first. */
export const hotZone = async (
  heat: Heat,
  share: number,
  counts: Counts,
  turn: () => Promise<void>,
): Promise<Uint32Array> => {
  const labels = [BOOT, ...heat.labels.map((l) => l.label).filter((l) => l !== BOOT)]
  const sets: Array<Uint32Array> = []
  for (const label of labels) sets.push((await rank(heat, label, counts, turn)).covering(share))
  const max = sets.reduce((sum, set) => sum + set.length, 0)
  const table = new ClusterTable(Math.max(1, max))
  const zone = new Uint32Array(max)
  let count = 0
  for (const set of sets) for (const cluster of set) if (table.add(cluster, count)) zone[count++] = cluster
  return zone.subarray(0, count)
}

/** The order that a boot is expected to read in: that of the newest boot, as far as its clusters count. */
export const expectedOrder = (heat: Heat, counts: Counts): Uint32Array => {
  const newest = heat.kept.findLast((k) => k.label === BOOT)
  return newest === undefined ? new Uint32Array() : newest.clusters.filter((c, i) => counts(newest.versions[i]!, c))
}
