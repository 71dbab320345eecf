/** A server that is killed under a real initiator that writes: qemu's waits, logs in again, and nothing is lost or strays. */
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, it } from "vitest"
import { connectIscsi } from "../../../adapters/iscsi/client.ts"
import { imagelink, type Served, startServe } from "../../support/cli.ts"
import { noise, run } from "../../support/nbd-server.ts"
import { requires } from "../../support/requires.ts"

const qemuImg = requires("qemu-img", "qemu-utils and qemu-block-extra")
const MiB = 2 ** 20
const sizeBytes = 24 * MiB
const targetOf = (n: number) => `iqn.2026-11.io.imagelink:pc-00${n}`

let folder: string
let data: string
const servers: Array<Served> = []
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "imagelink-recovery-"))
  data = join(folder, "data")
  const disk = join(folder, "disk.raw")
  writeFileSync(disk, Buffer.alloc(MiB, 0xa5))
  truncateSync(disk, sizeBytes)
  const orders = [
    ["image", "add", "win11", disk],
    ...[1, 2].flatMap((n) => [
      ["client", "add", `52:54:00:00:00:0${n}`, "--name", `PC-00${n}`],
      ["client", "link", `PC-00${n}`, "win11"],
    ]),
  ]
  for (const order of orders) {
    const { status, stderr } = await imagelink(order, { data })
    expect(status, stderr).toBe(0)
  }
})
afterEach(async () => {
  for (const server of servers.splice(0)) await server.kill("SIGKILL")
  rmSync(folder, { recursive: true, force: true })
})

const serve = async (port: number) => {
  const server = await startServe(data, ["--nbd-port", "off", "--iscsi-port", String(port)])
  servers.push(server)
  return { server, port: Number(server.listeners.iscsi?.split(":").at(-1)) }
}

it.skipIf(qemuImg.skip)(
  "qemu goes on writing after the server was killed and came back, and the disks are what they should be",
  async () => {
    const { server, port } = await serve(0)
    const from = join(folder, "from.raw")
    writeFileSync(from, noise(sizeBytes, 11))
    const neighbour = await connectIscsi({ host: "127.0.0.1", port, target: targetOf(2) })
    await neighbour.write(0, Buffer.alloc(4096, 2))
    neighbour.destroy()
    const url = `iscsi://127.0.0.1:${port}/${targetOf(1)}/0`
    const args = ["convert", "-n", "-r", String(8 * MiB), "-f", "raw", "-O", "raw", from, url]
    let ended: Error | null | undefined
    const writing = new Promise<void>((resolve) => {
      execFile("qemu-img", args, { timeout: 120_000 }, (e) => {
        ended = e
        resolve()
      })
    })
    const watcher = await connectIscsi({ host: "127.0.0.1", port, target: targetOf(1) })
    const isWritten = async () => !(await watcher.read(2 * MiB, 512)).equals(Buffer.alloc(512))
    for (let i = 0; i < 600 && !(await isWritten()); i++) await new Promise((r) => setTimeout(r, 20))
    expect([await isWritten(), ended]).toEqual([true, undefined])
    await server.kill("SIGKILL")
    await serve(port)
    await writing
    expect(ended).toBeNull()
    expect(await run("qemu-img", "compare", "-f", "raw", "-F", "raw", from, url)).toContain("Images are identical")
    const again = await connectIscsi({ host: "127.0.0.1", port, target: targetOf(2) })
    const expected = Buffer.concat([Buffer.alloc(4096, 2), Buffer.alloc(4096, 0xa5)])
    expect(await again.read(0, 8192)).toEqual(expected)
    again.destroy()
  },
  180_000,
)
