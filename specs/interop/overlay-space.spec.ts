/** Space that real clients trim goes back to the file system while their disks stay open. */
import { existsSync, readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { imagelink, type Served, scratch, startServe } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { run } from "../support/nbd-server.ts"
import { requires } from "../support/requires.ts"

const MiB = 2 ** 20
const folder = scratch("space")
const data = join(folder, "data")
const image = rawImage(folder, "disk.raw", 16 * MiB, 5)
let server: Served

const qemuIo = requires("qemu-io", "qemu-utils")
const nbdinfo = requires("nbdinfo", "libnbd-bin")
const uri = (client: string) => `nbd://127.0.0.1:${server.nbdPort}/client/${client}/0`

const ok = async (...args: ReadonlyArray<string>) => expect((await imagelink(args, { data })).status).toBe(0)

beforeAll(async () => {
  await ok("image", "add", "win11", image.path)
  for (const [n, policy] of ["discard", "keep"].entries()) {
    await ok("client", "add", `52:54:00:00:00:0${n}`, "--name", policy)
    await ok("client", "link", policy, "win11", "--overlay", policy)
  }
  server = await startServe(data)
})
afterAll(() => server.stop())

const dataFiles = (): ReadonlyArray<string> => {
  if (!existsSync(join(data, "overlays"))) return []
  return readdirSync(join(data, "overlays"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith("/data"))
    .map((name) => join(data, "overlays", name))
}

const spaceBytes = () => dataFiles().reduce((sum, path) => sum + statSync(path).blocks * 512, 0)

describe.skipIf(qemuIo.skip || nbdinfo.skip || process.platform !== "linux")("trimmed by qemu-io over NBD", () => {
  it.each(["discard", "keep"])("a %s disk's file is smaller after the flush, and its map says zero", async (client) => {
    const before = spaceBytes()
    const io = (...commands: ReadonlyArray<string>) =>
      run("qemu-io", "-d", "unmap", "-f", "raw", ...commands.flatMap((c) => ["-c", c]), uri(client))
    await io("write -P 0x11 0 8M", "flush", "discard 1M 4M", "write -z -u 6M 1M", "flush", "read -P 0 1M 4M")
    expect(spaceBytes() - before).toBe(3 * MiB)
    const map = JSON.parse(await run("nbdinfo", "--map", "--json", uri(client)))
    expect(map.map((e: { offset: number; length: number; type: number }) => [e.offset, e.length, e.type])).toEqual([
      [0, MiB, 0],
      [MiB, 4 * MiB, 3],
      [5 * MiB, MiB, 0],
      [6 * MiB, MiB, 3],
      [7 * MiB, 9 * MiB, 0],
    ])
  })
})
