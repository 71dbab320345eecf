/**
 * The whole stack against a plain array of bytes: guard over overlay over version over a cache far too small, over volumes that miss
 * and wait at random. Whatever the doors, states and evictions, a disk is an array of bytes.
 */
import { expect, it } from "vitest"
import { ReadCache } from "../../core/block/cache.ts"
import { type BlockDevice, MAY_UNMAP } from "../../core/block/device.ts"
import { guardDevice } from "../../core/block/guard.ts"
import { MapBudget } from "../../core/block/overlay/budget.ts"
import type { GenerationPolicy } from "../../core/block/overlay/header.ts"
import { createOverlay, openOverlay } from "../../core/block/overlay/open.ts"
import { openVersion } from "../../core/block/version.ts"
import { MemoryFolder, MemoryVolume } from "../support/memory-volume.ts"
import { patterned, type Random, random } from "../support/random.ts"

const MiB = 1024 * 1024
const PAGE = 64 * MiB
/** Two pages and a bit; the last grain has 512 bytes. */
const SIZE = 2 * PAGE + 5 * 4096 + 512
/** Only these windows are compared: round the start, both page boundaries, and the end. */
const WINDOWS = [
  [0, 256 * 1024],
  [PAGE - 128 * 1024, 256 * 1024],
  [2 * PAGE - 64 * 1024, 64 * 1024 + 5 * 4096 + 512],
] as const

const binding = (policy: GenerationPolicy) =>
  ({ generation: "g1", clientId: "c1", slot: 0, imageId: "i1", version: 1, policy }) as const

const baseVolume = (r: Random) => {
  const volume = new MemoryVolume(SIZE, { misses: () => r.chance(0.5), waits: () => turns(r) })
  for (const [offset, length] of WINDOWS) volume.put(patterned(length, offset + 1), 0, offset, length)
  return volume
}
const turns = async (r: Random) => {
  for (let i = r.int(4); i > 0; i--) await Promise.resolve()
}

interface Range {
  readonly offset: number
  readonly length: number
}

/** Ranges that begin and end where something can go wrong: at, before and after grains, clusters, the page boundary, the end. */
const range = (r: Random): Range => {
  const [start, length] = r.pick(WINDOWS)
  const end = start + length
  const unit = r.pick([1, 512, 512, 4096, 4096, 65536])
  const from = start + Math.floor(r.int(length) / unit) * unit
  const bytes = Math.max(1, r.pick([1, 100, 512, 513, 4095, 4096, 4097, 8192, 12_288, 65_536, 70_000, 131_072]))
  return { offset: from, length: r.chance(0.1) ? end - from : Math.min(bytes, end - from) }
}

const readAny = async (device: BlockDevice, r: Random, at: Range): Promise<Buffer> => {
  const into = Buffer.alloc(at.length + 32, 0xee)
  if (!(r.chance(0.7) && device.readSync(into, 16, at.offset, at.length)))
    await device.read(into, 16, at.offset, at.length)
  expect(into.subarray(0, 16).every((b) => b === 0xee)).toBe(true)
  expect(into.subarray(16 + at.length).every((b) => b === 0xee)).toBe(true)
  return into.subarray(16, 16 + at.length)
}

const writeAny = async (device: BlockDevice, r: Random, bytes: Buffer, at: Range): Promise<void> => {
  const flags = r.chance(0.1) ? 1 : 0
  if (!(r.chance(0.7) && device.writeSync(bytes, 0, at.offset, at.length, flags))) {
    await device.write(bytes, 0, at.offset, at.length, flags)
  }
}

/** The bytes a trim zeroes: whole grains, the last one being what is left of the disk. */
const wholeGrains = ({ offset, length }: Range): Range => {
  const from = Math.ceil(offset / 4096) * 4096
  const to = offset + length === SIZE ? SIZE : Math.floor((offset + length) / 4096) * 4096
  return { offset: from, length: Math.max(0, to - from) }
}

const zeroModel = (model: MemoryVolume, { offset, length }: Range) => model.put(Buffer.alloc(length), 0, offset, length)
const expected = (model: MemoryVolume, { offset, length }: Range): Buffer => {
  const bytes = Buffer.alloc(length)
  model.get(bytes, 0, offset, length)
  return bytes
}

const run = async (seed: number, policy: GenerationPolicy): Promise<void> => {
  const r = random(seed)
  const below = baseVolume(r)
  const model = new MemoryVolume(SIZE)
  for (const [offset, length] of WINDOWS) model.put(patterned(length, offset + 1), 0, offset, length)
  const cache = new ReadCache({ bytes: r.pick([1, 2, 7]) * 65_536 })
  const base = openVersion({ id: "v1", contentId: "v1", cache, below, sizeBytes: SIZE })
  const folder = new MemoryFolder("memory", () => ({ misses: () => r.chance(0.1), waits: () => turns(r) }))
  const options = {
    folder,
    base,
    binding: binding(policy),
    client: "PC-001",
    hostBootId: "host",
    budget: new MapBudget(r.pick([1, 2, 100]) * 4096),
  }
  let overlay = await createOverlay(options)
  if (r.chance(0.3)) folder.volumes.get("data")!.canPunch = false
  let device = guardDevice(overlay)
  let dataWritten = 0
  for (let step = 0; step < 60; step++) {
    const at = range(r)
    const what = r.int(12)
    if (what < 4) {
      const bytes = patterned(at.length, seed * 1000 + step)
      await writeAny(device, r, bytes, at)
      model.put(bytes, 0, at.offset, at.length)
      dataWritten += at.length
    } else if (what < 5) {
      const flags = r.chance(0.5) ? MAY_UNMAP : 0
      if (!(r.chance(0.6) && device.zeroSync(at.offset, at.length, flags)))
        await device.zero(at.offset, at.length, flags)
      zeroModel(model, at)
    } else if (what < 6) {
      await device.trim(at.offset, at.length, 0)
      zeroModel(model, wholeGrains(at))
    } else if (what < 10) {
      const got = await readAny(device, r, at)
      expect(got.equals(expected(model, at))).toBe(true)
    } else if (what < 11) {
      await device.flush()
    } else if (r.chance(0.3)) {
      await device.close()
      overlay = await openOverlay(options)
      device = guardDevice(overlay)
      dataWritten = 0
    }
  }
  for (const [offset, length] of WINDOWS) {
    const got = Buffer.alloc(length)
    await device.read(got, 0, offset, length)
    expect(got.equals(expected(model, { offset, length }))).toBe(true)
    for (const e of await device.extents(offset, length, 1000)) {
      if (e.kind === "zero") expect(expected(model, e).every((b) => b === 0)).toBe(true)
    }
  }
  expect(overlay.stats.bytesWritten).toBe(dataWritten)
  await device.close()
}

const seeds = Number(process.env.IMAGELINK_SEEDS ?? 100)
const first = Number(process.env.IMAGELINK_SEED ?? 1)

for (const policy of ["discard", "keep", "super"] as const) {
  it(`a ${policy} overlay reads back what was written, over ${seeds} seeded runs`, async () => {
    for (let seed = first; seed < first + seeds; seed++) {
      try {
        await run(seed, policy)
      } catch (e) {
        throw new Error(
          `replay: IMAGELINK_SEEDS=1 IMAGELINK_SEED=${seed} npx vitest run specs/block/overlay-model.spec.ts`,
          {
            cause: e,
          },
        )
      }
    }
  })
}
