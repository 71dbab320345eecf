/**
 * A recorded boot read over a link of 20 ms and 50 MB/s: the remote plugin beside nbdkit's curl plugin with its cache and readahead filters.
 *
 *     npm run bench -- remote [cold|warm|second] [rounds] [trace.csv]      needs nginx, and nbdkit for `cold`
 *
 * **Details** One reader, each read after the one before it, with no time in between: what a PC waits for while it boots. nginx serves the object, the link is a process of its own, and
 * every byte is compared. Cold: nothing is in a cache. Warm: the remote plugin over a cache that has everything, beside the file plugin over the same file, both through the guard and with the
 * page cache warm; once as after a start, where each block is judged, and once again. Rounds take turns. The aims are 1.5 times nbdkit cold, and local speed warm.
 * Second: a client of a whole server boots from the image, and then one of another server that has placed the first one's heat in RAM. The aim is a tenth of the round trips.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import { loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import { linuxHost } from "../../adapters/host/linux.ts"
import { connectNbd } from "../../adapters/nbd/client.ts"
import type { Host } from "../../core/host.ts"
import { limits } from "../../core/limits.ts"
import { openVolume } from "../../core/storage/open-volume.ts"
import { PluginRegistry } from "../../core/storage/registry.ts"
import type { Volume } from "../../core/storage/volume.ts"
import file from "../../plugins/file/index.ts"
import { freePort, startDaemon, startNginx } from "../support/daemon.ts"
import { openRemoteVolume } from "../support/remote.ts"
import { serveHere } from "../support/serving.ts"
import { type Link, withLink } from "./support/link-process.ts"
import { median } from "./support/load.ts"

const what = process.argv[2] ?? ""
const rounds = Number(process.argv[3] ?? 3)
const trace = process.argv[4] ?? join(import.meta.dirname, "../fixtures/boot-trace.csv")
const LINK = { roundTripMillis: 20, bytesPerSecond: 50_000_000 }
const SIZE_BYTES = 2 * 2 ** 30
const AIM_COLD = 1.5
const AIM_SECOND = 0.1
const WARM_ROUNDS = 25

interface Read {
  readonly offset: number
  readonly length: number
}
const reads: ReadonlyArray<Read> = readFileSync(trace, "utf8")
  .trim()
  .split("\n")
  .slice(1)
  .map((line) => line.split(",").map((n) => Number(n) * 512) as [number, number])
  .map(([offset, length]) => ({ offset, length }))
const total = reads.reduce((sum, { length }) => sum + length, 0)

const clustersOf = ({ offset, length }: Read): ReadonlyArray<number> => {
  const first = Math.floor(offset / limits.clusterBytes)
  const end = Math.ceil((offset + length) / limits.clusterBytes)
  return Array.from({ length: end - first }, (_, i) => first + i)
}

/** What a server asks its storage for: each cluster once, because its read cache is above. */
const clusters = [...new Set(reads.flatMap(clustersOf))].map((cluster) => ({
  offset: cluster * limits.clusterBytes,
  length: limits.clusterBytes,
}))

/** Every 512 bytes that are read begin with their offset; the rest of the disk is a hole. */
const writeDisk = async (disk: FileHandle): Promise<void> => {
  await disk.truncate(SIZE_BYTES)
  for (const { offset, length } of reads) {
    const bytes = Buffer.alloc(length, 0xab)
    for (let at = 0; at < length; at += 512) bytes.writeBigUInt64BE(BigInt(offset + at), at)
    await disk.write(bytes, 0, length, offset)
  }
}

type ReadInto = (into: Buffer, offset: number, length: number) => Promise<void>

