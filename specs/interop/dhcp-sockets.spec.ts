/** Sockets of DHCP on a real network: one that was handed over, one interface and never another, and an interface that has no link yet. */
import { execFileSync } from "node:child_process"
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, expect, it } from "vitest"
import { imagelink, type Served, scratch, startServe } from "../support/cli.ts"
import { makeNetwork, requiresNetwork, runBounded, SERVER } from "../support/network.ts"
import { requires } from "../support/requires.ts"

const network = requiresNetwork("dhcp-sockets.spec.ts")
const udhcpc = requires("udhcpc", "udhcpc")
const skip = network.skip || udhcpc.skip
const folder = scratch("dhcp-sockets")
const told = join(folder, "told.sh")
const handOver = fileURLToPath(new URL("../support/hand-over.ts", import.meta.url))
const NOBODY = 65_534
let lan: ReturnType<typeof makeNetwork>
if (!skip) lan = makeNetwork()

beforeAll(() => {
  if (skip) return
  writeFileSync(told, '#!/bin/sh\n[ "$1" = bound ] && echo "TOLD $ip from $serverid"\nexit 0\n', { mode: 0o755 })
  lan.bridge("br1", "10.78.0.1/24")
})
const running: Array<Served> = []
afterAll(() => Promise.all(running.map((server) => server.stop())))

const dataWith = async (name: string, uid = 0): Promise<string> => {
  const data = join(folder, name)
  mkdirSync(data)
  chmodSync(data, 0o700)
  chownSync(data, uid, uid)
  const add = ["client", "add", "52:54:00:00:00:01", "--name", "PC-001", "--ip", "10.77.0.11"]
  const added = await imagelink(add, { data, ...(uid === 0 ? {} : { uid }) })
  expect(added.status, added.stderr).toBe(0)
  return data
}

const flags = ["--address", SERVER, "--interface", "br0", "--dhcp", "full", "--log-level", "debug", "--nbd-port", "off"]

/** What a client on a bridge is told; empty when it hears nothing. */
const ask = async (mac: string, bridge: string): Promise<string> => {
  const options = ["-i", "eth0", "-n", "-q", "-f", "-t", "3", "-T", "2", "-s", told]
  const { output } = await runBounded([...lan.client(mac, bridge), "udhcpc", ...options], 40)
  return /TOLD (.*)/.exec(output)?.[1] ?? ""
}

const inside = (...command: ReadonlyArray<string>): string => {
  const [file, ...args] = [...lan.inside, ...command]
  return execFileSync(file!, args, { encoding: "utf8" })
}

it.skipIf(skip)(
  "of two bridges the one that is named is served, and nothing ever leaves by the other",
  async () => {
    const server = await startServe(await dataWith("bridges"), flags, { inside: lan.inside })
    running.push(server)
    const sent = () => Number(inside("cat", "/sys/class/net/br1/statistics/tx_packets"))
    const before = sent()
    expect(await ask("52:54:00:00:00:01", "br1")).toBe("")
    expect(await ask("52:54:00:00:00:01", "br0")).toBe("10.77.0.11 from 10.77.0.1")
    expect(sent() - before).toBe(0)
    await server.stop()
  },
  90_000,
)

it.skipIf(skip)(
  "a socket that was handed over is served from by a user who could not open it",
  async () => {
    const data = await dataWith("handed", NOBODY)
    const before = [...lan.inside, process.execPath, "--conditions=source", handOver, "67", "br0", String(NOBODY)]
    const server = await startServe(data, flags, { inside: before })
    running.push(server)
    expect(server.listeners.dhcp).toBe("10.77.0.1:67")
    expect(await ask("52:54:00:00:00:01", "br0")).toBe("10.77.0.11 from 10.77.0.1")
    expect(await ask("52:54:00:00:00:01", "br1")).toBe("")
    expect(await server.stop()).toBe(0)
  },
  90_000,
)

it.skipIf(skip)(
  "a server that starts before its interface has a link waits for it, and says so",
  async () => {
    const data = await dataWith("early")
    inside("ip", "link", "set", "br0", "down")
    const heard = (text: string) => {
      if (text.includes("nothing is served yet: br0 has no link")) inside("ip", "link", "set", "br0", "up")
    }
    const server = await startServe(data, flags, { inside: lan.inside, heard })
    running.push(server)
    await expect.poll(() => server.stderr(), { timeout: 10_000 }).toContain("dhcp: br0 has its link and 10.77.0.1 now")
    expect(await ask("52:54:00:00:00:01", "br0")).toBe("10.77.0.11 from 10.77.0.1")
    expect(await server.stop()).toBe(0)
  },
  90_000,
)
