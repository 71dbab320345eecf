/**
 * The TFTP servers that a bench compares, all on port 69 of one namespace, each at a loopback address of its own, and clients that fetch from them.
 *
 * **Details** Needs root, iproute2, dnsmasq-base, tftpd-hpa, curl, busybox, atftp and tftp-hpa. The package atftpd cannot be installed beside tftpd-hpa: unpack it with
 * `dpkg -x` and name its program in ATFTPD, else it is left out.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { patterned } from "../../support/random.ts"
import { cpuSeconds } from "./load.ts"
import { toPutAway } from "./put-away.ts"

const run = promisify(execFile)

export const FILE = "one-mebibyte"
const bytes = patterned(2 ** 20, 1)

export interface TftpTarget {
  readonly name: string
  readonly address: string
  /** The same through a proxy that loses packets. */
  readonly lossy: string
  cpu(): number
}

export interface TftpBench {
  readonly targets: ReadonlyArray<TftpTarget>
  /** Seconds that so many transfers at once take, all of them. */
  fetch(client: ClientName, address: string, count: number): Promise<number>
  stop(): Promise<void>
}

/** blksize 1468 where a client can ask for it; tftp-hpa's cannot. */
const clients = {
  curl: (at: string, out: string) => [
    "curl",
    "-sf",
    "--max-time",
    "200",
    "--tftp-blksize",
    "1468",
    "-o",
    out,
    `tftp://${at}/${FILE}`,
  ],
  atftp: (at: string, out: string) => ["atftp", "--option", "blksize 1468", "-g", "-r", FILE, "-l", out, at],
  "atftp window 8": (at: string, out: string) => [
    ...["atftp", "--option", "blksize 1468", "--option", "windowsize 8", "-g", "-r", FILE, "-l", out, at],
  ],
  busybox: (at: string, out: string) => ["busybox", "tftp", "-b", "1468", "-g", "-r", FILE, "-l", out, at],
  "tftp-hpa": (at: string, out: string) => ["tftp", "-4", "-m", "binary", at, "-c", "get", FILE, out],
} as const
export type ClientName = keyof typeof clients
export const clientNames = Object.keys(clients) as ReadonlyArray<ClientName>

/** CPU_PROF=DIR writes a CPU profile of our side there. */
const profile = () =>
  process.env.CPU_PROF === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${process.env.CPU_PROF}`]

const serversIn = (
  folder: string,
  root: string,
): ReadonlyArray<readonly [name: string, command: ReadonlyArray<string>]> => {
  const ours = [
    "dist/imagelink.mjs",
    "serve",
    "--data",
    join(folder, "data"),
    "--nbd-port",
    "off",
    "--log-level",
    "error",
  ]
  const dnsmasq = ["--conf-file=/dev/null", "--keep-in-foreground", "--port=0", "--user=root", "--bind-interfaces"]
  const { ATFTPD } = process.env
  const atftpd = [
    "--daemon",
    "--no-fork",
    "--user",
    "root",
    "--group",
    "root",
    "--logfile",
    "/dev/null",
    "--port",
    "69",
  ]
  return [
    [
      "imagelink",
      [process.execPath, ...profile(), ...ours, "--address", "127.0.0.1", "--tftp-port", "69", "--boot-files", root],
    ],
    [
      "dnsmasq",
      [
        ...["dnsmasq", ...dnsmasq, "--listen-address=127.0.0.2", "--enable-tftp", `--tftp-root=${root}`],
        ...[`--pid-file=${join(folder, "pid")}`, "--log-facility=/dev/null", "--tftp-max=100"],
      ],
    ],
    ["tftpd-hpa", ["in.tftpd", "-L", "-a", "127.0.0.3:69", "-u", "root", "-s", root]],
    ...(ATFTPD === undefined ? [] : [["atftpd", [ATFTPD, ...atftpd, "--bind-address", "127.0.0.4", root]] as const]),
  ]
}

export const startTftpBench = async (folder: string, loss: number, seed: number): Promise<TftpBench> => {
  const space = `imagelink-${process.pid}-t`
  const ip = (...args: ReadonlyArray<string>) => execFileSync("ip", args)
  const inside = (command: ReadonlyArray<string>) => ["netns", "exec", space, ...command]
  const root = join(folder, "root")
  mkdirSync(root)
  chmodSync(folder, 0o755)
  writeFileSync(join(root, FILE), bytes)
  ip("netns", "add", space)
  ip("-n", space, "link", "set", "lo", "up")
  // tftp-hpa looks names up only where there is an address beside loopback's.
  ip("-n", space, "addr", "add", "10.89.0.1/32", "dev", "lo")
  const children: Array<ChildProcess> = []
  const start = (command: ReadonlyArray<string>): ChildProcess => {
    const child = spawn("ip", inside(command), { stdio: ["ignore", "ignore", "inherit"] })
    children.push(child)
    return child
  }
  const stop = toPutAway(async () => {
    await Promise.all(children.map(ended))
    ip("netns", "del", space)
  })
  const targets = serversIn(folder, root).map(([name, command], i) => {
    const { pid } = start(command)
    return { name, address: `127.0.0.${i + 1}`, lossy: `127.0.1.${i + 1}`, cpu: () => cpuWithChildren(pid!) }
  })
  const proxy = fileURLToPath(new URL("lossy-tftp.ts", import.meta.url))
  const pairs = targets.map(({ address, lossy }) => `${lossy}=${address}`)
  start([process.execPath, "--conditions=source", proxy, String(loss), String(seed), ...pairs])
  let made = 0
  /** Where it is. */
  const fetchOne = async (client: ClientName, address: string): Promise<string> => {
    const out = join(folder, `out-${made++}`)
    await run("ip", inside(clients[client](address, out)), { timeout: 240_000 })
    return out
  }
  const expectWhole = (out: string): void => {
    const whole = existsSync(out) && readFileSync(out).equals(bytes)
    rmSync(out, { force: true })
    if (!whole) throw new Error("a client did not get the file")
  }
  const bench: TftpBench = {
    targets,
    async fetch(client, address, count) {
      const started = performance.now()
      const outs = await Promise.all(Array.from({ length: count }, () => fetchOne(client, address)))
      const seconds = (performance.now() - started) / 1000
      // Not in that time: who looks at 32 MiB keeps clients waiting that end together.
      for (const out of outs) expectWhole(out)
      return seconds
    },
    stop,
  }
  try {
    for (const { name, address } of targets) await ready(() => fetchOne("curl", address), name)
    // Programs that are compiled as they run are slow at first.
    for (const { address } of targets) await Promise.all(Array.from({ length: 32 }, () => fetchOne("curl", address)))
    return bench
  } catch (e) {
    await stop()
    throw e
  }
}

const ready = async (fetch: () => Promise<unknown>, name: string): Promise<void> => {
  for (let tries = 0; tries < 50; tries++) {
    const done = await fetch().then(
      () => true,
      () => false,
    )
    if (done) return
    await new Promise((r) => setTimeout(r, 200))
  }
  throw new Error(`${name} does not answer`)
}

/** tftpd-hpa has a process for each transfer; theirs counts once they have ended. */
const cpuWithChildren = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
  return cpuSeconds(pid) + (Number(fields[13]) + Number(fields[14])) / 100
}

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    const late = setTimeout(() => child.kill("SIGKILL"), 5000)
    child.once("exit", () => {
      clearTimeout(late)
      resolve()
    })
    child.kill("SIGTERM")
  })
