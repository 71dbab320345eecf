/** Layers that we seal, read by qemu: clean to qemu-img check, and the bytes that were meant. */
import { mkdtempSync } from "node:fs"
import { mkdir, open, readFile, rm, stat, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import type { SealInput } from "../../core/storage/format.ts"
import qcow2 from "../../plugins/formats/qcow2/index.ts"
import { openFile, readDisk } from "../support/image-files.ts"
import { noise, run } from "../support/nbd-server.ts"
import { random } from "../support/random.ts"
import { requires } from "../support/requires.ts"

const qemu = requires("qemu-img", "qemu-utils")
const folder = mkdtempSync(join(tmpdir(), "imagelink-seal-"))
afterAll(() => rm(folder, { recursive: true, force: true }))
const at = (name: string) => join(folder, name)
const qemuImg = (...args: ReadonlyArray<string>) => run("env", "-C", folder, "qemu-img", ...args)
const MiB = 2 ** 20
const GiB = 2 ** 30
const GRAIN = 4096

type Extent = ReturnType<SealInput["extents"]> extends Iterable<infer E> ? E : never

/** Seals into a file; answers its length. */
const seal = async (name: string, input: Omit<SealInput, "grainBytes"> & { readonly grainBytes?: number }) => {
  const file = await open(at(name), "wx")
  try {
    const write = async (bytes: Uint8Array, offset: number) => void (await file.write(bytes, 0, bytes.length, offset))
    await qcow2.seal!({ grainBytes: GRAIN, ...input }, { write })
  } finally {
    await file.close()
  }
  return (await stat(at(name))).size
}

const randomExtents = (sizeBytes: number, grainBytes: number, seed: number): ReadonlyArray<Extent> => {
  const r = random(seed)
  const extents: Array<Extent> = []
  for (let offset = 0; offset < sizeBytes; ) {
    const grains = 1 + r.int(r.chance(0.7) ? 5 : 120)
    const length = Math.min(grains * grainBytes, sizeBytes - offset)
    extents.push({ offset, length, kind: r.pick(["data", "zero", "absent"]) })
    offset += length
  }
  return extents
}

/** What the layer reads as: its data file, zeros, or what lies below. */
const merged = (below: Buffer, data: Buffer, extents: ReadonlyArray<Extent>): Buffer => {
  const expected = Buffer.alloc(data.length)
  below.copy(expected, 0, 0, Math.min(below.length, data.length))
  for (const { offset, length, kind } of extents) {
    if (kind === "data") data.copy(expected, offset, offset, offset + length)
    if (kind === "zero") expected.fill(0, offset, offset + length)
  }
  return expected
}

const expectLayer = async (name: string, expected: Buffer) => {
  expect(await qemuImg("check", "-f", "qcow2", name)).toContain("No errors were found on the image.")
  await qemuImg("convert", "-f", "qcow2", "-O", "raw", name, `${name}.out`)
  expect((await readFile(at(`${name}.out`))).equals(expected), `${name} by qemu`).toBe(true)
  await rm(at(`${name}.out`))
  const image = await openFile(at(name))
  expect((await readDisk(image)).equals(expected), `${name} by us`).toBe(true)
  await image.disk.close()
}

describe.skipIf(qemu.skip)("a sealed layer", () => {
  it.each([
    { seed: 1, sizeBytes: 8 * MiB, belowBytes: 8 * MiB, grainBytes: GRAIN },
    { seed: 2, sizeBytes: 8 * MiB + 512, belowBytes: 8 * MiB + 512, grainBytes: GRAIN },
    { seed: 3, sizeBytes: 8 * MiB - 512, belowBytes: 3 * MiB, grainBytes: GRAIN },
    { seed: 4, sizeBytes: 512, belowBytes: 4 * MiB, grainBytes: GRAIN },
    { seed: 5, sizeBytes: 5 * MiB + 1024, belowBytes: 5 * MiB, grainBytes: 512 },
    { seed: 6, sizeBytes: 9 * MiB, belowBytes: MiB, grainBytes: 65_536 },
  ])("of random grains reads as it should: $sizeBytes bytes over $belowBytes", async (plan) => {
    const { seed, sizeBytes, belowBytes, grainBytes } = plan
    const below = noise(belowBytes, seed)
    const data = noise(sizeBytes, seed + 100)
    await writeFile(at(`base${seed}.raw`), below)
    await writeFile(at(`layer${seed}.data`), data)
    const extents = randomExtents(sizeBytes, grainBytes, seed)
    const parent = { path: `base${seed}.raw`, format: "raw" }
    const input = { sizeBytes, grainBytes, extents: () => extents, dataFile: `layer${seed}.data`, parent }
    await seal(`layer${seed}.qcow2`, input)
    await expectLayer(`layer${seed}.qcow2`, merged(below, data, extents))
  })

  it("over a layer over a layer over a qcow2 file reads as it should", async () => {
    const sizeBytes = 4 * MiB + 512
    let expected = noise(sizeBytes, 20)
    await writeFile(at("chain.raw"), expected)
    await qemuImg("convert", "-c", "-f", "raw", "-O", "qcow2", "chain.raw", "chain0.qcow2")
    for (const n of [1, 2, 3]) {
      const data = noise(sizeBytes, 20 + n)
      await writeFile(at(`chain${n}.data`), data)
      const extents = randomExtents(sizeBytes, GRAIN, 20 + n)
      const parent = { path: `chain${n - 1}.qcow2`, format: "qcow2" }
      await seal(`chain${n}.qcow2`, { sizeBytes, extents: () => extents, dataFile: `chain${n}.data`, parent })
      expected = merged(expected, data, extents)
      await expectLayer(`chain${n}.qcow2`, expected)
    }
  })

  it("finds its parents through folders that are symlinks, and theirs from there, as qemu does", async () => {
    const sizeBytes = 2 * MiB
    await mkdir(at("elsewhere"))
    await mkdir(at("layers/parents"), { recursive: true })
    await symlink(at("elsewhere"), at("layers/parents/win11-v1"))
    await symlink("..", at("layers/parents/win11-v2"))
    let expected = noise(sizeBytes, 60)
    await writeFile(at("elsewhere/base.raw"), expected)
    const parents = [
      { path: "parents/win11-v1/base.raw", format: "raw" },
      { path: "parents/win11-v2/v2.qcow2", format: "qcow2" },
    ]
    for (const [i, parent] of parents.entries()) {
      const data = noise(sizeBytes, 61 + i)
      await writeFile(at(`layers/v${i + 2}.data`), data)
      const extents = randomExtents(sizeBytes, GRAIN, 61 + i)
      await seal(`layers/v${i + 2}.qcow2`, { sizeBytes, extents: () => extents, dataFile: `v${i + 2}.data`, parent })
      expected = merged(expected, data, extents)
    }
    const top = await openFile(at("layers/v3.qcow2"))
    const names = ["v3.data", "parents/win11-v2/v2.qcow2", "parents/win11-v2/v2.data"]
    expect(top.disk.dependsOn).toEqual([...names, "parents/win11-v2/parents/win11-v1/base.raw"])
    expect((await readDisk(top)).equals(expected)).toBe(true)
    await top.disk.close()
    const inLayers = (...args: ReadonlyArray<string>) => run("env", "-C", at("layers"), "qemu-img", ...args)
    await inLayers("convert", "-f", "qcow2", "-O", "raw", "v3.qcow2", "out.raw")
    expect((await readFile(at("layers/out.raw"))).equals(expected)).toBe(true)
  })

  it.each(["data", "zero", "absent", undefined] as const)("of nothing but %s", async (kind) => {
    const sizeBytes = 2 * MiB
    const below = noise(sizeBytes, 30)
    const data = noise(sizeBytes, 31)
    await writeFile(at("all.raw"), below)
    await writeFile(at("all.data"), data)
    const extents = kind === undefined ? [] : [{ offset: 0, length: sizeBytes, kind }]
    const parent = { path: "all.raw", format: "raw" }
    const bytes = await seal(`all-${kind}.qcow2`, { sizeBytes, extents: () => extents, dataFile: "all.data", parent })
    // Header, L1, a refcount block and its table; and one L2 table where the layer has something.
    expect(bytes).toBe((kind === "data" || kind === "zero" ? 5 : 4) * 131_072)
    await expectLayer(`all-${kind}.qcow2`, merged(below, data, extents))
  })

  it("without a parent reads as zeros where it has nothing", async () => {
    const data = noise(MiB, 40)
    await writeFile(at("alone.data"), data)
    const extents: ReadonlyArray<Extent> = [{ offset: 65_536, length: 8192, kind: "data" }]
    await seal("alone.qcow2", { sizeBytes: MiB, extents: () => extents, dataFile: "alone.data" })
    await expectLayer("alone.qcow2", merged(Buffer.alloc(0), data, extents))
  })

  it("of 4 TiB with a grain at each end has two tables between its ends, and qemu finds the grains", async () => {
    const sizeBytes = 4096 * GiB
    const data = await open(at("large.data"), "wx")
    await data.truncate(sizeBytes)
    await data.write(Buffer.alloc(GRAIN, 1), 0, GRAIN, 0)
    await data.write(Buffer.alloc(GRAIN, 2), 0, GRAIN, sizeBytes - GRAIN)
    await data.close()
    const extents = [0, sizeBytes - GRAIN].map((offset) => ({ offset, length: GRAIN, kind: "data" as const }))
    const bytes = await seal("large.qcow2", { sizeBytes, extents: () => extents, dataFile: "large.data" })
    expect(bytes).toBe(6 * 131_072)
    expect(await qemuImg("check", "-f", "qcow2", "large.qcow2")).toContain("No errors were found on the image.")
    const map = JSON.parse(await qemuImg("map", "--output=json", "-f", "qcow2", "large.qcow2"))
    const found = map.filter((e: { data: boolean }) => e.data)
    expect(found.map((e: { start: number; length: number; offset: number }) => [e.start, e.length, e.offset])).toEqual([
      [0, GRAIN, 0],
      [sizeBytes - GRAIN, GRAIN, sizeBytes - GRAIN],
    ])
  })

  it("has the features, names and formats that qemu-img info shows", async () => {
    await writeFile(at("info.data"), noise(MiB, 50))
    await qemuImg("create", "-q", "-f", "vpc", "-o", "force_size=on", "info.vhd", "1M")
    const parent = { path: "info.vhd", format: "vhd" }
    await seal("info.qcow2", { sizeBytes: MiB, extents: () => [], dataFile: "info.data", parent })
    const info = JSON.parse(await qemuImg("info", "--output=json", "info.qcow2"))
    expect([info["virtual-size"], info["cluster-size"]]).toEqual([MiB, 131_072])
    expect([info["backing-filename"], info["backing-filename-format"]]).toEqual(["info.vhd", "vpc"])
    expect(info["format-specific"].data).toEqual({
      compat: "1.1",
      "compression-type": "zlib",
      "lazy-refcounts": false,
      "refcount-bits": 16,
      corrupt: false,
      "extended-l2": true,
      "data-file": "info.data",
      "data-file-raw": false,
    })
  })
})
