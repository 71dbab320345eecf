/**
 * Power on a PC without a disk, and it boots: DHCP, boot program, script, iSCSI, and the first sector of its disk runs.
 *
 * **Details** The disk counts how often it was booted (support/boot-sector.ts): what is discarded says 0 each time, what is kept goes on counting.
 */
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { bootableImage, bootsSaid, countedDisk, ENDED_STATUS } from "../support/boot-sector.ts"
import { events, imagelink, type Served, scratch, startServe } from "../support/cli.ts"
import { requiresMachine, romIsIpxe, runMachine } from "../support/machine.ts"
import { advertiseRouter, makeNetwork, type Network, requiresNetwork, SERVER } from "../support/network.ts"
import { requires } from "../support/requires.ts"

const spec = "machines.spec.ts"
const needs = [requiresNetwork(spec), requiresMachine(spec), requires("dnsmasq", "dnsmasq-base")]
const skip = needs.some((n) => n.skip)
const folder = scratch("machines")
const data = join(folder, "data")
let server: Served
let network: Network
if (!skip) network = makeNetwork()

const ok = async (...args: ReadonlyArray<string>) => {
  const { status, stderr } = await imagelink(args, { data })
  expect(status, `imagelink ${args.join(" ")}: ${stderr}`).toBe(0)
}

const MAC = (n: number) => `52:54:00:00:00:0${n}`

beforeAll(async () => {
  if (skip) return
  bootableImage(join(folder, "win11.raw"), { label: "win11" })
  countedDisk(join(folder, "games.raw"), { label: "games" })
  for (const name of ["win11", "games"]) await ok("image", "add", name, join(folder, `${name}.raw`))
  for (const [n, policy] of [
    [1, "discard"],
    [2, "keep"],
  ] as const) {
    await ok("client", "add", MAC(n), "--name", `PC-00${n}`, "--ip", `10.77.0.1${n}`)
    await ok("client", "link", `PC-00${n}`, "win11", "--overlay", policy)
  }
  await ok("client", "link", "PC-002", "games", "--slot", "1")
  await ok("client", "set", "PC-002", "--option", "hook=all")
  await advertiseRouter(network)
  server = await startServe(
    data,
    [
      ...["--address", SERVER, "--interface", "br0", "--dhcp", "full", "--log-level", "debug"],
      ...["--tftp-port", "69", "--http-port", "0", "--iscsi-port", "3260"],
    ],
    { inside: network.inside },
  )
}, 120_000)
afterAll(() => server?.stop())

const boot = async (n: number) => {
  const { status, serial } = await runMachine({ folder, network, mac: MAC(n), firmware: "bios", seconds: 150 })
  expect(status, `${serial}\n${server.stderr()}`).toBe(ENDED_STATUS)
  return [bootsSaid(serial, "win11"), bootsSaid(serial, "games")]
}

describe.skipIf(skip)("a PC with BIOS", () => {
  it("boots its linked version from its card's ROM, and forgets what it wrote", async () => {
    expect(await boot(1)).toEqual([[0], []])
    expect(await boot(1)).toEqual([[0], []])
  }, 400_000)

  it("finds what it wrote where it is kept, beside a second disk where it is not, and another never sees it", async () => {
    expect(await boot(2)).toEqual([[0], [0]])
    expect(await boot(2)).toEqual([[1], [0]])
    expect(await boot(1)).toEqual([[0], []])
    const booted = (await events(data)).filter((e) => e.type === "ClientBooted")
    expect(booted.map((e) => (e.data.client as { name: string }).name).sort()).toContain("PC-002")
    for (const { data: of } of booted) {
      expect(of.firmware).toMatch(/^(iPXE, )?BIOS \(PXEClient:Arch:00000.*\), QEMU Standard PC/)
      expect(String(of.firmware).startsWith("iPXE")).toBe(romIsIpxe)
      const stages = of.stages as ReadonlyArray<{ readonly name: string }>
      expect(stages.map(({ name }) => name)).toEqual([
        ...["offer", ...(romIsIpxe ? [] : ["tftp", "ipxe"]), "script", "login", "first read"],
      ])
    }
  }, 600_000)
})
