/**
 * Power on a PC with UEFI and no disk, and it boots: OVMF's own PXE or HTTP Boot, iPXE, its script, iSCSI, and the program on its EFI system partition.
 *
 * **Details** The disk counts how often it was booted (support/efi-program.ts): what is discarded says 0 each time, what is kept goes on counting.
 */
import { copyFileSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { IPXE_FOLDER } from "../../core/runtime/boot-folder.ts"
import { bootsSaid, countedDisk, ENDED_STATUS } from "../support/boot-sector.ts"
import { events, imagelink, type Served, scratch, startServe } from "../support/cli.ts"
import { efiImage, requiresEfi } from "../support/efi-program.ts"
import { requiresMachine, runMachine } from "../support/machine.ts"
import { advertiseRouter, makeNetwork, type Network, requiresNetwork, SERVER } from "../support/network.ts"
import { requires } from "../support/requires.ts"

const spec = "machines-uefi.spec.ts"
const needs = [
  requiresNetwork(spec),
  requiresMachine(spec, "uefi"),
  ...requiresEfi(spec),
  requires("dnsmasq", "dnsmasq-base"),
]
const skip = needs.some((n) => n.skip)
const folder = scratch("uefi")
const data = join(folder, "data")
let server: Served | undefined
let network: Network
if (!skip) network = makeNetwork()

const ok = async (...args: ReadonlyArray<string>) => {
  const { status, stderr } = await imagelink(args, { data })
  expect(status, `imagelink ${args.join(" ")}: ${stderr}`).toBe(0)
}

const MAC = (n: number) => `52:54:00:00:00:0${n}`

const serve = async (...more: ReadonlyArray<string>) => {
  await server?.stop()
  const dhcp = ["--address", SERVER, "--interface", "br0", "--dhcp", "full"]
  const args = [...dhcp, "--http-port", "8080", "--iscsi-port", "3260", "--log-level", "debug", ...more]
  server = await startServe(data, args, { inside: network.inside })
}

beforeAll(async () => {
  if (skip) return
  const image = (name: string) => join(folder, `${name}.raw`)
  efiImage(image("win11"), { label: "win11" })
  efiImage(image("debian"), { label: "debian" }, "EFI/debian/grubx64.efi")
  countedDisk(image("games"), { label: "games" })
  for (const name of ["win11", "debian", "games"]) await ok("image", "add", name, image(name))
  for (const n of [1, 2]) await ok("client", "add", MAC(n), "--name", `PC-00${n}`, "--ip", `10.77.0.1${n}`)
  await ok("client", "link", "PC-001", "win11")
  await ok("client", "link", "PC-001", "games", "--slot", "1", "--overlay", "keep")
  await ok("client", "set", "PC-001", "--option", "hook=all")
  await ok("client", "link", "PC-002", "debian", "--overlay", "keep")
  await ok("client", "set", "PC-002", "--option", "filename=/EFI/debian/grubx64.efi")
  await advertiseRouter(network)
}, 120_000)
afterAll(() => server?.stop())

/** What the machine said. OVMF tries PXE before HTTP Boot, for minutes, unless it is told not to. */
const boot = async (n: number, how: "pxe" | "http") => {
  const without = ["IPv4PXESupport", "IPv6PXESupport"].flatMap((way) => [
    "-fw_cfg",
    `name=opt/org.tianocore/${way},string=n`,
  ])
  const options = how === "http" ? without : []
  const { status, serial } = await runMachine({ folder, network, mac: MAC(n), firmware: "uefi", seconds: 150, options })
  expect(status, `${serial}\n${server?.stderr()}`).toBe(ENDED_STATUS)
  return serial
}

/** What the last recorded boot says of its firmware and its stages; the boot ended a moment ago. */
const lastBoot = async (count: number) => {
  for (let tries = 0; ; tries++) {
    const boots = (await events(data)).filter((e) => e.type === "ClientBooted")
    const { firmware, stages = [] } = (boots[count - 1]?.data ?? {}) as {
      readonly firmware?: string
      readonly stages?: ReadonlyArray<{ readonly name: string }>
    }
    if (firmware !== undefined || tries === 20) return [firmware, ...stages.map(({ name }) => name)]
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

describe.skipIf(skip)("a PC with UEFI", () => {
  it("boots its linked version by PXE and TFTP, with its second disk beside it", async () => {
    await serve("--tftp-port", "69")
    const serial = await boot(1, "pxe")
    expect([bootsSaid(serial, "win11"), bootsSaid(serial, "games")]).toEqual([[0], [0]])
    const firmware = expect.stringMatching(/^UEFI x64 \(PXEClient:Arch:00007/)
    expect(await lastBoot(1)).toEqual([firmware, "offer", "tftp", "ipxe", "script", "login", "first read"])
  }, 240_000)

  it("boots by HTTP alone, from the loader that is named", async () => {
    await serve()
    const serial = await boot(2, "http")
    expect(serial).toContain("URI: http://10.77.0.1:8080/snponly.efi")
    expect([bootsSaid(serial, "debian"), server?.stderr().includes(" tftp ")]).toEqual([[0], false])
    const firmware = expect.stringMatching(/^UEFI x64, HTTP \(HTTPClient:Arch:00016/)
    expect(await lastBoot(2)).toEqual([firmware, "offer", "http", "ipxe", "script", "login", "first read"])
  }, 240_000)

  it("begins with the signed program where there is one, and forgets what it wrote on one disk and keeps the other", async () => {
    const signed = join(folder, "boot", "x86_64-sb")
    mkdirSync(signed, { recursive: true })
    // A stand-in: OVMF checks no signatures here, and iPXE does not mind its name.
    for (const name of ["snponly-shim.efi", "snponly.efi"])
      copyFileSync(join(IPXE_FOLDER, "snponly.efi"), join(signed, name))
    await serve("--boot-files", join(folder, "boot"))
    const serial = await boot(1, "http")
    expect(serial).toContain("URI: http://10.77.0.1:8080/x86_64-sb/snponly-shim.efi")
    expect([bootsSaid(serial, "win11"), bootsSaid(serial, "games")]).toEqual([[0], [1]])
  }, 240_000)
})
