/** Every proof of every tree up to 300 leaves verifies, and nothing near it does. */
import { describe, expect, it } from "vitest"
import { Frontier } from "../../../core/log/merkle/frontier.ts"
import { emptyRoot, type Hash } from "../../../core/log/merkle/hash.ts"
import { proveConsistency, proveInclusion, treeRoot } from "../../../core/log/merkle/prove.ts"
import { verifyConsistency, verifyInclusion } from "../../../core/log/merkle/verify.ts"
import { random } from "../support/random.ts"
import { numbered, subtrees } from "../support/tree.ts"

const most = 300
const leaves = numbered(most)
const tree = subtrees(leaves)
const roots = Array.from({ length: most + 1 }, (_, size) => treeRoot(tree, size))
const head = (size: number) => ({ size, root: roots[size]! })

const flipped = (bytes: Hash, at: number, bit: number): Hash => {
  const copy = Uint8Array.from(bytes)
  copy[at]! ^= 1 << bit
  return copy
}
/** The proof with one bit of one hash flipped. */
const spoiled = (proof: ReadonlyArray<Hash>, r: ReturnType<typeof random>): ReadonlyArray<Hash> => {
  const which = r.below(proof.length)
  return proof.map((hash, i) => (i === which ? flipped(hash, r.below(32), r.below(8)) : hash))
}

describe("the frontier", () => {
  it("has the root of the whole tree at every size, with as many hashes as the size has ones in binary", () => {
    const frontier = new Frontier()
    for (let size = 0; size <= most; size++) {
      expect(Buffer.compare(frontier.root(), roots[size]!), `size ${size}`).toBe(0)
      expect(frontier.roots.length).toBe(size.toString(2).replaceAll("0", "").length)
      if (size < most) frontier.add(leaves[size]!)
    }
  })
})

describe("an inclusion proof", () => {
  it("verifies for every leaf of every tree up to 300", () => {
    const wrong: Array<string> = []
    for (let size = 1; size <= most; size++)
      for (let index = 0; index < size; index++) {
        const path = proveInclusion(tree, index, size)
        if (!verifyInclusion(leaves[index]!, index, size, path, roots[size]!)) wrong.push(`${index} of ${size}`)
      }
    expect(wrong).toEqual([])
  }, 60_000)

  it("fails with a flipped bit in leaf, path or root, at another index, in another size, cut short or made longer", () => {
    const r = random(11)
    const passed: Array<string> = []
    for (let size = 1; size <= most; size++) {
      const index = r.below(size)
      const path = proveInclusion(tree, index, size)
      const leaf = leaves[index]!
      const root = roots[size]!
      const tries: Record<string, boolean> = {
        leaf: verifyInclusion(flipped(leaf, r.below(32), r.below(8)), index, size, path, root),
        root: verifyInclusion(leaf, index, size, path, flipped(root, r.below(32), r.below(8))),
        past: verifyInclusion(leaf, size, size, path, root),
        negative: verifyInclusion(leaf, -1, size, path, root),
        longer: verifyInclusion(leaf, index, size, [...path, leaf], root),
        path: path.length > 0 && verifyInclusion(leaf, index, size, spoiled(path, r), root),
        shorter: path.length > 0 && verifyInclusion(leaf, index, size, path.slice(0, -1), root),
        neighbour: size > 1 && verifyInclusion(leaf, index === 0 ? 1 : index - 1, size, path, root),
      }
      for (const [name, held] of Object.entries(tries)) if (held) passed.push(`${name}: ${index} of ${size}`)
    }
    expect(passed).toEqual([])
  })
})

describe("a consistency proof", () => {
  it("verifies between every two sizes up to 300", () => {
    const wrong: Array<string> = []
    for (let size = 0; size <= most; size++)
      for (let old = 0; old <= size; old++) {
        const proof = proveConsistency(tree, old, size)
        if (!verifyConsistency(head(old), head(size), proof)) wrong.push(`${old} to ${size}`)
      }
    expect(wrong).toEqual([])
  }, 60_000)

  it("fails with a flipped bit in the proof or either root, cut short or made longer, or backwards", () => {
    const r = random(12)
    const passed: Array<string> = []
    for (let size = 2; size <= most; size++) {
      const old = 1 + r.below(size - 1)
      const proof = proveConsistency(tree, old, size)
      const spoil = (h: ReturnType<typeof head>) => ({ ...h, root: flipped(h.root, r.below(32), r.below(8)) })
      const tries: Record<string, boolean> = {
        proof: verifyConsistency(head(old), head(size), spoiled(proof, r)),
        old: verifyConsistency(spoil(head(old)), head(size), proof),
        next: verifyConsistency(head(old), spoil(head(size)), proof),
        shorter: verifyConsistency(head(old), head(size), proof.slice(0, -1)),
        longer: verifyConsistency(head(old), head(size), [...proof, roots[1]!]),
        empty: verifyConsistency(head(old), head(size), []),
        backwards: verifyConsistency(head(size), head(old), proof),
      }
      for (const [name, held] of Object.entries(tries)) if (held) passed.push(`${name}: ${old} to ${size}`)
    }
    expect(passed).toEqual([])
  })

  it("takes another root for the same size, or for no leaves, for another history", () => {
    expect(verifyConsistency({ size: 7, root: roots[6]! }, head(7), [])).toBe(false)
    expect(verifyConsistency({ size: 0, root: roots[1]! }, head(7), [])).toBe(false)
    expect(verifyConsistency({ size: 0, root: emptyRoot }, head(7), [])).toBe(true)
  })
})
