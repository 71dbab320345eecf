/** Heat through the whole stack: boots and windows are recorded, shown, placed in RAM, and carried to another server. */
import { readdirSync, readFileSync, truncateSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { openSite } from "../../adapters/compose.ts"
import { expectedOrder, type Heat } from "../../core/block/heat/heat.ts"
import { decodeHeat } from "../../core/block/heat/heat-file.ts"
import type { Lease } from "../../core/block/lease.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { loopback, operator, type ServingSite, serveHere, write } from "../support/serving.ts"

const C = 65_536
const MiB = 2 ** 20
const folder = scratch("heat")
const data = join(folder, "data")
let here: ServingSite
let made = 0

const mac = (n: number) => `52:54:00:00:00:${n.toString(16).padStart(2, "0")}`

/** An image, and clients that boot from it. */
const image = async (clusters = 64, clients = 1) => {
  const n = ++made
  const name = `image-${n}`
  const raw = rawImage(folder, `${name}.raw`, clusters * C, n)
  await here.do("image.add", { name, path: raw.path, check: true })
  const names: Array<string> = []
  for (let i = 0; i < clients; i++) {
    const client = `pc-${n}-${i}`
    await here.do("client.add", { mac: mac(n * 8 + i), name: client })
    names.push(client)
  }
  await here.do("client.link", { clients: names, image: name, slot: 0 })
  return { name, clients: names, ...raw }
}
const read = async ({ device }: Lease, offset: number, length: number): Promise<Buffer> => {
  const into = Buffer.alloc(length)
  if (!device.readSync(into, 0, offset, length)) await device.read(into, 0, offset, length)
  return into
}
const readClusters = async (lease: Lease, clusters: ReadonlyArray<number>) => {
  for (const cluster of clusters) await read(lease, cluster * C + 512, 4096)
}
const boot = async (client: string, clusters: ReadonlyArray<number>) => {
  const lease = await here.attach(client)
  await readClusters(lease, clusters)
  await lease.release()
}
const placeHot = (name: string, share?: number) =>
  here.do("image.place", { name, tier: "ramdisk", hot: true, ...(share === undefined ? {} : { share }) })
const codeOf = (asked: Promise<unknown>) =>
  asked.then(
    () => "accepted",
    (e) => e.code,
  )
/** The clusters that are answered at once: after a restart, those in RAM. */
const inRam = ({ device }: Lease): ReadonlyArray<number> => {
  const found: Array<number> = []
  for (let cluster = 0; cluster * C < device.sizeBytes; cluster++)
    if (device.readSync(Buffer.alloc(512), 0, cluster * C, 512)) found.push(cluster)
  return found
}
const heatFile = async (name: string): Promise<Heat> => {
  const decoded = decodeHeat(Buffer.from((await here.do("heat.export", { name })).bytes, "base64"))
  if (!decoded.ok) throw new Error(decoded.why)
  return decoded.heat
}
const restart = async () => {
  await here.close()
  here = await serveHere(data)
}

beforeAll(async () => {
  here = await serveHere(data)
})
afterAll(() => here.close())

it("a first boot is recorded as it goes, in the order of its reads, over all its sessions; later ones of the same disk are not boots", async () => {
  const { name, clients } = await image()
  const [client] = clients as [string]
  expect(await here.do("image.heat", { name })).toMatchObject({ image: name, labels: [], booting: 0 })
  await boot(client, [5, 3, 40])
  expect(await here.do("image.heat", { name })).toMatchObject({
    booting: 1,
    sizeBytes: 64 * C,
    partBytes: C,
    labels: [
      {
        label: "boot",
        recorded: 1,
        kept: 1,
        reads: 3,
        covers: [2, 3, 3, 3].map((n, i) => ({ share: [50, 90, 99, 100][i], bytes: n * C })),
      },
    ],
  })
  // The operating system's session follows the firmware's.
  await boot(client, [3, 41])
  const { parts } = await here.do("image.heat", { name })
  expect(parts.flatMap((part, i) => (part === 0 ? [] : [i]))).toEqual([3, 5, 40, 41])
  await restart()
  expect([...expectedOrder(await heatFile(name), () => true)]).toEqual([5, 3, 40, 41])
  await boot(client, [60])
  expect((await here.do("image.heat", { name })).labels).toMatchObject([{ label: "boot", recorded: 1, reads: 4 }])
  await here.do("client.reset", { clients: [client], slot: 0 })
  await boot(client, [60, 5])
  expect((await here.do("image.heat", { name })).labels).toMatchObject([{ label: "boot", recorded: 2, reads: 6 }])
})

it("what a client's own overlay holds is not heat of the image", async () => {
  const { name, clients } = await image()
  const lease = await here.attach(clients[0]!)
  await write(lease, 7 * C, Buffer.alloc(C, 1))
  await readClusters(lease, [7, 8])
  await lease.release()
  expect([...expectedOrder(await heatFile(name), () => true)]).toEqual([8])
})

it("a hot zone is what boots read, and nothing else is in RAM; the rest comes from the file; and back", async () => {
  const { name, clients, bytes } = await image(64, 2)
  expect(await codeOf(placeHot(name))).toBe("HEAT_NONE")
  expect((await here.do("image.list", {})).find((i) => i.name === name)?.tier.kind).toBe("file")
  await boot(clients[0]!, [9, 1, 20])
  const placed = await placeHot(name)
  expect(placed.events.map((e) => e.data)).toMatchObject([{ to: { kind: "ramdisk", hot: true, share: 99 } }])
  expect(placed.ram).toEqual({ versions: [1], bytes: MiB, left: 0 })
  await restart()
  await here.do("image.place", { name, tier: "ramdisk", hot: true })
  const lease = await here.disks.attachImage(name, undefined, loopback)
  expect(inRam(lease)).toEqual([1, 9, 20])
  expect((await read(lease, 0, bytes.length)).equals(bytes)).toBe(true)
  await here.do("image.place", { name, tier: "file" })
  expect((await read(lease, 0, bytes.length)).equals(bytes)).toBe(true)
  await lease.release()
})

it("a hot zone grows with what later boots teach, at the next place; a whole image becomes one, and one becomes a whole image, live", async () => {
  const { name, clients, bytes } = await image(48, 2)
  await boot(clients[0]!, [9, 1])
  const lease = await here.attach(clients[1]!)
  expect((await placeHot(name)).ram?.bytes).toBe(MiB)
  const again = await placeHot(name)
  expect(again.events).toEqual([])
  await readClusters(lease, [30, 31])
  await placeHot(name)
  await lease.release()
  await restart()
  await placeHot(name)
  const own = await here.disks.attachImage(name, undefined, loopback)
  expect(inRam(own)).toEqual([1, 9, 30, 31])
  expect((await here.do("image.place", { name, tier: "ramdisk" })).ram).toEqual({
    versions: [1],
    bytes: 3 * MiB,
    left: 0,
  })
  expect(inRam(own).length).toBe(48)
  expect((await placeHot(name)).ram?.bytes).toBe(MiB)
  expect((await read(own, 0, bytes.length)).equals(bytes)).toBe(true)
  await own.release()
})

it("a named window records what all clients read while it is open, and its label is part of the hot zone", async () => {
  const { name, clients } = await image(64, 3)
  for (const client of clients) await boot(client, [2])
  await restart()
  const lease = await here.attach(clients[1]!)
  const progress: Array<number> = []
  const recording = here.site.call(
    "image.record",
    { name, label: "launch", seconds: 1 },
    { actor: operator, onProgress: ({ done }) => progress.push(done) },
  )
  for (
    let i = 0;
    i < 1000 &&
    !(await here.do("jobs", {})).some((job) => job.title === `record launch of ${name}` && job.state === "running");
    i++
  )
    await new Promise((resolve) => setTimeout(resolve, 2))
  await readClusters(lease, [50, 51])
  const late = await here.attach(clients[2]!)
  await readClusters(late, [52])
  expect(await recording).toEqual({ image: name, label: "launch", clients: 2, clusters: 3, bytes: 3 * C })
  expect(progress.at(-1)).toBe(1)
  await readClusters(late, [53])
  for (const one of [lease, late]) await one.release()
  const { labels } = await here.do("image.heat", { name })
  expect(labels.map(({ label, recorded, reads }) => [label, recorded, reads])).toEqual([
    ["boot", 3, 3],
    ["launch", 1, 3],
  ])
  await restart()
  await placeHot(name)
  const own = await here.attach(clients[0]!)
  expect(inRam(own)).toEqual([2, 50, 51, 52])
  await own.release()
})

it("a window in which nobody read, one that is cancelled, and one with a bad label keep nothing", async () => {
  const { name } = await image()
  const record = (label: string, seconds: number, signal?: AbortSignal) =>
    here.site.call("image.record", { name, label, seconds }, { actor: operator, ...(signal && { signal }) })
  await expect(record("launch", 0.001)).rejects.toMatchObject({
    code: "HEAT_NOT_RECORDED",
    reason: "no client had a disk of it open",
  })
  expect(await codeOf(record("boot", 1))).toBe("COMMAND_INVALID")
  expect(await codeOf(record("Launch!", 1))).toBe("COMMAND_INVALID")
  expect(await codeOf(record("launch", 0))).toBe("COMMAND_INVALID")
  expect(await codeOf(record("launch", 86_401))).toBe("COMMAND_INVALID")
  const stop = new AbortController()
  const recording = record("launch", 3600, stop.signal)
  stop.abort()
  expect(await codeOf(recording)).toBe("CANCELLED")
  expect((await here.do("image.heat", { name })).labels).toEqual([])
})

it("heat of one image comes to another of the same disk, and no other; a damaged file is refused by name", async () => {
  const { name, clients } = await image()
  await boot(clients[0]!, [4, 2, 6])
  const { bytes } = await here.do("heat.export", { name })
  const other = await image()
  expect(await here.do("heat.import", { name: other.name, bytes })).toEqual({
    image: other.name,
    recordings: 1,
    clusters: 3,
  })
  expect([...expectedOrder(await heatFile(other.name), () => true)]).toEqual([4, 2, 6])
  const smaller = await image(63)
  const importing = (text: string, to = other.name) => codeOf(here.do("heat.import", { name: to, bytes: text }))
  expect(await importing(bytes, smaller.name)).toBe("HEAT_REFUSED")
  const damaged = Buffer.from(bytes, "base64")
  damaged[damaged.length - 5]! ^= 1
  expect(await importing(damaged.toString("base64"))).toBe("HEAT_REFUSED")
  expect(await importing("")).toBe("HEAT_REFUSED")
})

it("a heat file that was damaged is told, hinders no boot, and is replaced by the next recording; it goes with its image", async () => {
  const { name, clients, bytes } = await image(64, 2)
  await boot(clients[0]!, [4, 2, 6])
  await restart()
  const { id } = (await here.do("image.list", {})).find((i) => i.name === name)!
  const file = join(data, "heat", `${id}.heat`)
  const whole = readFileSync(file)
  truncateSync(file, whole.length - 1)
  expect(await codeOf(here.do("image.heat", { name }))).toBe("HEAT_DAMAGED")
  expect(await codeOf(placeHot(name))).toBe("HEAT_DAMAGED")
  const lease = await here.attach(clients[1]!)
  expect((await read(lease, 0, 4 * C)).equals(bytes.subarray(0, 4 * C))).toBe(true)
  await lease.release()
  await restart()
  expect((await here.do("image.heat", { name })).labels).toMatchObject([{ label: "boot", recorded: 1, reads: 4 }])
  await here.do("client.unlink", { clients, slot: 0 })
  await here.do("image.remove", { name })
  expect(readdirSync(join(data, "heat"))).not.toContain(`${id}.heat`)
})

it("a hot zone that does not fit is refused with numbers before anything is recorded; one that fits where the image does not is taken", async () => {
  await here.close()
  here = await serveHere(data, undefined, MiB)
  const { name, clients } = await image(40, 2)
  await boot(clients[0]!, [1, 2, 3])
  expect(await codeOf(here.do("image.place", { name, tier: "ramdisk" }))).toBe("RAM_TIER_FULL")
  expect((await placeHot(name)).ram?.bytes).toBe(MiB)
  const head = here.parts.log.head()
  const dry = { actor: operator, dryRun: true }
  const whole = { name, tier: "ramdisk", hot: false } as const
  expect(await codeOf(here.site.call("image.place", whole, dry))).toBe("RAM_TIER_FULL")
  expect(await codeOf(here.site.call("image.place", whole, { actor: operator }))).toBe("RAM_TIER_FULL")
  await boot(
    clients[1]!,
    Array.from({ length: 17 }, (_, i) => 10 + i),
  )
  await expect(placeHot(name, 100)).rejects.toMatchObject({
    code: "RAM_TIER_FULL",
    reason: `it needs ${2 * MiB} bytes, and ${MiB} are left`,
  })
  expect(here.parts.log.head()).toBe(head)
  const lease = await here.disks.attachImage(name, undefined, loopback)
  const { device } = lease
  expect([1, 2, 3].map((c) => device.readSync(Buffer.alloc(512), 0, c * C, 512))).toEqual([true, true, true])
  await lease.release()
  await here.close()
  here = await serveHere(data)
})

it("placed while nothing is known and no server runs, it is told at the start, and served from its file", async () => {
  const { name } = await image()
  await here.close()
  const alone = await openSite({ dataDir: data, create: false })
  const input = { name, tier: "ramdisk", hot: true } as const
  const placed = await alone.call("image.place", input, { actor: operator })
  expect([placed.events.length, placed.ram]).toEqual([1, null])
  await alone.close()
  here = await serveHere(data)
  here.ram.start()
  for (let i = 0; i < 2000 && !here.notInRam.includes("HEAT_NONE"); i++) await new Promise((r) => setTimeout(r, 5))
  expect(here.notInRam).toContain("HEAT_NONE")
})
