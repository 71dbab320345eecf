/** VHD files that lie in their footers, headers, tables and bitmaps: refused or answered, whatever they say. */
import { expect, it } from "vitest"
import vhd from "../../plugins/formats/vhd/index.ts"
import { MUTATIONS_PER_SEED, type Mutable, mutateRounds, mutationSeeds } from "../support/mutate.ts"
import { patterned } from "../support/random.ts"
import { fixedVhd, sealFooter, vhdChain } from "../support/vhd.ts"

const seal = (bytes: Buffer): void => {
  if (bytes.length >= 1536 && bytes.toString("latin1", 0, 8) === "conectix") {
    sealFooter(bytes.subarray(0, 512))
    sealFooter(bytes.subarray(512, 1536), 36)
  }
  if (bytes.length >= 512) sealFooter(bytes.subarray(bytes.length - 512))
}

const chain = vhdChain({ sizeBytes: 96 * 1024 + 512, blockBytes: 16 * 1024, layers: 3, seed: 3 }).toReversed()
const fixed = fixedVhd(patterned(4096, 1))
const hotOf = (file: Uint8Array) =>
  [
    [0, 512],
    [512, 100],
    [512 + 576, 48],
    [1536, 64],
    [1536 + 4096, 1024],
    [file.length - 512, 128],
  ] as const

const samples: ReadonlyArray<Mutable> = [
  { name: "fixed", files: { "a.vhd": fixed }, hot: { "a.vhd": [[4096, 512]] }, seal },
  {
    name: "dynamic",
    files: { "a.vhd": chain[2]!.file },
    hot: { "a.vhd": [...hotOf(chain[2]!.file), [1536, 64]] },
    seal,
  },
  {
    name: "differencing",
    files: Object.fromEntries(chain.map(({ name, file }) => [name, file])),
    hot: Object.fromEntries(chain.map(({ name, file }) => [name, hotOf(file)])),
    seal,
  },
]

it.each(mutationSeeds())("survives mutated VHD files, seed %d", async (seed) => {
  const { opened, refused } = await mutateRounds(vhd, samples, seed, MUTATIONS_PER_SEED)
  expect(Math.min(opened, refused)).toBeGreaterThan(MUTATIONS_PER_SEED / 20)
})
