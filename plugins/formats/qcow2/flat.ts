/**
 * Writes the qcow2 file of a flattened version, which has its bytes in itself: where each guest byte lies is known before anything is written.
 *
 *     cluster 0   1 … n                      then        then            then             then
 *     ┌────────┬───────────────────────────┬──────────┬───────────────┬────────────────┬─────────────────┐
 *     │ header │ the disk: guest offset +  │ L1 table │ a place for   │ refcount table │ a place for each│
 *     │ (last) │ one cluster, sparse       │          │ each L2 table │                │ refcount block  │
 *     └────────┴───────────────────────────┴──────────┴───────────────┴────────────────┴─────────────────┘
 *
 * **Details** Places that nothing uses are holes, so the file is as long as the disk and as large as what is in it. Version 3 with extended L2 entries, as
 * in seal.ts: a cluster is 32 grains, of which only those that were written take room. An external data file would have to be found in whatever
 * folder qemu runs in (seal.ts, Gotchas); this one is found by its name alone. Grains come in order, one L2 table is held at a time.
 */
import assert from "node:assert"
import type { FlatInput, FlatLayer } from "imagelink/plugin"
import { putU64 } from "./bytes.ts"
import { layerHeader } from "./layer-header.ts"
import { LayerTables } from "./layer-tables.ts"
import { clusterBytesOf } from "./seal.ts"
import type { SealTarget } from "./seal-target.ts"

const REFCOUNT_BYTES = 2
const ENTRY_BYTES = 16

export const flatLayer = (input: FlatInput): FlatLayer => {
  const { sizeBytes, grainBytes } = input
  const places = placesOf(clusterBytesOf(input), sizeBytes)
  const { clusterBytes, l1At, tablesAt } = places
  const tables = new LayerTables(clusterBytes, sizeBytes, { data: clusterBytes, l1: l1At, tables: tablesAt })
  const used = new UsedClusters(places)
  let end = 0
  return {
    fileBytes: places.fileBytes,
    dataOffset: clusterBytes,
    async add({ offset, length, kind }, into) {
      const whole = offset % grainBytes === 0 && (length % grainBytes === 0 || offset + length === sizeBytes)
      assert(whole && length > 0, `the extent at ${offset} is not whole grains`)
      assert(offset >= end && offset + length <= sizeBytes, `the extent at ${offset} is out of order, or past the end`)
      end = offset + length
      if (kind === "absent") return
      for (let at = offset; at < end; ) {
        if (!tables.covers(at)) {
          const place = await tables.turnTo(at, into)
          if (place !== undefined) used.add(place)
          await tables.written()
        }
        if (kind === "data") used.add(clusterBytes + at)
        at = tables.mark(at, end, kind)
      }
    },
    async finish(into) {
      const place = await tables.writeLast(into)
      if (place !== undefined) used.add(place)
      await tables.written()
      await into.write(tables.l1, l1At)
      used.add(0)
      for (let at = l1At; at < tablesAt; at += clusterBytes) used.add(at)
      const refcounts = await used.write(into)
      const l1 = { offset: l1At, entries: tables.l1Entries }
      await into.write(layerHeader(input, { clusterBytes, l1, refcounts }), 0)
    },
  }
}

interface Places {
  readonly clusterBytes: number
  readonly l1At: number
  readonly tablesAt: number
  readonly refcountsAt: number
  readonly refcountClusters: number
  readonly blocksAt: number
  readonly blocks: number
  readonly fileBytes: number
}

const placesOf = (clusterBytes: number, sizeBytes: number): Places => {
  const whole = (bytes: number) => Math.ceil(bytes / clusterBytes) * clusterBytes
  const l2Tables = Math.ceil(sizeBytes / ((clusterBytes / ENTRY_BYTES) * clusterBytes))
  const l1At = clusterBytes + whole(sizeBytes)
  const tablesAt = l1At + whole(l2Tables * 8)
  const refcountsAt = tablesAt + l2Tables * clusterBytes
  // Blocks count the table and each other too: their number is raised until it covers everything.
  let blocks = 0
  let refcountClusters = 0
  let clusters = refcountsAt / clusterBytes
  while (blocks * (clusterBytes / REFCOUNT_BYTES) < clusters) {
    blocks = Math.ceil(clusters / (clusterBytes / REFCOUNT_BYTES))
    refcountClusters = whole(blocks * 8) / clusterBytes
    clusters = refcountsAt / clusterBytes + refcountClusters + blocks
  }
  const blocksAt = refcountsAt + refcountClusters * clusterBytes
  const fileBytes = blocksAt + blocks * clusterBytes
  return { clusterBytes, l1At, tablesAt, refcountsAt, refcountClusters, blocksAt, blocks, fileBytes }
}

/** Which clusters of the file are used, a bit for each, by the refcount block that counts them (qcow2 specification, "Host cluster management"). */
class UsedClusters {
  readonly #places: Places
  readonly #counted: number
  readonly #blocks = new Map<number, Uint8Array>()

  constructor(places: Places) {
    this.#places = places
    this.#counted = places.clusterBytes / REFCOUNT_BYTES
  }

  add(offset: number): void {
    const cluster = Math.floor(offset / this.#places.clusterBytes)
    const block = Math.floor(cluster / this.#counted)
    let bits = this.#blocks.get(block)
    if (bits === undefined) {
      bits = new Uint8Array(this.#counted / 8)
      this.#blocks.set(block, bits)
    }
    const bit = cluster % this.#counted
    bits[bit >> 3]! |= 1 << (bit & 7)
  }

  async write(into: SealTarget) {
    const { clusterBytes, refcountsAt, refcountClusters, blocksAt, blocks } = this.#places
    for (let i = 0; i < refcountClusters; i++) this.add(refcountsAt + i * clusterBytes)
    // A block is in a cluster that a block counts, which may be one that nothing else needed.
    for (let known = 0; known < this.#blocks.size; ) {
      known = this.#blocks.size
      for (const block of [...this.#blocks.keys()]) this.add(blocksAt + block * clusterBytes)
    }
    const table = new Uint8Array(refcountClusters * clusterBytes)
    const counts = new Uint8Array(clusterBytes)
    for (let block = 0; block < blocks; block++) {
      const bits = this.#blocks.get(block)
      if (bits === undefined) continue
      for (let i = 0; i < this.#counted; i++) counts[i * REFCOUNT_BYTES + 1] = (bits[i >> 3]! >> (i & 7)) & 1
      await into.write(counts, blocksAt + block * clusterBytes)
      putU64(table, block * 8, blocksAt + block * clusterBytes)
    }
    await into.write(table, refcountsAt)
    return { offset: refcountsAt, clusters: refcountClusters }
  }
}
