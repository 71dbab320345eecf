/** `image.flatten`: the bytes of every version stay what they were, clients go on, and files go when nobody needs them. */
import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { VolumeFolder } from "../../core/storage/volume.ts"
import { scratch } from "../support/cli.ts"
import {
  checked,
  clientBytes,
  codeOf,
  editAsSuper,
  imageOf,
  type Lab,
  layersOf,
  makeLab,
  until,
  versionBytes,
} from "../support/committing.ts"
import { readAll, type ServingSite, serveHere, write } from "../support/serving.ts"

const folder = scratch("flatten")
const VERSIONS = 5
const SIZE = 20 * 2 ** 20 + 512

/** A chain of versions, each checked; answers what each of them is. */
const makeChain = async (here: ServingSite, lab: Lab, count: number): Promise<Array<Buffer>> => {
  const bytes = [lab.bytes]
  for (let n = 2; n <= count; n++) {
    bytes.push(await editAsSuper(here, lab, lab.client(1), bytes.at(-1)!, n))
    await here.do("image.commit", { name: lab.image })
    await checked(here, lab.image, n)
  }
  return bytes
}

const expectBytes = async (
  here: ServingSite,
  lab: Lab,
  bytes: ReadonlyArray<Buffer>,
  numbers: ReadonlyArray<number>,
) => {
  for (const n of numbers) expect((await versionBytes(here, lab.image, n)).equals(bytes[n - 1]!), `@${n}`).toBe(true)
}

