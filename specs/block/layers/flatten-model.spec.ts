/** Layers are merged into a qcow2 file with their bytes in it: read back over what they lie on, it is the disk that they made. */
import { describe, expect, it } from "vitest"
import type { Extent } from "../../../core/block/device.ts"
import { type FlattenRequest, flattenLayers } from "../../../core/block/layers/flatten.ts"
import { isMergedZero, layerIndex, mergeLayers, NOTHING } from "../../../core/block/layers/merge.ts"
import { crc32c } from "../../../core/bytes.ts"
import { limits } from "../../../core/limits.ts"
import qcow2 from "../../../plugins/formats/qcow2/index.ts"
import { MemoryVolume } from "../../support/memory-volume.ts"
import { patterned, random } from "../../support/random.ts"

const CLUSTER = limits.clusterBytes
const GRAIN = limits.grainBytes
const MiB = 2 ** 20
const { signal } = new AbortController()

async function* given(runs: ReadonlyArray<Extent>): AsyncGenerator<Extent> {
  yield* runs
}

interface Layer {
  readonly data: MemoryVolume
  readonly list: ReadonlyArray<Extent>
  runs(): AsyncIterable<Extent>
}

/** Runs at places that the dice decide, never two that touch; what a layer zeroes holds other bytes in its file. */
const layerOver = (disk: Buffer, seed: number, runsMax: number): { layer: Layer; now: Buffer } => {
  const dice = random(seed)
  const data = new MemoryVolume(disk.length)
  const now = Buffer.from(disk)
  const list: Array<Extent> = []
  const grains = Math.ceil(disk.length / GRAIN)
  for (let g = dice.int(3); g < grains && list.length < runsMax; ) {
    const count = Math.min(grains - g, 1 + dice.int(dice.chance(0.1) ? 3000 : 20))
    const offset = g * GRAIN
    const length = Math.min(count * GRAIN, disk.length - offset)
    const kind = dice.pick(["data", "data", "zero", "absent"] as const)
    const fresh = patterned(length, seed * 1000 + g)
    if (kind !== "absent") data.put(fresh, 0, offset, length)
    if (kind === "data") fresh.copy(now, offset)
    if (kind === "zero") now.fill(0, offset, offset + length)
    list.push({ offset, length, kind })
    g += count + 1 + dice.int(Math.ceil((2 * grains) / runsMax))
  }
  return { layer: { data, list, runs: () => given(list) }, now }
}

const tableOf = (disk: Buffer): Uint32Array =>
  Uint32Array.from({ length: Math.ceil(disk.length / CLUSTER) }, (_, i) => {
    const cluster = Buffer.alloc(CLUSTER)
    disk.copy(cluster, 0, i * CLUSTER, (i + 1) * CLUSTER)
    return crc32c(cluster)
  })

const flattenInto = async (more: Partial<FlattenRequest> & Pick<FlattenRequest, "layers" | "table" | "sizeBytes">) => {
  const flat = qcow2.flat!({ sizeBytes: more.sizeBytes, grainBytes: GRAIN, parent: { path: "base", format: "raw" } })
  const into = new MemoryVolume(flat.fileBytes)
  const mismatch = (cluster: number) => new Error(`cluster ${cluster}`)
  const totals = await flattenLayers({ below: undefined, mismatch, ...more, into, flat })
  return { into, flat, totals }
}

/** What the file has, laid over `below`. */
const readBack = async (into: MemoryVolume, below: Buffer): Promise<{ disk: Buffer; runs: ReadonlyArray<Extent> }> => {
  const tables = await qcow2.map!(into, { signal, path: "flat" })
  expect([tables.dataFile, tables.sizeBytes]).toEqual([undefined, below.length])
  const disk = Buffer.from(below)
  const runs: Array<Extent> = []
  for await (const run of tables.runs()) {
    runs.push(run)
    if (run.kind === "zero") disk.fill(0, run.offset, run.offset + run.length)
    else await into.read(disk, run.offset, tables.dataOffset + run.offset, run.length)
  }
  return { disk, runs }
}

const sizes = [1, GRAIN, GRAIN + 512, CLUSTER - 512, 2 * CLUSTER, 5 * MiB + 512, 32 * MiB, 33 * MiB - 512, 70 * MiB]

describe.each(sizes)("layers over a disk of %d bytes", (sizeBytes) => {
  it.each([1, 2, 3])("are the same disk in one file (seed %d)", async (seed) => {
    const base = patterned(sizeBytes, seed)
    const layers: Array<Layer> = []
    let now: Buffer = base
    for (let n = 0; n < 1 + seed; n++) {
      const made = layerOver(now, seed * 100 + n, 40)
      layers.push(made.layer)
      now = made.now
    }
    const below = MemoryVolume.of(base)
    const { into, totals } = await flattenInto({ sizeBytes, layers, below, table: tableOf(now) })
    const { disk, runs } = await readBack(into, base)
    expect(disk.equals(now), `seed ${seed}`).toBe(true)
    const sum = (kind: string) => runs.reduce((total, run) => total + (run.kind === kind ? run.length : 0), 0)
    expect([String(totals.dataBytes), String(totals.zeroBytes)]).toEqual([String(sum("data")), String(sum("zero"))])
  })
})

