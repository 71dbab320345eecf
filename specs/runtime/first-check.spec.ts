/** The first check of a committed version reads what its layer touched, and makes the same checksums as reading all of it. */
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { openParts } from "../../adapters/compose.ts"
import { LayerMapBudget } from "../../core/block/layers/budget.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { type Checked, checkVersion } from "../../core/runtime/image-check.ts"
import { makeLocalSite } from "../../core/runtime/local-site.ts"
import { unverified } from "../../core/runtime/operations/images.ts"
import { type VersionRef, versionRef } from "../../core/runtime/version-ref.ts"
import type { ImageOpener } from "../../core/storage/opener.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { operator, type ServingSite, serveHere, write } from "../support/serving.ts"

const KiB = 1024
const folder = scratch("first-check")
const data = join(folder, "data")
/** Ten clusters, the last one of a block. */
const size = 9 * 64 * KiB + 512
let here: ServingSite
let imageId: string

const commit = async (work: (lease: Awaited<ReturnType<ServingSite["attach"]>>) => Promise<void>) => {
  await here.do("client.set-super", { client: "PC-001", image: "win11" })
  const lease = await here.attach("PC-001")
  await work(lease)
  await lease.release()
  await here.do("image.commit", { name: "win11" })
}

beforeAll(async () => {
  here = await serveHere(data)
  await here.do("image.add", { name: "win11", path: rawImage(folder, "win11.raw", size).path, check: true })
  await here.do("client.add", { mac: "52:54:00:00:00:01" })
  await here.do("client.link", { clients: ["PC-001"], image: "win11", slot: 0 })
  await commit(async (lease) => {
    await write(lease, 60 * KiB, Buffer.alloc(8 * KiB, "across two clusters"))
    await lease.device.zero(5 * 64 * KiB, 2 * 64 * KiB, 0)
    await write(lease, size - 512, Buffer.alloc(512, "the last block"))
  })
  await here.do("image.check", { name: "win11", version: 2 })
  await commit((lease) => write(lease, 0, Buffer.alloc(512, "on top")))
  await here.do("image.check", { name: "win11", version: 3 })
  imageId = [...(await here.parts.views.state(catalogueProjection)).images.keys()][0]!
})
afterAll(() => here.close())

/** The version as it was before anybody checked it; of its parent `change` is what the log says. */
const unchecked = async (number: number, change: Partial<VersionRef["version"]> = {}): Promise<VersionRef> => {
  const ref = versionRef(await here.parts.views.state(catalogueProjection), imageId, number)
  const [parent, ...below] = ref.below
  return { ...ref, version: { ...ref.version, check: null }, below: [{ ...parent!, ...change }, ...below] }
}

/** Checks it, and counts the bytes that were read of the image. */
const checkCounted = async (ref: VersionRef): Promise<Checked & { readonly baseBytes: number }> => {
  let baseBytes = 0
  const { opener, sidecars } = here.parts
  const counting: ImageOpener = {
    ...opener,
    async open(...asked) {
      const opened = await opener.open(...asked)
      const read: typeof opened.disk.read = (into, at, offset, length, signal) => {
        baseBytes += length
        return opened.disk.read(into, at, offset, length, signal)
      }
      const { sizeBytes } = opened
      return { ...opened, disk: { sizeBytes, read, close: () => opened.disk.close() } as unknown as typeof opened.disk }
    },
  }
  const job = { signal: new AbortController().signal, progress: () => {} }
  return {
    ...(await checkVersion({ opener: counting, layerMaps: new LayerMapBudget(), sidecars }, ref, job)),
    baseBytes,
  }
}
const sidecar = ({ check }: Checked) => readFileSync(join(data, "sidecars", check.checksums.sidecar))

it("it reads of the image only what shares a cluster with a write", async () => {
  const extended = await checkCounted(await unchecked(2))
  const bytes = sidecar(extended)
  // the first cluster less its last grain, and the second one less its first
  expect(extended.baseBytes).toBe(2 * 60 * KiB)
  const whole = await checkCounted(await unchecked(2, { check: null }))
  expect(whole.baseBytes).toBe(size - 8 * KiB - 2 * 64 * KiB - 512)
  expect(extended.table).toEqual(whole.table)
  expect(sidecar(whole).equals(bytes)).toBe(true)
})

it("it goes on from a parent that was made so itself", async () => {
  const extended = await checkCounted(await unchecked(3))
  expect(extended.baseBytes).toBe(56 * KiB)
  expect(extended.table).toEqual((await checkCounted(await unchecked(3, { check: null }))).table)
  expect((await here.do("image.check", { name: "win11", version: 3 })).result).toBe("verified")
})

it("it reads everything where the parent was found damaged, or its checksums are lost", async () => {
  const { version } = versionRef(await here.parts.views.state(catalogueProjection), imageId, 2)
  const all = size - 8 * KiB - 2 * 64 * KiB - 512 - 4 * KiB
  const damaged = { ...version.check!, result: "mismatch" as const }
  expect((await checkCounted(await unchecked(3, { check: damaged }))).baseBytes).toBe(all)
  const lost = join(data, "sidecars", version.check!.checksums.sidecar)
  const bytes = readFileSync(lost)
  for (const spoil of [() => rmSync(lost), () => writeFileSync(lost, bytes.subarray(1))]) {
    spoil()
    expect((await checkCounted(await unchecked(3))).baseBytes).toBe(all)
  }
  writeFileSync(lost, bytes)
})

it("a version that was retired before anybody checked it is not asked for at the next start", async () => {
  const other = join(folder, "other")
  const serving = await serveHere(other)
  await serving.do("image.create", { name: "tools", sizeBytes: 64 * KiB })
  await serving.do("image.seal", { name: "tools" })
  await serving.do("image.check", { name: "tools" })
  await serving.do("client.add", { mac: "52:54:00:00:00:02" })
  await serving.do("client.link", { clients: ["PC-001"], image: "tools", slot: 0 })
  await serving.do("client.set-super", { client: "PC-001", image: "tools" })
  const lease = await serving.attach("PC-001")
  await write(lease, 0, Buffer.alloc(512, "bad"))
  await lease.release()
  await serving.close()
  // a process that does not serve checks nothing by itself
  const { parts, release } = await openParts({ dataDir: other, create: false })
  const site = makeLocalSite(parts, release)
  await site.call("image.commit", { name: "tools" }, { actor: operator })
  expect((await unverified(parts)).map(({ version }) => version)).toEqual([2])
  await site.call("image.rollback", { name: "tools" }, { actor: operator })
  await site.call("image.retire", { name: "tools", version: 2 }, { actor: operator })
  expect(await unverified(parts)).toEqual([])
  await site.close()
})

it("it is refused over an image that is not the recorded one any more", async () => {
  const path = join(folder, "win11.raw")
  const bytes = readFileSync(path)
  writeFileSync(path, bytes)
  await expect(checkCounted(await unchecked(2))).rejects.toMatchObject({ code: "IMAGE_CHANGED" })
})
