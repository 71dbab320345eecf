/**
 * Power on a PC without a disk beside a DHCP server that gives no boot file but says `PXEClient`: firmware then asks that machine's port 4011, and the boot file is in
 * the answer that it has there (Intel PXE 2.1 §2.1, the separate answer).
 *
 * **Details** The DHCP server is dnsmasq, on the same machine; Imagelink hears port 4011 alone. OVMF's own PXE asks; once it has its boot program this is over, because the iPXE
 * of Debian 12 that it is does not look for a script by itself.
 */
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { imagelink, type Served, scratch, startServe } from "../support/cli.ts"
import { requiresMachine, startMachine } from "../support/machine.ts"
import { makeNetwork, type Network, requiresNetwork, runServerBeside, SERVER } from "../support/network.ts"
import { requires } from "../support/requires.ts"

const spec = "machines-boot-server.spec.ts"
const needs = [requiresNetwork(spec), requiresMachine(spec, "uefi"), requires("dnsmasq", "dnsmasq-base", spec)]
const skip = needs.some((n) => n.skip)
const folder = scratch("boot-server")
const data = join(folder, "data")
const mac = "52:54:00:00:00:01"
let server: Served | undefined
let network: Network
let beside: () => string
if (!skip) network = makeNetwork()

beforeAll(async () => {
  if (skip) return
  const { status, stderr } = await imagelink(["client", "add", mac, "--name", "uefi"], { data })
  expect(status, stderr).toBe(0)
  beside = await runServerBeside(network)
  const dhcp = ["--address", SERVER, "--interface", "br0", "--dhcp", "proxy", "--dhcp-port", "0"]
  const rest = ["--tftp-port", "69", "--http-port", "0", "--iscsi-port", "0", "--log-level", "debug"]
  server = await startServe(data, [...dhcp, ...rest], { inside: network.inside })
}, 120_000)
afterAll(() => server?.stop())

it.skipIf(skip)(
  "a PC with UEFI asks port 4011 for its boot program, is answered there, and fetches it",
  async () => {
    const machine = startMachine({ folder, network, mac, firmware: "uefi", seconds: 200 })
    const log = () => server?.log() ?? []
    const about = () => `${log().join("\n")}\n${beside()}\n${machine.serial()}`
    const fetched = () => log().some((line) => /^tftp 10\.77\.0\.\d\d:\d+ snponly\.efi: sent/u.test(line))
    await expect.poll(fetched, { timeout: 200_000, interval: 500, message: about() }).toBe(true)
    await machine.kill()
    const answers = log().filter((line) => line.startsWith(`dhcp ${mac}: `))
    expect([...new Set(answers.map((line) => line.replace(/.*: /u, "")))], about()).toEqual([
      expect.stringMatching(/^ack to 10\.77\.0\.\d\d:4011$/u),
    ])
    expect(beside()).toMatch(/DHCPACK\S* 10\.77\.0\.\d\d 52:54:00:00:00:01/u)
  },
  260_000,
)