/** Milliseconds. */
const replay = async (readInto: ReadInto, asked = reads): Promise<number> => {
  const from = performance.now()
  for (const { offset, length } of asked) {
    const into = Buffer.allocUnsafe(length)
    await readInto(into, offset, length)
    // A cluster has bytes between the reads, which are a hole's.
    if (asked !== reads) continue
    for (let at = 0; at < length; at += 512)
      if (into.readBigUInt64BE(at) !== BigInt(offset + at)) throw new Error(`wrong bytes at ${offset + at}`)
  }
  return performance.now() - from
}

interface Cold {
  readonly millis: number
  readonly roundTrips: number
  readonly bytes: number
}

const urlOf = ({ port }: { readonly port: number }) => `http://127.0.0.1:${port}/disk.raw`

const oursCold = async (port: number, cache: string): Promise<Cold> => {
  const { answer: millis, ...used } = await withLink(port, LINK, async (link) => {
    const volume = await openRemoteVolume({ url: urlOf(link), cache })
    const millis = await replay((into, offset, length) => volume.read(into, 0, offset, length))
    await volume.close()
    return millis
  })
  return { millis, ...used }
}

const nbdkitCold = async (port: number, folder: string): Promise<Cold> => {
  const { answer: millis, ...used } = await withLink(port, LINK, async (link) => {
    const own = await freePort()
    const args = ["-f", "-r", "-i", "127.0.0.1", "-p", String(own), "--filter=readahead", "--filter=cache"]
    const curl = ["curl", `url=${urlOf(link)}`, "cache-on-read=true"]
    const daemon = await startDaemon("nbdkit", [...args, ...curl], own, { TMPDIR: folder })
    try {
      const client = await connectNbd({ host: "127.0.0.1", port: own, export: "" })
      const millis = await replay((into, offset, length) => client.readInto(into, 0, offset, length))
      await client.disconnect()
      return millis
    } finally {
      await daemon.stop()
    }
  })
  return { millis, ...used }
}

type Warm = Readonly<Record<"local" | "first" | "again", number>>

/**
 * CPU microseconds for each read, in rounds: of the file plugin, of the remote plugin opened anew over a cache that has everything, and of that once more. nginx is asked without a
 * link, once for each opening. CPU, because what else a machine does stretches microseconds of a clock beyond use.
 */
const warmRounds = async (
  url: string,
  folder: string,
  path: string,
  asked: ReadonlyArray<Read>,
): Promise<ReadonlyArray<Warm>> => {
  const host: Host = Object.assign(linuxHost(), { cacheFolder: () => folder })
  const plugins = new PluginRegistry().add(file, "plugins/file")
  const { signal } = new AbortController()
  const local = await openVolume({ kind: "file", config: { path } }, { plugins, host, signal })
  const into = Buffer.alloc(Math.max(...asked.map(({ length }) => length)))
  const costOf = async (volume: Volume): Promise<number> => {
    const before = process.cpuUsage()
    for (const { offset, length } of asked) await volume.read(into, 0, offset, length)
    const { user, system } = process.cpuUsage(before)
    return (user + system) / asked.length
  }
  const all: Array<Warm> = []
  for (let round = 0; round <= WARM_ROUNDS; round++) {
    const remote = await openRemoteVolume({ url }, { host })
    all.push({ local: await costOf(local), first: await costOf(remote), again: await costOf(remote) })
    if (round === 0) await replay((into, offset, length) => remote.read(into, 0, offset, length))
    await remote.close()
  }
  await local.close()
  // The first round fills the cache and warms all up.
  return all.slice(1)
}

const line = (name: string, runs: ReadonlyArray<Cold>) => {
  const of = (key: keyof Cold) => median(runs.map((run) => run[key]))
  console.log(
    `${name.padEnd(34)}${of("millis").toFixed(0).padStart(8)} ms${of("roundTrips").toFixed(0).padStart(8)} trips${(of("bytes") / 2 ** 20).toFixed(1).padStart(8)} MiB`,
  )
  return of("millis")
}

