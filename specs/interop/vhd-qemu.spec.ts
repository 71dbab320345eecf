/** VHD files that qemu-img made, over its options, sizes and contents, read as qemu reads them. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { run } from "../support/nbd-server.ts"
import { convertFrom, expectSameAsQemu, holed } from "../support/qemu-format.ts"
import { random } from "../support/random.ts"
import { requires } from "../support/requires.ts"

const qemu = requires("qemu-img", "qemu-utils")
const MiB = 1024 * 1024
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "imagelink-vhd-"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const same = (path: string, seed: number, large = false) =>
  expectSameAsQemu({ path, qemu: "vpc", format: "vhd", seed, large })

/** The block is 2 MiB; the geometry rounds every one of these up unless `force_size` forbids it. */
const sizes = [512, 1536, 64 * 1024, 2 * MiB - 512, 2 * MiB, 2 * MiB + 512, 5 * MiB + 13 * 512, 9 * MiB]
const matrix = ["dynamic", "fixed"].flatMap((subformat) =>
  ["on", "off"].flatMap((force) => sizes.map((size) => [subformat, force, size] as const)),
)

describe.skipIf(qemu.skip)("a VHD made by qemu-img", () => {
  it.each(matrix)("subformat=%s,force_size=%s of %d bytes", async (subformat, force, size) => {
    const bytes = holed(size, size)
    const options = `subformat=${subformat},force_size=${force}`
    const path = await convertFrom(bytes, folder, `${subformat}-${force}-${size}.vhd`, "vpc", options)
    const disk = await same(path, size)
    expect(disk.subarray(0, size).equals(bytes)).toBe(true)
    expect(force === "off" || disk.length === size).toBe(true)
    await rm(path)
  })

  it("written to in no order, block by block", async () => {
    const path = join(folder, "scattered.vhd")
    await run("qemu-img", "create", "-f", "vpc", path, "60M")
    const r = random(5)
    const writes = Array.from(
      { length: 60 },
      (_, i) => `write -P ${i + 1} ${r.int(100_000) * 512} ${512 * (1 + r.int(300))}`,
    )
    await run("qemu-io", "-f", "vpc", ...writes.flatMap((w) => ["-c", w]), path)
    await same(path, 5)
  })

  it.each(["on", "off"])("of 1 TiB with little in it (force_size=%s)", async (force) => {
    const path = join(folder, `large-${force}.vhd`)
    await run("qemu-img", "create", "-f", "vpc", "-o", `force_size=${force}`, path, "1020G")
    const writes = ["write -P 1 0 1M", "write -P 2 700G 3M", "write -P 3 1095216659456 512"]
    await run("qemu-io", "-f", "vpc", ...writes.flatMap((w) => ["-c", w]), path)
    await same(path, 6, true)
  })

  it("that is empty", async () => {
    const path = join(folder, "empty.vhd")
    await run("qemu-img", "create", "-f", "vpc", path, "3M")
    expect((await same(path, 7)).every((b) => b === 0)).toBe(true)
  })
})
