/** VMDK files that qemu-img made, over its options, sizes and contents, read as qemu reads them. */
import { mkdir, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { run } from "../support/nbd-server.ts"
import { convertFrom, expectSameAsQemu, firstDifference, holed, openPath } from "../support/qemu-format.ts"
import { random } from "../support/random.ts"
import { requires } from "../support/requires.ts"

const qemu = requires("qemu-img", "qemu-utils")
const KiB = 1024
const MiB = 1024 * KiB
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "imagelink-vmdk-"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const same = (path: string, seed: number, large = false) =>
  expectSameAsQemu({ path, qemu: "vmdk", format: "vmdk", seed, large })
/** Each image has a folder of its own: the files of split ones are named after it. */
const place = async (name: string): Promise<string> => {
  const own = join(folder, name.replaceAll(/\W/g, "-"))
  await mkdir(own)
  return own
}

const sizes = [512, 64 * KiB - 512, 64 * KiB, 64 * KiB + 512, 3 * MiB + 13 * 512, 33 * MiB]
const subformats = [
  "monolithicSparse",
  "monolithicFlat",
  "twoGbMaxExtentSparse",
  "twoGbMaxExtentFlat",
  "streamOptimized",
]
const matrix = subformats.flatMap((subformat) => sizes.map((size) => [`subformat=${subformat}`, size] as const))
const options = [
  "subformat=monolithicSparse,adapter_type=lsilogic",
  "subformat=monolithicSparse,adapter_type=buslogic,hwversion=8",
  "subformat=monolithicFlat,adapter_type=legacyESX",
  "subformat=monolithicSparse,compat6=on",
  "subformat=twoGbMaxExtentSparse,compat6=on,toolsversion=1",
  "subformat=monolithicSparse,zeroed_grain=on",
  "subformat=twoGbMaxExtentSparse,zeroed_grain=on",
].map((one) => [one, 5 * MiB + 512] as const)

describe.skipIf(qemu.skip)("a VMDK made by qemu-img", () => {
  it.each([...matrix, ...options])("%s of %d bytes", async (chosen, size) => {
    const bytes = holed(size, size)
    const path = await convertFrom(bytes, await place(`${chosen}-${size}`), "disk.vmdk", "vmdk", chosen)
    expect(firstDifference(await same(path, size), bytes)).toBe("none")
  })

  it("with grains that were zeroed after they were written", async () => {
    const path = join(await place("zeroed"), "disk.vmdk")
    await run("qemu-img", "create", "-f", "vmdk", "-o", "zeroed_grain=on", path, "8M")
    await run("qemu-io", "-f", "vmdk", "-c", "write -P 7 0 4M", "-c", "write -z 1M 128k", "-c", "write -z 6M 1M", path)
    const disk = await same(path, 3)
    expect([disk[MiB - 1], disk[MiB], disk[MiB + 128 * KiB]]).toEqual([7, 0, 7])
  })

  it.each(["monolithicSparse", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"])(
    "%s of 5 GiB, written to in no order",
    async (subformat) => {
      const path = join(await place(`large-${subformat}`), "disk.vmdk")
      await run("qemu-img", "create", "-f", "vmdk", "-o", `subformat=${subformat}`, path, "5G")
      const r = random(8)
      const at = [
        0,
        2047 * MiB,
        4095 * MiB,
        5 * 1024 * MiB - 3 * MiB,
        ...Array.from({ length: 20 }, () => r.int(10_000_000) * 512),
      ]
      const writes = at.map((offset, i) => `write -P ${i + 1} ${offset} ${i < 4 ? 3 * MiB : 512 * (1 + r.int(500))}`)
      await run("qemu-io", "-f", "vmdk", ...writes.flatMap((w) => ["-c", w]), path)
      await same(path, 9, true)
      const image = await openPath(path)
      const into = Buffer.alloc(3 * MiB)
      for (const [i, offset] of at.slice(0, 4).entries()) {
        await image.disk.read(into, 0, offset, into.length)
        expect(into.filter((b) => b === i + 1).length).toBeGreaterThan(2 * MiB)
      }
      await image.disk.close()
    },
  )

  it.each(subformats.slice(0, 4))("a chain of delta disks over %s", async (subformat) => {
    const own = await place(`chain-${subformat}`)
    const bytes = holed(5 * MiB + 512, 11)
    const base = await convertFrom(bytes, own, "base.vmdk", "vmdk", `subformat=${subformat}`)
    const flat = subformat.endsWith("Flat")
    const kind = flat ? "monolithicSparse" : subformat
    let below = base
    for (const name of ["one.vmdk", "two.vmdk"]) {
      const path = join(own, name)
      await run(
        "qemu-img",
        "create",
        "-f",
        "vmdk",
        "-o",
        `subformat=${kind},zeroed_grain=on`,
        "-b",
        below,
        "-F",
        "vmdk",
        path,
      )
      await run(
        "qemu-io",
        "-f",
        "vmdk",
        "-c",
        "write -P 9 70k 300k",
        "-c",
        `write -P 8 ${name === "one.vmdk" ? 3 : 4}M 5k`,
        "-c",
        "write -z 1M 64k",
        path,
      )
      await same(path, 12)
      below = path
    }
  })
})