describe("a version in the middle of a chain", () => {
  const data = join(folder, "middle")
  let here: ServingSite
  let lab: Lab
  let bytes: Array<Buffer>

  beforeAll(async () => {
    here = await serveHere(data)
    lab = await makeLab(here, folder, 3, SIZE)
    bytes = await makeChain(here, lab, VERSIONS)
  }, 60_000)
  afterAll(() => here.close())

  it("a dry run tells what would be, and makes nothing", async () => {
    const options = { actor: { kind: "cli", name: "operator" }, dryRun: true } as const
    const dry = await here.site.call("image.flatten", { name: lab.image, version: 4 }, options)
    expect([dry.dryRun, dry.events]).toMatchObject([
      true,
      [{ type: "ImageVersionFlattened", data: { version: 4, over: 1, from: { over: 3 } } }],
    ])
    expect(readdirSync(await layersOf(here, data, lab.image))).not.toContain("v4-over-1.qcow2")
  })

  it("is read from one file over version 1, and every version reads as before, with clients on it and on its child", async () => {
    const onFive = await here.attach(lab.client(2))
    const onFour = await here.disks.attachImage(lab.image, 4, { address: "127.0.0.1", loopback: true, protocol: "nbd" })
    await write(onFive, 8192, Buffer.alloc(4096, "mine"))
    const { events } = await here.do("image.flatten", { name: lab.image, version: 4 })
    expect(events).toMatchObject([{ type: "ImageVersionFlattened", data: { version: 4, over: 1 } }])
    const layers = await layersOf(here, data, lab.image)
    expect(readlinkSync(join(layers, "v4.qcow2"))).toBe("v4-over-1.qcow2")
    // somebody reads it still
    expect(existsSync(join(layers, "v4.data"))).toBe(true)
    const mine = Buffer.from(bytes[4]!)
    mine.fill("mine", 8192, 12_288)
    expect((await readAll(onFour)).equals(bytes[3]!)).toBe(true)
    expect((await readAll(onFive)).equals(mine)).toBe(true)
    await expectBytes(here, lab, bytes, [1, 2, 3, 4, 5])
    expect((await clientBytes(here, lab.client(3))).equals(bytes[4]!)).toBe(true)
    await onFour.release()
    expect(existsSync(join(layers, "v4.data"))).toBe(true)
    await onFive.release()
    await until(() => !existsSync(join(layers, "v4.data")))
    expect((await clientBytes(here, lab.client(2))).equals(mine)).toBe(true)
  })

  it("says so, and has the same checksums", async () => {
    const image = await imageOf(here, lab.image)
    expect(image.versions.map(({ parent, over }) => [parent, over])).toEqual([
      [null, null],
      [1, 1],
      [2, 2],
      [3, 1],
      [4, 4],
    ])
    expect((await here.do("image.check", { name: lab.image, version: 4 })).result).toBe("verified")
    expect((await here.do("image.check", { name: lab.image, version: 5 })).result).toBe("verified")
  })

  it("has nothing more to merge, nor has its child's parent, nor version 1", async () => {
    for (const [version, whole] of [
      [4, false],
      [2, false],
      [1, false],
      [1, true],
    ] as const)
      expect(await codeOf(here.do("image.flatten", { name: lab.image, version, whole })), `@${version}`).toBe(
        "FLATTEN_NOTHING",
      )
  })

  it("compares as before, though its own bytes are in another file now", async () => {
    const diff = await here.do("image.diff", {
      from: { name: lab.image, version: 3 },
      to: { name: lab.image, version: 4 },
    })
    expect(diff.runs).toEqual([
      { offset: 16_384, length: 8192, kind: "data" },
      { offset: 65_536, length: 4096, kind: "data" },
      { offset: 98_304, length: 4096, kind: "zero" },
      { offset: SIZE - 512, length: 512, kind: "data" },
    ])
  })

  it("lets the versions that were merged into it be retired, with their files, and not the one that it is over", async () => {
    const layers = await layersOf(here, data, lab.image)
    for (const version of [3, 2]) await here.do("image.retire", { name: lab.image, version })
    expect(readdirSync(layers).sort()).toEqual([
      "parents",
      "v4-changes.qcow2",
      "v4-over-1.qcow2",
      "v4.qcow2",
      "v5.data",
      "v5.qcow2",
    ])
    expect(await codeOf(here.do("image.retire", { name: lab.image, version: 1 }))).toBe("VERSION_IN_USE")
    await expectBytes(here, lab, bytes, [1, 4, 5])
  })

  it("is made on by the next commit, and goes on after a start", async () => {
    bytes.push(await editAsSuper(here, lab, lab.client(1), bytes.at(-1)!, 7))
    await here.do("image.commit", { name: lab.image })
    await checked(here, lab.image, 6)
    await here.close()
    here = await serveHere(data)
    await expectBytes(here, lab, bytes, [1, 4, 5, 6])
    await here.do("image.flatten", { name: lab.image })
    await expectBytes(here, lab, bytes, [1, 4, 5, 6])
    expect((await imageOf(here, lab.image)).versions[5]).toMatchObject({ parent: 5, over: 1 })
  })

  it("can be had whole, and then needs not even version 1", async () => {
    await here.do("image.flatten", { name: lab.image, version: 6, whole: true })
    await expectBytes(here, lab, bytes, [1, 4, 5, 6])
    expect((await here.do("image.check", { name: lab.image, version: 6 })).result).toBe("verified")
    expect(await codeOf(here.do("image.flatten", { name: lab.image, version: 6, whole: true }))).toBe("FLATTEN_NOTHING")
    const layers = await layersOf(here, data, lab.image)
    expect(readdirSync(layers).filter((name) => name.startsWith("v6"))).toEqual([
      "v6-changes.qcow2",
      "v6-whole.qcow2",
      "v6.qcow2",
    ])
  })
})

describe("an image that is flattened whole", () => {
  const data = join(folder, "whole")
  let here: ServingSite
  let lab: Lab
  let bytes: Array<Buffer>

  beforeAll(async () => {
    here = await serveHere(data)
    lab = await makeLab(here, folder, 2)
    bytes = await makeChain(here, lab, 3)
    await here.do("image.flatten", { name: lab.image, whole: true })
  }, 60_000)
  afterAll(() => here.close())

  it("needs none of the versions that it was made on, not even the first", async () => {
    for (const version of [2, 1]) await here.do("image.retire", { name: lab.image, version })
    rmSync(lab.path)
    await here.close()
    here = await serveHere(data)
    await expectBytes(here, lab, bytes, [3])
    expect((await here.do("image.check", { name: lab.image })).result).toBe("verified")
    expect(await codeOf(here.do("image.relocate", { name: lab.image, version: 3, path: lab.path }))).toBe(
      "COMMAND_INVALID",
    )
  })

  it("is committed to, and flattened again over it", async () => {
    for (const n of [4, 5]) {
      bytes.push(await editAsSuper(here, lab, lab.client(1), bytes.at(-1)!, n))
      await here.do("image.commit", { name: lab.image })
      await checked(here, lab.image, n)
    }
    await here.do("image.flatten", { name: lab.image })
    expect((await imageOf(here, lab.image)).versions.map(({ over }) => over)).toEqual([null, 1, null, 3, 3])
    await expectBytes(here, lab, bytes, [3, 4, 5])
    const { toldBy, runs } = await here.do("image.diff", {
      from: { name: lab.image, version: 3 },
      to: { name: lab.image, version: 5 },
    })
    expect([toldBy, runs.length > 0]).toEqual(["layers", true])
  })
})

