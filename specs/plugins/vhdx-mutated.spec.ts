/** VHDX files that lie in their headers, regions, metadata, tables, bitmaps and logs: refused or answered, whatever they say. */
import { expect, it } from "vitest"
import vhdx from "../../plugins/formats/vhdx/index.ts"
import { MUTATIONS_PER_SEED, type Mutable, mutateRounds, mutationSeeds } from "../support/mutate.ts"
import { patterned } from "../support/random.ts"
import { BAT_AT, LOG_AT, logEntry, METADATA_AT, sealCrc, vhdxBytes, vhdxChain } from "../support/vhdx.ts"

const KiB = 1024
const chain = vhdxChain({ sizeBytes: 2 * 1024 * KiB + 512, layers: 3, seed: 3 }).toReversed()
const bytesOf = (i: number) => vhdxBytes(chain[i]!.fields)

const changes = [
  { at: BAT_AT, sector: bytesOf(2).subarray(BAT_AT, BAT_AT + 4096) },
  { at: METADATA_AT + 512 * KiB, zeros: 65_536 },
  { at: BAT_AT + 65_536, sector: patterned(4096, 1) },
]
const log = [0, 12_288, 24_576].map((tail, i) =>
  logEntry({ sequence: 50 + i, tail: Math.min(tail, 12_288), changes, flushed: 1 << 20, last: 9 << 20 }),
)
const LOG_BYTES = log.reduce((sum, entry) => sum + entry.length, 0)

const seal = (bytes: Buffer): void => {
  const parts = [
    [64 * KiB, 4 * KiB],
    [128 * KiB, 4 * KiB],
    [192 * KiB, 64 * KiB],
    [256 * KiB, 64 * KiB],
    ...log.map((entry, i) => [LOG_AT + i * entry.length, entry.length] as const),
  ] as const
  for (const [at, length] of parts)
    if (at + length <= bytes.length && bytes[at] !== 0) sealCrc(bytes.subarray(at, at + length))
}

const hot = [
  [64 * KiB, 80],
  [128 * KiB, 80],
  [192 * KiB, 80],
  [256 * KiB, 80],
  [METADATA_AT, 230],
  [METADATA_AT + 64 * KiB, 256],
  [BAT_AT, 64],
] as const
/** The bitmap's entry, and the bitmap itself. */
const bitmaps = [
  [BAT_AT + 4096 * 8, 8],
  [4 * 1024 * KiB, 64],
  [5 * 1024 * KiB, 64],
] as const

const samples: ReadonlyArray<Mutable> = [
  { name: "dynamic", files: { a: bytesOf(2) }, hot: { a: hot }, seal },
  {
    name: "differencing",
    files: Object.fromEntries(chain.map(({ name }, i) => [name, bytesOf(i)])),
    hot: Object.fromEntries(chain.map(({ name }) => [name, [...hot, ...bitmaps]])),
    seal,
  },
  {
    name: "with a log",
    files: { a: vhdxBytes({ ...chain[2]!.fields, log }) },
    hot: {
      a: [
        [64 * KiB, 80],
        [128 * KiB, 80],
        [192 * KiB, 80],
        [256 * KiB, 80],
        ...log.map((entry, i) => [LOG_AT + i * entry.length, 200] as const),
        [LOG_AT + LOG_BYTES - 4096, 16],
      ],
    },
    seal,
  },
]

it.each(mutationSeeds())("survives mutated VHDX files, seed %d", async (seed) => {
  const { opened, refused } = await mutateRounds(vhdx, samples, seed, MUTATIONS_PER_SEED)
  expect(Math.min(opened, refused)).toBeGreaterThan(MUTATIONS_PER_SEED / 20)
})
