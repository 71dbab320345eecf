/** Real DHCP clients on a real network: busybox's udhcpc gets what is recorded, and what is lent; a stranger's system gets nothing. */

import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it, vi } from "vitest"
import { encode } from "../../adapters/dhcp/message.ts"
import { message, sends } from "../dhcp/support/messages.ts"
import { imagelink, type Served, scratch, startServe } from "../support/cli.ts"
import { makeNetwork, OTHER_SERVER, requiresNetwork, runBounded, runOtherServer, SERVER } from "../support/network.ts"
import { requires } from "../support/requires.ts"

const network = requiresNetwork("dhcp-clients.spec.ts")
const udhcpc = requires("udhcpc", "udhcpc")
const dnsmasq = requires("dnsmasq", "dnsmasq-base")
const skip = network.skip || udhcpc.skip || dnsmasq.skip
const folder = scratch("dhcp")
const data = join(folder, "data")
const told = join(folder, "told.sh")
let server: Served
let lan: ReturnType<typeof makeNetwork>
if (!skip) lan = makeNetwork()

const serve = () =>
  startServe(
    data,
    [
      ...["--address", SERVER, "--interface", "br0", "--dhcp", "full", "--dhcp-range", "10.77.0.100-10.77.0.101"],
      ...["--dhcp-domain", "lab.example", "--dhcp-lease-seconds", "600", "--log-level", "debug"],
    ],
    { inside: lan.inside },
  )

beforeAll(async () => {
  if (skip) return
  writeFileSync(
    told,
    '#!/bin/sh\n[ "$1" = bound ] && echo "TOLD $ip/$mask $hostname $domain $lease $serverid"\nexit 0\n',
    { mode: 0o755 },
  )
  const add = ["client", "add", "52:54:00:00:00:01", "--name", "PC-001", "--ip", "10.77.0.11"]
  const create = await imagelink(["image", "create", "win11", "--size", "1M"], { data })
  expect(create.status, create.stderr).toBe(0)
  expect((await imagelink(add, { data })).status).toBe(0)
  server = await serve()
})
afterAll(() => server?.stop())

/** What a client that asks is told; empty when it hears nothing. */
const askFrom = async (inside: ReadonlyArray<string>, ...options: ReadonlyArray<string>): Promise<string> => {
  const how = ["-i", "eth0", "-n", "-q", "-f", "-t", "4", "-T", "3", "-s", told]
  const { output } = await runBounded([...inside, "udhcpc", ...how, ...options], 40)
  return /TOLD (.*)/.exec(output)?.[1] ?? ""
}
const ask = (mac: string, ...options: ReadonlyArray<string>) => askFrom(lan.client(mac), ...options)

it.skipIf(skip)("a registered PC gets its recorded address, its name, and the settings", async () => {
  expect(await ask("52:54:00:00:00:01")).toBe("10.77.0.11/24 PC-001 lab.example 600 10.77.0.1")
})

it.skipIf(skip)(
  "a stranger's system is not answered, but firmware that boots is lent an address, and the same again after kill -9",
  async () => {
    expect(await ask("02:00:00:00:00:01")).toBe("")
    const first = await ask("02:00:00:00:00:02", "-V", "PXEClient:Arch:00007:UNDI:003000")
    expect(first).toBe("10.77.0.100/24  lab.example 600 10.77.0.1")
    await server.kill("SIGKILL")
    server = await serve()
    expect(await ask("02:00:00:00:00:03", "-V", "PXEClient:Arch:00007:UNDI:003000")).toContain("10.77.0.101/24")
    expect(await ask("02:00:00:00:00:04", "-V", "PXEClient:Arch:00007:UNDI:003000")).toBe("")
    await expect.poll(() => server.stderr(), { timeout: 10_000 }).toContain("no address is left")
  },
  120_000,
)

it.skipIf(skip)("what comes in by another interface is not heard, and nothing ever leaves by it", async () => {
  lan.bridge("br1", "10.78.0.1/24")
  const stranger = lan.client("52:54:00:00:00:01", "br1")
  const before = server.stderr()
  expect(await askFrom(stranger, "-t", "2", "-T", "1", "-V", "PXEClient:Arch:00007:UNDI:003000")).toBe("")
  expect([lan.sent("br1"), server.stderr()]).toEqual([0, before])
  // It is there all the same: whoever sends to the server's own address reaches the server, but not its DHCP.
  const run = (...command: ReadonlyArray<string>) => runBounded([...stranger, ...command], 20)
  await run("ip", "addr", "add", "10.78.0.50/24", "dev", "eth0")
  await run("ip", "route", "add", "default", "via", "10.78.0.1")
  const asked = encode(message({ type: "request", ciaddr: "10.78.0.50", options: sends.uefiPxe })).toString("hex")
  for (const port of ["67", "4011"])
    expect((await run(process.execPath, "-e", ASK_DIRECTLY, asked, port)).output).toContain("ECONNREFUSED")
  expect(server.stderr()).toBe(before)
})

/** Sends a message to the server's address, and prints what comes of it. */
const ASK_DIRECTLY = `
  const socket = require("node:dgram").createSocket("udp4")
  const end = (said) => { console.log(said); socket.close() }
  socket.on("message", () => end("an answer"))
  socket.on("error", (e) => end(e.code))
  socket.connect(Number(process.argv[2]), "${SERVER}", () => socket.send(Buffer.from(process.argv[1], "hex")))
`

it.skipIf(skip)("another DHCP server on the network is reported, as soon as somebody takes its offer", async () => {
  await runOtherServer(lan)
  expect(await ask("02:00:00:00:00:0a")).toMatch(/^10\.77\.0\.\d\d\/24 .*10\.77\.0\.2$/)
  await vi.waitFor(() => expect(server.stderr()).toContain(`${OTHER_SERVER} answers on this network too`), 10_000)
})

it.skipIf(skip)("DHCP without an interface, or on one that PCs do not reach, is refused", async () => {
  const refused = async (...args: ReadonlyArray<string>) =>
    (
      await imagelink(["serve", "--nbd-port", "0", "--dhcp", "full", ...args], {
        data: join(folder, "other"),
        inside: lan.inside,
      })
    ).stderr
  expect(await refused()).toContain("needs the interface that it serves")
  expect(await refused("--interface", "br9")).toContain("interface: br9 is not there; there are lo, br0")
  expect(await refused("--interface", "br0")).toContain("give one of its own with --address (it has 10.77.0.1)")
})
