/**
 * Committed versions: reading the newest of a long chain beside reading version 1, opening it, and the memory of its map.
 *
 *     npm run bench -- layers [rounds] [versions] [read|memory|merged]
 *
 * Each row is followed by two of the same disk as a server keeps it, which merges more than so many layers by itself (limits.mergeLayersAfterDefault):
 * `merged`, its newest version flattened over version 1, and `not yet merged`, as many layers as it lets be, the oldest of them flattened.
 *
 * **Details** Two 128 MiB disks in files, each version with 1 % of the disk changed: on one in single grains of 4 KiB anywhere, on the other in
 * runs of 64 KiB on their own alignment. Version 1 and the newest are read in turn, round by round; figures are medians. `cached`: through the
 * guard, from a cache that holds both. `uncached`: 64 KiB at random places through the least cache there is, from the page cache of the host.
 *
 * The second table is of a 4 TiB disk in memory alone: the runs of as many layers as the budget takes, then every page of every map looked at once,
 * so that what does not fit leaves. `runs` and `all` are what the budget counts, `really` what the process grew by, `ms` making the runs of one layer. Then
 * 50,000 look-ups at random places of all maps, and as many on a thousand pages of them that were looked at before: µs of CPU each, and how many of them
 * found no page and derived it.
 *
 * **What it does not show** A cold disk, where each run of a cluster may be a seek: a chain of small scattered changes reads as scattered as it was written,
 * and a flattened one from two files.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { linuxHost } from "../../adapters/host/linux.ts"
import { ReadCache } from "../../core/block/cache.ts"
import { computeChecksums } from "../../core/block/checksums.ts"
import type { BlockDevice, Extent } from "../../core/block/device.ts"
import { guardDevice } from "../../core/block/guard.ts"
import { LayerMapBudget } from "../../core/block/layers/budget.ts"
import { flattenLayers } from "../../core/block/layers/flatten.ts"
import { LayerMap, type MapLayer, readMap } from "../../core/block/layers/map.ts"
import { PAGE_SPAN } from "../../core/block/layers/page.ts"
import { makeRuns } from "../../core/block/layers/runs-builder.ts"
import { type LayerPart, openLayeredVersion } from "../../core/block/layers/version.ts"
import { MapBudget } from "../../core/block/overlay/budget.ts"
import { createOverlay } from "../../core/block/overlay/open.ts"
import { readOwnExtents } from "../../core/block/overlay/sealed.ts"
import { openVersion } from "../../core/block/version.ts"
import { limits } from "../../core/limits.ts"
import { guardVolume } from "../../core/storage/guard.ts"
import type { Volume } from "../../core/storage/volume.ts"
import { fileFolder } from "../../plugins/file/folder.ts"
import { openImage } from "../../plugins/file/image.ts"
import qcow2 from "../../plugins/formats/qcow2/index.ts"
import { type Random, random } from "../support/random.ts"
import { writeRandomImage } from "./support/image.ts"
import { median } from "./support/load.ts"

const KiB = 1024
const MiB = 1024 * KiB
const TiB = 2 ** 40
const rounds = Number(process.argv[2] ?? 11)
const versions = Number(process.argv[3] ?? 50)
const only = process.argv[4]
const SHARE = 0.01
const AIM = 1.15
const SIZE = 128 * MiB
/** Pages of all maps that are looked at again. */
const PAGES_HOT = 1000
const host = linuxHost()
const files: Array<Volume> = []
setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as () => void

const randomPlaces = (r: Random, sizeBytes: number, runBytes: number): ReadonlyArray<number> =>
  Array.from({ length: Math.round((sizeBytes * SHARE) / runBytes) }, () => r.int(sizeBytes / runBytes) * runBytes)

const openFileVolume = async (path: string): Promise<Volume> => {
  const volume = guardVolume(await openImage(path, host, new AbortController().signal), { kind: "file", path } as never)
  files.push(volume)
  return volume
}

