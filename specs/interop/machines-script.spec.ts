/**
 * What a script does on a real iPXE, before the screen of a real PC: a menu that waits or is chosen from, a name that is typed, a next boot, the computer's own disk, and what is said when something is missing.
 *
 * **Details** PCs with BIOS, whose disks say what they are (support/boot-sector.ts). The keyboard is QEMU's, the screen is what the firmware says on the serial port.
 */
import { renameSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { bootableImage, ENDED_STATUS } from "../support/boot-sector.ts"
import { imagelink, lastBoot, type Served, scratch, startServe } from "../support/cli.ts"
import { type Machine, requiresMachine, startMachine } from "../support/machine.ts"
import { advertiseRouter, makeNetwork, type Network, requiresNetwork, SERVER } from "../support/network.ts"
import { requires } from "../support/requires.ts"

const spec = "machines-script.spec.ts"
const needs = [requiresNetwork(spec), requiresMachine(spec), requires("dnsmasq", "dnsmasq-base", spec)]
const skip = needs.some((n) => n.skip)
const folder = scratch("script")
const data = join(folder, "data")
const file = (name: string) => join(folder, `${name}.raw`)
const MAC = (n: number) => `52:54:00:00:00:0${n}`
let server: Served
let network: Network
if (!skip) network = makeNetwork()

const ok = async (...args: ReadonlyArray<string>) => {
  const { status, stdout, stderr } = await imagelink(args, { data })
  expect(status, `imagelink ${args.join(" ")}: ${stderr}`).toBe(0)
  return stdout
}

const serve = (registration: string) => {
  const dhcp = ["--address", SERVER, "--interface", "br0", "--dhcp", "full", "--dhcp-range", "10.77.0.50-10.77.0.60"]
  const unknown = ["--registration", registration, "--default-image", "win11"]
  const ports = ["--tftp-port", "69", "--http-port", "8080", "--iscsi-port", "3260", "--log-level", "debug"]
  return startServe(data, [...dhcp, ...unknown, ...ports], { inside: network.inside })
}

beforeAll(async () => {
  if (skip) return
  for (const name of ["win11", "linux"]) {
    bootableImage(file(name), { label: name })
    await ok("image", "add", name, file(name))
  }
  bootableImage(file("own"), { label: "own" })
  for (const n of [1, 2, 3]) await ok("client", "add", MAC(n), "--name", `PC-00${n}`, "--ip", `10.77.0.1${n}`)
  for (const n of [1, 2]) await ok("client", "link", `PC-00${n}`, "win11")
  await ok("client", "set", "PC-001", "--option", "menu=linux", "--option", "menu-timeout=5")
  await ok("client", "set", "PC-003", "--option", "fallback=local")
  await advertiseRouter(network)
  server = await serve("ask")
}, 120_000)
afterAll(() => server?.stop())

const start = (n: number, options: ReadonlyArray<string> = []): Machine =>
  startMachine({ folder, network, mac: MAC(n), firmware: "bios", seconds: 200, options })
const withOwnDisk = ["-drive", `if=ide,format=raw,file=${file("own")}`]

/** Which disks said that they were booted. */
const bootedFrom = async (machine: Machine): Promise<ReadonlyArray<string>> => {
  const { status, serial } = await machine.ended
  expect(status, `${serial}\n${server.stderr().slice(-4000)}`).toBe(ENDED_STATUS)
  return Array.from(serial.matchAll(/(win11|linux|own) BOOTED/g), ([, name]) => name!)
}

const press = async (machine: Machine, ...keys: ReadonlyArray<string>) => {
  for (const data of keys) await machine.command("send-key", { keys: [{ type: "qcode", data }] })
}

/** Without what moves the cursor and where it breaks its lines. */
const screen = (serial: string): string => serial.replaceAll(/\x1b\[[0-9;]*[A-Za-z]/g, " ").replaceAll(/\s+/g, " ")

describe.skipIf(skip)("the script of a PC", () => {
  it("has a menu, which boots the linked image when nobody chooses, and another one when somebody does, once", async () => {
    expect(await bootedFrom(start(1))).toEqual(["win11"])
    const machine = start(1)
    await machine.said(/what shall PC-001 boot\?/)
    await press(machine, "down", "ret")
    expect(await bootedFrom(machine)).toEqual(["linux"])
    expect(await bootedFrom(start(1))).toEqual(["win11"])
  }, 600_000)

  it("boots what the operator chose for the next time, once: another image, or the computer's own disk", async () => {
    await ok("client", "next-boot", "PC-002", "linux")
    expect(await bootedFrom(start(2))).toEqual(["linux"])
    await ok("client", "next-boot", "PC-002", "local")
    expect((await bootedFrom(start(2, withOwnDisk)))[0]).toBe("own")
    expect(await bootedFrom(start(2))).toEqual(["win11"])
  }, 600_000)

  it("has a menu once, where the operator chose that for the next time", async () => {
    await ok("client", "next-boot", "PC-002", "menu")
    const machine = start(2)
    await machine.said(/what shall PC-002 boot\?/)
    await press(machine, "ret")
    expect(await bootedFrom(machine)).toEqual(["win11"])
    const next = start(2)
    expect(await bootedFrom(next)).toEqual(["win11"])
    expect(screen(next.serial())).not.toContain("what shall PC-002 boot?")
  }, 400_000)

  it("says what is missing, why, and what to do; when that is done, the PC boots by itself", async () => {
    renameSync(file("win11"), file("moved"))
    const machine = start(2)
    const said = screen(await machine.said(/Trying again in/))
    expect(said).toContain("PC-002 cannot boot:")
    expect(said).toContain("[IMAGE_FILE_NOT_FOUND]")
    expect(said).toMatch(/cause: .* fix: .*imagelink image relocate win11/)
    renameSync(file("moved"), file("win11"))
    await ok("image", "check", "win11")
    expect(await bootedFrom(machine)).toEqual(["win11"])
  }, 400_000)

  it("goes on to the computer's own disk after three failures, where that is wanted", async () => {
    const machine = start(3, withOwnDisk)
    expect((await bootedFrom(machine))[0]).toBe("own")
    expect(machine.serial().match(/Trying again in/g)).toHaveLength(2)
  }, 400_000)

  it("asks for a name where nobody knows the computer, and boots it as that", async () => {
    const machine = start(7)
    expect(screen(await machine.said(/Name:/))).toContain(`this computer is not registered. Its MAC is ${MAC(7)}.`)
    await press(machine, "l", "a", "b", "minus", "7", "ret")
    expect(await bootedFrom(machine)).toEqual(["win11"])
    expect((await lastBoot(data, MAC(7)))?.client).toMatchObject({ name: "lab-7", mac: MAC(7) })
  }, 400_000)

  it("tells the MAC, and the command that adds it, where nobody is to register by booting; then the PC boots by itself", async () => {
    await server.stop()
    server = await serve("closed")
    const machine = start(8)
    const said = screen(await machine.said(/Trying again in/))
    expect(said).toContain(`this computer is not registered. Its MAC is ${MAC(8)}.`)
    expect(said).toContain(`imagelink client add ${MAC(8)}`)
    await ok("client", "add", MAC(8), "--name", "PC-008")
    await ok("client", "link", "PC-008", "linux")
    expect(await bootedFrom(machine)).toEqual(["linux"])
  }, 400_000)

  it("boots a computer that nobody knows under the next free number, where that is wanted", async () => {
    await server.stop()
    server = await serve("auto")
    expect(await bootedFrom(start(9))).toEqual(["win11"])
    const booted = await lastBoot(data, MAC(9))
    expect(booted?.client).toMatchObject({ mac: MAC(9), name: expect.stringMatching(/^PC-\d+$/) })
  }, 400_000)
})
