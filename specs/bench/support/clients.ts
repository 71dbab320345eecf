/** Many clients at once, each on a disk of its own, and what they cost all processes of a server. */
import { execFile, execFileSync, spawn } from "node:child_process"
import { cpus } from "node:os"
import { promisify } from "node:util"
import { cpuSeconds, type Measured } from "./load.ts"

const run = promisify(execFile)

/** A server that gives each client a disk: in one process, or in one for each. */
export interface ManyDisks {
  readonly name: string
  readonly pids: (clients: number) => ReadonlyArray<number>
  readonly uri: (client: number) => string
}

/** Processors for the servers and for the load, so that neither takes the other's time; undefined where there is only one. */
export interface Pinning {
  readonly servers: string
  readonly load: string
}

export const pinningHere = (): Pinning | undefined => {
  const last = cpus().length - 1
  return last < 1 ? undefined : { servers: String(last), load: last === 1 ? "0" : `0-${last - 1}` }
}

/** Moves a process with all its threads (taskset(1)). */
export const pin = (pid: number, to: string): void => void execFileSync("taskset", ["-apc", to, String(pid)])

/** Keeps a session on a disk until the function it answers is called, as a PC does that is on: the last session to leave closes the disk. */
export const holdOpen = (uri: string): (() => void) => {
  const session = spawn("qemu-io", ["-f", "raw", uri], { stdio: ["pipe", "ignore", "ignore"] })
  return () => void session.kill()
}

export interface ClientLoad {
  readonly rw: "randread" | "randwrite" | "randrw"
  readonly bs: string
  readonly depth: number
  readonly clients: number
}

export const clientTitle = ({ rw, bs, depth, clients }: ClientLoad): string =>
  `${rw === "randrw" ? "mixed 70/30" : rw} ${bs} qd${depth} x${clients}`

/** One fio, one thread a client. */
export const measureClients = async (
  server: ManyDisks,
  load: ClientLoad,
  sizeBytes: number,
  seconds: number,
  pinning?: Pinning,
): Promise<Measured> => {
  const pids = server.pids(load.clients)
  const cpu = () => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)
  const shared = ["--ioengine=nbd", `--rw=${load.rw}`, "--rwmixread=70", `--bs=${load.bs}`, `--iodepth=${load.depth}`]
  const time = ["--time_based", `--runtime=${seconds}`, `--size=${sizeBytes}`, "--norandommap", "--thread"]
  const jobs = Array.from({ length: load.clients }, (_, n) => [`--name=c${n}`, `--uri=${server.uri(n)}`]).flat()
  const fio = ["fio", ...shared, ...time, "--randrepeat=0", "--group_reporting", "--output-format=json", ...jobs]
  const [command, ...args] = pinning === undefined ? fio : ["taskset", "-c", pinning.load, ...fio]
  const before = cpu()
  const { stdout } = await run(command!, args, { timeout: (seconds + 60) * 1000, maxBuffer: 2 ** 26 })
  const spent = cpu() - before
  const job = JSON.parse(stdout.slice(stdout.indexOf("{"))).jobs[0]
  const ios = job.read.total_ios + job.write.total_ios
  return { iops: ios / seconds, perCpuSecond: ios / Math.max(spent, 0.01) }
}