/** Overlays over version 1 that are written, frozen and closed, one a version. */
const makeLayers = async (dir: string, base: string, runBytes: number): Promise<ReadonlyArray<string>> => {
  const budget = new MapBudget()
  const cache = new ReadCache({ bytes: MiB })
  const below = await openFileVolume(base)
  const bytes = Buffer.alloc(runBytes)
  const folders: Array<string> = []
  for (let version = 2; version <= versions; version++) {
    const path = join(dir, `layer-${runBytes}-${version}`)
    const device = openVersion({ id: "v1", contentId: "v1", cache, below, sizeBytes: SIZE })
    const binding = {
      generation: `g${version}`,
      clientId: "c",
      slot: 0,
      imageId: "i",
      version: 1,
      policy: "super",
    } as const
    const options = { folder: fileFolder(path, host), base: device, binding, client: "PC", hostBootId: "b", budget }
    const overlay = await createOverlay(options)
    const r = random(version)
    for (const place of randomPlaces(r, SIZE, runBytes)) {
      for (let at = 0; at < runBytes; at += 4) bytes.writeUInt32LE(r.int(2 ** 32), at)
      await overlay.write(bytes, 0, place, runBytes, 0)
    }
    await overlay.freeze()
    await overlay.close()
    await device.close()
    folders.push(path)
  }
  return folders
}

async function* arriving<A>(items: Iterable<A>): AsyncGenerator<A> {
  yield* items
}

/** The newest version's layers in one file. */
const flatten = async (dir: string, base: string, folders: ReadonlyArray<string>): Promise<string> => {
  const below = await openFileVolume(base)
  const layers = []
  for (const path of folders) {
    const own = await readOwnExtents(fileFolder(path, host), undefined)
    const data = await openFileVolume(join(path, "data"))
    layers.push({ data, runs: () => arriving(own.extents()), close: async () => {} })
  }
  const newest = await open(base, folders, new ReadCache({ bytes: limits.cacheBytesMin }))
  const volume = { sizeBytes: SIZE, read: newest.newest.read.bind(newest.newest) }
  const table = await computeChecksums(volume as never)
  await newest.newest.close()
  const flat = qcow2.flat!({ sizeBytes: SIZE, grainBytes: limits.grainBytes, parent: { path: "base", format: "raw" } })
  const name = `flat-${files.length}.qcow2`
  const into = await fileFolder(dir, host).open(name, { create: { sizeBytes: flat.fileBytes } })
  const mismatch = (cluster: number) => new Error(`cluster ${cluster}`)
  const began = performance.now()
  const { dataBytes } = await flattenLayers({ sizeBytes: SIZE, layers, below, table, into, flat, mismatch })
  await into.flush()
  console.log(`flattened: ${(dataBytes / MiB).toFixed(1)} MiB in ${(performance.now() - began).toFixed(0)} ms`)
  await into.close()
  for (const { close } of layers) await close()
  return join(dir, name)
}

/** Over version 1 a file of merged layers, and newer layers over that. */
const openFlat = async (
  base: string,
  path: string,
  newer: ReadonlyArray<string>,
  cache: ReadCache,
): Promise<Opened> => {
  const source = await openFileVolume(base)
  const first = openVersion({ id: "v1", contentId: "v1", cache, below: source, sizeBytes: SIZE })
  const began = performance.now()
  const budget = new LayerMapBudget()
  const file = await openFileVolume(path)
  const { runs, dataOffset } = await qcow2.map!(file, { signal: new AbortController().signal, path })
  const layers = [{ layer: 1, runs }]
  const moved = {
    sizeBytes: SIZE,
    read: (into: Uint8Array, at: number, offset: number, length: number) =>
      file.read(into, at, offset + dataOffset, length),
    readSync: (into: Uint8Array, at: number, offset: number, length: number) =>
      file.readSync?.(into, at, offset + dataOffset, length) ?? false,
  }
  const parts: Array<LayerPart> = [
    { layer: 0, contentId: "v1", source },
    { layer: 1, contentId: "flat", source: moved },
  ]
  for (const [i, folder] of newer.entries()) {
    const own = await readOwnExtents(fileFolder(folder, host), undefined)
    layers.push({ layer: i + 2, runs: () => arriving(own.extents()) })
    parts.push({ layer: i + 2, contentId: `newer${i}`, source: await openFileVolume(join(folder, "data")) })
  }
  const map = await readMap(budget, SIZE, arriving(layers))
  const newest = openLayeredVersion({ id: "flat", cache, map, parts })
  return {
    first: guardDevice(first),
    newest: guardDevice(newest),
    openMillis: performance.now() - began,
    mapBytes: budget.bytes,
  }
}

