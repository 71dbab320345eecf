/** VMDK files that lie in their headers, descriptors, directories, tables and markers: refused or answered, whatever they say. */
import { expect, it } from "vitest"
import vmdk from "../../plugins/formats/vmdk/index.ts"
import { MUTATIONS_PER_SEED, type Mutable, mutateRounds, mutationSeeds } from "../support/mutate.ts"
import { patterned } from "../support/random.ts"
import { extentText, type Grain, monolithicVmdk, sparseVmdk, streamVmdk } from "../support/vmdk.ts"

const GRAIN = 4096
const grains = (...numbers: ReadonlyArray<number>): Map<number, Grain> =>
  new Map(numbers.map((n, i) => [n, i === 1 ? "zero" : patterned(GRAIN, n)]))
const sizeBytes = 40 * GRAIN
const made = { sizeBytes, tableEntries: 16, grains: grains(0, 3, 17, 18, 39) }
const child = monolithicVmdk(
  { ...made, grains: grains(1, 2, 17, 30) },
  { CID: "2", parentCID: "12345678", parentFileNameHint: '"base.vmdk"' },
)
const base = monolithicVmdk(made)
const extent = sparseVmdk(made)
const stream = streamVmdk({ sizeBytes, tableEntries: 128, grains: grains(0, 3, 17, 18, 39) })
const text = Buffer.from(extentText([`RW 320 SPARSE "s.vmdk"`, `RW 8 FLAT "f.vmdk" 0`, "RW 8 ZERO"]))

const hotOf = ({ directoryAt, tablesAt }: typeof base) =>
  [
    [0, 90],
    [512, 300],
    [directoryAt, 16],
    [tablesAt, 256],
  ] as const

const samples: ReadonlyArray<Mutable> = [
  {
    name: "delta",
    files: { a: child.bytes, "base.vmdk": base.bytes },
    hot: { a: hotOf(child), "base.vmdk": hotOf(base) },
  },
  {
    name: "split",
    files: { a: text, "s.vmdk": extent.bytes, "f.vmdk": patterned(GRAIN, 4) },
    hot: { a: [[0, text.length]], "s.vmdk": hotOf(extent) },
  },
  {
    name: "stream",
    files: { a: stream.bytes },
    hot: {
      a: [
        [0, 90],
        [512, 300],
        ...stream.grainsAt.map((at) => [at, 40] as const),
        [stream.tablesAt, 200],
        [stream.bytes.length - 2048, 16],
        [stream.bytes.length - 1536, 600],
      ],
    },
  },
]

it.each(mutationSeeds())("survives mutated VMDK files, seed %d", async (seed) => {
  const { opened, refused } = await mutateRounds(vmdk, samples, seed, MUTATIONS_PER_SEED)
  expect(Math.min(opened, refused)).toBeGreaterThan(MUTATIONS_PER_SEED / 20)
})