const cold = async (port: number, dir: string): Promise<void> => {
  const ours: Array<Cold> = []
  const theirs: Array<Cold> = []
  for (let round = 0; round < rounds; round++) {
    ours.push(await oursCold(port, join(dir, `cache-${round}`)))
    theirs.push(await nbdkitCold(port, dir))
  }
  const { roundTripMillis, bytesPerSecond } = LINK
  console.log(
    `${reads.length} reads, ${(total / 2 ** 20).toFixed(1)} MiB, over ${roundTripMillis} ms and ${bytesPerSecond / 1e6} MB/s`,
  )
  const ratio = line("remote, cold", ours) / line("nbdkit curl cache readahead, cold", theirs)
  console.log(`ratio ${ratio.toFixed(2)}${ratio > AIM_COLD ? "!" : ""}`)
}

const warm = async (port: number, dir: string): Promise<void> => {
  for (const [how, asked] of [
    ["as the guest asks", reads],
    ["as the server asks", clusters],
  ] as const) {
    const all = await warmRounds(urlOf({ port }), join(dir, "warm"), join(dir, "disk.raw"), asked)
    const each = (name: keyof Warm) => `${median(all.map((round) => round[name])).toFixed(1)} us`
    const beside = (name: keyof Warm) => `${each(name)} (${median(all.map((r) => r[name] / r.local)).toFixed(2)})`
    console.log(
      `warm, ${how}: ${asked.length} reads, CPU each: file ${each("local")}, remote first after a start ${beside("first")}, again ${beside("again")}`,
    )
  }
}

/** Boots a client of a new server whose image is behind the link, with another server's heat placed before, or without. */
const bootThere = async (
  link: Link,
  data: string,
  heat: string | undefined,
): Promise<Cold & { readonly heat: string }> => {
  const here = await serveHere(data)
  try {
    await here.do("image.add", { name: "os", path: urlOf(link), check: false })
    await here.do("client.add", { mac: "52:54:00:00:00:01", name: "pc" })
    await here.do("client.link", { clients: ["pc"], image: "os", slot: 0 })
    if (heat !== undefined) {
      await here.do("heat.import", { name: "os", bytes: heat })
      await here.do("image.place", { name: "os", tier: "ramdisk", hot: true })
    }
    const before = await link.used()
    const { device, release } = await here.attach("pc")
    const millis = await replay(async (into, offset, length) => {
      if (!device.readSync(into, 0, offset, length)) await device.read(into, 0, offset, length)
    })
    await release()
    const after = await link.used()
    const { bytes: learnt } = await here.do("heat.export", { name: "os" })
    return { millis, roundTrips: after.roundTrips - before.roundTrips, bytes: after.bytes - before.bytes, heat: learnt }
  } finally {
    await here.close()
  }
}

const second = async (port: number, dir: string): Promise<void> => {
  const boots: Array<Cold> = []
  let heat: string | undefined
  for (const name of ["first", "second"]) {
    const { answer } = await withLink(port, LINK, (link) => bootThere(link, join(dir, name), heat))
    heat = answer.heat
    line(name === "first" ? "first server, cold boot" : "second server, its heat placed", [answer])
    boots.push(answer)
  }
  const ratio = boots[1]!.roundTrips / boots[0]!.roundTrips
  console.log(`round trips ${ratio.toFixed(3)}${ratio > AIM_SECOND ? "!" : ""}`)
}

const dir = mkdtempSync(join(tmpdir(), "imagelink-bench-"))
const disk = await open(join(dir, "disk.raw"), "w+")
await writeDisk(disk)
await disk.close()
const nginx = await startNginx(join(dir, "nginx"), dir)
try {
  if (what === "" || what === "cold") await cold(nginx.port, dir)
  if (what === "" || what === "warm") await warm(nginx.port, dir)
  if (what === "" || what === "second") await second(nginx.port, dir)
  console.log(`load ${loadavg()[0]!.toFixed(1)}`)
} finally {
  await nginx.stop()
  rmSync(dir, { recursive: true, force: true })
}
