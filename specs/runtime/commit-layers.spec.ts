/** The files of committed versions: where they are, what takes them away, and what happens when somebody touches them. */
import {
  existsSync,
  linkSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { open } from "node:fs/promises"
import { basename, join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
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
  versionBytes,
} from "../support/committing.ts"
import { readAll, type ServingSite, serveHere } from "../support/serving.ts"

const folder = scratch("layers")
const data = join(folder, "data")
let here: ServingSite

beforeAll(async () => {
  here = await serveHere(data)
})
afterAll(() => here.close())

const lab = (clients = 1) => makeLab(here, folder, clients)
const again = async () => {
  await here.close()
  here = await serveHere(data)
}
/** Commits `count` versions; answers the bytes of all, from version 1 on. */
const commits = async (l: Lab, count: number): Promise<ReadonlyArray<Buffer>> => {
  const all = [l.bytes]
  for (let n = 1; n <= count; n++) {
    all.push(await editAsSuper(here, l, l.client(1), all.at(-1)!, n))
    await here.do("image.commit", { name: l.image })
    await checked(here, l.image, n + 1)
  }
  return all
}
const unlink = (l: Lab) => here.do("client.unlink", { clients: [l.client(1)], slot: 0 })

/** Changes bytes of a file and nothing that identifies it. */
const damage = async (path: string, offset: number, bytes: Buffer): Promise<void> => {
  const { mtimeNs } = statSync(path, { bigint: true })
  // the middle of the millisecond that is recorded
  const seconds = (Number(mtimeNs / 1_000_000n) + 0.5) / 1000
  const file = await open(path, "r+")
  await file.write(bytes, 0, bytes.length, offset)
  await file.close()
  utimesSync(path, seconds, seconds)
}

describe("what takes layers away", () => {
  it("is removing the image, and no other's: not even those that a commit has not announced yet", async () => {
    const [gone, stays] = [await lab(), await lab()]
    await commits(gone, 1)
    const dir = await layersOf(here, data, gone.image)
    await commits(stays, 1)
    const other = await layersOf(here, data, stays.image)
    writeFileSync(join(other, "v3.data"), "being committed")
    await unlink(gone)
    await here.do("image.remove", { name: gone.image })
    expect([existsSync(dir), existsSync(join(other, "v3.data"))]).toEqual([false, true])
    expect(readFileSync(gone.path)).toEqual(gone.bytes)
    await again()
    expect(existsSync(join(other, "v3.data"))).toBe(false)
  })

  it("is a start, for what was never announced, and the next commit makes it again", async () => {
    const l = await lab()
    const [, two] = await commits(l, 1)
    const three = await editAsSuper(here, l, l.client(1), two!, 5)
    const dir = await layersOf(here, data, l.image)
    const [generation = ""] = readdirSync(here.overlays, { recursive: true, encoding: "utf8" }).filter(
      (name) => /\/g\d+\/data$/.test(name) && statSync(join(here.overlays, name)).blocks > 0,
    )
    // as a commit leaves it that is cut short before its event
    linkSync(join(here.overlays, generation), join(dir, "v3.data"))
    writeFileSync(join(dir, "v3.qcow2"), "half of its tables")
    await here.do("image.commit", { name: l.image })
    expect(await versionBytes(here, l.image, 3)).toEqual(three)
    for (const name of ["v4.data", "v4.qcow2"]) writeFileSync(join(dir, name), "half")
    await again()
    expect(readdirSync(dir).sort()).toEqual(["parents", "v2.data", "v2.qcow2", "v3.data", "v3.qcow2"])
    expect(await versionBytes(here, l.image, 3)).toEqual(three)
  })

  it("is retiring a version that nobody needs, and one that is needed stays", async () => {
    const l = await lab(2)
    const [one, two] = await commits(l, 1)
    const dir = await layersOf(here, data, l.image)
    const retire = (version: number) => here.do("image.retire", { name: l.image, version })
    expect(await codeOf(retire(2))).toBe("VERSION_IN_USE")
    expect(await codeOf(retire(1))).toBe("VERSION_IN_USE")
    expect(await codeOf(retire(3))).toBe("IMAGE_VERSION_NOT_FOUND")
    await here.do("image.rollback", { name: l.image })
    await here.do("client.link", { clients: [l.client(2)], image: `${l.image}@2`, slot: 0 })
    expect(await codeOf(retire(2))).toBe("VERSION_IN_USE")
    const running = await here.attach(l.client(2))
    await here.do("client.link", { clients: [l.client(2)], image: l.image, slot: 0 })
    // who runs from it goes on, and so does an overlay that was made on it
    expect(await codeOf(retire(2))).toBe("VERSION_IN_USE")
    expect(await readAll(running)).toEqual(two)
    await running.release()
    await here.do("image.rollback", { name: l.image, to: 2 })
    await (await here.attach(l.client(2))).release()
    await here.do("image.rollback", { name: l.image })
    expect(await clientBytes(here, l.client(2))).toEqual(two)
    expect(await codeOf(retire(2))).toBe("VERSION_IN_USE")
    await here.do("client.reset", { clients: [l.client(2)], slot: 0 })
    await retire(2)
    expect(readdirSync(dir)).toEqual(["parents"])
    expect(await codeOf(versionBytes(here, l.image, 2))).toBe("IMAGE_VERSION_RETIRED")
    expect((await retire(2)).events).toEqual([])
    await here.do("client.reset", { clients: [l.client(1)], slot: 0 })
    expect(await clientBytes(here, l.client(1))).toEqual(one)
    // numbers are never used twice
    await editAsSuper(here, l, l.client(1), one!, 2)
    await here.do("image.commit", { name: l.image })
    expect((await imageOf(here, l.image)).current).toBe(3)
  })
})

describe("version 1 at another place", () => {
  it("is what the versions made on it are read from, and what their files point to", async () => {
    const l = await lab()
    const all = await commits(l, 2)
    const dir = await layersOf(here, data, l.image)
    const [link = "", ...more] = readdirSync(join(dir, "parents")).sort()
    expect(more).toHaveLength(1)
    expect([readlinkSync(join(dir, "parents", link)), readlinkSync(join(dir, "parents", more[0]!))]).toEqual([
      folder,
      "..",
    ])
    const running = await here.attach(l.client(1))
    const next = join(scratch("moved"), basename(l.path))
    renameSync(l.path, next)
    for (const version of [1, 2, 3])
      expect(await codeOf(versionBytes(here, l.image, version))).toBe("IMAGE_FILE_NOT_FOUND")
    // without a number it is version 1 that is meant, whatever the current one is
    await here.do("image.relocate", { name: l.image, path: next })
    for (const [i, bytes] of all.entries()) expect(await versionBytes(here, l.image, i + 1)).toEqual(bytes)
    expect(readlinkSync(join(dir, "parents", link))).toBe(join(next, ".."))
    expect(await readAll(running)).toEqual(all[2])
    await running.release()
    rmSync(join(dir, "parents", link))
    await again()
    expect(readlinkSync(join(dir, "parents", link))).toBe(join(next, ".."))
    for (const [i, bytes] of all.entries()) expect(await versionBytes(here, l.image, i + 1)).toEqual(bytes)
  })

  it("is the only one that is relocated: a layer is where the data folder is", async () => {
    const l = await lab()
    const [, two] = await commits(l, 1)
    const path = join(await layersOf(here, data, l.image), "v2.qcow2")
    expect(await codeOf(here.do("image.relocate", { name: l.image, version: 2, path }))).toBe("COMMAND_INVALID")
    expect(await versionBytes(here, l.image, 2)).toEqual(two)
  })

  it("and the data folder at another place serve the same bytes", async () => {
    const l = await lab()
    const all = await commits(l, 2)
    await here.close()
    const moved = join(folder, "moved-data")
    renameSync(data, moved)
    here = await serveHere(moved)
    for (const [i, bytes] of all.entries()) expect(await versionBytes(here, l.image, i + 1)).toEqual(bytes)
    await here.close()
    renameSync(moved, data)
    here = await serveHere(data)
  })
})

describe("a layer that was touched", () => {
  it("and has other bytes fails its check with the range, and reads of that range alone", async () => {
    const l = await lab()
    const [, two] = await commits(l, 1)
    const file = join(await layersOf(here, data, l.image), "v2.data")
    await damage(file, 4096, Buffer.from("X"))
    await again()
    const answer = await here.do("image.check", { name: l.image, version: 2 })
    expect(answer).toMatchObject({ result: "mismatch", mismatches: 1, firstMismatch: { code: "CRC_MISMATCH" } })
    expect(answer.firstMismatch!.message).toBe(
      `image ${l.image}@2: bytes 0 to 65535 (LBA 0 to 127) do not match their checksum`,
    )
    expect(answer.damage).toEqual([{ offset: 0, length: 65_536, lba: [0, 127], file, backup: null }])
    expect((await here.do("image.check", { name: l.image, version: 1 })).result).toBe("verified")
    const lease = await here.disks.attachImage(l.image, 2, { address: "127.0.0.1", loopback: true, protocol: "nbd" })
    const into = Buffer.alloc(65_536)
    const read = async (offset: number, length: number) => {
      if (!lease.device.readSync(into, 0, offset, length)) await lease.device.read(into, 0, offset, length)
      return Buffer.from(into.subarray(0, length))
    }
    expect(await codeOf(read(4096, 512))).toBe("MEDIUM_ERROR")
    expect(await read(65_536, 65_536)).toEqual(two!.subarray(65_536, 131_072))
    await lease.release()
  })

  it("is refused by name, also for versions made on it, until a check has found every byte right", async () => {
    const l = await lab()
    const all = await commits(l, 2)
    const dir = await layersOf(here, data, l.image)
    utimesSync(join(dir, "v2.data"), 1, 1)
    await again()
    for (const version of [2, 3])
      await expect(versionBytes(here, l.image, version)).rejects.toMatchObject({
        code: "IMAGE_CHANGED",
        message: expect.stringContaining(l.image),
      })
    expect(await versionBytes(here, l.image, 1)).toEqual(l.bytes)
    expect((await here.do("image.check", { name: l.image, version: 2 })).result).toBe("verified")
    for (const [i, bytes] of all.entries()) expect(await versionBytes(here, l.image, i + 1)).toEqual(bytes)
  })

  it.each([
    ["a millisecond early, as Node's copies have it", (ms: bigint) => (Number(ms) - 0.5) / 1000],
    ["to the second, as archives keep it", (ms: bigint) => Number(ms / 1000n)],
  ])("by giving it its time back %s is the same layer", async (_how, secondsOf) => {
    const l = await lab()
    const all = await commits(l, 1)
    for (const name of ["v2.data", "v2.qcow2"]) {
      const path = join(await layersOf(here, data, l.image), name)
      const seconds = secondsOf(statSync(path, { bigint: true }).mtimeNs / 1_000_000n)
      utimesSync(path, seconds, seconds)
    }
    await again()
    expect(await versionBytes(here, l.image, 2)).toEqual(all[1])
    utimesSync(join(await layersOf(here, data, l.image), "v2.data"), 1000, 1000)
    expect(await codeOf(versionBytes(here, l.image, 2))).toBe("IMAGE_CHANGED")
  })

  it.each(["v2.data", "v2.qcow2"])("by removing its %s is named, and the other versions are served", async (name) => {
    const l = await lab()
    await commits(l, 1)
    const path = join(await layersOf(here, data, l.image), name)
    renameSync(path, `${path}.away`)
    await again()
    // a start takes what it does not know
    expect(existsSync(`${path}.away`)).toBe(false)
    await expect(versionBytes(here, l.image, 2)).rejects.toMatchObject({
      code: "IMAGE_FILE_NOT_FOUND",
      message: expect.stringContaining(name),
    })
    expect(await versionBytes(here, l.image, 1)).toEqual(l.bytes)
  })

  it("in its tables is refused, and never read wrong", async () => {
    const l = await lab()
    await commits(l, 1)
    const path = join(await layersOf(here, data, l.image), "v2.qcow2")
    await damage(path, 0, Buffer.alloc(72))
    await again()
    expect(await codeOf(versionBytes(here, l.image, 2))).toBe("IMAGE_DAMAGED")
    expect(await codeOf(here.do("image.check", { name: l.image, version: 2 }))).toBe("IMAGE_DAMAGED")
    expect(await versionBytes(here, l.image, 1)).toEqual(l.bytes)
  })
})
