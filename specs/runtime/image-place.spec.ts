import { renameSync, statSync, truncateSync, utimesSync, writeFileSync } from "node:fs"
import { open as openFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { openSite } from "../../adapters/compose.ts"
import type { Lease } from "../../core/block/lease.ts"
import type { Progress } from "../../core/jobs.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { random } from "../support/random.ts"
import { loopback, operator, readAll, type ServingSite, serveHere, write } from "../support/serving.ts"

const KiB = 1024
const MiB = 1024 * KiB
const SIZE = 20 * 64 * KiB + 512
const folder = scratch("place")
const data = join(folder, "data")
let here: ServingSite
let images = 0

const image = async (sizeBytes = SIZE, check = true) => {
  const name = `image-${++images}`
  const raw = rawImage(folder, `${name}.raw`, sizeBytes, images)
  await here.do("image.add", { name, path: raw.path, check })
  return { name, ...raw }
}
const open = (name: string, version?: number) => here.disks.attachImage(name, version, loopback)
const place = (name: string, tier: "ramdisk" | "file" = "ramdisk") => here.do("image.place", { name, tier })
const codeOf = (asked: Promise<unknown>) =>
  asked.then(
    () => "accepted",
    (e) => e.code,
  )
const tierOf = async (name: string) => (await here.do("image.list", {})).find((i) => i.name === name)!.tier.kind
const serve = async (ramBytes?: number) => {
  await here.close()
  here = await serveHere(data, undefined, ramBytes)
}
/** What runs in the background has ended; nothing fails here but what a spec expects. */
const idle = async () => {
  for (let i = 0; i < 2000; i++) {
    if ((await here.do("jobs", {})).every((job) => job.state !== "running")) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  expect.fail("a job does not end")
}
/** Reads everything after its file was cut to nothing: only RAM can answer. Then the file is put back. */
const readWithoutFile = async (lease: Lease, path: string, bytes: Buffer): Promise<string> => {
  truncateSync(path, 0)
  try {
    const read = await readAll(lease)
    return read.equals(bytes) ? "the image" : "other bytes"
  } catch (e) {
    return (e as { code: string }).code
  } finally {
    writeFileSync(path, bytes)
  }
}

beforeAll(async () => {
  here = await serveHere(data)
})
afterAll(() => here.close())

it("an image placed in RAM is read from there, by clients that run and by those that come; back on file, from the file", async () => {
  const { name, path, bytes } = await image()
  const [lease, other] = [await open(name), await open(name)]
  const placed = await place(name)
  expect(placed.events.map((e) => e.type)).toEqual(["ImagePlaced"])
  expect(placed.ram).toEqual({ versions: [1], bytes: 2 * MiB, left: 0 })
  expect(await tierOf(name)).toBe("ramdisk")
  expect(await readWithoutFile(lease, path, bytes)).toBe("the image")
  expect((await place(name)).events).toEqual([])
  const back = await place(name, "file")
  expect([back.events.map((e) => e.data), back.ram, await tierOf(name)]).toEqual([
    [expect.objectContaining({ from: { kind: "ramdisk", hot: false }, to: { kind: "file", hot: false } })],
    null,
    "file",
  ])
  expect(await readWithoutFile(other, path, bytes)).not.toBe("the image")
  expect(await readAll(lease)).toEqual(bytes)
  for (const one of [lease, other]) await one.release()
})

it("readers see the image and no error while it goes to RAM and back", async () => {
  const { name, bytes } = await image(60 * 64 * KiB)
  const r = random(11)
  let reads = 0
  let running = true
  const reader = async () => {
    const { device, release } = await open(name)
    while (running) {
      const offset = r.int(bytes.length)
      const length = 1 + r.int(Math.min(200 * KiB, bytes.length - offset))
      const into = Buffer.alloc(length)
      if (!device.readSync(into, 0, offset, length)) await device.read(into, 0, offset, length)
      expect(into.equals(bytes.subarray(offset, offset + length)), `${offset}+${length}`).toBe(true)
      reads++
      await new Promise((resolve) => setImmediate(resolve))
    }
    await release()
  }
  const readers = [reader(), reader(), reader()]
  for (let i = 0; i < 4; i++) {
    expect((await place(name)).ram).toEqual({ versions: [1], bytes: 4 * MiB, left: 0 })
    await place(name, "file")
  }
  running = false
  await Promise.all(readers)
  expect(reads).toBeGreaterThan(0)
})

it("what does not fit is refused before anything is recorded; what leaves RAM makes room, and so does what is removed", async () => {
  await serve(2 * MiB)
  const [first, second] = [await image(), await image()]
  const { ram } = await place(first.name)
  expect(ram?.bytes).toBe(2 * MiB)
  const head = here.parts.log.head()
  await expect(place(second.name)).rejects.toMatchObject({
    code: "RAM_TIER_FULL",
    message: `image ${second.name}@1 does not fit in the RAM that is left for images`,
    reason: `it needs ${2 * MiB} bytes, and 0 are left`,
  })
  const dry = { actor: operator, dryRun: true }
  expect(await codeOf(here.site.call("image.place", { name: second.name, tier: "ramdisk" }, dry))).toBe("RAM_TIER_FULL")
  expect([here.parts.log.head(), await tierOf(second.name)]).toEqual([head, "file"])
  await place(first.name, "file")
  expect((await place(second.name)).ram).toEqual({ versions: [1], bytes: 2 * MiB, left: 0 })
  await here.do("image.remove", { name: second.name })
  expect((await place(first.name)).ram?.bytes).toBe(2 * MiB)
  await place(first.name, "file")
  await serve()
})

it("a dry run names its event, and neither records nor reserves anything", async () => {
  await serve(2 * MiB)
  const [first, second] = [await image(), await image()]
  const input = { name: first.name, tier: "ramdisk" } as const
  const { events, ram } = await here.site.call("image.place", input, { actor: operator, dryRun: true })
  expect([events.map((e) => e.type), ram, await tierOf(first.name)]).toEqual([["ImagePlaced"], null, "file"])
  expect((await place(second.name)).ram?.bytes).toBe(2 * MiB)
  await place(second.name, "file")
  await serve()
})

it("runs of zeros take no room; an image of nothing else takes none at all", async () => {
  await serve(1 * MiB)
  const name = "zeros"
  const path = join(folder, "zeros.raw")
  writeFileSync(path, Buffer.alloc(0))
  truncateSync(path, 40 * MiB)
  await here.do("image.add", { name, path, check: true })
  expect((await place(name)).ram).toEqual({ versions: [1], bytes: 0, left: 0 })
  const lease = await open(name)
  const into = Buffer.alloc(64 * KiB, 1)
  expect(lease.device.readSync(into, 0, 39 * MiB, into.length)).toBe(true)
  expect(into.every((b) => b === 0)).toBe(true)
  await lease.release()
  await place(name, "file")
  await serve()
})

it("a server that starts fills again, and says what does not fit any more", async () => {
  const { name, path, bytes } = await image()
  await place(name)
  await serve()
  here.ram.start()
  await idle()
  const lease = await open(name)
  expect(await readWithoutFile(lease, path, bytes)).toBe("the image")
  await lease.release()
  // The file put back is another one.
  await here.do("image.check", { name })
  await serve(1 * MiB)
  here.ram.start()
  await idle()
  expect(here.notInRam).toEqual(["RAM_TIER_FULL"])
  const served = await open(name)
  expect(await readAll(served)).toEqual(bytes)
  await served.release()
  await place(name, "file")
  await serve()
})

it("is only recorded where no server runs", async () => {
  const { name } = await image()
  await here.close()
  const site = await openSite({ dataDir: data, create: false })
  const placed = await site.call("image.place", { name, tier: "ramdisk" }, { actor: operator })
  expect([placed.events.length, placed.ram]).toEqual([1, null])
  await site.close()
  here = await serveHere(data)
  here.ram.start()
  await idle()
  expect((await place(name)).ram).toEqual({ versions: [1], bytes: 2 * MiB, left: 0 })
  await place(name, "file")
})

it("a fill reports its progress; one that was cancelled goes on when it is asked for again", async () => {
  const { name, path, bytes } = await image()
  const lease = await open(name)
  const abort = new AbortController()
  const seen: Array<Progress> = []
  const onProgress = (p: Progress) => {
    seen.push(p)
    abort.abort()
  }
  const input = { name, tier: "ramdisk" } as const
  const options = { actor: operator, onProgress, signal: abort.signal }
  expect(await codeOf(here.site.call("image.place", input, options))).toBe("CANCELLED")
  expect(seen[0]).toEqual({ done: 64 * KiB, total: SIZE, unit: "bytes" })
  expect(await tierOf(name)).toBe("ramdisk")
  const again: Array<Progress> = []
  const placed = await here.site.call("image.place", input, { actor: operator, onProgress: (p) => again.push(p) })
  expect([placed.events, placed.ram]).toEqual([[], { versions: [1], bytes: 2 * MiB, left: 0 }])
  expect(again.at(-1)).toEqual({ done: SIZE, total: SIZE, unit: "bytes" })
  expect(await readWithoutFile(lease, path, bytes)).toBe("the image")
  await lease.release()
  await place(name, "file")
})

it("an image that is relocated between two fills is read from its new place, and what is in RAM stays there", async () => {
  const { name, path, bytes } = await image()
  const abort = new AbortController()
  const options = { actor: operator, onProgress: () => abort.abort(), signal: abort.signal }
  expect(await codeOf(here.site.call("image.place", { name, tier: "ramdisk" }, options))).toBe("CANCELLED")
  const next = join(folder, `${name}-moved.raw`)
  renameSync(path, next)
  await here.do("image.relocate", { name, path: next })
  const lease = await open(name)
  expect((await place(name)).ram).toEqual({ versions: [1], bytes: 2 * MiB, left: 0 })
  expect(await readWithoutFile(lease, next, bytes)).toBe("the image")
  await lease.release()
  await here.do("image.check", { name })
  renameSync(next, path)
  await here.do("image.relocate", { name, path })
  const moved = await open(name)
  expect(await readWithoutFile(moved, path, bytes)).toBe("the image")
  await moved.release()
  await place(name, "file")
})

it("the same command id, repeated after the image went back, places nothing", async () => {
  const { name } = await image()
  const commandId = here.parts.newId()
  const once = () => here.site.call("image.place", { name, tier: "ramdisk" }, { actor: operator, commandId })
  expect((await once()).ram?.versions).toEqual([1])
  await place(name, "file")
  const { repeated, ram } = await once()
  expect([repeated, ram, await tierOf(name)]).toEqual([true, null, "file"])
})

it("placing back while it fills ends the fill, and the server stops while one runs", async () => {
  const { name, bytes } = await image(100 * 64 * KiB)
  const { id } = (await here.do("image.list", {})).find((i) => i.name === name)!
  let back: Promise<unknown> | undefined
  const onProgress = () => {
    back ??= here.ram.release(id).then(() => place(name, "file"))
  }
  const filling = here.site.call("image.place", { name, tier: "ramdisk" }, { actor: operator, onProgress })
  expect(await codeOf(filling)).toBe("CANCELLED")
  await back
  expect(await tierOf(name)).toBe("file")
  const stopped = codeOf(place(name))
  await here.close()
  expect(["CANCELLED", "CLOSED"]).toContain(await stopped)
  here = await serveHere(data)
  const lease = await open(name)
  expect((await readAll(lease)).equals(bytes)).toBe(true)
  await lease.release()
  await place(name, "file")
})

it("images that are not there, not sealed or not what was recorded are refused, and so is another tier", async () => {
  expect(await codeOf(place("nothing"))).toBe("IMAGE_NOT_FOUND")
  await here.do("image.create", { name: "empty", sizeBytes: MiB })
  expect(await codeOf(place("empty"))).toBe("IMAGE_NOT_SEALED")
  expect(await codeOf(place("empty", "file"))).toBe("IMAGE_NOT_SEALED")
  const { name, path, bytes } = await image()
  expect(await codeOf(place(name, "tape" as "file"))).toBe("COMMAND_INVALID")
  writeFileSync(path, bytes)
  expect([await codeOf(place(name)), await tierOf(name)]).toEqual(["IMAGE_CHANGED", "file"])
})

it("an image that nobody has checked yet is placed as it is", async () => {
  const { name, path, bytes } = await image(SIZE, false)
  const lease = await open(name)
  expect((await place(name)).ram).toEqual({ versions: [1], bytes: 2 * MiB, left: 0 })
  expect(await readWithoutFile(lease, path, bytes)).toBe("the image")
  await lease.release()
  await place(name, "file")
})

/** The super client writes a pattern over `[offset, offset + length)` of the image, and that becomes its next version. */
const commit = async (name: string, client: string, before: Buffer, offset: number, seed: number): Promise<Buffer> => {
  await here.do("client.set-super", { client, image: name })
  const lease = await here.attach(client)
  const written = Buffer.alloc(64 * KiB, seed)
  await write(lease, offset, written)
  await lease.release()
  await here.do("image.commit", { name })
  const after = Buffer.from(before)
  written.copy(after, offset)
  const version = (await here.do("image.list", {})).find((i) => i.name === name)!.current
  await here.do("image.check", { name, version })
  return after
}

it("versions share what they have in common; one that comes later is brought to RAM when it is opened", async () => {
  const { name, bytes } = await image(40 * 64 * KiB)
  await here.do("client.add", { mac: "525400aa0001", name: "PC-1" })
  await here.do("client.link", { clients: ["PC-1"], image: name, slot: 0 })
  const second = await commit(name, "PC-1", bytes, 64 * KiB, 2)
  const lease = await open(name, 1)
  const { ram } = await place(name)
  // 40 clusters of version 1, in 3 chunks, and one of version 2.
  expect(ram).toEqual({ versions: [2, 1], bytes: 4 * MiB, left: 0 })
  const third = await commit(name, "PC-1", second, 128 * KiB, 3)
  const newest = await open(name)
  await idle()
  expect((await place(name)).ram).toEqual({ versions: [2, 1, 3], bytes: 5 * MiB, left: 0 })
  for (const [one, wanted] of [
    [lease, bytes],
    [newest, third],
  ] as const) {
    const into = Buffer.alloc(wanted.length)
    expect(one.device.readSync(into, 0, 0, into.length)).toBe(true)
    expect(into.equals(wanted)).toBe(true)
    await one.release()
  }
  await here.do("image.rollback", { name, to: 2 })
  await here.do("image.retire", { name, version: 3 })
  expect((await place(name)).ram).toEqual({ versions: [2, 1], bytes: 4 * MiB, left: 0 })
  await place(name, "file")
})

/** Changes a byte of a file of the data folder, and nothing that identifies it: the millisecond of its last change. */
const damage = async (path: string, offset: number): Promise<void> => {
  const { mtimeNs } = statSync(path, { bigint: true })
  const seconds = (Number(mtimeNs / 1_000_000n) + 0.5) / 1000
  const file = await openFile(path, "r+")
  await file.write(Buffer.from([0xee]), 0, 1, offset)
  await file.close()
  utimesSync(path, seconds, seconds)
}

it("a damaged cluster is left where it is, counted, and its readers get the error; the rest is in RAM", async () => {
  const { name, bytes } = await image(4 * 64 * KiB)
  await here.do("client.add", { mac: "525400aa0002", name: "PC-2" })
  await here.do("client.link", { clients: ["PC-2"], image: name, slot: 0 })
  const second = await commit(name, "PC-2", bytes, 64 * KiB, 2)
  const { versions } = (await here.do("image.show", { name })).image
  const layer = versions[1]!.files.map((file) => file.path).find((path) => path.endsWith(".data"))!
  await damage(layer.startsWith("/") ? layer : join(data, layer), 64 * KiB + 5)
  expect((await place(name)).ram).toEqual({ versions: [2], bytes: 2 * MiB, left: 1 })
  const { device, release } = await open(name)
  const into = Buffer.alloc(64 * KiB)
  await expect(device.read(into, 0, 64 * KiB, 512)).rejects.toMatchObject({ code: "MEDIUM_ERROR" })
  for (const cluster of [0, 2, 3]) {
    const at = cluster * 64 * KiB
    expect(device.readSync(into, 0, at, into.length)).toBe(true)
    expect(into.equals(second.subarray(at, at + into.length))).toBe(true)
  }
  await release()
  await place(name, "file")
})
