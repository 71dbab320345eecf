/** A qcow2 image as an operator adds and serves it, with every file that it is read from. */
import { mkdirSync, renameSync, symlinkSync, utimesSync } from "node:fs"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { events, imagelink, refusal, type Served, scratch, startServe } from "../support/cli.ts"
import { noise, run } from "../support/nbd-server.ts"
import { requires } from "../support/requires.ts"

const MiB = 2 ** 20
const folder = scratch("qcow2-served")
const data = join(folder, "data")
const at = (name: string) => join(folder, name)
const qemu = requires("qemu-img", "qemu-utils")
const nbdcopy = requires("nbdcopy", "libnbd-bin")
const inFolder = (tool: string, ...args: ReadonlyArray<string>) => run("env", "-C", folder, tool, ...args)

describe.skipIf(qemu.skip || nbdcopy.skip)("an image of three files", () => {
  let server: Served
  const uri = () => `nbd://127.0.0.1:${server.nbdPort}/image/win11@1`

  beforeAll(async () => {
    mkdirSync(at("parents"))
    symlinkSync(folder, at("parents/win11-v1"))
    await writeFile(at("base.raw"), noise(4 * MiB, 1))
    const options = "data_file=top.data,extended_l2=on,cluster_size=128k"
    const below = ["-b", "parents/win11-v1/base.raw", "-F", "raw"]
    await inFolder("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, ...below, "top.qcow2", "5M")
    await inFolder("qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 1M", "-c", "write -z 3M 64k", "top.qcow2")
    const added = await imagelink(["image", "add", "win11", at("top.qcow2")], { data })
    expect([added.status, added.stdout.includes("qcow2")]).toEqual([0, true])
    server = await startServe(data)
  })
  afterAll(() => server?.stop())

  it("is recorded with all of them", async () => {
    const [added] = await events(data)
    const { format, files, sizeBytes } = added!.data as Record<string, never> & { files: Array<{ path: string }> }
    expect([format, sizeBytes]).toEqual(["qcow2", String(5 * MiB)])
    const names = ["top.qcow2", "top.data", "parents/win11-v1/base.raw"]
    expect(files.map((file) => file.path)).toEqual(names.map(at))
  })

  it("is served as the disk that qemu reads in it", async () => {
    await run("nbdcopy", uri(), at("copy.raw"))
    await inFolder("qemu-img", "convert", "-f", "qcow2", "-O", "raw", "top.qcow2", "qemu.raw")
    expect((await readFile(at("copy.raw"))).equals(await readFile(at("qemu.raw")))).toBe(true)
  })

  it("is refused to whoever comes after its backing file was touched, moved, and until it is back", async () => {
    utimesSync(at("base.raw"), 1, 1)
    await expect(run("qemu-img", "info", uri())).rejects.toThrow(/base\.raw, which it is read from: .*mtimeNs/)
    renameSync(at("base.raw"), at("elsewhere.raw"))
    await expect(run("qemu-img", "info", uri())).rejects.toThrow("parents/win11-v1/base.raw is not there")
    expect(refusal(await imagelink(["image", "check", "win11", "--json"], { data }))).toMatchObject({
      code: "IMAGE_FILE_NOT_FOUND",
      message: `image win11: the file ${at("parents/win11-v1/base.raw")} is not there`,
    })
    renameSync(at("elsewhere.raw"), at("base.raw"))
    const checked = await imagelink(["image", "check", "win11"], { data })
    expect([checked.status, checked.stdout.includes("verified")]).toEqual([0, true])
    expect(await run("qemu-img", "info", uri())).toContain("5 MiB")
  })

  it("fails its check once its data file holds other bytes", async () => {
    const bytes = await readFile(at("top.data"))
    bytes[MiB + 5] = 8
    await writeFile(at("top.data"), bytes)
    const checked = await imagelink(["image", "check", "win11"], { data })
    expect([checked.status, checked.stdout.includes("verified")]).toEqual([1, false])
  })
})

describe.skipIf(qemu.skip)("a qcow2 file that cannot be served", () => {
  const add = async (name: string) => refusal(await imagelink(["image", "add", "new", at(name), "--json"], { data }))

  it("is refused when it is added, with its path, the cause and a fix", async () => {
    await inFolder("qemu-img", "create", "-q", "-f", "qcow2", "plain.qcow2", "1M")
    await inFolder("qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw", "out.qcow2", "1M")
    const corrupt = await readFile(at("plain.qcow2"))
    corrupt[79]! |= 2
    await writeFile(at("corrupt.qcow2"), corrupt)
    expect(await add("corrupt.qcow2")).toEqual({
      code: "IMAGE_DAMAGED",
      message: `${at("corrupt.qcow2")} is a damaged qcow2 image`,
      cause: "it is marked corrupt: whatever wrote to it last found its tables contradict each other",
      fix: `see what 'qemu-img check ${at("corrupt.qcow2")}' says, or restore the file from a backup`,
    })
    expect(await add("out.qcow2")).toMatchObject({
      code: "IMAGE_DEPENDENCY_REFUSED",
      message: `${at("out.qcow2")} depends on "/etc/passwd", which is refused`,
    })
    corrupt[79] = 0
    corrupt[75] = 1
    await writeFile(at("future.qcow2"), corrupt)
    expect(await add("future.qcow2")).toMatchObject({
      code: "IMAGE_FORMAT_UNSUPPORTED",
      cause: "it needs features that are not known here: number 32",
      fix: `convert it first: qemu-img convert -O raw ${at("future.qcow2")} disk.raw`,
    })
  })
})
