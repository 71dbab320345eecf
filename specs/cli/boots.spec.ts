/** Boots of a running server, as an operator sees them: each with its stages, and who got stuck where. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { diskOf } from "../../adapters/cli/demo/power-on.ts"
import type { DiskClient, Wires } from "../../adapters/cli/demo/wires.ts"
import { simulatedPcs } from "../../adapters/compose-pcs.ts"
import { events, imagelink, json, type Served, scratch, startServe } from "../support/cli.ts"
import { type Follower, startFollower } from "../support/follower.ts"
import { rawImage } from "../support/images.ts"

const folder = scratch("boots")
const data = join(folder, "data")
const bootFiles = join(folder, "files")
mkdirSync(bootFiles)
writeFileSync(join(bootFiles, "snponly.efi"), Buffer.alloc(100_000, "program"))
const MAC = (n: number) => `52:54:00:00:00:0${n}`
let server: Served
let wires: Wires
let follower: Follower

const ok = async (...args: ReadonlyArray<string>): Promise<string> => {
  const { status, stdout, stderr } = await imagelink(args, { data })
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.anything() })
  return stdout
}
/** From power on to a script. */
const fetchScript = async (n: number) => {
  const { address, file } = await wires.dhcp(MAC(n), "firmware")
  await wires.tftp(address, file)
  const ipxe = await wires.dhcp(MAC(n), "ipxe")
  return { address, script: await wires.http(address, ipxe.file) }
}
const boot = async (n: number): Promise<DiskClient> => {
  const { address, script } = await fetchScript(n)
  return wires.disk(address, diskOf(script)!)
}
/** What the follower has printed, once that is in it. */
const followed = async (text: string): Promise<string> => {
  for (let tries = 0; tries < 200 && !follower.lines.join("\n").includes(text); tries++)
    await new Promise((resolve) => setTimeout(resolve, 100))
  return follower.lines.join("\n")
}
const booted = async (count: number) => {
  for (let tries = 0; ; tries++) {
    const rows = (await events(data)).filter(({ type }) => type === "ClientBooted")
    if (rows.length >= count || tries === 100) return rows.map(({ data }) => data)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

beforeAll(async () => {
  await ok("image", "add", "win11", rawImage(folder, "win11.raw", 65_536, 1).path)
  for (const n of [1, 2, 3]) {
    await ok("client", "add", MAC(n), "--name", `PC-00${n}`)
    await ok("client", "link", `PC-00${n}`, "win11")
  }
  writeFileSync(join(data, "imagelink.toml"), '[[firmware]]\nproduct = "20HD"\nprogram = "ipxe.efi"\n')
  const dhcp = ["--dhcp", "full", "--interface", "lo", "--dhcp-port", "0", "--dhcp-proxy-port", "0"]
  const others = ["--tftp-port", "0", "--http-port", "0", "--iscsi-port", "0", "--boot-files", bootFiles]
  server = await startServe(data, [...dhcp, "--dhcp-range", "127.77.1.10-127.77.1.99", ...others])
  wires = await simulatedPcs(server.listeners, "127.77.255.2")
  follower = startFollower(["--data", data, "boots", "--follow"])
}, 120_000)
afterAll(async () => {
  await follower?.stop()
  await wires?.close()
  await server?.stop()
})

describe("boots", () => {
  it("are recorded with their firmware, and every stage in order", async () => {
    const disk = await boot(1)
    await disk.read(0, 512)
    const [row] = await booted(1)
    expect(row).toMatchObject({
      client: { name: "PC-001", mac: MAC(1) },
      address: "127.77.1.10",
      firmware: "UEFI x64 (PXEClient:Arch:00007:UNDI:003016)",
      protocol: "iscsi",
    })
    const stages = row!.stages as ReadonlyArray<{ readonly name: string; readonly millis: number }>
    expect(stages.map(({ name }) => name)).toEqual(["offer", "tftp", "ipxe", "script", "login", "first read"])
    expect(stages.map(({ millis }) => millis)).toEqual(stages.map(({ millis }) => millis).toSorted((a, b) => a - b))
    await disk.close()
    expect(await ok("boots", "--client", "PC-001")).toMatch(
      / {2}PC-001 {2}win11@1 {2}discard {2}127\.77\.1\.10 {2}iscsi {2}UEFI x64\n {2}.*: offer /,
    )
    expect(await json(["boots", "--client", "PC-001", "--json"], { data })).toMatchObject({ version: 1, stages })
  })

  it("are shown to a follower as they happen, as timelines", async () => {
    expect(await followed("PC-001  win11@1")).toContain("PC-001  win11@1")
    const disk = await boot(2)
    await disk.read(0, 512)
    await followed("PC-002  win11@1")
    expect(await followed("PC-002  win11@1  discard  127.77.1.11  iscsi  UEFI x64\n")).toMatch(
      / PC-002 {2}win11@1.*\n.* offer \d+ ms, tftp .*, ipxe .*, script .*, login .*, first read /,
    )
    await disk.close()
  })

  it("tell the model of a computer, and rows for it choose its boot program from then on", async () => {
    const offer = async () => (await wires.dhcp(MAC(3), "firmware")).file
    expect(await offer()).toBe("snponly.efi")
    const ipxe = await wires.dhcp(MAC(3), "ipxe")
    await wires.http(ipxe.address, ipxe.file.replace(/\?.*/u, "?product=20HDA000&manufacturer=LENOVO"))
    expect(await offer()).toBe("ipxe.efi")
  })

  it("that do not get on are shown as on the way, with what went wrong, and none of that is recorded", async () => {
    const { address } = await wires.dhcp(MAC(3), "firmware")
    await expect(wires.tftp(address, "missing.efi")).rejects.toThrow()
    const shown = await ok("boots")
    expect(shown).toMatch(
      /\non the way:\nPC-003 {2}dhcp for \d.* {2}127\.77\.1\.12 {2}UEFI x64\n {2}tftp \S+ missing.efi: there is no such file\n/,
    )
    const live = (await ok("boots", "--client", "PC-003", "--json")).trimEnd().split("\n")
    expect(live.map((line) => JSON.parse(line))).toMatchObject([{ live: { client: "PC-003", state: "dhcp" } }])
    expect(await followed("missing.efi")).toMatch(/^PC-003 {2}dhcp for /m)
    expect(await booted(2)).toHaveLength(2)
  })
})

it("boots without a server has no one on the way", async () => {
  await follower.stop()
  await wires.close()
  wires = { ...wires, close: async () => {} }
  await server.stop()
  expect(await ok("boots")).not.toContain("on the way")
  expect(await ok("boots", "--client", "PC-003")).toBe("no boots recorded\n")
})
