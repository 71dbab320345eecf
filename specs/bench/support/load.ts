/** A load on an NBD server by fio's nbd engine (libnbd), and what it cost the server. */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { promisify } from "node:util"

const run = promisify(execFile)
const ticksPerSecond = 100

/** A server under load: its process and the export it serves. */
export interface Target {
  readonly name: string
  readonly pid: number
  readonly uri: string
  stop(): Promise<void>
}

export interface Load {
  readonly rw: "randread" | "read" | "randwrite" | "write"
  readonly bs: string
  readonly depth: number
  /** Connections, each with its own queue of that depth. */
  readonly connections: number
}

export interface Measured {
  readonly iops: number
  /** I/O per CPU-second of the server. */
  readonly perCpuSecond: number
}

export const title = (load: Load): string => `${load.rw} ${load.bs} qd${load.depth} x${load.connections}`

/** utime + stime of a process with all its threads, in seconds (proc(5)). */
export const cpuSeconds = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

export const measure = async (target: Target, load: Load, sizeBytes: number, seconds: number): Promise<Measured> => {
  const before = cpuSeconds(target.pid)
  const { stdout } = await run(
    "fio",
    [
      "--name=load",
      "--ioengine=nbd",
      `--uri=${target.uri}`,
      `--rw=${load.rw}`,
      `--bs=${load.bs}`,
      `--iodepth=${load.depth}`,
      `--numjobs=${load.connections}`,
      "--thread",
      "--group_reporting",
      `--size=${sizeBytes}`,
      "--time_based",
      `--runtime=${seconds}`,
      "--norandommap",
      "--output-format=json",
    ],
    { timeout: (seconds + 30) * 1000 },
  )
  const cpu = cpuSeconds(target.pid) - before
  const job = JSON.parse(stdout.slice(stdout.indexOf("{"))).jobs[0]
  const ios = job.read.total_ios + job.write.total_ios
  return { iops: ios / seconds, perCpuSecond: ios / Math.max(cpu, 1 / ticksPerSecond) }
}

export const median = (xs: ReadonlyArray<number>): number => xs.toSorted((a, b) => a - b)[Math.floor(xs.length / 2)]!
