/**
 * Versions made of layers against plain buffers: a tree of commits over one base, read through one small cache by either door while volumes
 * miss and wait at random. Whatever is shared, each version is its own array of bytes.
 */
import { expect, it } from "vitest"
import { ReadCache } from "../../../core/block/cache.ts"
import type { BlockDevice, Extent } from "../../../core/block/device.ts"
import { guardDevice } from "../../../core/block/guard.ts"
import { crc32c } from "../../../core/bytes.ts"
import { GRAIN, layeredDisk } from "../../support/layers.ts"
import { patterned, type Random, random } from "../../support/random.ts"

const C = 65_536
const SIZE = 6 * C + 3 * GRAIN + 512

const turns = async (r: Random) => {
  for (let i = r.int(4); i > 0; i--) await Promise.resolve()
}

const randomRuns = (r: Random): ReadonlyArray<Extent> => {
  const runs: Array<Extent> = []
  const step = r.pick([2, 10, 40])
  for (let offset = r.int(step) * GRAIN; offset < SIZE; offset += r.int(step) * GRAIN) {
    const length = Math.min(SIZE - offset, (1 + r.int(r.pick([1, 3, 40]))) * GRAIN)
    runs.push({ offset, length, kind: r.pick(["data", "data", "zero"]) })
    offset += length
  }
  return runs
}

const readAny = async (r: Random, device: BlockDevice, offset: number, length: number): Promise<Buffer> => {
  const into = Buffer.alloc(length + 32, 0xee)
  if (!(r.chance(0.6) && device.readSync(into, 16, offset, length))) await device.read(into, 16, offset, length)
  expect(into.subarray(0, 16).every((b) => b === 0xee)).toBe(true)
  expect(into.subarray(16 + length).every((b) => b === 0xee)).toBe(true)
  return into.subarray(16, 16 + length)
}

/** Zeros where the extents say zero, and a list that covers what was asked. */
const checkExtents = async (device: BlockDevice, content: Buffer): Promise<void> => {
  let at = 0
  for (const e of await device.extents(0, SIZE, 10_000)) {
    expect(e.offset).toBe(at)
    at += e.length
    if (e.kind === "zero") expect(content.subarray(e.offset, at).every((b) => b === 0)).toBe(true)
  }
  expect(at).toBe(SIZE)
}

const run = async (seed: number): Promise<void> => {
  const r = random(seed)
  const disk = layeredDisk(patterned(SIZE, seed), {
    misses: () => r.chance(0.5),
    waits: () => turns(r),
  })
  const layers = [0]
  for (let layer = 1; layer <= 6; layer++) {
    const parent = r.chance(0.7) ? layers.at(-1)! : r.pick(layers)
    disk.commit(parent, layer, randomRuns(r), ({ length }) => patterned(length, seed * 100 + layer))
    layers.push(layer)
  }
  const cache = new ReadCache({ bytes: r.pick([1, 3, 20]) * C })
  const padded = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(C - bytes.length)])
  const verify = (layer: number, cluster: number, bytes: Uint8Array) =>
    crc32c(bytes) === crc32c(padded(disk.content.get(layer)!.subarray(cluster * C, (cluster + 1) * C)))
  const devices = layers.map((layer) => ({
    layer,
    device: guardDevice(disk.open(layer, cache, r.chance(0.5) ? verify : undefined)),
  }))
  await Promise.all(
    Array.from({ length: 60 }, async () => {
      const { layer, device } = r.pick(devices)
      const offset = r.pick([r.int(SIZE), r.int(7) * C, r.int(SIZE / GRAIN) * GRAIN])
      const length = Math.min(SIZE - offset, r.pick([1, 512, GRAIN, GRAIN + 1, C, 2 * C, SIZE]))
      const got = await readAny(r, device, offset, length)
      const wanted = disk.content.get(layer)!.subarray(offset, offset + length)
      expect(got.equals(wanted), `version ${layer} at ${offset} +${length}`).toBe(true)
    }),
  )
  expect(cache.stats.mismatches).toBe(0)
  for (const { layer, device } of devices) await checkExtents(device, disk.content.get(layer)!)
  for (const { device } of devices) await device.close()
}

const seeds = Number(process.env.IMAGELINK_SEEDS ?? 60)
const first = Number(process.env.IMAGELINK_SEED ?? 1)

it(`every version reads as what was committed, over ${seeds} seeded runs`, async () => {
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      await run(seed)
    } catch (e) {
      throw new Error(
        `replay: IMAGELINK_SEEDS=1 IMAGELINK_SEED=${seed} npx vitest run specs/block/layers/version-model.spec.ts`,
        { cause: e },
      )
    }
  }
})
