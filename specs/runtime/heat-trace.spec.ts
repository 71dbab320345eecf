/** A real boot trace over a slow base: what heat, the hot zone and reading ahead spare it. */
import { join } from "node:path"
import { afterAll, expect, it } from "vitest"
import type { Lease } from "../../core/block/lease.ts"
import { limits } from "../../core/limits.ts"
import { compactTrace } from "../support/boot-trace.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { type ServingSite, serveHere } from "../support/serving.ts"
import { slowBase } from "../support/slow-base.ts"

const C = 65_536
const { reads, clusters } = compactTrace()
const folder = scratch("heat-trace")
const { path, bytes } = rawImage(folder, "os.raw", clusters * C)
const open: Array<ServingSite> = []

const serve = async (name: string) => {
  const base = { loads: 0, millis: 0 }
  const here = await serveHere(join(folder, name), slowBase(base))
  open.push(here)
  return { here, base }
}
const install = async (here: ServingSite) => {
  await here.do("image.add", { name: "os", path, check: true })
  for (const n of [1, 2]) await here.do("client.add", { mac: `52:54:00:00:00:0${n}`, name: `pc-${n}` })
  await here.do("client.link", { clients: ["pc-1", "pc-2"], image: "os", slot: 0 })
}
/** Replays the trace and compares every byte; answers how many reads were answered at once. */
const boot = async ({ device, release }: Lease): Promise<number> => {
  let atOnce = 0
  for (const { offset, length } of reads) {
    const into = Buffer.alloc(length)
    if (device.readSync(into, 0, offset, length)) atOnce++
    else await device.read(into, 0, offset, length)
    if (!into.equals(bytes.subarray(offset, offset + length))) expect.fail(`other bytes at ${offset}+${length}`)
  }
  await release()
  return atOnce
}

afterAll(async () => {
  for (const here of open) await here.close()
})

it("a second server's cold boot makes at most a tenth of the first one's round trips, after the first one's heat was placed", async () => {
  const first = await serve("first")
  await install(first.here)
  first.base.loads = 0
  await boot(await first.here.attach("pc-1"))
  expect(first.base.loads).toBeGreaterThanOrEqual(clusters)
  const { bytes: heat } = await first.here.do("heat.export", { name: "os" })

  const second = await serve("second")
  await install(second.here)
  await second.here.do("heat.import", { name: "os", bytes: heat })
  await second.here.do("image.place", { name: "os", tier: "ramdisk", hot: true })
  second.base.loads = 0
  await boot(await second.here.attach("pc-1"))
  expect(second.base.loads).toBeLessThanOrEqual(first.base.loads / 10)
  expect(second.base.loads).toBe(clusters - Math.ceil(clusters * 0.99))
})

it("a boot over a slow base is read ahead of in the order of an earlier one, and loads hardly more", async () => {
  const site = await serve("ahead")
  await install(site.here)
  site.base.loads = 0
  const unaided = await boot(await site.here.attach("pc-1"))
  await site.here.close()
  open.splice(open.indexOf(site.here), 1)

  const again = await serve("ahead")
  again.base.millis = 5
  again.base.loads = 0
  const aided = await boot(await again.here.attach("pc-2"))
  expect(again.base.loads).toBeLessThanOrEqual(site.base.loads + limits.heatAheadMax)
  console.log(`of ${reads.length} reads ${unaided} were answered at once without, ${aided} with reading ahead`)
  expect(aided).toBeGreaterThan(unaided)
})

it("every client after the first boots from RAM, however slow the base is", async () => {
  const { here, base } = await serve("slow")
  await install(here)
  await boot(await here.attach("pc-1"))
  await here.do("image.place", { name: "os", tier: "ramdisk", hot: true, share: 100 })
  base.millis = 5
  base.loads = 0
  expect(await boot(await here.attach("pc-2"))).toBe(reads.length)
  expect(base.loads).toBe(0)
})
