/**
 * The right edge of a growing Merkle tree: what is needed to add leaves and to know the root, O(log n) hashes.
 *
 * **Details** RFC 6962 §2.1 splits n leaves at the largest power of two below n, so a tree is a row of complete subtrees, one for each
 * bit of n, the largest first. Adding a leaf merges equal neighbours, as a binary counter carries.
 */
import { emptyRoot, type Hash, nodeHash } from "./hash.ts"

export class Frontier {
  size = 0
  /** Roots of the complete subtrees, the largest first. */
  readonly roots: Array<Hash> = []

  add(leaf: Hash): void {
    let right = leaf
    for (let n = this.size; n % 2 === 1; n = Math.floor(n / 2)) right = nodeHash(this.roots.pop()!, right)
    this.roots.push(right)
    this.size++
  }

  /** MTH of the leaves so far. */
  root(): Hash {
    return foldRoots(this.roots)
  }
}

/** The root over a row of complete subtrees, the largest first. */
export const foldRoots = (roots: ReadonlyArray<Hash>): Hash =>
  roots.length === 0 ? emptyRoot : roots.reduceRight((right, left) => nodeHash(left, right))

/** MTH of leaves that are all at hand. */
export const rootOf = (leaves: ReadonlyArray<Hash>): Hash => {
  const frontier = new Frontier()
  for (const leaf of leaves) frontier.add(leaf)
  return frontier.root()
}