interface Opened {
  readonly first: BlockDevice
  readonly newest: BlockDevice
  readonly openMillis: number
  readonly mapBytes: number
}

const open = async (base: string, folders: ReadonlyArray<string>, cache: ReadCache): Promise<Opened> => {
  const source = await openFileVolume(base)
  const first = openVersion({ id: "v1", contentId: "v1", cache, below: source, sizeBytes: SIZE })
  const began = performance.now()
  const budget = new LayerMapBudget()
  const layers: Array<MapLayer> = []
  const parts = [{ layer: 0, contentId: "v1", source }]
  for (const [i, path] of folders.entries()) {
    const own = await readOwnExtents(fileFolder(path, host), undefined)
    layers.push({ layer: i + 1, runs: makeRuns(budget, SIZE, own.extents()) })
    parts.push({ layer: i + 1, contentId: `v${i + 2}`, source: await openFileVolume(join(path, "data")) })
  }
  const map = new LayerMap(budget, SIZE, layers)
  const newest = openLayeredVersion({ id: "newest", cache, map, parts })
  const openMillis = performance.now() - began
  return { first: guardDevice(first), newest: guardDevice(newest), openMillis, mapBytes: budget.bytes }
}

/** CPU time of this process, for one read: others that use the machine are not in it. */
const perRead = async (device: BlockDevice, places: ReadonlyArray<number>, length: number): Promise<number> => {
  const into = Buffer.alloc(length)
  const began = process.cpuUsage()
  for (const place of places) {
    if (!device.readSync(into, 0, place, length)) await device.read(into, 0, place, length)
  }
  const { user, system } = process.cpuUsage(began)
  return (user + system) / places.length
}

const inTurn = async (what: string, o: Opened, reads: number, length: number, warm: boolean): Promise<void> => {
  const r = random(7)
  const times: [Array<number>, Array<number>] = [[], []]
  const ratios: Array<number> = []
  for (let round = warm ? -2 : 0; round < rounds; round++) {
    const places = Array.from({ length: reads }, () => r.int(SIZE / length) * length)
    const order = round % 2 === 0 ? [0, 1] : [1, 0]
    const took = [0, 0]
    for (const i of order) took[i] = await perRead(i === 0 ? o.first : o.newest, places, length)
    if (round < 0) continue
    times[0].push(took[0]!)
    times[1].push(took[1]!)
    ratios.push(took[1]! / took[0]!)
  }
  const [a, b] = [median(times[0]), median(times[1])]
  const ratio = median(ratios)
  console.log(
    `${what.padEnd(56)}${a.toFixed(2).padStart(9)} µs${b.toFixed(2).padStart(9)} µs${ratio.toFixed(2).padStart(8)}${ratio > AIM ? "!" : ""}`,
  )
}

const readAll = async (device: BlockDevice): Promise<void> => {
  const into = Buffer.alloc(MiB)
  for (let offset = 0; offset < SIZE; offset += MiB) await device.read(into, 0, offset, MiB)
}

const reading = async (dir: string): Promise<void> => {
  const base = join(dir, "base.raw")
  writeRandomImage(base, SIZE)
  console.log(`${"".padEnd(56)}${"version 1".padStart(12)}${`version ${versions}`.padStart(12)}${"ratio".padStart(8)}`)
  for (const runBytes of [4 * KiB, 64 * KiB]) {
    const folders = await makeLayers(dir, base, runBytes)
    const what = `1 % in runs of ${runBytes / KiB} KiB`
    const flat = await flatten(dir, base, folders)
    const newer = folders.slice(folders.length - limits.mergeLayersAfterDefault + 1)
    const older = await flatten(dir, base, folders.slice(0, -newer.length))
    asAfterStart([base, flat, older, ...folders.map((path) => join(path, "data"))])
    await readBoth(what, (cache) => open(base, folders, cache))
    await readBoth(`${what}, merged`, (cache) => openFlat(base, flat, [], cache))
    await readBoth(`${what}, not yet merged`, (cache) => openFlat(base, older, newer, cache))
  }
}