/** No checksum file is made in it. */
const unwritable = (of: VolumeFolder): VolumeFolder =>
  new Proxy(of, {
    get: (target, name) => {
      if (name === "replaceFile") return () => Promise.reject(new Error("no checksums today"))
      const value = Reflect.get(target, name) as unknown
      return typeof value === "function" ? value.bind(target) : value
    },
  })

describe("what cannot be", () => {
  const data = join(folder, "refused")
  let here: ServingSite
  let lab: Lab
  let bytes: Array<Buffer>

  beforeAll(async () => {
    here = await serveHere(data)
    lab = await makeLab(here, folder, 2)
    bytes = await makeChain(here, lab, 3)
  }, 60_000)
  afterAll(() => here.close())

  it("a layer with other bytes than were recorded is refused by the range, and nothing is written or recorded", async () => {
    const layers = await layersOf(here, data, lab.image)
    const file = join(layers, "v2.data")
    const { mtime, atime } = statSync(file)
    const before = readFileSync(file)
    const spoiled = Buffer.from(before)
    spoiled[8192 + 1] = 1 ^ spoiled[8192 + 1]!
    writeFileSync(file, spoiled)
    utimesSync(file, atime, mtime)
    const refused = await here.do("image.flatten", { name: lab.image }).catch((e) => e)
    expect([refused.code, refused.message]).toEqual(["CRC_MISMATCH", expect.stringContaining(`${lab.image}@3`)])
    expect(readdirSync(layers).sort()).toEqual(["parents", "v2.data", "v2.qcow2", "v3.data", "v3.qcow2"])
    writeFileSync(file, before)
    utimesSync(file, atime, mtime)
  })

  it("a version that nobody has read yet is refused", async () => {
    await here.close()
    here = await serveHere(data, ({ sidecars }) => ({ sidecars: unwritable(sidecars) }))
    bytes.push(await editAsSuper(here, lab, lab.client(1), bytes.at(-1)!, 4))
    await here.do("image.commit", { name: lab.image })
    expect(await codeOf(here.do("image.flatten", { name: lab.image }))).toBe("IMAGE_UNVERIFIED")
    await here.close()
    here = await serveHere(data)
    await here.do("image.check", { name: lab.image, version: 4 })
  })

  it("without room for all of it nothing is written", async () => {
    await here.close()
    const room = { bytes: 65_536 - 1 }
    here = await serveHere(data, ({ files }) => ({ files: { ...files, freeBytes: async () => room.bytes } }))
    const refused = await here.do("image.flatten", { name: lab.image }).catch((e) => e)
    expect([refused.code, refused.message]).toEqual(["NO_SPACE", expect.stringContaining("v4-over-1.qcow2")])
    expect(readdirSync(await layersOf(here, data, lab.image)).some((name) => name.includes("over"))).toBe(false)
    await here.close()
    here = await serveHere(data)
  })

  it("two at once merge it once", async () => {
    const both = await Promise.all([1, 2].map(() => codeOf(here.do("image.flatten", { name: lab.image }))))
    expect(both.sort()).toEqual(["FLATTEN_NOTHING", "accepted"])
    await expectBytes(here, lab, bytes, [1, 2, 3, 4])
  })

  it("an image in RAM is there again afterwards", async () => {
    await here.do("image.place", { name: lab.image, tier: "ramdisk" })
    bytes.push(await editAsSuper(here, lab, lab.client(1), bytes.at(-1)!, 5))
    await here.do("image.commit", { name: lab.image })
    await checked(here, lab.image, 5)
    await here.do("image.flatten", { name: lab.image })
    const { ram } = await here.do("image.place", { name: lab.image, tier: "ramdisk" })
    expect([ram?.versions, ram?.left, here.notInRam]).toEqual([[5], 0, []])
    await expectBytes(here, lab, bytes, [1, 4, 5])
  })
})
