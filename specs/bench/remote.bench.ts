/**
 * A recorded boot read over a link of 20 ms and 50 MB/s: the remote plugin beside nbdkit's curl plugin with its cache and readahead filters.
 *
 *     npm run bench -- remote [rounds] [trace.csv]      needs nginx and nbdkit
 *
 * **Details** One reader, each read after the one before it, with no time in between: what a PC waits for while it boots. nginx serves the object, the link is a process of its own, and
 * every byte is compared. Cold: nothing is in a cache. Warm: the plugin is opened anew over the cache that the cold run left, beside the file plugin over the same file, both with the
 * page cache warm. Rounds take turns. The aims are 1.5 times nbdkit cold, and local speed warm.
 */
import { type ChildProcess, fork } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import { loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import { connectNbd } from "../../adapters/nbd/client.ts"
import { limits } from "../../core/limits.ts"
import file from "../../plugins/file/index.ts"
import { freePort, startDaemon, startNginx } from "../support/daemon.ts"
import { openRemoteVolume } from "../support/remote.ts"
import { median } from "./support/load.ts"

const rounds = Number(process.argv[2] ?? 3)
const trace = process.argv[3] ?? join(import.meta.dirname, "../fixtures/boot-reads.csv")
const ROUND_TRIP_MILLIS = 20
const BYTES_PER_SECOND = 50_000_000
const SIZE_BYTES = 2 * 2 ** 30
const AIM_COLD = 1.5

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

interface Link {
  readonly port: number
  used(): Promise<{ readonly bytes: number; readonly roundTrips: number; readonly connections: number }>
  stop(): void
}
const told = <A>(child: ChildProcess) => new Promise<A>((resolve) => child.once("message", (m) => resolve(m as A)))

const startLink = async (port: number): Promise<Link> => {
  const args = [port, ROUND_TRIP_MILLIS, BYTES_PER_SECOND].map(String)
  const child = fork(join(import.meta.dirname, "support/link.ts"), args, { execArgv: ["--conditions=source"] })
  const { port: own } = await told<{ port: number }>(child)
  const used: Link["used"] = () => {
    const answer = told<Awaited<ReturnType<Link["used"]>>>(child)
    child.send("used")
    return answer
  }
  return { port: own, used, stop: () => child.kill() }
}

interface Cold {
  readonly millis: number
  readonly roundTrips: number
  readonly bytes: number
}

/** A link for as long as `work` takes. */
const withLink = async <A>(port: number, work: (url: string) => Promise<A>) => {
  const link = await startLink(port)
  try {
    return { answer: await work(`http://127.0.0.1:${link.port}/disk.raw`), ...(await link.used()) }
  } finally {
    link.stop()
  }
}

const oursCold = async (port: number, cache: string): Promise<Cold> => {
  const { answer: millis, ...used } = await withLink(port, async (url) => {
    const volume = await openRemoteVolume({ url, cache })
    const millis = await replay((into, offset, length) => volume.read(into, 0, offset, length))
    await volume.close()
    return millis
  })
  return { millis, ...used }
}

const nbdkitCold = async (port: number, folder: string): Promise<Cold> => {
  const { answer: millis, ...used } = await withLink(port, async (url) => {
    const own = await freePort()
    const args = ["-f", "-r", "-i", "127.0.0.1", "-p", String(own), "--filter=readahead", "--filter=cache"]
    const curl = ["curl", `url=${url}`, "cache-on-read=true"]
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

/** The plugin over a cache that has everything, and the file plugin, in turn; nginx is asked without a link, once for each opening. */
const warmBeside = async (
  url: string,
  cache: string,
  path: string,
  asked: ReadonlyArray<Read>,
): Promise<readonly [ours: number, local: number]> => {
  const { signal } = new AbortController()
  const best: [number, number] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  for (let round = 0; round < 11; round++)
    for (const [which, opening] of [
      openRemoteVolume({ url, cache }),
      file.open({ path }, { signal, host: {} }),
    ].entries()) {
      const volume = await opening
      const millis = await replay((into, offset, length) => volume.read(into, 0, offset, length), asked)
      await volume.close()
      // The first round fills the cache and warms both up.
      if (round > 0) best[which] = Math.min(best[which]!, millis)
    }
  return best
}

const line = (name: string, runs: ReadonlyArray<Cold>) => {
  const of = (key: keyof Cold) => median(runs.map((run) => run[key]))
  console.log(
    `${name.padEnd(34)}${of("millis").toFixed(0).padStart(8)} ms${of("roundTrips").toFixed(0).padStart(8)} trips${(of("bytes") / 2 ** 20).toFixed(1).padStart(8)} MiB`,
  )
  return of("millis")
}

const dir = mkdtempSync(join(tmpdir(), "imagelink-bench-"))
const disk = await open(join(dir, "disk.raw"), "w+")
await writeDisk(disk)
await disk.close()
const nginx = await startNginx(join(dir, "nginx"), dir)
try {
  const ours: Array<Cold> = []
  const theirs: Array<Cold> = []
  for (let round = 0; round < rounds; round++) {
    ours.push(await oursCold(nginx.port, join(dir, `cache-${round}`)))
    theirs.push(await nbdkitCold(nginx.port, dir))
  }
  console.log(`${reads.length} reads, ${(total / 2 ** 20).toFixed(1)} MiB, over ${ROUND_TRIP_MILLIS} ms and 50 MB/s`)
  const a = line("remote, cold", ours)
  const b = line("nbdkit curl cache readahead, cold", theirs)
  console.log(`ratio ${(a / b).toFixed(2)}${a / b > AIM_COLD ? "!" : ""}`)
  const url = `http://127.0.0.1:${nginx.port}/disk.raw`
  for (const [how, asked] of [
    ["as the guest asks", reads],
    ["as the server asks", clusters],
  ] as const) {
    const [again, local] = await warmBeside(url, join(dir, "cache-warm"), join(dir, "disk.raw"), asked)
    const each = (millis: number) => `${((millis / asked.length) * 1000).toFixed(1)} us`
    console.log(
      `warm, ${how}: ${asked.length} reads, remote ${each(again)} each, file ${each(local)}, ratio ${(again / local).toFixed(2)}`,
    )
  }
  console.log(`load ${loadavg()[0]!.toFixed(1)}`)
} finally {
  await nginx.stop()
  rmSync(dir, { recursive: true, force: true })
}
