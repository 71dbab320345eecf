/**
 * The whole way of a commit, by seed: a super overlay over the newest version, random writes, zeros and trims, frozen, read from its folder, and
 * opened as the next version, again and again, with a rollback now and then. Each version must read as its overlay did, for as long as it is open.
 */
import { expect, it } from "vitest"
import { ReadCache } from "../../../core/block/cache.ts"
import { computeChecksums, verifierOf } from "../../../core/block/checksums.ts"
import { type BlockDevice, MAY_UNMAP } from "../../../core/block/device.ts"
import { guardDevice } from "../../../core/block/guard.ts"
import { LayerMapBudget } from "../../../core/block/layers/budget.ts"
import { extendChecksums } from "../../../core/block/layers/checksums.ts"
import { LayerMap, type MapLayer } from "../../../core/block/layers/map.ts"
import { makeRunsFrom } from "../../../core/block/layers/runs-builder.ts"
import { openLayeredVersion } from "../../../core/block/layers/version.ts"
import { layeredVolume } from "../../../core/block/layers/volume.ts"
import { MapBudget } from "../../../core/block/overlay/budget.ts"
import { createOverlay } from "../../../core/block/overlay/open.ts"
import { readOwnExtents } from "../../../core/block/overlay/sealed.ts"
import { ownRuns } from "../../support/layers.ts"
import { MemoryFolder, MemoryVolume } from "../../support/memory-volume.ts"
import { patterned, type Random, random } from "../../support/random.ts"

const GRAIN = 4096
const SIZE = 20 * 65_536 + 3 * GRAIN + 512

interface Committed {
  readonly version: number
  readonly path: ReadonlyArray<MapLayer>
  readonly map: LayerMap
  readonly device: BlockDevice
  readonly content: Buffer
  readonly table: Uint32Array
}

const readAll = async (device: BlockDevice): Promise<Buffer> => {
  const bytes = Buffer.alloc(SIZE)
  await device.read(bytes, 0, 0, SIZE)
  return bytes
}

const change = async (r: Random, device: BlockDevice, seed: number): Promise<void> => {
  for (let i = r.int(12); i > 0; i--) {
    const offset = r.pick([r.int(SIZE), r.int(SIZE / GRAIN) * GRAIN])
    const length = Math.min(SIZE - offset, r.pick([1, 512, GRAIN, 5 * GRAIN + 100, 65_536, 4 * 65_536]))
    const what = r.int(5)
    if (what === 0) await device.zero(offset, length, r.pick([0, MAY_UNMAP]))
    else if (what === 1) await device.trim(offset, length, 0)
    else await device.write(patterned(length, seed * 1000 + i), 0, offset, length, 0)
  }
}

const run = async (seed: number): Promise<void> => {
  const r = random(seed)
  const misses = () => r.chance(0.4)
  const base = MemoryVolume.of(patterned(SIZE, seed), { misses })
  const cache = new ReadCache({ bytes: r.pick([1, 5, 64]) * 65_536 })
  const mapBudget = new LayerMapBudget()
  const files = new Map<number, MemoryVolume>([[0, base]])
  const tables = new Map<number, Uint32Array>()

  const open = async (version: number, path: ReadonlyArray<MapLayer>, parent?: Uint32Array): Promise<Committed> => {
    const map = new LayerMap(mapBudget, SIZE, path)
    const below = layeredVolume(map, files)
    const table = parent === undefined ? await computeChecksums(below) : await extendChecksums(parent, map, below)
    tables.set(map.layer, table)
    const parts = map.chain.map((layer) => ({
      layer,
      contentId: `i@${layer}`,
      source: files.get(layer)!,
      verify: verifierOf({ table: tables.get(layer)! }),
    }))
    const device = guardDevice(openLayeredVersion({ id: `i@${version}`, cache, map, parts }))
    return { version, path, map, device, content: await readAll(device), table }
  }

  const commit = async (parent: Committed, version: number): Promise<Committed> => {
    const folder = new MemoryFolder("overlay", () => ({ misses }))
    const binding = {
      generation: "g",
      clientId: "c",
      slot: 0,
      imageId: "i",
      version: parent.version,
      policy: "super",
    } as const
    const budget = new MapBudget()
    const overlay = await createOverlay({ folder, base: parent.device, binding, client: "PC", hostBootId: "b", budget })
    await change(r, overlay, version)
    const seen = await readAll(overlay)
    const frozen = await overlay.freeze()
    await overlay.close()
    const runs = async function* () {
      const sealed = await readOwnExtents(folder, undefined)
      expect(sealed).toMatchObject(frozen)
      yield* sealed.extents()
    }
    files.set(version, folder.volumes.get("data")!.reopened())
    const own = await makeRunsFrom(mapBudget, SIZE, runs())
    const child = await open(version, [...parent.path, { layer: version, runs: own }], parent.table)
    own.release()
    expect(child.content.equals(seen), `version ${version} as its overlay was`).toBe(true)
    const bytes = (kind: string) =>
      ownRuns(child.map)
        .filter((e) => e.kind === kind)
        .reduce((n, e) => n + e.length, 0)
    expect({ dataBytes: bytes("data"), zeroBytes: bytes("zero") }).toEqual(frozen)
    return child
  }

  const first = await open(1, [])
  expect(first.content.equals(patterned(SIZE, seed))).toBe(true)
  const versions = [first]
  for (let version = 2; version <= 6; version++) {
    versions.push(await commit(r.chance(0.8) ? versions.at(-1)! : r.pick(versions), version))
  }
  for (const { version, device, content } of versions) {
    expect((await readAll(device)).equals(content), `version ${version} stays what it was`).toBe(true)
  }
  expect(cache.stats.mismatches).toBe(0)
  for (const { device, map } of versions) {
    await device.close()
    map.release()
  }
  expect(mapBudget.bytes).toBe(0)
}

const seeds = Number(process.env.IMAGELINK_SEEDS ?? 30)
const first = Number(process.env.IMAGELINK_SEED ?? 1)

it(`a version reads as the overlay it was committed from, over ${seeds} seeded runs`, async () => {
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      await run(seed)
    } catch (e) {
      throw new Error(
        `replay: IMAGELINK_SEEDS=1 IMAGELINK_SEED=${seed} npx vitest run specs/block/layers/commit-model.spec.ts`,
        { cause: e },
      )
    }
  }
})
