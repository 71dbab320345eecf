/** Heat over versions, and what becomes of its file when writing it fails. */
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { BOOT, type Heat, withReads } from "../../core/block/heat/heat.ts"
import { makeHeatStore } from "../../core/runtime/heat-store.ts"
import { scratch } from "../support/cli.ts"
import { checked, editAsSuper, imageOf, makeLab } from "../support/committing.ts"
import { MemoryFolder } from "../support/memory-volume.ts"
import { loopback, type ServingSite, serveHere } from "../support/serving.ts"

const C = 65_536
const folder = scratch("heat-versions")
const data = join(folder, "data")
let here: ServingSite

beforeAll(async () => {
  here = await serveHere(data)
})
afterAll(() => here.close())

it("what a commit did not touch stays hot in the next version; what it touched is learnt anew", async () => {
  const lab = await makeLab(here, folder, 3, 12 * C + 512)
  const name = lab.image
  const boot = async (client: string, clusters: ReadonlyArray<number>) => {
    const { device, release } = await here.attach(client)
    for (const cluster of clusters) {
      const into = Buffer.alloc(512)
      if (!device.readSync(into, 0, cluster * C, 512)) await device.read(into, 0, cluster * C, 512)
    }
    await release()
  }
  await boot(lab.client(1), [0, 5, 7])
  // It writes to clusters 0, 1 and the last one, and reads below what it writes in part.
  const after = await editAsSuper(here, lab, lab.client(2), lab.bytes)
  await here.do("image.commit", { name })
  await checked(here, name, 2)
  await here.close()
  here = await serveHere(data)
  expect((await here.do("image.place", { name, tier: "ramdisk", hot: true, share: 100 })).ram?.versions).toEqual([2])
  const { device, release } = await here.disks.attachImage(name, 2, loopback)
  const hot = () =>
    Array.from({ length: 13 }, (_, cluster) => cluster).filter((c) => device.readSync(Buffer.alloc(512), 0, c * C, 512))
  expect(hot()).toEqual([5, 7])
  await boot(lab.client(3), [0, 5])
  await here.do("image.place", { name, tier: "file" })
  await here.do("image.place", { name, tier: "ramdisk", hot: true, share: 100 })
  expect(hot()).toEqual([0, 5, 7])
  const into = Buffer.alloc(C)
  expect(device.readSync(into, 0, 0, C)).toBe(true)
  expect(into.equals(after.subarray(0, C))).toBe(true)
  await release()
  expect((await imageOf(here, name)).tier).toEqual({ kind: "ramdisk", hot: true, share: 100 })
})

const id = "0190a6b4-0000-7000-8000-000000000001"
const learn = (cluster: number) => (heat: Heat) =>
  withReads(heat, { label: BOOT, at: cluster, versions: Uint32Array.of(1), clusters: Uint32Array.of(cluster) }, 100 * C)
const clustersOf = (heat: Heat) => heat.kept.map((k) => k.clusters[0])

it("heat that could not be written is as it was before, and the next change goes through", async () => {
  const root = new MemoryFolder("memory", () => ({}))
  const inside = root.folder("heat")
  const replace = inside.replaceFile.bind(inside)
  let isFull = false
  inside.replaceFile = async (...args) => {
    if (isFull) throw new Error("no space")
    return replace(...args)
  }
  const store = makeHeatStore(root)
  expect(clustersOf(await store.load(id, "os"))).toEqual([])
  await store.change(id, "os", learn(1))
  isFull = true
  await expect(store.change(id, "os", learn(2))).rejects.toThrow("no space")
  expect(clustersOf(await store.load(id, "os"))).toEqual([1])
  isFull = false
  await Promise.all([3, 4, 5].map((cluster) => store.change(id, "os", learn(cluster))))
  expect(clustersOf(await makeHeatStore(root).load(id, "os"))).toEqual([1, 3, 4, 5])
})

it("a file of another image, or one that was torn, is damaged by name; the next recording replaces it", async () => {
  const root = new MemoryFolder("memory", () => ({}))
  const store = makeHeatStore(root)
  await store.change(id, "os", learn(1))
  const other = id.replace(/1$/, "2")
  const bytes = (await root.folder("heat").readFile(`${id}.heat`))!
  await root.folder("heat").replaceFile(`${other}.heat`, bytes)
  await expect(store.load(other, "os")).rejects.toMatchObject({ code: "HEAT_DAMAGED" })
  for (const length of [0, 1, bytes.length - 1]) {
    await root.folder("heat").replaceFile(`${id}.heat`, bytes.subarray(0, length))
    await expect(store.load(id, "os"), `${length} bytes`).rejects.toMatchObject({ code: "HEAT_DAMAGED" })
  }
  await store.change(id, "os", learn(7))
  expect(clustersOf(await store.load(id, "os"))).toEqual([7])
})

it("files of images that are there no more go at a sweep, and nothing else does", async () => {
  const root = new MemoryFolder("memory", () => ({}))
  const store = makeHeatStore(root)
  const other = id.replace(/1$/, "2")
  for (const one of [id, other]) await store.change(one, "os", learn(1))
  await root.folder("heat").replaceFile("notes.txt", new Uint8Array(1))
  await store.sweep(new Set([id]))
  expect(await root.folder("heat").list()).toEqual([`${id}.heat`, "notes.txt"])
})
