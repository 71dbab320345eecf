/**
 * A network of its own for real DHCP clients and machines: a namespace with one bridge, and no way out.
 *
 *     namespace ─ br0 10.77.0.1/24 ─┬─ tap0   a machine
 *                                   ├─ tap1   another
 *                                   └─ veth ─ namespace of a client
 *
 * **Details** Needs root and iproute2. Names are made from the process's id, so that two runs never meet. Everything goes with the namespace.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { afterAll } from "vitest"
import { type Requirement, requires, skipAloud } from "./requires.ts"

export const SERVER = "10.77.0.1"

export const requiresNetwork = (spec: string): Requirement => {
  const ip = requires("ip", "iproute2", spec)
  if (ip.skip) return ip
  return process.getuid?.() === 0 ? ip : skipAloud(spec, "needs root, to make network namespaces")
}

export interface Network {
  /** Goes before a command, to run it inside. */
  readonly inside: ReadonlyArray<string>
  /** Another bridge beside br0, with an address like `10.78.0.1/24`; IPv6 is silent on it. */
  bridge(name: string, address: string): void
  /** A new tap on the bridge; answers its name. */
  tap(): string
  /** A namespace of its own on a bridge with one interface `eth0` of this MAC; answers what goes before its commands. */
  client(mac: string, bridge?: string): ReadonlyArray<string>
  /** How many packets left by a device. */
  sent(device: string): number
}

const DNSMASQ = [
  "dnsmasq",
  "--keep-in-foreground",
  "--log-facility=-",

  "--conf-file=/dev/null",
  "--pid-file=",
]

/** What runs beside the specs. A hook that is made inside a hook never runs, so the network, which is made outside, ends them. */
const helpers: Array<{ readonly child: ChildProcess; readonly closed: Promise<unknown> }> = []

/**
 * Runs dnsmasq with nothing but these words for its settings, where the words before it say, until the spec file is done. Answers what it has said so far,
 * as soon as it serves.
 */
export const runDnsmasq = async (
  inside: ReadonlyArray<string>,
  ...settings: ReadonlyArray<string>
): Promise<() => string> => {
  const [file, ...args] = [...inside, ...DNSMASQ, "--port=0", "--user=root", "--leasefile-ro", ...settings]
  const child = spawn(file!, args, { stdio: ["ignore", "ignore", "pipe"] })
  helpers.push({ child, closed: once(child, "close") })
  let output = ""
  await new Promise<void>((resolve, reject) => {
    child.stderr.on("data", (chunk: Buffer) => {
      output += chunk
      if (/DHCP, IP range|router advertisement/.test(output)) resolve()
    })
    child.once("close", () => reject(new Error(`dnsmasq ended: ${output}`)))
  })
  return () => output
}

/** Answers iPXE's router solicitations, on which it else waits for 15 seconds before it boots. */
export const advertiseRouter = async ({ inside }: Network): Promise<void> => {
  await runDnsmasq(
    inside,
    "--interface=br0",
    "--bind-interfaces",
    "--enable-ra",
    "--dhcp-range=::,constructor:br0,ra-only",
  )
}

export const OTHER_SERVER = "10.77.0.2"

/** A DHCP server of somebody else's at the same bridge, which lends 10.77.0.50 to 99 and knows nothing of booting. Answers what it has said so far. */
export const runOtherServer = async ({ client }: Network): Promise<() => string> => {
  const inside = client("02:77:00:00:00:02")
  const [file, ...args] = [...inside, "ip", "addr", "add", `${OTHER_SERVER}/24`, "dev", "eth0"]
  execFileSync(file!, args)
  return runDnsmasq(inside, "--dhcp-range=10.77.0.50,10.77.0.99,10m", "--dhcp-authoritative", "--no-ping")
}

/** Another floor: a network behind a router, which lends addresses of its own. */
export type Floor = Pick<Network, "inside" | "tap">

/**
 * 10.78.0.0/24, routed to the server's network by a machine of somebody else's, which tells iPXE there which script to fetch. Whoever is on this floor meets nobody of the
 * server's network on its cable.
 */
