/** Committed versions and sealed disks are in a backup of the images, and come back where the log says that they are, as the same bytes. */
import { execFileSync } from "node:child_process"
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { restoreSite } from "../../adapters/compose.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { copyWhole } from "../../core/runtime/backup/copy-file.ts"
import { encodeManifest, readManifest } from "../../core/runtime/backup/manifest.ts"
import { verifyBackup } from "../../core/runtime/backup/verify-backup.ts"
import type { RestoreAnswer, RestoreOptions } from "../../core/runtime/restore/restore.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { requires } from "../support/requires.ts"
import { loopback, operator, readAll, type ServingSite, serveHere, write } from "../support/serving.ts"

const qemu = requires("qemu-img", "qemu-utils")
const KiB = 1024
const folder = scratch("backup-layers")
const data = join(folder, "data")
const dir = join(folder, "backup")
const win11 = rawImage(folder, "win11.raw", 192 * KiB)
/** What each version of each image reads as. */
const expected = new Map<string, Buffer>()
let ids: { readonly win11: string; readonly tools: string; readonly draft: string }
let here: ServingSite
let n = 0

const fresh = (): string => join(folder, `r${++n}`, "data")
const restore = (to: string, more: Partial<RestoreOptions> = {}): Promise<RestoreAnswer> => {
  mkdirSync(dirname(to), { recursive: true })
  const { signal } = new AbortController()
  return restoreSite({
    ...{ backup: dir, data: to, force: false, dryRun: false, actor: operator, signal, onProgress: () => {} },
    ...more,
  })
}
const withSite = async <A>(at: string, use: (here: ServingSite) => Promise<A>): Promise<A> => {
  const site = await serveHere(at)
  return use(site).finally(() => site.close())
}
const versionBytes = async (site: ServingSite, image: string, version: number): Promise<Buffer> => {
  const lease = await site.disks.attachImage(image, version, loopback)
  return readAll(lease).finally(() => lease.release())
}
const client = async (name: string, image: string, overlay: "discard" | "keep" = "discard") => {
  const mac = `52:54:00:09:00:${name.slice(-2)}`
  await here.do("client.add", { mac, name })
  await here.do("client.link", { clients: [name], image, slot: 0, overlay })
}
const writeAs = async (name: string, offset: number, text: string) => {
  const lease = await here.attach(name)
  await write(lease, offset, Buffer.alloc(4096, text))
  await lease.release()
}
const commit = async (image: string, name: string, offset: number, text: string) => {
  await here.do("client.set-super", { client: name, image })
  await writeAs(name, offset, text)
  await here.do("image.commit", { name: image })
}
const code = (asked: Promise<unknown>) =>
  asked.then(
    () => "accepted",
    (e) => e.code,
  )
const sealedPaths = () =>
  readManifest(dir)!
    .files.filter(({ mtimeMs }) => mtimeMs !== undefined)
    .map(({ path }) => path)

