/**
 * The DHCP servers that a bench compares, each in a network namespace of its own, and a load on one by `perfdhcp`.
 *
 *     namespace of the server  10.88.0.1/16 ── veth ── 10.88.255.1/16  namespace of perfdhcp
 *
 * **Details** All have the same reservations for the same MACs, and no pool. perfdhcp speaks as a relay: it sends to the server's address with its own
 * as giaddr, so that nothing but answering is measured. Needs root, iproute2, kea-admin, kea-dhcp4-server and dnsmasq-base.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { cpuSeconds } from "./load.ts"
import { toPutAway } from "./put-away.ts"

const run = promisify(execFile)

const SERVER = "10.88.0.1"
const RELAY = "10.88.255.1"

export interface DhcpTarget {
  readonly name: string
  readonly pid: number
  /** Goes before perfdhcp. */
  readonly outside: ReadonlyArray<string>
  stop(): Promise<void>
}

export interface Reservation {
  readonly mac: string
  readonly address: string
}

export const reservations = (count: number): ReadonlyArray<Reservation> =>
  Array.from({ length: count }, (_, i) => ({
    mac: `02:00:00:00:${hex(i >> 8)}:${hex(i & 255)}`,
    address: `10.88.${1 + (i >> 8)}.${i & 255}`,
  }))

const hex = (byte: number): string => byte.toString(16).padStart(2, "0")

interface Space {
  readonly inside: ReadonlyArray<string>
  readonly outside: ReadonlyArray<string>
  remove(): void
}

let made = 0

