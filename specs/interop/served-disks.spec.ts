/** Real block clients against the product as an operator runs it: `serve` in a process of its own, over its whole stack. */
import { createHash } from "node:crypto"
import { readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { imagelink, type Served, scratch, startServe } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { run } from "../support/nbd-server.ts"
import { requires } from "../support/requires.ts"

const MiB = 2 ** 20
const folder = scratch("served")
const data = join(folder, "data")
const image = rawImage(folder, "disk.raw", 8 * MiB, 5)
const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex")
const fingerprint = () => [sha256(readFileSync(image.path)), statSync(image.path, { bigint: true }).mtimeNs]
const before = fingerprint()
let server: Served

const qemuImg = requires("qemu-img", "qemu-utils")
const qemuIo = requires("qemu-io", "qemu-utils")
const nbdcopy = requires("nbdcopy", "libnbd-bin")
const nbdinfo = requires("nbdinfo", "libnbd-bin")
const fio = requires("fio", "fio")

const ok = async (...args: ReadonlyArray<string>) => {
  const ran = await imagelink(args, { data })
  expect([ran.status, ran.stderr.includes("error")]).toEqual([0, false])
}
const uri = (name: string) => `nbd://127.0.0.1:${server.nbdPort}/${name}`

beforeAll(async () => {
  await ok("image", "add", "win11", image.path)
  for (const n of [1, 2, 3]) {
    await ok("client", "add", `52:54:00:00:00:0${n}`, "--name", `PC-00${n}`)
    await ok("client", "link", `PC-00${n}`, "win11")
  }
  server = await startServe(data)
})
afterAll(() => server.stop())

describe.skipIf(qemuImg.skip)("qemu-img", () => {
  it("sees a client's own disk with the image's size", async () => {
    const info = JSON.parse(await run("qemu-img", "info", "--output=json", uri("client/PC-001/0")))
    expect(info["virtual-size"]).toBe(8 * MiB)
  })
  it("finds a version and a fresh client's disk identical to the file", async () => {
    for (const name of ["image/win11@1", "image/win11", "client/PC-001/0"])
      expect(await run("qemu-img", "compare", "-f", "raw", "-F", "raw", image.path, uri(name))).toContain("identical")
  })
  it("copies a disk onto a client's own, which then is that disk", async () => {
    const other = join(folder, "other.raw")
    writeFileSync(other, Buffer.alloc(8 * MiB, "another disk "))
    await run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", other, uri("client/PC-003/0"))
    expect(await run("qemu-img", "compare", "-f", "raw", "-F", "raw", other, uri("client/PC-003/0"))).toContain(
      "identical",
    )
  })
})

describe.skipIf(qemuIo.skip)("qemu-io", () => {
  it("writes, trims and zeroes one client's disk, which no other disk shows", async () => {
    const commands = [
      "write -P 0x5a 65536 65536",
      "write -P 0x11 1000 100",
      "write -z 131072 8192",
      "discard 262144 65536",
      "flush",
    ]
    await run("qemu-io", "-f", "raw", ...commands.flatMap((c) => ["-c", c]), uri("client/PC-001/0"))
    const reads = [
      "read -P 0x5a 65536 65536",
      "read -P 0x11 1000 100",
      "read -P 0 131072 8192",
      "read -P 0 262144 65536",
    ]
    expect(await run("qemu-io", "-f", "raw", ...reads.flatMap((c) => ["-c", c]), uri("client/PC-001/0"))).not.toContain(
      "fail",
    )
    expect(await run("qemu-img", "compare", "-f", "raw", "-F", "raw", image.path, uri("client/PC-002/0"))).toContain(
      "identical",
    )
  })
})

describe.skipIf(nbdcopy.skip)("nbdcopy", () => {
  it("copies a version whose sum is the file's own", async () => {
    const out = join(folder, "copy.raw")
    await run("nbdcopy", uri("image/win11@1"), out)
    expect(sha256(readFileSync(out))).toBe(sha256(image.bytes))
  })
})

describe.skipIf(nbdinfo.skip)("nbdinfo", () => {
  it("lists what is served", async () => {
    const { exports } = JSON.parse(await run("nbdinfo", "--list", "--json", `nbd://127.0.0.1:${server.nbdPort}`))
    const names = exports.map((e: { "export-name": string }) => e["export-name"])
    expect(names).toEqual(["client/PC-001/0", "client/PC-002/0", "client/PC-003/0", "image/win11@1"])
  })
})

describe.skipIf(fio.skip)("fio", () => {
  it("verifies random writes to a client's disk by their checksums", async () => {
    const out = join(folder, "fio.json")
    await run(
      "fio",
      "--name=verify",
      "--ioengine=nbd",
      `--uri=${uri("client/PC-002/0")}`,
      "--rw=randwrite",
      "--bsrange=512-64k",
      "--blockalign=512",
      "--iodepth=16",
      "--size=8m",
      "--verify=crc32c",
      "--verify_fatal=1",
      "--do_verify=1",
      "--randseed=1",
      "--thread",
      `--aux-path=${folder}`,
      "--output-format=json",
      `--output=${out}`,
    )
    const text = readFileSync(out, "utf8")
    const [job] = JSON.parse(text.slice(text.indexOf("{"))).jobs
    expect([job.error, job.write.io_bytes > 0, job.read.io_bytes > 0]).toEqual([0, true, true])
  })
})

it("none of it touched the image file", () => {
  expect(fingerprint()).toEqual(before)
})