/** The page cache has them as after a start of the host: read from the disk, in order. What was written a moment ago lies in it in other pieces. */
const asAfterStart = (paths: ReadonlyArray<string>): void => {
  for (const path of paths) {
    execFileSync("dd", [`of=${path}`, "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"])
    execFileSync("dd", [`if=${path}`, "of=/dev/null", "bs=1M", "status=none"])
  }
}

const readBoth = async (what: string, opening: (cache: ReadCache) => Promise<Opened>): Promise<void> => {
  const cached = await opening(new ReadCache({ bytes: 320 * MiB }))
  await readAll(cached.first)
  await readAll(cached.newest)
  await inTurn(`${what}, cached 4 KiB`, cached, 200_000, 4 * KiB, true)
  await inTurn(`${what}, cached 64 KiB`, cached, 20_000, 64 * KiB, true)
  await cached.newest.close()
  await cached.first.close()
  const uncached = await opening(new ReadCache({ bytes: limits.cacheBytesMin }))
  await inTurn(`${what}, uncached 64 KiB`, uncached, 1000, 64 * KiB, false)
  console.log(
    `${what}: opened in ${uncached.openMillis.toFixed(0)} ms, map ${(uncached.mapBytes / MiB).toFixed(2)} MiB`,
  )
  await uncached.newest.close()
}

/** What a file of all versions together has: each run, or the cluster that it is in, with the chance that some of them changed it. */
function* union(r: Random, sizeBytes: number, runBytes: number): Generator<Extent> {
  const step = Math.max(runBytes, limits.clusterBytes)
  const chance = 1 - (1 - SHARE) ** (((versions - 1) * step) / runBytes)
  let from = -1
  for (let at = 0; at < sizeBytes; at += step) {
    const changed = r.chance(chance)
    if (changed && from < 0) from = at
    if (changed || from < 0) continue
    yield { offset: from, length: at - from, kind: "data" }
    from = -1
  }
  if (from >= 0) yield { offset: from, length: sizeBytes - from, kind: "data" }
}

/** One version's runs, spread evenly with a random place in each stretch: in order without sorting millions of them. */
function* spread(r: Random, sizeBytes: number, runBytes: number): Generator<Extent> {
  const stretch = runBytes / SHARE
  for (let at = 0; at + stretch <= sizeBytes; at += stretch) {
    const offset = Math.floor((at + r.int(stretch - runBytes)) / limits.grainBytes) * limits.grainBytes
    yield { offset, length: runBytes, kind: "data" }
  }
}

