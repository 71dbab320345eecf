/** A Merkle tree held whole, the plain way: every complete subtree of every height. */
import { type Hash, leafHash, nodeHash } from "../../../core/log/merkle/hash.ts"
import type { SubtreeHash } from "../../../core/log/merkle/prove.ts"

export const subtrees = (leaves: ReadonlyArray<Hash>): SubtreeHash => {
  const heights: Array<ReadonlyArray<Hash>> = [leaves]
  for (let below = leaves; below.length > 1; below = heights.at(-1)!) {
    heights.push(
      Array.from({ length: Math.floor(below.length / 2) }, (_, i) => nodeHash(below[2 * i]!, below[2 * i + 1]!)),
    )
  }
  return (height, index) => {
    const hash = heights[height]?.[index]
    if (hash === undefined) throw new Error(`there is no subtree ${index} of height ${height}`)
    return hash
  }
}

export const numbered = (count: number): ReadonlyArray<Hash> =>
  Array.from({ length: count }, (_, i) => leafHash(Buffer.from(`leaf ${i}`)))
