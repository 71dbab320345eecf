/**
 * Overlays of large disks: the memory of their maps while many clients write, of an idle client, and how soon serving starts.
 *
 *     npm run bench -- overlays [memory|idle|start] [clients...]        start needs dist/
 *
 * **What is real.** Disks of 4 TiB; each write of 4 KiB goes to a random grain of all of it, through the overlay, its map in memory and
 * its map file on the file system, with the budget that a server has. Not real: the guest's bytes are thrown away, because 1 % of 4 TiB is 43 GB a
 * client and none of it is ever in memory.
 *
 * **memory.** 1 % of a disk is 10.7 million grains, and so scattered they touch every page of the map: 256 MiB of pages in memory, 512 MiB in
 * its file. One client writes them all. With 50 and 200 clients, who together would have 2,100 million grains and 100 GiB of map files, the
 * clients take turns until twice as many pages were written to as the budget holds: from the half on all is eviction, and more writes change nothing.
 *
 * **idle.** An overlay that was opened and nothing written; and ones with a grain in every page, and with every grain, so that their maps are as large as
 * they become, opened again.
 *
 * **start.** A store of 200 clients with an overlay each, from the start of the process to its ready line.
 */
import { spawn } from "node:child_process"
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from "node:fs"
import { loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { ReadCache } from "../../core/block/cache.ts"
import { MAY_UNMAP } from "../../core/block/device.ts"
import { MapBudget } from "../../core/block/overlay/budget.ts"
import { createOverlay, openOverlay } from "../../core/block/overlay/open.ts"
import type { Overlay } from "../../core/block/overlay/overlay.ts"
import { openVersion } from "../../core/block/version.ts"
import { limits } from "../../core/limits.ts"
import type { VolumeFolder, WritableVolume } from "../../core/storage/volume.ts"
import { fileFolder } from "../../plugins/file/folder.ts"
import { type Random, random } from "../support/random.ts"
import { serveHere, write } from "../support/serving.ts"
import { median } from "./support/load.ts"

const MiB = 2 ** 20
const TiB = 2 ** 40
const SIZE = 4 * TiB
const GRAIN = limits.grainBytes
const GRAINS = SIZE / GRAIN
const PAGE = 64 * MiB
const PAGES = SIZE / PAGE
const only = process.argv[2]
const counts = process.argv.length > 3 ? process.argv.slice(3).map(Number) : [1, 50, 200]
const dir = mkdtempSync(join(tmpdir(), "imagelink-overlays-"))
setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as () => void

/** Takes every write and keeps none. */
const nothing = (sizeBytes: number): WritableVolume => ({
  sizeBytes,
  read: async (into, at, _offset, length) => void into.fill(0, at, at + length),
  readSync: (into, at, _offset, length) => into.fill(0, at, at + length) !== undefined,
  write: async () => {},
  writeSync: () => true,
  flush: async () => {},
  punch: async () => true,
  close: async () => {},
})

/** A generation's folder whose maps are real files. */
const folderOf = (name: string): VolumeFolder => {
  const real = fileFolder(join(dir, name), {})
  const open: VolumeFolder["open"] = async (file, options) =>
    file === "data" ? nothing(SIZE) : real.open(file, options)
  return {
    path: real.path,
    open,
    readFile: (file) => real.readFile(file),
    replaceFile: (file, bytes) => real.replaceFile(file, bytes),
    list: () => real.list(),
    folder: (file) => real.folder(file),
    rename: (from, to) => real.rename(from, to),
    remove: (file) => real.remove(file),
    sync: () => real.sync(),
  }
}

const base = openVersion({
  id: "v1",
  contentId: "v1",
  cache: new ReadCache({ bytes: limits.cacheBytesMin }),
  sizeBytes: SIZE,
  below: { read: async (into, at, _offset, length) => void into.fill(0, at, at + length) },
})

const optionsOf = (name: string, budget: MapBudget, policy: "discard" | "keep" = "discard") => ({
  folder: folderOf(name),
  base,
  binding: { generation: "g1", clientId: name, slot: 0, imageId: "i", version: 1, policy },
  client: name,
  hostBootId: "bench",
  budget,
})

const clients = (count: number, prefix: string, budget: MapBudget): Promise<Array<Overlay>> =>
  Promise.all(Array.from({ length: count }, (_, n) => createOverlay(optionsOf(`${prefix}-${n}`, budget))))

/** What the process holds. Buffers go some turns after the objects that had them. */
const held = async () => {
  for (let i = 0; i < 5; i++) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const { heapUsed, external, rss } = process.memoryUsage()
  return { own: heapUsed + external, rss }
}

const bytes = Buffer.alloc(GRAIN, 7)

const writeSome = async (overlays: ReadonlyArray<Overlay>, writes: number, r: Random): Promise<void> => {
  for (let i = 0; i < writes; i++) {
    const overlay = overlays[i % overlays.length]!
    const offset = r.int(GRAINS) * GRAIN
    if (!overlay.writeSync(bytes, 0, offset, GRAIN, 0)) await overlay.write(bytes, 0, offset, GRAIN, 0)
  }
}

const mib = (n: number) => (n / MiB).toFixed(1).padStart(9)

const memory = async (count: number, writes: number): Promise<void> => {
  const budget = new MapBudget()
  const before = await held()
  const overlays = await clients(count, `m${count}`, budget)
  const r = random(count)
  const steps = 5
  for (let step = 1; step <= steps; step++) {
    const began = performance.now()
    await writeSome(overlays, Math.round(writes / steps), r)
    const micros = ((performance.now() - began) * 1000) / (writes / steps)
    const now = await held()
    const written = overlays.reduce((sum, o) => sum + o.stats.dataGrains, 0)
    console.log(
      `${String(count).padStart(7)}${written.toLocaleString("en").padStart(14)}${mib(budget.bytes)}${mib(now.own - before.own)}${mib(now.rss)}${micros.toFixed(1).padStart(9)} µs`,
    )
  }
  for (const overlay of overlays) await overlay.close()
  for (let n = 0; n < count; n++) rmSync(join(dir, `m${count}-${n}`), { recursive: true, force: true })
}

const idle = async (): Promise<void> => {
  const count = 200
  const budget = new MapBudget()
  const before = await held()
  const overlays = await clients(count, "idle", budget)
  const each = ((await held()).own - before.own) / count
  console.log(`opened, nothing written: ${(each / 1024).toFixed(1)} KiB a client (mean of ${count})`)
  for (const overlay of overlays) await overlay.close()

  for (const policy of ["discard", "keep"] as const) {
    await again(`a grain in every page, ${policy}`, policy, (overlay, page) =>
      overlay.write(bytes, 0, page * PAGE, GRAIN, 0),
    )
    await again(`every grain, ${policy}`, policy, (overlay, page) => overlay.zero(page * PAGE, PAGE, MAY_UNMAP))
  }
}

/** Opens an overlay again that something was done to in every page: what it holds then, and what its scan took. */
const again = async (
  title: string,
  policy: "discard" | "keep",
  change: (overlay: Overlay, page: number) => Promise<void>,
): Promise<void> => {
  const overlay = await createOverlay(optionsOf("full", new MapBudget(), policy))
  for (let page = 0; page < PAGES; page++) await change(overlay, page)
  await overlay.close()
  const empty = await held()
  const [walls, cpus]: [Array<number>, Array<number>] = [[], []]
  for (let round = 0; round < 3; round++) {
    const [began, cpu] = [performance.now(), process.cpuUsage()]
    const opened = await openOverlay(optionsOf("full", new MapBudget(), policy))
    walls.push(performance.now() - began)
    const { user, system } = process.cpuUsage(cpu)
    cpus.push((user + system) / 1000)
    if (round === 2)
      console.log(
        `opened again, ${title}: ${(((await held()).own - empty.own) / 1024).toFixed(1)} KiB; its scan took ${median(walls).toFixed(0)} ms (${median(cpus).toFixed(0)} of CPU); load ${loadavg()[0]!.toFixed(1)}`,
      )
    await opened.close()
  }
  rmSync(join(dir, "full"), { recursive: true, force: true })
}

/** Milliseconds from the start of a process to its ready line. */
const ready = async (data: string): Promise<number> => {
  const began = performance.now()
  const args = ["dist/imagelink.mjs", "serve", "--json", "--nbd-port", "0", "--data", data, "--log-level", "error"]
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
  await new Promise((resolve, reject) => {
    child.stdout.once("data", resolve)
    child.once("exit", (code) => reject(new Error(`serve ended with ${code}`)))
  })
  const took = performance.now() - began
  await new Promise((resolve) => {
    child.once("exit", resolve)
    child.kill("SIGTERM")
  })
  return took
}

const start = async (): Promise<void> => {
  const data = join(dir, "data")
  const image = join(dir, "disk.raw")
  const fd = openSync(image, "w")
  ftruncateSync(fd, SIZE)
  closeSync(fd)
  const site = await serveHere(data)
  await site.do("image.add", { name: "win11", path: image, check: false })
  for (let n = 0; n < 200; n++) {
    const name = `PC-${String(n).padStart(3, "0")}`
    await site.do("client.add", { mac: `52:54:00:00:00:${n.toString(16).padStart(2, "0")}`, name })
    await site.do("client.link", {
      clients: [name],
      image: "win11",
      slot: 0,
      overlay: n % 2 === 0 ? "discard" : "keep",
    })
    const lease = await site.attach(name)
    await write(lease, n * PAGE, bytes)
    await lease.release()
  }
  await site.close()
  const times: Array<number> = []
  for (let round = 0; round < 7; round++) times.push(await ready(data))
  console.log(
    `serve with 200 clients' overlays on disk: ready after ${median(times).toFixed(0)} ms (median of 7, worst ${Math.max(...times).toFixed(0)})`,
  )
}

try {
  console.log(`load average ${loadavg()[0]!.toFixed(1)}; budget ${limits.overlayMapBytesMax / MiB} MiB`)
  if (only === undefined || only === "idle") await idle()
  if (only === undefined || only === "start") await start()
  if (only === undefined || only === "memory") {
    console.log(`${"clients".padStart(7)}${"grains".padStart(14)}   budget      own      RSS    a write   (MiB)`)
    const beyond = (limits.overlayMapBytesMax / (PAGE / GRAIN / 4)) * 2
    for (const count of counts) await memory(count, count === 1 ? Math.round(GRAINS / 100) : beyond)
  }
} finally {
  rmSync(dir, { recursive: true, force: true })
}