export const makeFloor = async ({ inside: here, client }: Network, script: string): Promise<Floor> => {
  const inside = client("02:78:00:00:00:01")
  const run = (where: ReadonlyArray<string>, ...command: ReadonlyArray<string>) =>
    execFileSync(where[0]!, [...where.slice(1), ...command], { stdio: ["ignore", "ignore", "pipe"] })
  run(inside, "ip", "addr", "add", "10.77.0.3/24", "dev", "eth0")
  run(inside, "ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0", "stp_state", "0")
  run(inside, "ip", "link", "set", "br0", "address", "02:78:00:00:00:02", "up")
  run(inside, "ip", "addr", "add", "10.78.0.1/24", "dev", "br0")
  run(inside, "ip", "addr", "add", "fd78::1/64", "dev", "br0", "nodad")
  run(inside, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
  run(here, "ip", "route", "add", "10.78.0.0/24", "via", "10.77.0.3")
  let ports = 0
  const tap = () => {
    const device = `tap${ports++}`
    run(inside, "ip", "tuntap", "add", device, "mode", "tap")
    run(inside, "ip", "link", "set", device, "master", "br0", "up")
    return device
  }
  // A bridge without a port has no link.
  tap()
  const lends = ["--dhcp-range=10.78.0.50,10.78.0.99,10m", "--dhcp-option=3,10.78.0.1", `--dhcp-boot=${script}`]
  const advertises = ["--enable-ra", "--dhcp-range=::,constructor:br0,ra-only"]
  const serves = ["--interface=br0", "--bind-interfaces", "--dhcp-authoritative", "--no-ping"]
  await runDnsmasq(inside, ...serves, ...lends, ...advertises)
  return { inside, tap }
}

/**
 * A DHCP server on the same machine as Imagelink, which lends the same addresses and says `PXEClient` (option 60) without a boot file: ask my machine at port 4011.
 * Answers what it has said so far.
 */
export const runServerBeside = ({ inside }: Network): Promise<() => string> =>
  runDnsmasq(
    inside,
    ...["--interface=br0", "--bind-interfaces", "--dhcp-range=10.77.0.50,10.77.0.99,10m", "--dhcp-authoritative"],
    ...["--no-ping", "--dhcp-option-force=60,PXEClient"],
  )

let made = 0

const ip = (...args: ReadonlyArray<string>): void => {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] })
}

/** It goes when the spec file is done. */
export const makeNetwork = (): Network => {
  const name = `imagelink-${process.pid}-${made++}`
  const spaces = [name]
  const add = (space: string) => {
    ip("netns", "add", space)
    ip("-n", space, "link", "set", "lo", "up")
  }
  afterAll(async () => {
    for (const { child } of helpers) child.kill()
    await Promise.all(helpers.splice(0).map(({ closed }) => closed))
    for (const space of spaces.reverse()) ip("netns", "del", space)
  })
  add(name)
  ip("-n", name, "link", "add", "br0", "type", "bridge", "forward_delay", "0", "stp_state", "0")
  ip("-n", name, "link", "set", "br0", "address", "02:77:00:00:00:01", "up")
  ip("-n", name, "addr", "add", `${SERVER}/24`, "dev", "br0")
  ip("-n", name, "addr", "add", "fd77::1/64", "dev", "br0", "nodad")
  let ports = 0
  const join = (device: string, bridge = "br0") => ip("-n", name, "link", "set", device, "master", bridge, "up")
  // A bridge without a port that is up has no link, and Node does not list it.
  const giveLink = (bridge: string, idle: string) => {
    ip("-n", name, "link", "add", `${idle}0`, "type", "veth", "peer", "name", `${idle}1`)
    ip("-n", name, "link", "set", `${idle}1`, "up")
    join(`${idle}0`, bridge)
  }
  giveLink("br0", "idle")
  return {
    inside: ["ip", "netns", "exec", name],
    bridge(bridge, address) {
      ip(
        "-n",
        name,
        "link",
        "add",
        bridge,
        "type",
        "bridge",
        "forward_delay",
        "0",
        "stp_state",
        "0",
        "mcast_snooping",
        "0",
      )
      const silent = `echo 1 2>/dev/null >/proc/sys/net/ipv6/conf/${bridge}/disable_ipv6 || true`
      execFileSync("ip", ["netns", "exec", name, "sh", "-c", silent])
      ip("-n", name, "link", "set", bridge, "up")
      ip("-n", name, "addr", "add", address, "dev", bridge)
      giveLink(bridge, `${bridge}idle`)
    },
    tap() {
      const device = `tap${ports++}`
      ip("-n", name, "tuntap", "add", device, "mode", "tap")
      join(device)
      return device
    },
    sent(device) {
      const [shown] = JSON.parse(execFileSync("ip", ["-n", name, "-s", "-j", "link", "show", device]).toString())
      return shown.stats64.tx.packets as number
    },
    client(mac, bridge) {
      const device = `veth${ports++}`
      const space = `${name}-${device}`
      add(space)
      spaces.push(space)
      ip("-n", name, "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", space)
      ip("-n", space, "link", "set", "eth0", "address", mac, "up")
      join(device, bridge)
      return ["ip", "netns", "exec", space]
    },
  }
}

export interface Ended {
  readonly status: number | null
  readonly output: string
}

/** Runs a command to its end, or ends it after a time. */
export const runBounded = async (command: ReadonlyArray<string>, seconds: number): Promise<Ended> => {
  const [file, ...args] = command
  const child: ChildProcess = spawn(file!, args, { stdio: ["ignore", "pipe", "pipe"] })
  let output = ""
  for (const stream of [child.stdout!, child.stderr!]) stream.on("data", (chunk: Buffer) => (output += chunk))
  const late = setTimeout(() => child.kill("SIGKILL"), seconds * 1000)
  const [status] = (await once(child, "close")) as [number | null]
  clearTimeout(late)
  return { status, output }
}
