/** A disk that is uploaded over NBD, sealed, and updated by a commit; read by qemu from the data folder, also from another place. */
import { readdirSync, renameSync, statSync, writeFileSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { imagelink, refusal, type Served, scratch, startServe } from "../support/cli.ts"
import { noise, run } from "../support/nbd-server.ts"
import { requires } from "../support/requires.ts"

const MiB = 2 ** 20
const SIZE = 16 * MiB
const qemu = requires("qemu-img", "qemu-utils")
const nbdcopy = requires("nbdcopy", "libnbd-bin")

describe.skipIf(qemu.skip || nbdcopy.skip)("a created image", () => {
  const folder = scratch("draft-qemu")
  const at = (name: string) => join(folder, name)
  let data = at("data")
  let server: Served
  afterAll(() => server?.stop())

  const uri = (name: string) => `nbd://127.0.0.1:${server.nbdPort}/${name}`
  /** A session that has just said goodbye may be a moment from gone. */
  const ok = async (...args: ReadonlyArray<string>): Promise<void> => {
    for (let tries = 0; ; tries++) {
      const ran = await imagelink([...args, "--json"], { data })
      if (ran.status === 0) return
      const isBusy = ["IMAGE_BUSY", "OVERLAY_IN_USE"].includes(refusal(ran).code)
      expect([isBusy, tries < 50], ran.stderr).toEqual([true, true])
    }
  }
  const copyOf = async (name: string): Promise<Buffer> => {
    await run("nbdcopy", uri(name), at("out.raw"))
    return readFile(at("out.raw"))
  }
  const bytes = Buffer.alloc(SIZE)
  noise(MiB, 7).copy(bytes, 2 * MiB)
  noise(MiB, 8).copy(bytes, SIZE - MiB)

  it.each([
    [
      "qemu-img convert -n",
      () => run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", at("disk.raw"), uri("image/one")),
    ],
    ["nbdcopy", () => run("nbdcopy", at("disk.raw"), uri("image/two"))],
  ])("takes a disk from %s, and is that disk as version 1, with its holes", async (_tool, upload) => {
    const name = _tool === "nbdcopy" ? "two" : "one"
    writeFileSync(at("disk.raw"), bytes)
    if (server === undefined) {
      await ok("image", "create", "one", "--size", String(SIZE))
      await ok("image", "create", "two", "--size", String(SIZE))
      server = await startServe(data)
    }
    await upload()
    await ok("image", "seal", name)
    expect((await copyOf(`image/${name}@1`)).equals(bytes)).toBe(true)
    const sizes = readdirSync(join(data, "drafts")).map((file) => statSync(join(data, "drafts", file)).blocks * 512)
    expect(sizes.every((size) => size < SIZE / 2)).toBe(true)
    await expect(run("qemu-io", "-f", "raw", "-c", "write 0 512", uri(`image/${name}@1`))).rejects.toThrow()
  })

  it("is updated by a commit, and qemu reads the new version wherever the data folder is", async () => {
    await ok("client", "add", "52:54:00:00:00:01", "--name", "PC-1")
    await ok("client", "link", "PC-1", "one")
    await ok("client", "set-super", "PC-1", "one")
    const commands = ["write -P 9 1M 100k", "write -z 2M 64k", "flush"]
    await run("qemu-io", "-f", "raw", ...commands.flatMap((c) => ["-c", c]), uri("client/PC-1/0"))
    await ok("image", "commit", "one", "--when-off")
    const after = Buffer.from(bytes)
    after.fill(9, MiB, MiB + 100 * 1024).fill(0, 2 * MiB, 2 * MiB + 64 * 1024)
    expect((await copyOf("image/one@2")).equals(after)).toBe(true)
    await server.stop()
    renameSync(data, at("elsewhere"))
    data = at("elsewhere")
    server = await startServe(data)
    expect((await copyOf("image/one@2")).equals(after)).toBe(true)
    const [id = ""] = readdirSync(join(data, "layers"))
    const served = ["-f", "raw", "-F", "qcow2", uri("image/one@2"), "v2.qcow2"]
    const compared = await run("env", "-C", join(data, "layers", id), "qemu-img", "compare", ...served)
    expect(compared).toContain("identical")
  })
})
