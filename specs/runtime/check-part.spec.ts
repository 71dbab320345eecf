/** The first check of an image that was stopped, or whose server died, goes on where it was; and only of the same files. */
import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { LayerMapBudget } from "../../core/block/layers/budget.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { openCheckPart } from "../../core/runtime/check-part.ts"
import { checkVersion } from "../../core/runtime/image-check.ts"
import { versionRef } from "../../core/runtime/version-ref.ts"
import type { ImageOpener } from "../../core/storage/opener.ts"
import type { VolumeFolder } from "../../core/storage/volume.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { type ServingSite, serveHere } from "../support/serving.ts"

const MiB = 2 ** 20
const SIZE = 8 * MiB + 512
const folder = scratch("check-part")
const data = join(folder, "data")
const sidecars = join(data, "sidecars")
let here: ServingSite
let images = 0

beforeAll(async () => {
  here = await serveHere(data)
})
afterAll(() => here.close())

const image = async () => {
  const name = `image-${++images}`
  const { path } = rawImage(folder, `${name}.raw`, SIZE, images)
  await here.do("image.add", { name, path, check: false })
  const catalogue = await here.parts.views.state(catalogueProjection)
  const [id] = [...catalogue.images].find(([, each]) => each.name === name)!
  return { name, path, id, ref: () => versionRef(catalogue, id, 1), part: join(sidecars, `${id}-v1.part`) }
}
type Image = Awaited<ReturnType<typeof image>>

/** Checks it; stopped when `stopAt` bytes are done. Answers how much of the file was read. */
const check = async ({ ref }: Image, stopAt = Infinity) => {
  let bytes = 0
  const { opener, sidecars: folder } = here.parts
  const counting: ImageOpener = {
    ...opener,
    async open(...asked) {
      const opened = await opener.open(...asked)
      const { disk } = opened
      const read: typeof disk.read = (into, at, offset, length, signal) => {
        bytes += length
        return disk.read(into, at, offset, length, signal)
      }
      return { ...opened, disk: { sizeBytes: opened.sizeBytes, read, close: () => disk.close() } as typeof disk }
    },
  }
  const stop = new AbortController()
  const progress = ({ done }: { readonly done: number }) => done >= stopAt && stop.abort()
  const means = { opener: counting, layerMaps: new LayerMapBudget(), sidecars: folder }
  const outcome = await checkVersion(means, ref(), { signal: stop.signal, progress }).then(
    ({ table }) => [...table],
    (e: { readonly code: string }) => e.code,
  )
  return { outcome, bytes }
}

it("goes on where it was stopped, and comes to the same", async () => {
  const one = await image()
  expect(await check(one, 3 * MiB)).toEqual({ outcome: "CANCELLED", bytes: 3 * MiB })
  expect(await check(one, 5 * MiB)).toEqual({ outcome: "CANCELLED", bytes: 2 * MiB })
  const { outcome, bytes } = await check(one)
  expect(bytes).toBe(SIZE - 5 * MiB)
  expect(existsSync(one.part)).toBe(false)
  expect(await check(one)).toEqual({ outcome, bytes: SIZE })
})

it("begins anew where the file is another one by now, or what was noted is damaged", async () => {
  const one = await image()
  await check(one, 3 * MiB)
  const noted = readFileSync(one.part)
  for (const at of [0, 40, 200, noted.length - 1]) {
    const damaged = Buffer.from(noted)
    damaged[at]! ^= 1
    writeFileSync(one.part, damaged)
    expect(await check(one, 1 * MiB)).toEqual({ outcome: "CANCELLED", bytes: 1 * MiB })
  }
  writeFileSync(one.part, noted)
  utimesSync(one.path, 1, 1)
  expect(await check(one, 2 * MiB)).toEqual({ outcome: "CANCELLED", bytes: 2 * MiB })
})

it("goes on reading where nothing can be noted, and notes nothing where nobody could tell that the file changed", async () => {
  const full = await image()
  const there = here.parts.sidecars
  const files = [{ path: full.path, sizeBytes: SIZE, identity: { inode: "1", sizeBytes: String(SIZE) } }]
  const refusing: VolumeFolder = Object.assign(Object.create(there) as VolumeFolder, {
    readFile: async () => undefined,
    replaceFile: () => Promise.reject(new Error("no space")),
  })
  const part = await openCheckPart(refusing, full.ref(), files)
  await expect(part!.save(new Uint32Array(1), 512)).resolves.toBeUndefined()
  for (const identity of [{}, { sizeBytes: String(SIZE) }])
    expect(await openCheckPart(there, full.ref(), [{ ...files[0]!, identity }])).toBeUndefined()
})

it("leaves nothing when its image is removed", async () => {
  const one = await image()
  await check(one, 3 * MiB)
  expect(existsSync(one.part)).toBe(true)
  await here.do("image.remove", { name: one.name })
  expect(readdirSync(sidecars).filter((name) => name.startsWith(one.id))).toEqual([])
})
