/** Many clients at once, each on a disk of its own, and what they cost all processes of a server. */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { cpuSeconds, type Measured } from "./load.ts"

const run = promisify(execFile)

/** A server that gives each client a disk: in one process, or in one for each. */
export interface ManyDisks {
  readonly name: string
  readonly pids: (clients: number) => ReadonlyArray<number>
  readonly uri: (client: number) => string
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
): Promise<Measured> => {
  const pids = server.pids(load.clients)
  const cpu = () => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)
  const shared = ["--ioengine=nbd", `--rw=${load.rw}`, "--rwmixread=70", `--bs=${load.bs}`, `--iodepth=${load.depth}`]
  const time = ["--time_based", `--runtime=${seconds}`, `--size=${sizeBytes}`, "--norandommap", "--thread"]
  const jobs = Array.from({ length: load.clients }, (_, n) => [`--name=c${n}`, `--uri=${server.uri(n)}`]).flat()
  const before = cpu()
  const { stdout } = await run(
    "fio",
    [...shared, ...time, "--randrepeat=0", "--group_reporting", "--output-format=json", ...jobs],
    { timeout: (seconds + 60) * 1000, maxBuffer: 2 ** 26 },
  )
  const spent = cpu() - before
  const job = JSON.parse(stdout.slice(stdout.indexOf("{"))).jobs[0]
  const ios = job.read.total_ios + job.write.total_ios
  return { iops: ios / seconds, perCpuSecond: ios / Math.max(spent, 0.01) }
}
