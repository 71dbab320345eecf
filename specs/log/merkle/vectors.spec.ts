/**
 * The tree hashes and proofs of the eight inputs that implementations of RFC 6962 are tried with (certificate-transparency's own test
 * data), written out.
 */
import { describe, expect, it } from "vitest"
import { Frontier, rootOf } from "../../../core/log/merkle/frontier.ts"
import { emptyRoot, leafHash } from "../../../core/log/merkle/hash.ts"
import { proveConsistency, proveInclusion, treeRoot } from "../../../core/log/merkle/prove.ts"
import { verifyConsistency, verifyInclusion } from "../../../core/log/merkle/verify.ts"
import { subtrees } from "../support/tree.ts"

const inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"].map(
  (hex) => Buffer.from(hex, "hex"),
)
const roots = [
  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")
const leaves = inputs.map(leafHash)
const tree = subtrees(leaves)

describe("the eight classic inputs", () => {
  it("have no leaf but the empty string's hash when there is none", () => {
    expect(hex(emptyRoot)).toBe(roots[0])
    expect(hex(rootOf([]))).toBe(roots[0])
  })

  it("give the known root at every size, by frontier and by subtree", () => {
    const frontier = new Frontier()
    for (const [i, leaf] of leaves.entries()) {
      frontier.add(leaf)
      expect([frontier.size, hex(frontier.root())]).toEqual([i + 1, roots[i + 1]])
      expect(hex(treeRoot(tree, i + 1))).toBe(roots[i + 1])
    }
  })

  it.each([
    [0, 1, []],
    [
      0,
      8,
      [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
      ],
    ],
    [
      5,
      8,
      [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      ],
    ],
    [2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]],
    [
      1,
      5,
      [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
      ],
    ],
  ] as const)("prove that leaf %i is in the tree of %i with the known path", (index, size, expected) => {
    const path = proveInclusion(tree, index, size)
    expect(path.map(hex)).toEqual(expected)
    expect(verifyInclusion(leaves[index]!, index, size, path, Buffer.from(roots[size]!, "hex"))).toBe(true)
  })

  it.each([
    [1, 1, []],
    [
      1,
      8,
      [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
      ],
    ],
    [
      6,
      8,
      [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      ],
    ],
    [
      2,
      5,
      [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
      ],
    ],
  ] as const)(
    "prove that the tree of %i is the beginning of the tree of %i with the known proof",
    (old, size, expected) => {
      const proof = proveConsistency(tree, old, size)
      expect(proof.map(hex)).toEqual(expected)
      const head = (n: number) => ({ size: n, root: Buffer.from(roots[n]!, "hex") })
      expect(verifyConsistency(head(old), head(size), proof)).toBe(true)
    },
  )
})
