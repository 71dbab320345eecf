import { renameSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import type { Progress } from "../../core/jobs.ts"
import { imagelink, refusal, scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { loopback, operator, readAll, type ServingSite, serveHere } from "../support/serving.ts"

const KiB = 1024
const folder = scratch("relocate")
let here: ServingSite
let images = 0

/** An image of two clusters and a half, and a path for its next place. */
const image = async (check = true) => {
  const name = `image-${++images}`
  const raw = rawImage(folder, `${name}.raw`, 160 * KiB, images)
  await here.do("image.add", { name, path: raw.path, check })
  return { name, ...raw, next: join(folder, `${name}-moved.raw`) }
}
const open = (name: string) => here.disks.attachImage(name, undefined, loopback)
const refused = (asked: Promise<unknown>) =>
  asked.then(
    () => expect.fail("it was not refused"),
    (e) => [e.code, e.message],
  )

beforeAll(async () => {
  here = await serveHere(join(folder, "data"))
})
afterAll(() => here.close())

it("an image whose file was moved is refused, and served again once it was relocated", async () => {
  const { name, path, next, bytes } = await image()
  renameSync(path, next)
  await expect(open(name)).rejects.toMatchObject({
    code: "IMAGE_FILE_NOT_FOUND",
    fix: expect.stringContaining(`imagelink image relocate ${name}`),
  })
  const { events } = await here.do("image.relocate", { name, path: next })
  expect(events.map((e) => e.type)).toEqual(["ImageRelocated"])
  const lease = await open(name)
  expect(await readAll(lease)).toEqual(bytes)
  await lease.release()
  expect((await here.do("image.relocate", { name, path: next, version: 1 })).events).toEqual([])
  expect((await here.do("image.check", { name })).result).toBe("verified")
})

it("who runs keeps what it opened, who comes later gets the new place, and the old file closes after the last has left", async () => {
  const { name, path, next, bytes } = await image()
  writeFileSync(next, bytes)
  const before = await open(name)
  await here.do("image.relocate", { name, path: next })
  const after = await open(name)
  rmSync(path)
  expect([await readAll(before), await readAll(after)]).toEqual([bytes, bytes])
  await before.release()
  const code = (asked: Promise<unknown>) => asked.catch((e) => e.code)
  expect(await code(readAll(before))).toBe("CLOSED")
  await after.release()
  const again = await open(name)
  expect(await readAll(again)).toEqual(bytes)
  await again.release()
})

it("a file with one other byte is refused with its first cluster that differs, and nothing is recorded", async () => {
  const { name, next, bytes } = await image()
  const other = Buffer.from(bytes)
  other[160 * KiB - 1]! ^= 1
  writeFileSync(next, other)
  const head = here.parts.log.head()
  const message = `image ${name}@1: bytes 131072 to 163839 (LBA 256 to 319) do not match their checksum`
  expect(await refused(here.do("image.relocate", { name, path: next }))).toEqual(["CRC_MISMATCH", message])
  other[70_000]! ^= 1
  writeFileSync(next, other)
  const first = `image ${name}@1: bytes 65536 to 131071 (LBA 128 to 255) do not match their checksum`
  expect(await refused(here.do("image.relocate", { name, path: next }))).toEqual(["CRC_MISMATCH", first])
  expect(here.parts.log.head()).toBe(head)
})

it("a shorter or longer file, one that is not there, and another version are refused", async () => {
  const { name, next, bytes } = await image()
  const relocate = (more = {}) => here.do("image.relocate", { name, path: next, ...more }).catch((e) => e.code)
  expect(await relocate()).toBe("IMAGE_FILE_NOT_FOUND")
  writeFileSync(next, bytes)
  for (const sizeBytes of [159.5 * KiB, 160.5 * KiB]) {
    truncateSync(next, sizeBytes)
    expect(await relocate()).toBe("IMAGE_DIFFERS")
  }
  expect(await relocate({ version: 2 })).toBe("IMAGE_VERSION_NOT_FOUND")
  expect(await relocate({ version: 0 })).toBe("IMAGE_VERSION_NOT_FOUND")
  expect(await relocate({ name: "nothing" })).toBe("IMAGE_NOT_FOUND")
})

it("an image that nobody checked is refused, and says what to do first", async () => {
  const { name, next, bytes } = await image(false)
  writeFileSync(next, bytes)
  await expect(here.do("image.relocate", { name, path: next })).rejects.toMatchObject({
    code: "IMAGE_UNVERIFIED",
    fix: expect.stringContaining(`imagelink image check ${name}@1`),
  })
  await here.do("image.check", { name })
  expect((await here.do("image.relocate", { name, path: next })).events).toHaveLength(1)
})

it("reports its progress, can be cancelled, and a dry run moves nothing", async () => {
  const { name, path, next, bytes } = await image()
  writeFileSync(next, bytes)
  const seen: Array<Progress> = []
  const call = (more: object) => here.site.call("image.relocate", { name, path: next }, { actor: operator, ...more })
  const dry = await call({ dryRun: true, onProgress: (p: Progress) => seen.push(p) })
  expect([dry.events.length, seen.at(-1)]).toEqual([1, { done: 160 * KiB, total: 160 * KiB, unit: "bytes" }])
  const abort = new AbortController()
  const cancelled = call({ signal: abort.signal })
  abort.abort()
  expect((await refused(cancelled))[0]).toBe("CANCELLED")
  const [row] = (await here.do("image.list", {})).filter((i) => i.name === name)
  expect(row!.versions[0]!.files[0]!.path).toBe(path)
})

it("a check of the old place that ends after it was relocated records nothing", async () => {
  const { name, next, bytes } = await image()
  writeFileSync(next, bytes)
  const checking = here.do("image.check", { name }).catch((e) => e.code)
  const { events } = await here.do("image.relocate", { name, path: next })
  expect(events).toHaveLength(1)
  await checking
  expect((await here.do("image.check", { name })).result).toBe("verified")
  const lease = await open(name)
  await lease.release()
})

it("on the command line names the place before and after", async () => {
  const data = join(folder, "terminal")
  const { path, bytes } = rawImage(folder, "disk.raw", 128 * KiB)
  const next = join(folder, "disk-moved.raw")
  const run = (...args: ReadonlyArray<string>) => imagelink(args, { data })
  await run("image", "add", "disk", path)
  writeFileSync(next, bytes)
  const relocated = await run("image", "relocate", "disk@1", next)
  expect([relocated.status, relocated.stdout]).toEqual([0, `disk image relocated: ${path} → ${next}\n`])
  const nowhere = await run("image", "relocate", "disk", "--json")
  expect([nowhere.status, refusal(nowhere).code]).toEqual([2, "USAGE"])
  expect((await run("rebuild", "--check")).status).toBe(0)
})