/** What the process holds. Buffers go some turns after the objects that had them. */
const grown = async (): Promise<number> => {
  for (let i = 0; i < 5; i++) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

interface Row {
  readonly what: string
  readonly runBytes: number
  readonly layers: ReadonlyArray<Iterable<Extent>>
  /** The maps of these many layers from the oldest on. */
  readonly maps: ReadonlyArray<number>
}

/** How long looking at random clusters takes, in µs each, and how many were derived for it. */
const lookUp = (r: Random, budget: LayerMapBudget, maps: ReadonlyArray<LayerMap>, pages: number) => {
  const before = budget.stats.derived
  const places = Array.from({ length: 50_000 }, () => r.int(pages) * 512 + r.int(512))
  const began = process.cpuUsage()
  for (const [i, place] of places.entries()) maps[i % maps.length]!.contentOf(place)
  const { user, system } = process.cpuUsage(began)
  return { micros: (user + system) / places.length, share: (budget.stats.derived - before) / places.length }
}

/** With fewer layers where they leave no room for what maps need to find pages. */
const openMaps = (budget: LayerMapBudget, read: Array<MapLayer>, maps: ReadonlyArray<number>): Array<LayerMap> => {
  const open: Array<LayerMap> = []
  try {
    const counts = maps.filter((count) => count <= read.length)
    for (const count of counts.length > 0 ? counts : [read.length])
      open.push(new LayerMap(budget, 4 * TiB, read.slice(0, count)))
    return open
  } catch (e) {
    if ((e as { code?: string }).code !== "LAYER_MAPS_FULL") throw e
    for (const map of open) map.release()
    read.pop()!.runs.release()
    return openMaps(budget, read, maps)
  }
}

const memory = async ({ what, runBytes, layers, maps }: Row): Promise<void> => {
  const budget = new LayerMapBudget()
  const before = await grown()
  const read: Array<MapLayer> = []
  const times: Array<number> = []
  let refused = ""
  try {
    for (const [i, runs] of layers.entries()) {
      const began = performance.now()
      read.push({ layer: i + 1, runs: makeRuns(budget, 4 * TiB, runs) })
      times.push(performance.now() - began)
    }
  } catch (e) {
    if ((e as { code?: string }).code !== "LAYER_MAPS_FULL") throw e
    refused = ` of ${layers.length}`
  }
  const runsBytes = budget.bytes
  const open = openMaps(budget, read, maps)
  const r = random(11)
  // All pages of them once: what does not fit leaves again.
  for (const map of open) for (let page = 0; page * PAGE_SPAN < 4 * TiB; page++) map.pageAt(page)
  const full = await grown()
  const anywhere = lookUp(r, budget, open, (4 * TiB) / PAGE_SPAN)
  const hot = Math.ceil(PAGES_HOT / maps.length)
  for (let turn = 0; turn < 2; turn++) lookUp(random(12), budget, open, hot)
  const again = lookUp(random(12), budget, open, hot)
  const mib = (bytes: number) => (bytes / MiB).toFixed(0).padStart(7)
  const look = ({ micros, share }: typeof again) => `${micros.toFixed(2).padStart(8)} (${(100 * share).toFixed(0)} %)`
  console.log(
    `${`${runBytes / KiB} KiB, ${what}`.padEnd(28)}${`${read.length}${refused}`.padStart(9)}${mib(runsBytes)}${mib(budget.bytes)}${mib(full - before)}${median(times).toFixed(0).padStart(7)}${look(anywhere)}${look(again)}`,
  )
  for (const map of open) map.release()
  for (const { runs } of read) runs.release()
}

const dir = mkdtempSync(join(tmpdir(), "imagelink-layers-"))
try {
  if (only === undefined || only === "read") await reading(dir)
} finally {
  for (const file of files) await file.close()
  rmSync(dir, { recursive: true, force: true })
}
if (only !== "read") {
  console.log(
    `\n${"4 TiB disk, MiB".padEnd(28)}${"layers".padStart(9)}${"runs".padStart(7)}${"all".padStart(7)}${"really".padStart(7)}${"ms".padStart(7)}  anywhere, µs    again, µs`,
  )
  for (const runBytes of [16 * MiB, MiB, 64 * KiB, 4 * KiB]) {
    const layers = Array.from({ length: versions - 1 }, (_, i) => spread(random(i), 4 * TiB, runBytes))
    const all = layers.map((_, i) => i + 1)
    const rows: ReadonlyArray<Row> = [
      { what: "all maps", runBytes, layers, maps: all },
      {
        what: "the newest",
        runBytes,
        layers: layers.map((_, i) => spread(random(i), 4 * TiB, runBytes)),
        maps: [versions],
      },
      { what: "flattened", runBytes, layers: [union(random(3), 4 * TiB, runBytes)], maps: [1] },
    ]
    for (const row of only === "merged" ? rows.slice(2) : rows) await memory(row)
  }
}
console.log(`medians of ${rounds} rounds; "!": above ${AIM} times; budget ${limits.layerMapBytesMax / MiB} MiB`)
