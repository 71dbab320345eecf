import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { crc32c } from "../../core/bytes.ts"
import type { EventData } from "../../core/domain/events.ts"
import type { Recorded } from "../../core/log/event-log.ts"
import { imagelink, refusal, scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { loopback, operator, type ServingSite, serveHere } from "../support/serving.ts"

const folder = scratch("check")
const data = join(folder, "data")
const KiB = 1024
let here: ServingSite
let images = 0

/** An image of its own for each spec: two clusters and half a one. */
const image = async (check = true, sizeBytes = 160 * KiB) => {
  const name = `image-${++images}`
  const raw = rawImage(folder, `${name}.raw`, sizeBytes, images)
  await here.do("image.add", { name, path: raw.path, check })
  return { name, ...raw }
}
const newest = async () => {
  let last: Recorded | undefined
  await here.site.call(
    "log",
    { after: here.parts.log.head() - 1 },
    { actor: operator, onItem: (line) => (last = JSON.parse(line)) },
  )
  return last as Recorded<string, EventData<"ImageChecked">>
}
const refusedCheck = (name: string) =>
  here.do("image.check", { name }).then(
    () => expect.fail("it was not refused"),
    (e) => [e.code, e.reason],
  )

beforeAll(async () => {
  here = await serveHere(data)
})
afterAll(() => here.close())

describe("the first check of an image", () => {
  it("writes the checksum of every cluster, the last one padded with zeros, and then records it", async () => {
    const { name, bytes } = await image(false)
    expect(await here.do("image.check", { name })).toMatchObject({
      image: name,
      version: 1,
      result: "verified",
      clusters: 3,
      mismatches: 0,
    })
    const { type, data: checked } = await newest()
    expect([type, checked.result, checked.checksums.clusters]).toEqual(["ImageChecked", "verified", 3])
    const sidecar = readFileSync(join(data, "sidecars", checked.checksums.sidecar))
    const padded = Buffer.concat([bytes, Buffer.alloc(32 * KiB)])
    const table = [0, 1, 2].map((i) => sidecar.readUInt32BE(88 + 4 * i))
    expect(table).toEqual([0, 1, 2].map((i) => crc32c(padded.subarray(i * 64 * KiB, (i + 1) * 64 * KiB))))
    expect((await here.do("image.list", {})).find((i) => i.name === name)!.versions[0]!.checked).toBe("verified")
  })

  it("repeated, finds the same and appends nothing", async () => {
    const { name } = await image()
    const head = here.parts.log.head()
    expect((await here.do("image.check", { name, version: 1 })).result).toBe("verified")
    expect(here.parts.log.head()).toBe(head)
  })

  it("refuses a file that is not the recorded one any more", async () => {
    const { name, path } = await image(false)
    utimesSync(path, 1, 1)
    expect(await refusedCheck(name)).toEqual(["IMAGE_CHANGED", expect.any(String)])
  })

  it("reports its progress, in bytes up to the whole", async () => {
    const { name } = await image(false)
    const seen: Array<readonly [number, number, string]> = []
    const onProgress = (p: { done: number; total: number; unit: string }) => seen.push([p.done, p.total, p.unit])
    await here.site.call("image.check", { name }, { actor: operator, onProgress })
    expect(seen.at(-1)).toEqual([160 * KiB, 160 * KiB, "bytes"])
  })
})

describe("a later check", () => {
  it("records the clusters that do not match, and once they do again, that", async () => {
    const { name, path, bytes } = await image()
    const changed = Buffer.from(bytes)
    changed[64 * KiB]! ^= 1
    changed[160 * KiB - 1]! ^= 0x80
    writeFileSync(path, changed)
    expect(await here.do("image.check", { name })).toMatchObject({ result: "mismatch", clusters: 3, mismatches: 2 })
    expect((await newest()).data).toMatchObject({ result: "mismatch", mismatches: { count: 2, clusters: [1, 2] } })
    writeFileSync(path, bytes)
    expect(await here.do("image.check", { name })).toMatchObject({ result: "verified", mismatches: 0 })
    expect((await newest()).data).toMatchObject({ result: "verified", mismatches: { count: 0, clusters: [] } })
  })

  it("accepts a file whose every byte is right, so that it is served again", async () => {
    const { name, path, bytes } = await image()
    rmSync(path)
    writeFileSync(path, bytes)
    const open = () => here.disks.attachImage(name, undefined, loopback)
    await expect(open()).rejects.toMatchObject({ code: "IMAGE_CHANGED" })
    expect((await here.do("image.check", { name })).result).toBe("verified")
    const lease = await open()
    const read = Buffer.alloc(512)
    await lease.device.read(read, 0, 0, 512)
    expect(read).toEqual(bytes.subarray(0, 512))
    await lease.release()
  })

  it("makes the sidecar again that is missing, cut short or changed; where the image changed too, names it and changes nothing", async () => {
    const { name, path } = await image()
    const sidecar = join(data, "sidecars", (await newest()).data.checksums.sidecar)
    const good = readFileSync(sidecar)
    const head = here.parts.log.head()
    const damages = [
      () => rmSync(sidecar),
      () => truncateSync(sidecar, 50),
      () => writeFileSync(sidecar, Buffer.from(good).fill(1, 90, 91)),
      () => writeFileSync(sidecar, Buffer.concat([good, Buffer.alloc(1)])),
    ]
    for (const damage of damages) {
      writeFileSync(sidecar, good)
      damage()
      expect(await here.disks.attachImage(name, undefined, loopback).catch((e) => e.code)).toBe("STORE_DAMAGED")
      expect((await here.do("image.check", { name })).result).toBe("verified")
      expect(readFileSync(sidecar)).toEqual(good)
    }
    expect(here.parts.log.head()).toBe(head)
    rmSync(sidecar)
    const other = readFileSync(path)
    other[70_000]! ^= 1
    writeFileSync(path, other)
    const refused = await here.do("image.check", { name }).catch((e) => e)
    expect([refused.code, refused.message]).toEqual(["STORE_DAMAGED", expect.stringContaining(sidecar)])
    expect([existsSync(sidecar), here.parts.log.head()]).toEqual([false, head])
  })
})

describe("a check that is cancelled", () => {
  it("leaves no sidecar and no event, and can be repeated", async () => {
    const { name } = await image(false)
    const head = here.parts.log.head()
    const sidecars = () => readdirSync(join(data, "sidecars")).length
    const before = sidecars()
    const abort = new AbortController()
    const checking = here.site.call("image.check", { name }, { actor: operator, signal: abort.signal })
    abort.abort()
    await expect(checking).rejects.toMatchObject({ code: "CANCELLED" })
    expect([here.parts.log.head(), sidecars()]).toEqual([head, before])
    expect((await here.do("jobs", {})).at(-1)).toMatchObject({ title: `check ${name}@1`, state: "cancelled" })
    expect((await here.do("image.check", { name })).result).toBe("verified")
  })

  it("is cancelled by its id too, and a finished one is not there to cancel", async () => {
    // Not so small that it is read before anybody looks.
    const { name } = await image(false, 32 * 1024 * KiB)
    const checking = here.do("image.check", { name })
    const started = async () => (await here.do("jobs", {})).find((job) => job.state === "running")
    let job = await started()
    for (let i = 0; job === undefined && i < 100; i++) job = await started()
    expect(await here.do("job.cancel", { id: job!.id })).toEqual({ cancelled: true })
    await expect(checking).rejects.toMatchObject({ code: "CANCELLED" })
    expect(await here.do("job.cancel", { id: job!.id })).toEqual({ cancelled: false })
    expect(await here.do("job.cancel", { id: "no such job" })).toEqual({ cancelled: false })
  })
})

describe("on the command line", () => {
  it("a damaged image ends with exit 1 and is named, a good one with exit 0", async () => {
    const at = join(folder, "terminal")
    mkdirSync(at)
    const { path, bytes } = rawImage(at, "disk.raw", 128 * KiB)
    const run = (...args: ReadonlyArray<string>) => imagelink(args, { data: join(at, "data") })
    await run("image", "add", "disk", path)
    expect(await run("image", "check", "disk@1")).toMatchObject({
      status: 0,
      stdout: "disk@1 verified: 2 clusters of 64 KiB match\n",
    })
    bytes[70_000]! ^= 1
    writeFileSync(path, bytes)
    const damaged = await run("image", "check", "disk")
    const lines = damaged.stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.split(/ {2,}/))
    expect([damaged.status, ...lines]).toEqual([
      1,
      ["disk@1 DAMAGED: 1 of 2 clusters do not match"],
      ["LBA", "BYTES", "FILE", "BACKUP"],
      ["128-255", "65536-131071", path, "none known"],
    ])
    expect(damaged.stderr).toContain(
      "error: image disk@1: bytes 65536 to 131071 (LBA 128 to 255) do not match their checksum [CRC_MISMATCH]\n",
    )
    const again = await run("image", "check", "disk", "--json")
    expect([again.status, refusal(again).code, JSON.parse(again.stdout).result]).toEqual([
      1,
      "CRC_MISMATCH",
      "mismatch",
    ])
    expect((await run("image", "list")).stdout).toMatch(/\bmismatch\b/)
  })

  it("every version of an image is checked, and damage is named with LBAs, file and the newest backup of it", async () => {
    const at = join(folder, "backups")
    mkdirSync(at)
    const { path, bytes } = rawImage(at, "disk.raw", 3 * 64 * KiB + 512)
    const run = (...args: ReadonlyArray<string>) => imagelink(args, { data: join(at, "data") })
    await run("image", "add", "disk", path)
    for (const backup of ["first", "second", "log-only"])
      expect((await run("backup", join(at, backup), ...(backup === "log-only" ? [] : ["--images"]))).status).toBe(0)
    rmSync(join(at, "second"), { recursive: true })
    const changed = Buffer.from(bytes)
    for (const place of [0, 70_000, 3 * 64 * KiB]) changed[place]! ^= 1
    writeFileSync(path, changed)
    const damaged = await run("image", "check", "disk", "--all", "--json")
    const [{ damage, firstMismatch, ...answer }, ...more] = JSON.parse(damaged.stdout)
    expect([damaged.status, answer, more]).toEqual([
      1,
      { image: "disk", version: 1, result: "mismatch", clusters: 4, mismatches: 3 },
      [],
    ])
    const backup = { path: expect.stringMatching(/\/first\/images\/.*\/disk\.raw$/), madeAt: expect.any(Number) }
    expect(damage).toEqual([
      { offset: 0, length: 2 * 64 * KiB, lba: [0, 255], file: path, backup },
      { offset: 3 * 64 * KiB, length: 512, lba: [384, 384], file: path, backup },
    ])
    expect(readFileSync(damage[0].backup.path).equals(bytes)).toBe(true)
    expect(firstMismatch.fix).toBe(`check the disk that holds it, and restore the file from ${damage[0].backup.path}`)
    writeFileSync(path, readFileSync(damage[0].backup.path))
    expect((await run("image", "check", "disk", "--all")).stdout).toMatch(/^disk@1 verified/)
    expect((await run("image", "check", "disk@1", "--all")).status).toBe(2)
  })
})
