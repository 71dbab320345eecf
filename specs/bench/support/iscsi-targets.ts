/** The iSCSI targets that a bench compares, each a process of its own on loopback, and a load on one by iscsi-perf or qemu-io. */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { connect, createServer } from "node:net"
import { promisify } from "node:util"
import { connectIscsi } from "../../../adapters/iscsi/client.ts"
import { cpuSeconds, type Measured } from "./load.ts"

const run = promisify(execFile)

export interface IscsiTarget {
  readonly name: string
  readonly pid: number
  readonly url: string
  stop(): Promise<void>
}

export interface IscsiLoad {
  readonly rw: "randread" | "read" | "write"
  readonly kib: number
  readonly depth: number
  readonly initiators: number
  readonly digests?: boolean
}

export const title = (l: IscsiLoad): string =>
  `${l.rw} ${l.kib}k qd${l.depth} x${l.initiators}${l.digests ? " digests" : ""}`

/** CPU_PROF=DIR writes a CPU profile of our side there. */
const profile = () =>
  process.env.CPU_PROF === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${process.env.CPU_PROF}`]

const cli = (...args: ReadonlyArray<string>) => run(process.execPath, ["dist/imagelink.mjs", ...args])

/** This server with its whole stack: one image, one client, `serve` as an operator starts it. */
export const startOurs = async (dataDir: string, image: string, cache: string): Promise<IscsiTarget> => {
  await cli("image", "add", "bench", image, "--data", dataDir)
  await cli("client", "add", "52:54:00:00:00:01", "--name", "PC-001", "--data", dataDir)
  await cli("client", "link", "PC-001", "bench", "--data", dataDir)
  const flags = ["--nbd-port", "off", "--iscsi-port", "0", "--cache", cache, "--data", dataDir, "--log-level", "error"]
  const child = spawn(process.execPath, [...profile(), "dist/imagelink.mjs", "serve", "--json", ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const ready = await new Promise<string>((resolve, reject) => {
    child.stdout.once("data", (b: Buffer) => resolve(String(b)))
    child.once("exit", (code) => reject(new Error(`serve ended with ${code}`)))
  })
  const { listeners } = JSON.parse(ready) as { listeners: { iscsi: string } }
  return target("imagelink", child, `iscsi://${listeners.iscsi}/iqn.2026-11.io.imagelink:pc-001/0`)
}

const DIGESTS = ".digests"

