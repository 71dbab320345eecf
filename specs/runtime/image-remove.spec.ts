import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { checkUnverified } from "../../core/runtime/first-checks.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { loopback, operator, readAll, type ServingSite, serveHere, write } from "../support/serving.ts"

const KiB = 1024
const folder = scratch("remove")
const data = join(folder, "data")
let here: ServingSite
let images = 0

const image = async () => {
  const name = `image-${++images}`
  const raw = rawImage(folder, `${name}.raw`, 128 * KiB, images)
  await here.do("image.add", { name, path: raw.path, check: true })
  return { name, ...raw }
}
const sidecars = () => readdirSync(join(data, "sidecars"))
const code = (asked: Promise<unknown>) =>
  asked.then(
    () => "accepted",
    (e) => e.code,
  )

beforeAll(async () => {
  here = await serveHere(data)
})
afterAll(() => here.close())

it("a removed image goes with its checksums, and its file stays as it is", async () => {
  const { name, path } = await image()
  const other = await image()
  const before = sidecars().length
  await here.site.call("image.remove", { name }, { actor: operator, dryRun: true })
  expect(sidecars()).toHaveLength(before)
  await here.do("image.remove", { name })
  expect([sidecars().length, existsSync(path)]).toEqual([before - 1, true])
  expect(await code(here.disks.attachImage(name, undefined, loopback))).toBe("IMAGE_NOT_FOUND")
  expect((await here.do("image.list", {})).map((i) => i.name)).not.toContain(name)
  expect((await here.do("image.check", { name: other.name })).result).toBe("verified")
})

it("its name may be a new image's, which is another one", async () => {
  const { name } = await image()
  const lease = await here.disks.attachImage(name, undefined, loopback)
  await lease.release()
  await here.do("image.remove", { name })
  const next = rawImage(folder, "next.raw", 64 * KiB, 99)
  await here.do("image.add", { name, path: next.path, check: true })
  const after = await here.disks.attachImage(name, undefined, loopback)
  expect(await readAll(after)).toEqual(next.bytes)
  await after.release()
})

it("who reads it goes on reading to the end", async () => {
  const { name, bytes } = await image()
  const lease = await here.disks.attachImage(name, undefined, loopback)
  await here.do("image.remove", { name })
  expect(await readAll(lease)).toEqual(bytes)
  await lease.release()
  await lease.release()
  expect(await code(readAll(lease))).toBe("CLOSED")
})

it("a client that was unlinked while it runs goes on over it, and its writes with it", async () => {
  const { name, bytes } = await image()
  await here.do("client.add", { mac: "52:54:00:00:00:01", name: "PC-001" })
  await here.do("client.link", { clients: ["PC-001"], image: name, slot: 0 })
  const lease = await here.attach("PC-001")
  expect(await code(here.do("image.remove", { name }))).toBe("IMAGE_IN_USE")
  await here.do("client.unlink", { clients: ["PC-001"], slot: 0 })
  await here.do("image.remove", { name })
  const written = Buffer.alloc(4096, "written")
  await write(lease, 0, written)
  expect(await readAll(lease)).toEqual(Buffer.concat([written, bytes.subarray(4096)]))
  await lease.release()
})

it("a command sent again removes what a crash left of it", async () => {
  const { name } = await image()
  const commandId = "01935b00-0000-7000-8000-00000000abcd"
  const remove = () => here.site.call("image.remove", { name }, { actor: operator, commandId })
  const kept = sidecars()
  await remove()
  const gone = kept.find((file) => !sidecars().includes(file))!
  await here.parts.sidecars.replaceFile(gone, Buffer.from("left behind"))
  expect((await remove()).repeated).toBe(true)
  expect(sidecars()).not.toContain(gone)
})

it("a first check that was on its way leaves no checksums behind", async () => {
  const name = "unchecked"
  const raw = rawImage(folder, "unchecked.raw", 128 * KiB, 7)
  await here.do("image.add", { name, path: raw.path, check: false })
  const before = sidecars()
  const checking = code(here.do("image.check", { name }))
  const removing = here.do("image.remove", { name })
  const [checked] = await Promise.all([checking, removing])
  expect([["IMAGE_NOT_FOUND", "accepted"].includes(checked), sidecars()]).toEqual([true, before])
})

it("images that are removed while a server checks them one by one are no fault", async () => {
  const names = ["turn-1", "turn-2"]
  for (const [i, name] of names.entries())
    await here.do("image.add", { name, path: rawImage(folder, `${name}.raw`, 128 * KiB, i).path, check: false })
  const before = sidecars()
  const said: Array<string> = []
  const checking = checkUnverified(here.parts, operator, (level, text) => said.push(`${level}: ${text}`))
  for (const name of names) await here.do("image.remove", { name })
  await checking
  expect(said.filter((line) => line.startsWith("error"))).toEqual([])
  expect(sidecars()).toEqual(before)
})
