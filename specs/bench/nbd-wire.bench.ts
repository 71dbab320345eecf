/**
 * What the NBD wire code costs: I/O per server CPU-second over a disk in memory, beside nbdkit's memory plugin.
 *
 *     node specs/bench/nbd-wire.bench.ts [seconds]        needs fio with its nbd engine, and nbdkit
 *
 * **Details** The load is fio's nbd engine (libnbd); the server runs in a process of its own and its CPU time comes from /proc/PID/stat.
 * Runs of both servers alternate; the figures are medians. With the load on the same cores only the ratio means something, give or take a quarter.
 */
import { execFile, spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { connect } from "node:net"
import { promisify } from "node:util"
import { listenNbd } from "../../adapters/nbd/server.ts"
import { MemoryDevice, MemoryDisks } from "../support/memory-disks.ts"

const run = promisify(execFile)
const sizeBytes = 256 * 1024 * 1024
const ticksPerSecond = 100

/** A disk that does nothing but copy. */
class PlainDevice extends MemoryDevice {
  override readSync(into: Uint8Array, at: number, offset: number, length: number): boolean {
    this.bytes.copy(into, at, offset, offset + length)
    return true
  }
  override writeSync(from: Uint8Array, at: number, offset: number, length: number): boolean {
    this.bytes.set(from.subarray(at, at + length), offset)
    return true
  }
}

const serve = async (): Promise<void> => {
  const device = new PlainDevice({ sizeBytes })
  const server = await listenNbd({
    address: "127.0.0.1",
    port: 0,
    disks: new MemoryDisks().add("image/bench", device),
  })
  process.stdout.write(`${server.port}\n`)
  process.on("SIGTERM", () => void server.close().then(() => process.exit(0)))
}

interface Target {
  readonly name: string
  readonly pid: number
  readonly uri: string
  stop(): void
}

const startOurs = async (): Promise<Target> => {
  const profile = process.env.CPU_PROF === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${process.env.CPU_PROF}`]
  const extra = (process.env.NODE_EXTRA ?? "").split(" ").filter(Boolean)
  const child = spawn(process.execPath, [...extra, ...profile, import.meta.filename, "serve"], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const port = await new Promise<string>((resolve) =>
    child.stdout.once("data", (b: Buffer) => resolve(String(b).trim())),
  )
  return {
    name: "ours",
    pid: child.pid!,
    uri: `nbd://127.0.0.1:${port}/image/bench`,
    stop: () => child.kill("SIGTERM"),
  }
}

const startNbdkit = async (): Promise<Target> => {
  const port = 20_000 + (process.pid % 20_000)
  const child = spawn("nbdkit", ["-f", "-i", "127.0.0.1", "-p", String(port), "memory", String(sizeBytes)], {
    stdio: "ignore",
  })
  for (let tries = 0; tries < 50 && !(await answers(port)); tries++) await new Promise((r) => setTimeout(r, 100))
  return { name: "nbdkit", pid: child.pid!, uri: `nbd://127.0.0.1:${port}/`, stop: () => child.kill("SIGTERM") }
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy()
      resolve(true)
    }).on("error", () => resolve(false))
  })

/** utime + stime of a process, in seconds (proc(5)). */
const cpuSeconds = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

interface Load {
  readonly rw: string
  readonly bs: string
  readonly depth: number
  readonly jobs: number
}

const measure = async (target: Target, load: Load, seconds: number): Promise<{ iops: number; perCpu: number }> => {
  const before = cpuSeconds(target.pid)
  const { stdout } = await run("fio", [
    "--name=x",
    "--ioengine=nbd",
    `--uri=${target.uri}`,
    `--rw=${load.rw}`,
    `--bs=${load.bs}`,
    `--iodepth=${load.depth}`,
    `--numjobs=${load.jobs}`,
    "--thread",
    "--group_reporting",
    `--size=${sizeBytes}`,
    "--time_based",
    `--runtime=${seconds}`,
    "--norandommap",
    "--output-format=json",
  ])
  const cpu = cpuSeconds(target.pid) - before
  const job = JSON.parse(stdout.slice(stdout.indexOf("{"))).jobs[0]
  const ios = job.read.total_ios + job.write.total_ios
  return { iops: ios / seconds, perCpu: ios / cpu }
}

const median = (xs: ReadonlyArray<number>): number => [...xs].sort((a, b) => a - b)[Math.floor(xs.length / 2)]!

const loads: ReadonlyArray<Load> = [
  { rw: "randread", bs: "4k", depth: 1, jobs: 1 },
  { rw: "randread", bs: "4k", depth: 32, jobs: 1 },
  { rw: "randread", bs: "4k", depth: 16, jobs: 8 },
  { rw: "randread", bs: "64k", depth: 16, jobs: 1 },
  { rw: "read", bs: "256k", depth: 8, jobs: 1 },
  { rw: "randwrite", bs: "4k", depth: 32, jobs: 1 },
  { rw: "randwrite", bs: "64k", depth: 16, jobs: 1 },
  { rw: "write", bs: "256k", depth: 8, jobs: 1 },
]

const main = async (): Promise<void> => {
  const seconds = Number(process.argv[2] ?? 1)
  const only = process.argv[3]
  const rounds = Number(process.argv[4] ?? 3)
  const [ours, theirs] = [await startOurs(), await startNbdkit()]
  try {
    console.log("load                      ours I/O per CPU-s   nbdkit I/O per CPU-s   ratio   ours IOPS  nbdkit IOPS")
    for (const load of loads) {
      const title = `${load.rw} ${load.bs} qd${load.depth} x${load.jobs}`
      if (only !== undefined && !title.includes(only)) continue
      const got: Array<[Awaited<ReturnType<typeof measure>>, Awaited<ReturnType<typeof measure>>]> = []
      for (let i = 0; i < rounds; i++)
        got.push([await measure(ours, load, seconds), await measure(theirs, load, seconds)])
      const [a, b] = [median(got.map((g) => g[0].perCpu)), median(got.map((g) => g[1].perCpu))]
      const [c, d] = [median(got.map((g) => g[0].iops)), median(got.map((g) => g[1].iops))]
      const cells = [a, b].map((x) => Math.round(x).toString().padStart(20))
      console.log(
        `${title.padEnd(24)} ${cells.join(" ")}   ${(a / b).toFixed(2).padStart(5)} ${Math.round(c).toString().padStart(11)} ${Math.round(d).toString().padStart(12)}`,
      )
    }
  } finally {
    ours.stop()
    theirs.stop()
  }
}

await (process.argv[2] === "serve" ? serve() : main())