/** Debian's tgt: `tgtd` with its default backing store (rdwr), LUN 1 as it numbers them. */
export const startTgtd = async (image: string, name = "iqn.2026-11.test:bench"): Promise<IscsiTarget> => {
  const port = await freePort()
  const control = String(process.pid)
  const child = spawn("tgtd", ["-f", "-C", control, "--iscsi", `portal=127.0.0.1:${port}`], { stdio: "ignore" })
  for (let tries = 0; tries < 100 && !(await answers(port)); tries++) await new Promise((r) => setTimeout(r, 50))
  const admin = (...args: ReadonlyArray<string>) => run("tgtadm", ["-C", control, "--lld", "iscsi", ...args])
  await admin("--op", "new", "--mode", "target", "--tid", "1", "-T", name)
  await admin("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "-b", image)
  // A second name for the same file, which takes digests: tgtd agrees to them only where it is told to.
  await admin("--op", "new", "--mode", "target", "--tid", "2", "-T", `${name}${DIGESTS}`)
  await admin("--op", "new", "--mode", "logicalunit", "--tid", "2", "--lun", "1", "-b", image)
  for (const key of ["HeaderDigest", "DataDigest"])
    await admin("--op", "update", "--mode", "target", "--tid", "2", "-n", key, "-v", "CRC32C,None")
  for (const tid of ["1", "2"]) await admin("--op", "bind", "--mode", "target", "--tid", tid, "-I", "ALL")
  return target("tgtd", child, `iscsi://127.0.0.1:${port}/${name}/1`)
}

const target = (name: string, child: ChildProcess, url: string): IscsiTarget => ({
  name,
  pid: child.pid!,
  url,
  stop: () =>
    new Promise((resolve) => {
      const late = setTimeout(() => child.kill("SIGKILL"), 5000)
      child.once("exit", () => {
        clearTimeout(late)
        resolve()
      })
      child.kill("SIGTERM")
    }),
})

/** What a target did under a load for so many seconds, and what that cost it. */
export const measure = async (t: IscsiTarget, load: IscsiLoad, seconds: number): Promise<Measured> => {
  await calibrate(t, load, seconds)
  const before = cpuSeconds(t.pid)
  const started = performance.now()
  const each = Array.from({ length: load.initiators }, (_, i) =>
    load.rw === "write"
      ? writeLoad(t, load)
      : load.digests
        ? digestLoad(t, load, seconds)
        : readLoad(t, load, seconds, i),
  )
  const ios = (await Promise.all(each)).reduce((a, b) => a + b, 0)
  const elapsed = load.rw === "write" ? (performance.now() - started) / 1000 : seconds
  return { iops: ios / elapsed, perCpuSecond: ios / Math.max(cpuSeconds(t.pid) - before, 0.01) }
}

/** iscsi-perf prints a running average; the last one times the time is what it read. */
const readLoad = async (t: IscsiTarget, load: IscsiLoad, seconds: number, i: number): Promise<number> => {
  const args = ["-i", `iqn.2026-11.test:load-${i}`, "-m", `${load.depth}`, "-b", `${load.kib * 2}`, "-t", `${seconds}`]
  const { stdout } = await run("iscsi-perf", [...args, ...(load.rw === "randread" ? ["-r"] : []), t.url], {
    timeout: (seconds + 30) * 1000,
  })
  const averages = [...stdout.matchAll(/iops average (\d+)/gu)]
  const last = Number(averages.at(-1)?.[1] ?? 0)
  return last * seconds
}

/** Both digests, by the initiator of our own: libiscsi 1.19 has none for data. */
const digestLoad = async (t: IscsiTarget, load: IscsiLoad, seconds: number): Promise<number> => {
  const [, host, port, name, lun] = /^iscsi:\/\/([^:]+):(\d+)\/(.+)\/(\d+)$/u.exec(t.url)!
  const client = await connectIscsi({
    host: host!,
    port: Number(port),
    target: t.name === "tgtd" ? `${name}${DIGESTS}` : name!,
    lun: Number(lun),
    keys: { HeaderDigest: "CRC32C,None", DataDigest: "CRC32C,None" },
  })
  if (client.answers.get("DataDigest") !== "CRC32C") throw new Error(`${t.name} takes no digests`)
  const bytes = load.kib * 1024
  const blocks = Math.floor((await client.sizeBytes()) / bytes)
  const end = performance.now() + seconds * 1000
  let ios = 0
  const one = async () => {
    for (; performance.now() < end; ios++) await client.read(Math.floor(Math.random() * blocks) * bytes, bytes)
  }
  await Promise.all(Array.from({ length: load.depth }, one))
  await client.logout()
  return ios
}

/** `qemu-img bench` writes a number of requests: as many as take about so long, which is found out before anything is measured. */
const requests = new Map<string, number>()
const WRITES_MAX = 500_000

const writes = async (t: IscsiTarget, { depth, kib }: IscsiLoad, count: number): Promise<number> => {
  const started = performance.now()
  const args = ["bench", "-f", "raw", "-w", "-c", `${count}`, "-d", `${depth}`, "-s", `${kib}k`, "-t", "none"]
  await run("qemu-img", [...args, t.url], { timeout: 120_000 })
  return (performance.now() - started) / 1000
}

/** Until one run is at least half as long as it shall be: a short one measures its login, and code that is not warm. */
const calibrate = async (t: IscsiTarget, load: IscsiLoad, seconds: number): Promise<void> => {
  const key = `${t.name} ${title(load)}`
  if (load.rw !== "write" || requests.has(key)) return
  for (let count = 1000; ; ) {
    const took = await writes(t, load, count)
    const fitting = Math.min(WRITES_MAX, Math.round((count * seconds) / took))
    if (took >= seconds / 2 || count === WRITES_MAX) {
      requests.set(key, fitting)
      return
    }
    count = Math.max(fitting, count + 1)
  }
}

const writeLoad = async (t: IscsiTarget, load: IscsiLoad): Promise<number> => {
  const count = requests.get(`${t.name} ${title(load)}`)!
  await writes(t, load, count)
  return count
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy()
      resolve(true)
    }).on("error", () => resolve(false))
  })
