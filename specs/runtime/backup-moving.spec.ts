/** A backup of a site that goes on: versions that are flattened or gone while they are copied, and heat that is learnt. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { restoreSite } from "../../adapters/compose.ts"
import { BOOT, noHeat, withReads } from "../../core/block/heat/heat.ts"
import { encodeHeat } from "../../core/block/heat/heat-file.ts"
import { readManifest } from "../../core/runtime/backup/manifest.ts"
import { verifyBackup } from "../../core/runtime/backup/verify-backup.ts"
import { scratch } from "../support/cli.ts"
import { checked, codeOf, editAsSuper, imageOf, type Lab, makeLab, versionBytes } from "../support/committing.ts"
import { operator, type ServingSite, serveHere } from "../support/serving.ts"

const folder = scratch("backup-moving")
const data = join(folder, "data")
const dir = join(folder, "backup")
let here: ServingSite
let lab: Lab
let id = ""
const bytes: Array<Buffer> = []
/** Is done once, as soon as a backup has its position. */
let meanwhile: (() => Promise<unknown>) | undefined

beforeAll(async () => {
  here = await serveHere(data, (parts) => ({
    publisher: async () => {
      const publisher = await parts.publisher()
      const publish = async () => {
        const published = await publisher.publish()
        const work = meanwhile
        meanwhile = undefined
        await work?.()
        return published
      }
      return new Proxy(publisher, { get: (of, name) => (name === "publish" ? publish : Reflect.get(of, name, of)) })
    },
  }))
  lab = await makeLab(here, folder, 1)
  bytes.push(lab.bytes)
  for (let n = 2; n <= 4; n++) {
    bytes.push(await editAsSuper(here, lab, lab.client(1), bytes.at(-1)!, n))
    await here.do("image.commit", { name: lab.image })
    await checked(here, lab.image, n)
  }
  id = (await imageOf(here, lab.image)).id
}, 60_000)
afterAll(() => here.close())

const restored = async <A>(name: string, use: (site: ServingSite, at: string) => Promise<A>): Promise<A> => {
  const to = join(folder, name, "data")
  mkdirSync(dirname(to))
  const { signal } = new AbortController()
  const common = { force: false, dryRun: false, actor: operator, signal, onProgress: () => {} }
  await restoreSite({ backup: dir, data: to, ...common })
  const site = await serveHere(to)
  return use(site, to).finally(() => site.close())
}

it("a version that is flattened while it is copied is in it as it is afterwards", async () => {
  meanwhile = () => here.do("image.flatten", { name: lab.image, version: 3 })
  const before = here.parts.log.head()
  const answer = await here.do("backup", { dir, images: true })
  expect(answer.position).toBe(before + 1)
  expect(answer.leftOut).toEqual([])
  expect(answer.images.map(({ version, done }) => [version, done === "kept"])).not.toContainEqual([3, true])
  await verifyBackup(dir)
  await restored("flattened", async (site) => {
    for (const [i, expected] of bytes.entries())
      expect((await versionBytes(site, lab.image, i + 1)).equals(expected), `@${i + 1}`).toBe(true)
  })
})

it("what is gone although the log needs it is missing, and nothing is tried again", async () => {
  const file = join(data, "layers", id, readdirSync(join(data, "layers", id)).find((n) => n.startsWith("v4"))!)
  const kept = readFileSync(file)
  rmSync(join(dir, "layers", id), { recursive: true })
  meanwhile = async () => {
    rmSync(file)
    await here.do("client.add", { mac: "52:54:00:77:00:01" })
  }
  const before = here.parts.log.head()
  expect(await codeOf(here.do("backup", { dir, images: true }))).toBe("BACKUP_INCOMPLETE")
  expect(readManifest(dir)!.position).toBe(before)
  writeFileSync(file, kept)
})

it("heat is in it, each as it was last learnt, and comes back", async () => {
  const path = join(data, "heat", `${id}.heat`)
  const learn = (cluster: number) => {
    const reads = { label: BOOT, at: cluster, versions: Uint32Array.of(1), clusters: Uint32Array.of(cluster) }
    const heat = withReads(noHeat(id), reads, bytes[0]!.length)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, encodeHeat(heat))
    return readFileSync(path)
  }
  const copies = () => readdirSync(join(dir, "heat"))
  rmSync(dir, { recursive: true })
  learn(1)
  await here.do("backup", { dir })
  const [first] = copies()
  await here.do("backup", { dir })
  expect(copies()).toEqual([first])
  const last = learn(2)
  await here.do("backup", { dir, images: false })
  expect(copies()).toHaveLength(1)
  expect(copies()).not.toEqual([first])
  await verifyBackup(dir)
  await restored("warm", async (_, at) => {
    expect(readFileSync(join(at, "heat", `${id}.heat`)).equals(last)).toBe(true)
  })
})

it("heat that is damaged is left out and named, and damage in the backup is found", async () => {
  const path = join(data, "heat", `${id}.heat`)
  const [copy] = readdirSync(join(dir, "heat"))
  writeFileSync(join(dir, "heat", copy!), "no heat")
  expect(await codeOf(verifyBackup(dir))).toBe("BACKUP_DAMAGED")
  writeFileSync(path, "no heat")
  const { leftOut } = await here.do("backup", { dir })
  expect(leftOut.filter((line) => line.startsWith(`heat of image ${lab.image}: `))).toHaveLength(1)
  expect(readManifest(dir)!.files.some((file) => file.path.startsWith("heat/"))).toBe(false)
  await verifyBackup(dir)
})
