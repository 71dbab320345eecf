/** `image diff` says where two versions of an image differ, from their layers alone. */
import { renameSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { ImageDiffAnswer } from "../../core/runtime/site/image-diff.ts"
import { imagelink, scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { type ServingSite, serveHere, write } from "../support/serving.ts"

const KiB = 1024
const MiB = 1024 * KiB
const folder = scratch("diff")
const data = join(folder, "data")
/** Not a whole number of grains, and two parts of a cluster each more than 64. */
const size = 4 * MiB + 96 * KiB + 512
const win11 = rawImage(folder, "win11.raw", size)
const linux = rawImage(folder, "linux.raw", 64 * KiB, 2)
let here: ServingSite

const commit = async (...writes: ReadonlyArray<readonly [offset: number, length: number, kind?: "zero"]>) => {
  await here.do("client.set-super", { client: "PC-001", image: "win11" })
  const lease = await here.attach("PC-001")
  for (const [offset, length, kind] of writes)
    if (kind === "zero") await lease.device.zero(offset, length, 0)
    else await write(lease, offset, Buffer.alloc(length, 7))
  await lease.release()
  await here.do("image.commit", { name: "win11" })
}
const diff = (from: number, to: number, more: { readonly runsMax?: number } = {}): Promise<ImageDiffAnswer> =>
  here.do("image.diff", { from: { name: "win11", version: from }, to: { name: "win11", version: to }, ...more })
const code = (asked: Promise<unknown>) =>
  asked.then(
    () => "accepted",
    (e) => e.code,
  )

beforeAll(async () => {
  here = await serveHere(data)
  await here.do("image.add", { name: "win11", path: win11.path, check: true })
  await here.do("image.add", { name: "linux", path: linux.path, check: true })
  await here.do("client.add", { mac: "52:54:00:00:00:01" })
  await here.do("client.link", { clients: ["PC-001"], image: "win11", slot: 0 })
  await commit([0, 4 * KiB], [MiB - 8 * KiB, 256 * KiB])
  await commit([MiB, 8 * KiB, "zero"], [size - 512, 512])
  await here.do("image.rollback", { name: "win11", to: 2 })
  await commit([2 * MiB, 100])
})
afterAll(() => here.close())

describe("two versions of one image", () => {
  it("differ where the later one's layer wrote", async () => {
    expect(await diff(1, 2)).toMatchObject({
      ...{ image: "win11", from: 1, to: 2, sizeBytes: size },
      runs: [
        { offset: 0, length: 4 * KiB, kind: "data" },
        { offset: MiB - 8 * KiB, length: 256 * KiB, kind: "data" },
      ],
      totals: { runs: 2, dataBytes: 260 * KiB, zeroBytes: 0 },
    })
  })

  it("differ in zeros, and to the end of the disk", async () => {
    const { runs, totals } = await diff(2, 3)
    expect(runs).toEqual([
      { offset: MiB, length: 8 * KiB, kind: "zero" },
      { offset: 4 * MiB + 96 * KiB, length: 512, kind: "data" },
    ])
    expect(totals).toEqual({ runs: 2, dataBytes: 512, zeroBytes: 8 * KiB })
  })

  it("differ by all layers between them, either way round, and not at all from themselves", async () => {
    expect((await diff(1, 3)).totals).toEqual({ runs: 5, dataBytes: 252 * KiB + 512, zeroBytes: 8 * KiB })
    expect((await diff(3, 1)).totals).toEqual({ runs: 3, dataBytes: 260 * KiB + 512, zeroBytes: 0 })
    for (const version of [1, 2, 3, 4])
      expect(await diff(version, version)).toMatchObject({ runs: [], totals: { runs: 0, dataBytes: 0, zeroBytes: 0 } })
  })

  it("differ across a rollback by what either wrote since", async () => {
    expect((await diff(3, 4)).runs).toEqual([
      { offset: MiB, length: 8 * KiB, kind: "data" },
      { offset: 2 * MiB, length: 4 * KiB, kind: "data" },
      { offset: 4 * MiB + 96 * KiB, length: 512, kind: "data" },
    ])
  })

  it("are listed up to a limit, and counted whole, part by part", async () => {
    const { runs, totals, partBytes, parts } = await diff(1, 3, { runsMax: 1 })
    expect(runs).toEqual([{ offset: 0, length: 4 * KiB, kind: "data" }])
    expect([totals.runs, (await diff(1, 3, { runsMax: 0 })).runs]).toEqual([5, []])
    expect([partBytes, parts.length, parts[0], parts.at(-1)]).toEqual([128 * KiB, 33, 4 * KiB, 512])
    expect(parts.slice(7, 11)).toEqual([8 * KiB, 128 * KiB, 120 * KiB, 0])
    expect(parts.reduce((sum, part) => sum + part)).toBe(totals.dataBytes + totals.zeroBytes)
  })

  it("are compared without the image itself", async () => {
    renameSync(win11.path, `${win11.path}.away`)
    expect((await diff(1, 3)).totals.runs).toBe(5)
    renameSync(`${win11.path}.away`, win11.path)
  })
})

describe("refused:", () => {
  it("versions of two images, one that is not there or retired, and a disk that is not sealed", async () => {
    const other = here.do("image.diff", { from: { name: "win11" }, to: { name: "linux", version: 1 } })
    await expect(other).rejects.toMatchObject({
      code: "IMAGE_DIFF_REFUSED",
      message: "win11@4 and linux@1 are versions of two images",
    })
    expect(await code(diff(1, 5))).toBe("IMAGE_VERSION_NOT_FOUND")
    expect(await code(here.do("image.diff", { from: { name: "win10" }, to: { name: "win11" } }))).toBe(
      "IMAGE_NOT_FOUND",
    )
    await here.do("image.create", { name: "draft", sizeBytes: 64 * KiB })
    expect(await code(here.do("image.diff", { from: { name: "draft" }, to: { name: "draft" } }))).toBe(
      "IMAGE_NOT_SEALED",
    )
    await here.do("image.retire", { name: "win11", version: 3 })
    expect(await code(diff(1, 3))).toBe("IMAGE_VERSION_RETIRED")
  })
})

describe("the command line", () => {
  beforeAll(() => here.close())

  it("prints the sums, where on the disk they are, and the runs", async () => {
    const { status, stdout } = await imagelink(["image", "diff", "win11@1", "win11@2"], { data })
    expect([status, stdout]).toEqual([
      0,
      [
        "win11@1 and @2 differ in 2 runs: 260 KiB of data, 0 B of zeros in @2",
        "[-......-##.......................]",
        "  each mark is 128 KiB: . nothing, - some, + a tenth, # half of it or more",
        " OFFSET  LENGTH     SIZE  KIND",
        "      0    4096    4 KiB  data",
        "1040384  262144  256 KiB  data",
        "",
      ].join("\n"),
    ])
  })

  it("says what it does not list, what is the same, and answers JSON", async () => {
    const short = await imagelink(["image", "diff", "win11@1", "win11", "--limit", "1"], { data })
    expect(short.stdout).toContain("… and 2 more; --limit lists more of them\n")
    const same = await imagelink(["image", "diff", "win11@2", "win11@2"], { data })
    expect(same.stdout).toBe("win11@2 and @2 are the same: no layer changed anything\n")
    const { stdout } = await imagelink(["image", "diff", "win11@2", "win11@4", "--json"], { data })
    expect(JSON.parse(stdout)).toMatchObject({ runs: [{ offset: 2 * MiB, length: 4 * KiB, kind: "data" }] })
  })

  it("refuses what is no version, and no number", async () => {
    for (const args of [
      ["win11@x", "win11"],
      ["win11@1@2", "win11"],
      ["@1", "win11"],
      ["win11", "win11", "--limit", "-1"],
    ])
      expect([args, (await imagelink(["image", "diff", ...args], { data })).status]).toEqual([args, 2])
    expect((await imagelink(["image", "diff", "win11", "linux"], { data })).status).toBe(1)
  })
})