describe("what is merged", () => {
  it("is the newest layer's that has it, also past the first window, and windows without any are passed by", async () => {
    const sizeBytes = 200 * MiB
    const [at0, at65] = [0, 65 * MiB]
    const old = [
      { offset: at0, length: 3 * GRAIN, kind: "data" },
      { offset: at65, length: 64 * MiB, kind: "data" },
    ] as const
    const fresh = [
      { offset: GRAIN, length: GRAIN, kind: "zero" },
      { offset: at65 + 32 * MiB, length: GRAIN, kind: "data" },
    ] as const
    const found: Array<readonly [number, number, string]> = []
    for await (const { offset, grains, codes } of mergeLayers(sizeBytes, [given(old), given(fresh)]))
      for (let g = 0; g < grains; ) {
        const code = codes[g]!
        let end = g + 1
        while (end < grains && codes[end] === code) end++
        const what = `${layerIndex(code)}${isMergedZero(code) ? "z" : ""}`
        if (code !== NOTHING) found.push([offset / GRAIN + g, end - g, what])
        g = end
      }
    expect(found).toEqual([
      [0, 1, "0"],
      [1, 1, "1z"],
      [2, 1, "0"],
      [16_640, 7936, "0"],
      [24_576, 256, "0"],
      [24_832, 1, "1"],
      [24_833, 7935, "0"],
      [32_768, 256, "0"],
    ])
  })

  it("of nothing is a file of nothing", async () => {
    const base = patterned(3 * CLUSTER, 1)
    const layers = [{ data: new MemoryVolume(base.length), runs: () => given([]) }]
    const { into, totals } = await flattenInto({ sizeBytes: base.length, layers, table: tableOf(base) })
    expect(totals).toEqual({ dataBytes: 0, zeroBytes: 0 })
    expect((await readBack(into, base)).runs).toEqual([])
  })

  it("and is not what was recorded, in any byte of a cluster that changed, is refused and never finished", async () => {
    const base = patterned(4 * CLUSTER, 1)
    const { layer, now } = layerOver(base, 2, 3)
    const [first] = layer.list.filter(({ kind }) => kind === "data")
    const cluster = Math.floor(first!.offset / CLUSTER)
    const asked = (wrong: Buffer, below: Buffer) => {
      const request = { sizeBytes: base.length, layers: [layer], below: MemoryVolume.of(below), table: tableOf(wrong) }
      return flattenInto(request)
    }
    await asked(now, base)
    const wrong = Buffer.from(now)
    wrong[first!.offset]! ^= 1
    await expect(asked(wrong, base)).rejects.toThrow(`cluster ${cluster}`)
    // of a cluster that changed in part, the rest too
    const rest = [...Array(CLUSTER / GRAIN).keys()]
      .map((g) => cluster * CLUSTER + g * GRAIN)
      .find(
        (at) =>
          !layer.list.some(({ offset, length, kind }) => kind !== "absent" && at >= offset && at < offset + length),
      )
    const below = Buffer.from(base)
    if (rest !== undefined) below[rest]! ^= 1
    expect(rest).not.toBe(undefined)
    await expect(asked(now, below)).rejects.toThrow(`cluster ${cluster}`)
  })

  it("can be stopped", async () => {
    const base = patterned(8 * MiB, 1)
    const list = [{ offset: 0, length: base.length, kind: "data" }] as const
    const layers = [{ data: MemoryVolume.of(base), runs: () => given(list) }]
    const stop = new AbortController()
    let steps = 0
    const onStep = () => {
      if (++steps === 3) stop.abort()
    }
    const asked = flattenInto({ sizeBytes: base.length, layers, table: tableOf(base), signal: stop.signal, onStep })
    await expect(asked).rejects.toMatchObject({ code: "CANCELLED" })
    expect(steps).toBe(3)
  })

  it("of a disk of 4 TiB takes what is in it: every place in the file is known before", async () => {
    const sizeBytes = 2 ** 42
    const last = sizeBytes - GRAIN
    const data = new MemoryVolume(sizeBytes)
    const [head, tail] = [patterned(GRAIN, 1), patterned(GRAIN, 2)]
    data.put(head, 0, 0, GRAIN)
    data.put(tail, 0, last, GRAIN)
    const list = [
      { offset: 0, length: GRAIN, kind: "data" },
      { offset: last, length: GRAIN, kind: "data" },
    ] as const
    const table = { 0: crc(head, 0), [sizeBytes / CLUSTER - 1]: crc(tail, CLUSTER - GRAIN) } as unknown as Uint32Array
    const { into, flat } = await flattenInto({ sizeBytes, layers: [{ data, runs: () => given(list) }], table })
    expect(flat.fileBytes - sizeBytes).toBeLessThan(2 ** 30)
    // header, L1, two L2 tables, refcounts and two clusters
    expect(into.chunks.size * GRAIN).toBeLessThan(2 * MiB)
    const tables = await qcow2.map!(into, { signal, path: "flat" })
    const runs: Array<Extent> = []
    for await (const run of tables.runs()) runs.push(run)
    expect(runs).toEqual([
      { offset: 0, length: CLUSTER, kind: "data" },
      { offset: sizeBytes - CLUSTER, length: CLUSTER, kind: "data" },
    ])
    const read = Buffer.alloc(GRAIN)
    await into.read(read, 0, tables.dataOffset + last, GRAIN)
    expect(read.equals(tail)).toBe(true)
  })
})

const crc = (grain: Buffer, at: number): number => {
  const cluster = Buffer.alloc(CLUSTER)
  grain.copy(cluster, at)
  return crc32c(cluster)
}
