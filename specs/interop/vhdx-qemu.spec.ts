/** VHDX files that qemu-img made, over its options, sizes and contents, read as qemu reads them; and a log that both replay. */
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { run } from "../support/nbd-server.ts"
import { convertFrom, expectSameAsQemu, firstDifference, holed, openPath } from "../support/qemu-format.ts"
import { patterned, random } from "../support/random.ts"
import { requires } from "../support/requires.ts"
import { BAT_AT, logEntry, vhdxBytes, vhdxChain } from "../support/vhdx.ts"

const qemu = requires("qemu-img", "qemu-utils")
const MiB = 1024 * 1024
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "imagelink-vhdx-"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const same = (path: string, seed: number, large = false) =>
  expectSameAsQemu({ path, qemu: "vhdx", format: "vhdx", seed, large })

const sizes = [512, 1536, MiB - 512, MiB, MiB + 512, 3 * MiB + 13 * 512, 9 * MiB]
const matrix = ["dynamic", "fixed"].flatMap((subformat) =>
  ["block_size=1M", "block_size=2M,log_size=3M", "block_size=0"].flatMap((more) =>
    sizes.map((size) => [`subformat=${subformat},${more}`, size] as const),
  ),
)

describe.skipIf(qemu.skip)("a VHDX made by qemu-img", () => {
  it.each(matrix)("%s of %d bytes", async (options, size) => {
    const bytes = holed(size, size)
    const path = await convertFrom(bytes, folder, `${options.replaceAll(/\W/g, "-")}-${size}.vhdx`, "vhdx", options)
    expect(firstDifference(await same(path, size), bytes)).toBe("none")
    await rm(path)
  })

  it("with blocks that are not there instead of zero", async () => {
    const path = join(folder, "absent.vhdx")
    await run("qemu-img", "create", "-f", "vhdx", "-o", "block_state_zero=off,block_size=1M", path, "20M")
    await run("qemu-io", "-f", "vhdx", "-c", "write -P 5 3M 5000k", "-c", "write -P 6 19M 512", path)
    await same(path, 2)
  })

  it("written to in no order, block by block", async () => {
    const path = join(folder, "scattered.vhdx")
    await run("qemu-img", "create", "-f", "vhdx", "-o", "block_size=1M", path, "60M")
    const r = random(5)
    const writes = Array.from(
      { length: 60 },
      (_, i) => `write -P ${i + 1} ${r.int(100_000) * 512} ${512 * (1 + r.int(300))}`,
    )
    await run("qemu-io", "-f", "vhdx", ...writes.flatMap((w) => ["-c", w]), path)
    await same(path, 5)
  })

  it.each([
    ["1M", "9G"],
    ["256M", "9G"],
    ["0", "20T"],
    ["32M", "64T"],
  ])("with blocks of %s, of %s with little in it, in several chunks", async (block, size) => {
    const path = join(folder, `large-${block}-${size}.vhdx`)
    await run("qemu-img", "create", "-f", "vhdx", "-o", `block_size=${block}`, path, size)
    const writes = ["write -P 1 0 1M", "write -P 2 4095M 3M", "write -P 3 8500M 70k", "write -P 4 9663675904 512"]
    await run("qemu-io", "-f", "vhdx", ...writes.flatMap((w) => ["-c", w]), path)
    await same(path, 6, true)
    const image = await openPath(path)
    const into = Buffer.alloc(2 * MiB)
    await image.disk.read(into, 0, 4095 * MiB, into.length)
    expect(into.every((b) => b === 2)).toBe(true)
    await image.disk.close()
  })
})

describe.skipIf(qemu.skip)("a VHDX with a log to replay", () => {
  it("reads as it does once qemu has replayed it, and is not written to", async () => {
    const { fields, guest } = vhdxChain({ sizeBytes: 6 * MiB, layers: 1, seed: 4 })[0]!
    const clean = vhdxBytes(fields)
    const table = clean.subarray(BAT_AT, BAT_AT + 4096)
    const place = clean.length - MiB
    const changes = [
      { at: BAT_AT, sector: table },
      { at: place, sector: patterned(4096, 77) },
      { at: place + 8192, zeros: 40_960 },
    ]
    const entries = [
      { sequence: 900, tail: 0, changes: [{ at: BAT_AT, sector: patterned(4096, 3) }] },
      { sequence: 901, tail: 0, changes },
    ]
    const log = entries.map((e) => logEntry({ ...e, flushed: clean.length, last: clean.length }))
    const dirty = vhdxBytes({ ...fields, log })
    dirty.fill(0, BAT_AT, BAT_AT + 4096)
    const [ours, theirs] = [join(folder, "dirty.vhdx"), join(folder, "replayed.vhdx")]
    await writeFile(ours, dirty)
    await copyFile(ours, theirs)
    await run("qemu-img", "check", "-r", "all", "-f", "vhdx", theirs)
    await run("qemu-img", "convert", "-f", "vhdx", "-O", "raw", theirs, `${theirs}.raw`)
    const image = await openPath(ours)
    const bytes = Buffer.alloc(image.sizeBytes)
    await image.disk.read(bytes, 0, 0, bytes.length)
    await image.disk.close()
    expect(firstDifference(bytes, await readFile(`${theirs}.raw`))).toBe("none")
    expect(bytes.equals(guest)).toBe(false)
    expect(firstDifference(await readFile(ours), dirty)).toBe("none")
  })
})
