/**
 * Checks proofs without the tree: the algorithms of RFC 9162 §2.1.3.2 and §2.1.4.2, which RFC 6962 leaves to the reader.
 *
 * **Details** `fn` and `sn` are the RFC's: the place of the node at hand, and of the last one, on its level.
 */
import { emptyRoot, type Hash, nodeHash, sameHash } from "./hash.ts"

const half = (n: number): number => Math.floor(n / 2)
const isOdd = (n: number): boolean => n % 2 === 1

/** Whether `leaf` is leaf `index` of the tree with `size` leaves and this root (RFC 9162 §2.1.3.2). */
export const verifyInclusion = (
  leaf: Hash,
  index: number,
  size: number,
  proof: ReadonlyArray<Hash>,
  root: Hash,
): boolean => {
  if (index < 0 || index >= size) return false
  let fn = index
  let sn = size - 1
  let r = leaf
  for (const p of proof) {
    if (sn === 0) return false
    if (isOdd(fn) || fn === sn) {
      r = nodeHash(p, r)
      while (!isOdd(fn) && fn !== 0) [fn, sn] = [half(fn), half(sn)]
    } else r = nodeHash(r, p)
    fn = half(fn)
    sn = half(sn)
  }
  return sn === 0 && sameHash(r, root)
}

export interface TreeHead {
  readonly size: number
  readonly root: Hash
}

/** Whether `next` has the leaves of `old` as its first (RFC 9162 §2.1.4.2). */
export const verifyConsistency = (old: TreeHead, next: TreeHead, proof: ReadonlyArray<Hash>): boolean => {
  if (old.size > next.size) return false
  if (old.size === next.size) return proof.length === 0 && sameHash(old.root, next.root)
  if (old.size === 0) return proof.length === 0 && sameHash(old.root, emptyRoot)
  const path = Number.isInteger(Math.log2(old.size)) ? [old.root, ...proof] : proof
  let fn = old.size - 1
  let sn = next.size - 1
  while (isOdd(fn)) [fn, sn] = [half(fn), half(sn)]
  const [first, ...rest] = path
  if (first === undefined || proof.length === 0) return false
  let fr = first
  let sr = first
  for (const c of rest) {
    if (sn === 0) return false
    if (isOdd(fn) || fn === sn) {
      fr = nodeHash(c, fr)
      sr = nodeHash(c, sr)
      while (!isOdd(fn) && fn !== 0) [fn, sn] = [half(fn), half(sn)]
    } else sr = nodeHash(sr, c)
    fn = half(fn)
    sn = half(sn)
  }
  return sn === 0 && sameHash(fr, old.root) && sameHash(sr, next.root)
}