const makeSpace = (): Space => {
  const [inner, outer] = ["s", "r"].map((side) => `imagelink-${process.pid}-${made}${side}`) as [string, string]
  made++
  const ip = (...args: ReadonlyArray<string>) => execFileSync("ip", args)
  const remove = () => {
    for (const name of [inner, outer]) ip("netns", "del", name)
  }
  for (const name of [inner, outer]) {
    ip("netns", "add", name)
    ip("-n", name, "link", "set", "lo", "up")
  }
  ip("-n", inner, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", outer)
  for (const [name, address] of [
    [inner, SERVER],
    [outer, RELAY],
  ] as const) {
    ip("-n", name, "addr", "add", `${address}/16`, "dev", "eth0")
    ip("-n", name, "link", "set", "eth0", "up")
  }
  return { inside: ["ip", "netns", "exec", inner], outside: ["ip", "netns", "exec", outer], remove }
}

/** CPU_PROF=DIR writes a CPU profile of our side there. */
const profile = () =>
  process.env.CPU_PROF === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${process.env.CPU_PROF}`]

/** `imagelink serve` as an operator starts it, with one registered client for each reservation. */
export const startOurs = async (folder: string, all: ReadonlyArray<Reservation>): Promise<DhcpTarget> => {
  mkdirSync(folder)
  const [csv, data] = [join(folder, "clients.csv"), join(folder, "data")]
  writeFileSync(csv, `mac,name,ip\n${all.map(({ mac, address }, i) => `${mac},PC-${i + 1},${address}`).join("\n")}\n`)
  await run(process.execPath, ["dist/imagelink.mjs", "client", "import", csv, "--data", data])
  const flags = ["--address", SERVER, "--interface", "eth0", "--dhcp", "full", "--nbd-port", "off", "--data", data]
  return started("imagelink", [
    process.execPath,
    ...profile(),
    ...["dist/imagelink.mjs", "serve", "--json", "--log-level", "error", ...flags],
  ])
}

/** Debian's Kea with leases in memory and its file, as it comes; `threads` as its manual has them for more cores. */
export const startKea = async (
  folder: string,
  all: ReadonlyArray<Reservation>,
  threads: number,
): Promise<DhcpTarget> => {
  mkdirSync(folder)
  const config = join(folder, "kea.json")
  const subnet4 = {
    id: 1,
    subnet: "10.88.0.0/16",
    reservations: all.map(({ mac, address }) => ({ "hw-address": mac, "ip-address": address })),
  }
  const Dhcp4 = {
    "interfaces-config": {
      interfaces: ["eth0"],
      "dhcp-socket-type": "udp",
      // A link that was just made may not be running yet.
      "service-sockets-max-retries": 20,
      "service-sockets-retry-wait-time": 100,
    },
    "lease-database": { type: "memfile", name: join(folder, "leases.csv") },
    "host-reservation-identifiers": ["hw-address"],
    "valid-lifetime": 86_400,
    "multi-threading": {
      "enable-multi-threading": threads > 0,
      ...(threads > 0 ? { "thread-pool-size": threads } : {}),
    },
    subnet4: [subnet4],
    loggers: [{ name: "kea-dhcp4", output_options: [{ output: join(folder, "log") }], severity: "ERROR" }],
  }
  writeFileSync(config, JSON.stringify({ Dhcp4 }))
  const env = { ...process.env, KEA_PIDFILE_DIR: folder, KEA_LOCKFILE_DIR: folder }
  return started(threads > 0 ? `kea x${threads}` : "kea", ["kea-dhcp4", "-c", config], env)
}

export const startDnsmasq = async (folder: string, all: ReadonlyArray<Reservation>): Promise<DhcpTarget> => {
  mkdirSync(folder)
  const config = join(folder, "dnsmasq.conf")
  const lines = [
    ...["port=0", "keep-in-foreground", "user=root", "quiet-dhcp", "interface=eth0", "dhcp-authoritative"],
    ...[
      "dhcp-range=10.88.0.0,static,255.255.0.0,24h",
      `dhcp-leasefile=${join(folder, "leases")}`,
      "dhcp-lease-max=5000",
    ],
    ...[`pid-file=${join(folder, "pid")}`, "log-facility=/dev/null", "no-resolv", "no-hosts"],
    ...all.map(({ mac, address }) => `dhcp-host=${mac},${address}`),
  ]
  writeFileSync(config, `${lines.join("\n")}\n`)
  return started("dnsmasq", ["dnsmasq", `--conf-file=${config}`])
}

/** `ip netns exec` becomes what it runs, so its process is the server's. */
const started = async (name: string, command: ReadonlyArray<string>, env = process.env): Promise<DhcpTarget> => {
  const space = makeSpace()
  const [file, ...args] = [...space.inside, ...command]
  const child = spawn(file!, args, { stdio: ["ignore", "ignore", "inherit"], env })
  const stop = toPutAway(async () => {
    await ended(child)
    space.remove()
  })
  for (let tries = 0; tries < 100 && child.exitCode === null; tries++) {
    if (await answers(space.outside)) return { name, pid: child.pid!, outside: space.outside, stop }
    await new Promise((r) => setTimeout(r, 100))
  }
  await stop()
  throw new Error(`${name} does not answer`)
}

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    const late = setTimeout(() => child.kill("SIGKILL"), 10_000)
    child.once("exit", () => {
      clearTimeout(late)
      resolve()
    })
    child.kill("SIGTERM")
  })

const ask = (outside: ReadonlyArray<string>, ...args: ReadonlyArray<string>): Promise<string> => {
  const [file, ...rest] = [...outside, "perfdhcp", "-4", "-l", "eth0", "-b", "mac=02:00:00:00:00:00", ...args, SERVER]
  // Its status says whether there were drops; what counts is what it prints.
  return run(file!, rest, { timeout: 60_000 }).then(
    ({ stdout }) => stdout,
    (e: { stdout?: string }) => e.stdout ?? "",
  )
}

/** By its OFFER: having that, perfdhcp may end before it has the ACK of the only exchange that it was told to begin. */
const answers = async (outside: ReadonlyArray<string>): Promise<boolean> =>
  received(await ask(outside, "-n", "1", "-r", "10", "-W", "100000"), "OFFER") > 0

const kinds = ["OFFER", "ACK"] as const

const received = (printed: string, kind: (typeof kinds)[number]): number =>
  Number([...printed.matchAll(/received packets: (\d+)/gu)][kinds.indexOf(kind)]?.[1] ?? 0)

export interface DhcpMeasured {
  /** Complete exchanges (DISCOVER, OFFER, REQUEST, ACK) a second. */
  readonly perSecond: number
  /** The same for each CPU-second of the server. */
  readonly perCpuSecond: number
  /** Of the answers that came to perfdhcp, how many it had no room for, in percent: what the server did and nobody took. */
  readonly lostPercent: number
}

/** What came to a namespace's UDP sockets, and what of it found their buffers full. */
const udpOf = async (outside: ReadonlyArray<string>): Promise<{ readonly taken: number; readonly lost: number }> => {
  const [file, ...args] = [...outside, "cat", "/proc/net/snmp"]
  const { stdout } = await run(file!, args)
  const [names = [], values = []] = stdout.split("\n").flatMap((l) => (l.startsWith("Udp: ") ? [l.split(" ")] : []))
  const of = (name: string) => Number(values[names.indexOf(name)])
  return { taken: of("InDatagrams"), lost: of("RcvbufErrors") }
}

/** Exchanges begun at a rate for so many seconds, by as many machines. */
export const measure = async (
  t: DhcpTarget,
  { rate, seconds, machines }: { readonly rate: number; readonly seconds: number; readonly machines: number },
): Promise<DhcpMeasured> => {
  const [before, cpuBefore] = [await udpOf(t.outside), cpuSeconds(t.pid)]
  const load = ["-R", `${machines}`, "-r", `${rate}`, "-p", `${seconds}`, "-W", "500000", "-g", "single"]
  const whole = received(await ask(t.outside, ...load), "ACK")
  const perCpuSecond = whole / Math.max(cpuSeconds(t.pid) - cpuBefore, 0.01)
  const after = await udpOf(t.outside)
  const lost = after.lost - before.lost
  const lostPercent = (100 * lost) / Math.max(1, lost + after.taken - before.taken)
  return { perSecond: whole / seconds, perCpuSecond, lostPercent }
}