beforeAll(async () => {
  here = await serveHere(data)
  await here.do("image.add", { name: "win11", path: win11.path, check: true })
  await client("PC-01", "win11")
  await commit("win11", "PC-01", 4096, "two")
  await commit("win11", "PC-01", 128 * KiB, "three")
  await here.do("image.create", { name: "tools", sizeBytes: 100 * KiB })
  const disk = await here.disks.attachImage("tools", undefined, loopback)
  await write(disk, 0, Buffer.alloc(8192, "tools"))
  await disk.release()
  await here.do("image.seal", { name: "tools" })
  await client("PC-02", "tools")
  await commit("tools", "PC-02", 96 * KiB, "last")
  await here.do("image.create", { name: "draft", sizeBytes: 64 * KiB })
  const { images } = await here.parts.views.state(catalogueProjection)
  const idOf = (name: string) => [...images.values()].find((image) => image.name === name)!.id
  ids = { win11: idOf("win11"), tools: idOf("tools"), draft: idOf("draft") }
  for (const [image, versions] of Object.entries({ win11: 3, tools: 2 }))
    for (let version = 1; version <= versions; version++) {
      await here.do("image.check", { name: image, version })
      expected.set(`${image}@${version}`, await versionBytes(here, image, version))
    }
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const layerFiles = () => [
  `drafts/${ids.tools}.raw`,
  ...[`layers/${ids.win11}/v2.data`, `layers/${ids.win11}/v2.qcow2`],
  ...[`layers/${ids.win11}/v3.data`, `layers/${ids.win11}/v3.qcow2`],
  ...[`layers/${ids.tools}/v2.data`, `layers/${ids.tools}/v2.qcow2`],
]

describe("a backup of the images", () => {
  it("without being asked for them has none of the sealed files, and counts them", async () => {
    const { leftOut } = await here.do("backup", { dir })
    expect(leftOut.slice(0, 2)).toEqual([
      "8 image files: --images copies them",
      "image draft: it is not sealed, and may be written to",
    ])
    expect(sealedPaths()).toEqual([])
  })

  it("has every layer and sealed disk under its path, with its time, and says what it would do first", async () => {
    const plan = await here.site.call("backup", { dir, images: true }, { actor: operator, dryRun: true })
    expect(plan.images.map(({ done }) => done)).toEqual(Array(8).fill("copied"))
    const answer = await here.do("backup", { dir, images: true })
    expect(answer.images.map(({ image, version }) => `${image}@${version}`)).toEqual([
      ...["win11@1", "win11@2", "win11@2", "win11@3", "win11@3"],
      ...["tools@1", "tools@2", "tools@2"],
    ])
    expect(sealedPaths().sort()).toEqual(layerFiles().sort())
    for (const path of layerFiles()) {
      const [live, copy] = [statSync(join(data, path)), statSync(join(dir, path))]
      expect([path, copy.size, Math.floor(copy.mtimeMs)]).toEqual([path, live.size, Math.floor(live.mtimeMs)])
    }
    await verifyBackup(dir)
  })

  it("does not disturb the site: every version reads, and checks, as before", async () => {
    for (const [reference, bytes] of expected) {
      const [image = "", version] = reference.split("@")
      expect((await versionBytes(here, image, Number(version))).equals(bytes), reference).toBe(true)
      expect((await here.do("image.check", { name: image, version: Number(version) })).result).toBe("verified")
    }
  })

  it("made again copies nothing, and puts a sealed file that it lost in again", async () => {
    expect((await here.do("backup", { dir })).images.map(({ done }) => done)).toEqual(Array(8).fill("kept"))
    rmSync(join(dir, `layers/${ids.win11}/v3.data`))
    const { images } = await here.do("backup", { dir, images: true })
    expect(images.filter(({ done }) => done !== "kept")).toMatchObject([{ image: "win11", version: 3 }])
    await verifyBackup(dir)
  })

  it("does not take a layer that was touched, and names it", async () => {
    const path = `layers/${ids.win11}/v2.data`
    const { mtimeMs } = statSync(join(data, path))
    rmSync(join(dir, path))
    utimesSync(join(data, path), 5, 5)
    const asked = here.do("backup", { dir, images: true })
    await expect(asked).rejects.toMatchObject({
      code: "BACKUP_INCOMPLETE",
      details: [expect.stringMatching(/^image win11: .*v2\.data was changed.*mtimeMs/)],
    })
    const seconds = (Math.floor(mtimeMs) + 0.5) / 1000
    utimesSync(join(data, path), seconds, seconds)
    await here.do("backup", { dir, images: true })
    await verifyBackup(dir)
  })

  it("goes on where one was interrupted that had made its links", async () => {
    const again = join(folder, "again")
    await here.do("backup", { dir: again, images: true })
    rmSync(join(again, "manifest.json"))
    writeFileSync(join(again, ".imagelink-backup"), "999999999")
    await here.do("backup", { dir: again, images: true })
    await verifyBackup(again)
    expect(readdirSync(again, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".new"))).toEqual(
      [],
    )
    rmSync(again, { recursive: true })
  })

  it("names every overlay that lasts: of clients, of a super client, and those kept aside", async () => {
    await client("PC-04", "win11", "keep")
    await client("PC-03", "win11")
    await here.do("client.set-super", { client: "PC-03", image: "win11" })
    await writeAs("PC-03", 0, "aside")
    await here.do("client.clear-super", { client: "PC-03", keep: true })
    await here.do("client.set-super", { client: "PC-01", image: "win11" })
    expect((await here.do("backup", { dir })).leftOut).toEqual([
      "image draft: it is not sealed, and may be written to",
      "what PC-01 slot 0 writes over win11@3 as super client",
      "what PC-04 slot 0 keeps over win11@3",
      "what PC-03 slot 0 wrote over win11@3 as super client, which is kept aside",
    ])
  })

  it("has no files of a retired version, and is whole without", async () => {
    await here.do("image.create", { name: "short", sizeBytes: 64 * KiB })
    await here.do("image.seal", { name: "short" })
    await client("PC-05", "short")
    await commit("short", "PC-05", 0, "bad")
    await here.do("image.check", { name: "short", version: 2 })
    await here.do("backup", { dir, images: true })
    const count = sealedPaths().length
    await here.do("image.rollback", { name: "short" })
    await here.do("image.retire", { name: "short", version: 2 })
    await here.do("backup", { dir, images: true })
    expect(sealedPaths()).toHaveLength(count - 2)
    expect(readdirSync(join(dir, "layers")).sort()).toEqual([ids.win11, ids.tools].sort())
    await verifyBackup(dir)
  })
})

describe("a restore", () => {
  const to = fresh()
  const bare = join(folder, "bare")

  beforeAll(async () => {
    await here.do("backup", { dir: bare })
    await here.close()
    // what comes back must not be what was there
    renameSync(data, join(folder, "gone"))
    rmSync(join(folder, "gone"), { recursive: true })
  })

  it("brings back every version, with its time, and names what no backup has", async () => {
    const { notes } = await restore(to)
    expect(notes).toEqual([
      "draft has no file: it was not sealed, and what was written to it is in no backup",
      "PC-01 slot 0 begins anew over win11@3: what it wrote as super client is in no backup",
      "PC-04 slot 0 begins anew over win11@3: what it kept is in no backup",
      "PC-03 slot 0 begins anew over win11@3: what it wrote as super client and kept aside is in no backup",
    ])
    for (const { path, mtimeMs } of readManifest(dir)!.files)
      if (mtimeMs !== undefined)
        expect([path, Math.floor(statSync(join(to, path)).mtimeMs)]).toEqual([path, Number(mtimeMs)])
    await withSite(to, async (site) => {
      for (const [reference, bytes] of expected) {
        const [image = "", version] = reference.split("@")
        expect((await versionBytes(site, image, Number(version))).equals(bytes), reference).toBe(true)
        expect((await site.do("image.check", { name: image, version: Number(version) })).result).toBe("verified")
      }
    })
  })

  it.skipIf(qemu.skip)("is read by qemu too, through the pointers to parents that were made again", () => {
    for (const [image, version] of [
      ["win11", 3],
      ["tools", 2],
    ] as const) {
      const cwd = join(to, "layers", ids[image])
      const raw = join(folder, `${image}.qemu`)
      execFileSync("qemu-img", ["convert", "-f", "qcow2", "-O", "raw", `v${version}.qcow2`, raw], {
        cwd,
        timeout: 120_000,
      })
      const { length } = expected.get(`${image}@${version}`)!
      expect(
        readFileSync(raw)
          .subarray(0, length)
          .equals(expected.get(`${image}@${version}`)!),
        image,
      ).toBe(true)
    }
  })

  it("makes the pointers to parents again, which still hold when the folder is moved", async () => {
    const moved = join(folder, "moved")
    renameSync(to, moved)
    const parents = (image: string) => join(moved, "layers", image, "parents")
    const pointers = (image: string) =>
      readdirSync(parents(image)).map((name) => readlinkSync(join(parents(image), name)))
    expect(pointers(ids.win11)).toEqual([folder, ".."])
    expect(pointers(ids.tools)).toEqual(["../../../drafts"])
    expect(existsSync(join(parents(ids.win11), `${ids.win11}-v2/v2.qcow2`))).toBe(true)
    expect(existsSync(join(parents(ids.tools), `${ids.tools}-v1/${ids.tools}.raw`))).toBe(true)
    await withSite(moved, async (site) => {
      expect((await versionBytes(site, "tools", 2)).equals(expected.get("tools@2")!)).toBe(true)
      await site.do("client.clear-super", { client: "PC-01" })
      await site.do("client.set-super", { client: "PC-01", image: "win11" })
      const lease = await site.attach("PC-01")
      await write(lease, 0, Buffer.alloc(4096, "four"))
      await lease.release()
      await site.do("image.commit", { name: "win11" })
      expect((await versionBytes(site, "win11", 4)).subarray(0, 4096)).toEqual(Buffer.alloc(4096, "four"))
      // a restored log is backed up to a folder of its own
      const next = join(folder, "next")
      await site.do("backup", { dir: next, images: true })
      await verifyBackup(next)
    })
  })

  it("of a backup without them says which versions have no files; the others are served", async () => {
    const at = fresh()
    const { notes } = await restore(at, { backup: bare })
    expect(notes.filter((note) => note.includes("has no file"))).toEqual([
      ...["win11@2", "win11@3", "tools@1", "tools@2"].map(
        (version) => `${version} has no files: the backup was made without them (backup --images)`,
      ),
      "draft has no file: it was not sealed, and what was written to it is in no backup",
      "short@1 has no files: the backup was made without them (backup --images)",
    ])
    await withSite(at, async (site) => {
      expect((await versionBytes(site, "win11", 1)).equals(expected.get("win11@1")!)).toBe(true)
      for (const version of [2, 3])
        expect(await code(versionBytes(site, "win11", version))).toBe("IMAGE_FILE_NOT_FOUND")
      expect(await code(versionBytes(site, "tools", 1))).toBe("IMAGE_FILE_NOT_FOUND")
    })
  })

  it("puts added images where it is asked to, and layers into the data folder all the same", async () => {
    const at = fresh()
    const images = join(folder, "images")
    const answer = await restore(at, { imagesTo: images })
    expect(answer.images).toEqual([{ image: "win11", version: 1, path: join(images, "win11/v1/win11.raw") }])
    expect(readdirSync(images)).toEqual(["win11"])
    expect(readlinkSync(join(at, "layers", ids.win11, "parents", `${ids.win11}-v1`))).toBe(join(images, "win11/v1"))
    await withSite(at, async (site) => {
      expect((await versionBytes(site, "win11", 3)).equals(expected.get("win11@3")!)).toBe(true)
    })
  })

  it("refuses a manifest that puts a file with a time anywhere else, or a layer without one", async () => {
    const manifest = readManifest(dir)!
    const [first, ...others] = manifest.files.filter(({ mtimeMs }) => mtimeMs !== undefined)
    const { mtimeMs: _, ...timeless } = first!
    for (const file of [{ ...first!, path: "store/site.key" }, { ...first!, path: "layers/../x" }, timeless]) {
      const bad = join(folder, `bad-${++n}`)
      mkdirSync(bad)
      writeFileSync(join(bad, "manifest.json"), encodeManifest({ ...manifest, files: [file, ...others] }))
      expect(await code(restore(fresh(), { backup: bad }))).toBe("BACKUP_DAMAGED")
    }
  })
})

it("a copy keeps its time to the millisecond", async () => {
  const from = join(folder, "timed")
  writeFileSync(from, "x")
  for (const mtimeMs of [0, 1, 999, 5000, 1_700_000_000_001, 1_700_000_000_123, 1_700_000_000_999, 4_102_444_799_997]) {
    const to = join(folder, "timed-copy")
    await copyWhole(from, to, { mtimeMs })
    expect(statSync(to, { bigint: true }).mtimeNs / 1_000_000n, `${mtimeMs}`).toBe(BigInt(mtimeMs))
  }
})
