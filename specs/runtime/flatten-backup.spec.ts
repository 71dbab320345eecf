/** A flattened version is in a backup with its file and its old tables, comes back, and replays; and nothing is announced before it is synced. */
import { mkdirSync, readlinkSync, renameSync, unlinkSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { restoreSite } from "../../adapters/compose.ts"
import { readManifest } from "../../core/runtime/backup/manifest.ts"
import { verifyBackup } from "../../core/runtime/backup/verify-backup.ts"
import type { VolumeFolder, WritableVolume } from "../../core/storage/volume.ts"
import { scratch } from "../support/cli.ts"
import {
  checked,
  codeOf,
  editAsSuper,
  imageOf,
  type Lab,
  layersOf,
  makeLab,
  versionBytes,
} from "../support/committing.ts"
import { operator, type ServingSite, serveHere } from "../support/serving.ts"

const folder = scratch("flatten-backup")
const data = join(folder, "data")
const dir = join(folder, "backup")
const steps: Array<string> = []
let here: ServingSite
let lab: Lab
let id = ""
const bytes: Array<Buffer> = []

/** Tells what is written to files whose name says that they are of a flattened version, and what is synced. */
const told = (of: VolumeFolder): VolumeFolder => {
  const toldVolume = (volume: WritableVolume): WritableVolume =>
    new Proxy(volume, {
      get: (target, name) => {
        const value = Reflect.get(target, name) as unknown
        if (typeof value !== "function") return value
        return (...args: ReadonlyArray<unknown>) => {
          if (name === "write" || name === "flush") steps.push(String(name))
          return value.apply(target, args)
        }
      },
    })
  return new Proxy(of, {
    get: (target, name) => {
      const value = Reflect.get(target, name) as unknown
      if (typeof value !== "function") return value
      if (name === "folder") return (child: string) => told(target.folder(child))
      return async (...args: ReadonlyArray<unknown>) => {
        if (name === "sync") steps.push("sync folder")
        const answer = (await value.apply(target, args)) as WritableVolume
        return name === "open" && String(args[0]).includes("-over-") ? toldVolume(answer) : answer
      }
    },
  })
}

const expectSame = async (site: ServingSite) => {
  for (const [i, expected] of bytes.entries())
    expect((await versionBytes(site, lab.image, i + 1)).equals(expected), `@${i + 1}`).toBe(true)
  const [from, to] = [
    { name: lab.image, version: 3 },
    { name: lab.image, version: 4 },
  ]
  const { toldBy, totals } = await site.do("image.diff", { from, to })
  expect([toldBy, totals]).toEqual(["layers", { runs: 4, dataBytes: 8192 + 4096 + 4096, zeroBytes: 4096 }])
  expect((await site.do("image.check", { name: lab.image, version: 4 })).result).toBe("verified")
}

beforeAll(async () => {
  here = await serveHere(data, (parts) => {
    const toldParts = told(parts.data)
    const { log } = parts
    const append: typeof log.append = (...args) => {
      steps.push("append")
      return log.append(...args)
    }
    return { data: toldParts, log: Object.assign(Object.create(log) as typeof log, { append }) }
  })
  lab = await makeLab(here, folder, 1, 20 * 65_536)
  bytes.push(lab.bytes)
  for (let n = 2; n <= 5; n++) {
    bytes.push(await editAsSuper(here, lab, lab.client(1), bytes.at(-1)!, n))
    await here.do("image.commit", { name: lab.image })
    await checked(here, lab.image, n)
  }
  id = (await imageOf(here, lab.image)).id
  steps.length = 0
  await here.do("image.flatten", { name: lab.image, version: 4 })
}, 60_000)
afterAll(() => here.close())

it("bytes, then the file, then its folder are on the disk before the log says so", () => {
  const order = [
    steps.lastIndexOf("write"),
    steps.lastIndexOf("flush"),
    steps.indexOf("sync folder"),
    steps.indexOf("append"),
  ]
  expect(
    order.every((at, i) => at >= 0 && (i === 0 || at > order[i - 1]!)),
    JSON.stringify(steps),
  ).toBe(true)
})

describe("a backup", () => {
  it("has the merged file and the tables that it had before, and not the bytes that went", async () => {
    await here.do("backup", { dir, images: true })
    const paths = readManifest(dir)!.files.map(({ path }) => path)
    expect(paths.filter((path) => path.startsWith(`layers/${id}/v4`)).sort()).toEqual([
      `layers/${id}/v4-changes.qcow2`,
      `layers/${id}/v4-over-1.qcow2`,
    ])
    await verifyBackup(dir)
  })

  it("gives every version back, the pointer for qemu too, and comparisons as exact as before", async () => {
    const to = join(folder, "restored", "data")
    mkdirSync(join(folder, "restored"))
    const { signal } = new AbortController()
    await restoreSite({
      backup: dir,
      data: to,
      force: false,
      dryRun: false,
      actor: operator,
      signal,
      onProgress: () => {},
    })
    const restored = await serveHere(to)
    try {
      await expectSame(restored)
      expect(readlinkSync(join(await layersOf(restored, to, lab.image), "v4.qcow2"))).toBe("v4-over-1.qcow2")
    } finally {
      await restored.close()
    }
  })
})

it("the log, folded from zero, says the same of it, and serves the same bytes", async () => {
  expect((await here.do("rebuild.check", {})).every(({ equal }) => equal)).toBe(true)
  await expectSame(here)
})

it("a start makes the pointer again that a crash left out", async () => {
  await here.close()
  const layers = join(data, "layers", id)
  unlinkSync(join(layers, "v4.qcow2"))
  here = await serveHere(data)
  expect(readlinkSync(join(layers, "v4.qcow2"))).toBe("v4-over-1.qcow2")
  await expectSame(here)
})

it("a merged file that is not there is named, and the versions that do not need it are served", async () => {
  const file = join(data, "layers", id, "v4-over-1.qcow2")
  await here.close()
  renameSync(file, `${file}.away`)
  here = await serveHere(data)
  expect(await codeOf(versionBytes(here, lab.image, 4))).toBe("IMAGE_FILE_NOT_FOUND")
  expect(await codeOf(versionBytes(here, lab.image, 5))).toBe("IMAGE_FILE_NOT_FOUND")
  expect((await versionBytes(here, lab.image, 3)).equals(bytes[2]!)).toBe(true)
})
