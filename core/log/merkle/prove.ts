/**
 * Inclusion and consistency proofs, as RFC 6962 §2.1.1 and §2.1.2 define them, made from the hashes of complete subtrees.
 */
import assert from "node:assert"
import { emptyRoot, type Hash, nodeHash } from "./hash.ts"

/** The root of the complete subtree over the 2^height leaves that begin at leaf index × 2^height. */
export type SubtreeHash = (height: number, index: number) => Hash

/** The largest power of two smaller than n; n is at least 2. */
const splitOf = (n: number): number => 2 ** (Math.ceil(Math.log2(n)) - 1)

/** MTH(D[from:to]) of a range that §2.1 splits off. */
const rangeHash = (hashes: SubtreeHash, from: number, to: number): Hash => {
  const height = Math.log2(to - from)
  if (Number.isInteger(height)) return hashes(height, from / (to - from))
  const k = from + splitOf(to - from)
  return nodeHash(rangeHash(hashes, from, k), rangeHash(hashes, k, to))
}

/** The root of the first `size` leaves. */
export const treeRoot = (hashes: SubtreeHash, size: number): Hash =>
  size === 0 ? emptyRoot : rangeHash(hashes, 0, size)

/** PATH(index, D[size]), §2.1.1: from the leaf's sibling up. */
export const proveInclusion = (hashes: SubtreeHash, index: number, size: number): ReadonlyArray<Hash> => {
  assert(index >= 0 && index < size, "a leaf of the tree")
  const path = (from: number, to: number): Array<Hash> => {
    if (to - from === 1) return []
    const k = from + splitOf(to - from)
    return index < k ? [...path(from, k), rangeHash(hashes, k, to)] : [...path(k, to), rangeHash(hashes, from, k)]
  }
  return path(0, size)
}

/** PROOF(old, D[size]), §2.1.2. Empty for a tree and itself, and for the empty tree, which every tree extends. */
export const proveConsistency = (hashes: SubtreeHash, old: number, size: number): ReadonlyArray<Hash> => {
  assert(old >= 0 && old <= size, "an older size of the tree")
  const subproof = (from: number, to: number, known: boolean): Array<Hash> => {
    if (old === to) return known ? [] : [rangeHash(hashes, from, to)]
    const k = from + splitOf(to - from)
    return old <= k
      ? [...subproof(from, k, known), rangeHash(hashes, k, to)]
      : [...subproof(k, to, false), rangeHash(hashes, from, k)]
  }
  return old === 0 ? [] : subproof(0, size, true)
}
