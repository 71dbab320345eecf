/** Boot scripts of a running server, fetched as firmware does, and previewed as an operator does. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { fetchTftp } from "../../adapters/tftp/client.ts"
import { imagelink, refusal, type Served, scratch, startServe } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"

const folder = scratch("boot-scripts")
const data = join(folder, "data")
const bootFiles = join(folder, "files")
mkdirSync(bootFiles)
writeFileSync(join(bootFiles, "snponly.efi"), "program")

const ok = async (...args: ReadonlyArray<string>): Promise<string> => {
  const { status, stdout, stderr } = await imagelink(args, { data })
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.anything() })
  return stdout
}

describe("a server with HTTP", () => {
  let server: Served
  let http: string
  beforeAll(async () => {
    await ok("image", "add", "win11", rawImage(folder, "win11.raw", 65_536, 1).path)
    await ok("client", "add", "52:54:00:00:00:01", "--name", "PC-001", "--ip", "192.0.2.101")
    await ok("client", "link", "PC-001", "win11")
    const ports = [
      "--http-port",
      "0",
      "--iscsi-port",
      "0",
      "--tftp-port",
      "0",
      "--registration",
      "auto",
      "--default-image",
      "win11",
    ]
    server = await startServe(data, [...ports, "--boot-files", bootFiles])
    http = `http://${server.listeners.http}`
  })
  afterAll(() => server.stop())

  it("serves a client's script, with the port that iSCSI really has", async () => {
    const answer = await fetch(`${http}/boot/52-54-00-00-00-01.ipxe`)
    const port = server.listeners.iscsi!.split(":").at(-1)
    expect(await answer.text()).toMatch(
      new RegExp(`^sanboot iscsi:127.0.0.1::${port}::iqn.2026-11.io.imagelink:pc-001:[a-z2-7]{48} `, "m"),
    )
    expect(await (await fetch(`${http}/snponly.efi`)).text()).toBe("program")
  })

  it("registers who is unknown, if it is told to", async () => {
    const answer = await fetch(`${http}/boot/52-54-00-00-00-02.ipxe`)
    expect(await answer.text()).toContain("echo Imagelink: PC-002 boots win11@1 from 127.0.0.1")
    expect(await ok("client", "list")).toMatch(/PC-002 +52:54:00:00:00:02 +- +0: win11@1/)
  })

  it("leads there from TFTP, in any folder", async () => {
    const [host = "", port] = server.listeners.tftp!.split(":")
    const { bytes } = await fetchTftp({ host, port: Number(port), file: "some/folder/autoexec.ipxe" })
    expect(Buffer.from(bytes).toString()).toContain(`chain --replace --autofree ${http}/boot/\${netX/mac:hexhyp}.ipxe`)
  })

  it("is shown by client script without a boot id, the same each time", async () => {
    const fetched = await (await fetch(`${http}/boot/52-54-00-00-00-01.ipxe`)).text()
    const shown = await ok("client", "script", "PC-001")
    expect(shown).toBe(fetched.replace(/pc-001:[a-z2-7]{48}/, "pc-001:PREVIEW"))
    expect(await ok("client", "script", "pc-001")).toBe(shown)
    expect(JSON.parse(await ok("client", "script", "PC-001", "--json"))).toEqual({ client: "PC-001", script: shown })
    expect(await ok("boots")).toBe("no boots recorded\n")
    const unknown = await imagelink(["client", "script", "PC-9", "--json"], { data })
    expect(refusal(unknown).code).toBe("CLIENT_NOT_FOUND")
  })
})

it("a script is shown while no server runs, with the server as iPXE knows it", async () => {
  const shown = await ok("client", "script", "PC-001")
  expect(shown).toContain(`echo Imagelink: PC-001 boots win11@1 from \${next-server}\n`)
  expect(shown).toContain(`echo Either \${next-server} port 3260 did not answer`)
  expect(shown).not.toContain("$ {")
  expect(shown).toContain(`sanboot iscsi:\${next-server}::::iqn.2026-11.io.imagelink:pc-001:PREVIEW || goto failed\n`)
})
