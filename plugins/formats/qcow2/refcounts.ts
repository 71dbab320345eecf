/**
 * The refcounts of a file in which every cluster is used once (qcow2 specification, "Host cluster management").
 *
 * **Details** Entries of 16 bits, so a block counts half as many clusters as it has bytes. Blocks and table count themselves too: their number
 * is raised until it covers everything.
 */
import { putU64 } from "./bytes.ts"
import type { SealTarget } from "./seal-target.ts"

export const REFCOUNT_ORDER = 4
const REFCOUNT_BYTES = 2

export interface RefcountTable {
  readonly offset: number
  readonly clusters: number
}

/** Appends refcount blocks and their table at `end`, the length of the file so far in whole clusters. */
export const writeRefcounts = async (into: SealTarget, clusterBytes: number, end: number): Promise<RefcountTable> => {
  const counted = clusterBytes / REFCOUNT_BYTES
  const used = end / clusterBytes
  let blocks = 0
  let clusters = 0
  for (let all = used; blocks * counted < all; all = used + blocks + clusters) {
    blocks = Math.ceil(all / counted)
    clusters = Math.ceil((blocks * 8) / clusterBytes)
  }
  const total = used + blocks + clusters
  const table = new Uint8Array(clusters * clusterBytes)
  const block = new Uint8Array(clusterBytes)
  for (let i = 0; i < blocks; i++) {
    const ones = Math.min(counted, total - i * counted)
    block.fill(0)
    for (let at = 0; at < ones; at++) block[at * REFCOUNT_BYTES + 1] = 1
    await into.write(block, end + i * clusterBytes)
    putU64(table, i * 8, end + i * clusterBytes)
  }
  const offset = end + blocks * clusterBytes
  await into.write(table, offset)
  return { offset, clusters }
}
