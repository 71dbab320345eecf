/**
 * How long a PC's own disk lives, as the PC sees it that writes to it all the while: through a cut network and a restart of the server, and not one reset longer.
 *
 * **Details** The boot sector writes one sector after the other, each acknowledged before the next, says `.` for each, and `DISK LOST` as soon as its first one is
 * not there any more (support/boot-sector.ts). The PC has no recorded address, so that whoever asks for its script gets one with a boot id.
 */
import { execFileSync } from "node:child_process"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { bootableImage, bootsSaid } from "../support/boot-sector.ts"
import { events, imagelink, type Served, scratch, startServe } from "../support/cli.ts"
import { type Machine, requiresMachine, startMachine } from "../support/machine.ts"
import { advertiseRouter, makeNetwork, type Network, requiresNetwork, runBounded, SERVER } from "../support/network.ts"
import { requires } from "../support/requires.ts"

const spec = "machines-overlay.spec.ts"
const needs = [requiresNetwork(spec), requiresMachine(spec)]
const tools = [requires("dnsmasq", "dnsmasq-base"), requires("iscsi-inq", "libiscsi-bin"), requires("curl", "curl")]
const skip = [...needs, ...tools].some((n) => n.skip)
const folder = scratch("overlay")
const data = join(folder, "data")
let server: Served
let network: Network
let tap: string
let machine: Machine
if (!skip) network = makeNetwork()

const MAC = "52:54:00:00:00:01"

const ok = async (...args: ReadonlyArray<string>) => {
  const { status, stdout, stderr } = await imagelink(args, { data })
  expect(status, `imagelink ${args.join(" ")}: ${stderr}`).toBe(0)
  return stdout
}

const serve = async () => {
  const dhcp = ["--address", SERVER, "--interface", "br0", "--dhcp", "full", "--dhcp-range", "10.77.0.50-10.77.0.60"]
  const args = [...dhcp, "--tftp-port", "69", "--http-port", "8080", "--iscsi-port", "3260", "--log-level", "debug"]
  server = await startServe(data, args, { inside: network.inside })
}

beforeAll(async () => {
  if (skip) return
  bootableImage(join(folder, "win11.raw"), { label: "win11", writes: true })
  await ok("image", "add", "win11", join(folder, "win11.raw"))
  await ok("client", "add", MAC, "--name", "PC-001")
  await ok("client", "add", "52:54:00:00:00:02", "--name", "PC-002")
  await ok("client", "link", "PC-001", "win11")
  await ok("client", "link", "PC-002", "win11", "--overlay", "keep")
  await advertiseRouter(network)
  await serve()
  tap = network.tap()
  machine = startMachine({ folder, network, tap, mac: MAC, firmware: "bios", seconds: 240 })
}, 120_000)
afterAll(async () => {
  await machine?.kill()
  await server?.stop()
})

/** How much it has written in this boot. */
const written = (of: Machine = machine) => /TIMES BEFORE\s+(\.+)(?!.*BOOTED)/s.exec(of.serial())?.[1]?.length ?? 0

const shown = () =>
  `${machine
    .serial()
    .replaceAll(/\.{9,}/g, "…")
    .slice(-2000)}\n${server.stderr().slice(-4000)}`

/** It writes, and goes on writing from here. */
const goesOn = async () => {
  const before = written()
  await vi.waitFor(() => expect(written(), shown()).toBeGreaterThan(before + 50), { timeout: 60_000, interval: 200 })
  expect(machine.serial()).not.toMatch(/DISK (LOST|ERROR)/)
}

/** The targets that it has opened, as the server's log has them. */
const targets = () => Array.from(server.stderr().matchAll(/opened (iqn\S+:pc-001:[a-z2-7]{48})/g), ([, name]) => name!)

describe.skipIf(skip)("the disk of a PC that writes", () => {
  it("is a fresh one after a reset in the middle, with the old session half open, and the old boot id is refused", async () => {
    await goesOn()
    const old = targets().at(-1)!
    await machine.command("system_reset")
    await vi.waitFor(() => expect(bootsSaid(machine.serial(), "win11"), shown()).toHaveLength(2), { timeout: 60_000 })
    await goesOn()
    expect(bootsSaid(machine.serial(), "win11")).toEqual([0, 0])
    expect(targets().at(-1)).not.toBe(old)
    const { status, output } = await runBounded([...network.inside, "iscsi-inq", `iscsi://${SERVER}/${old}/0`], 20)
    expect(status, output).not.toBe(0)
    await vi.waitFor(() => expect(server.stderr()).toMatch(/PC-001.*two PCs/), 10_000)
    await goesOn()
  }, 240_000)

  it("is the same after the network was away", async () => {
    const carry = (how: string) =>
      execFileSync(network.inside[0]!, [...network.inside.slice(1), "ip", "link", "set", tap, how])
    carry("down")
    await sleep(10_000)
    carry("up")
    await goesOn()
    expect(bootsSaid(machine.serial(), "win11")).toEqual([0, 0])
  }, 240_000)

  it("is the same after its script was fetched and previewed, and the server restarted", async () => {
    const url = `http://${SERVER}:8080/boot/52-54-00-00-00-01.ipxe`
    const fetched = await Promise.all(
      Array.from({ length: 10 }, () => runBounded([...network.inside, "curl", "-sf", url], 20)),
    )
    const ids = fetched.map(({ output }) => /pc-001:([a-z2-7]{48})/.exec(output)?.[1])
    expect(new Set(ids).size).toBe(10)
    expect(await ok("client", "script", "PC-001")).toContain("PREVIEW")
    const target = targets().at(-1)
    expect(await server.stop()).toBe(0)
    await serve()
    await goesOn()
    expect([targets().at(-1), bootsSaid(machine.serial(), "win11")]).toEqual([target, [0, 0]])
    const booted = (await events(data)).filter((e) => e.type === "ClientBooted")
    expect(booted).toHaveLength(2)
    await machine.kill()
  }, 240_000)
})

describe.skipIf(skip)("two PCs with one MAC", () => {
  it("are reported, what the first has written is there, and nothing of it comes after the second has begun", async () => {
    const start = () => startMachine({ folder, network, mac: "52:54:00:00:00:02", firmware: "bios", seconds: 200 })
    const first = start()
    machine = first
    await goesOn()
    // One at a time: both at once take each other's packets, so that for minutes neither gets on.
    await first.command("stop")
    const end = written()
    machine = start()
    await goesOn()
    expect(bootsSaid(machine.serial(), "win11")).toEqual([1])
    await machine.command("stop")
    await first.command("cont")
    const report = () => expect(server.stderr(), shown()).toMatch(/PC-002 showed the boot id .* two PCs with one MAC/)
    await vi.waitFor(report, { timeout: 60_000 })
    await first.kill()
    expect(written(first) - end).toBeLessThan(3)
    await machine.command("cont")
    await goesOn()
    await machine.kill()
  }, 240_000)
})
