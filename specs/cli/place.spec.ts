/** `imagelink image place`, with a server and without. */
import { join } from "node:path"
import { expect, it } from "vitest"
import type { JobInfo } from "../../core/jobs.ts"
import type { ImagePlacedAnswer } from "../../core/runtime/site/image-tiers.ts"
import { events, imagelink, json, refusal, scratch, startServe } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"

/** Many commands, each a process of its own. */
const TIMEOUT_MILLIS = 240_000
const MiB = 2 ** 20

it("moves an image into RAM and back while a server runs, and is there again after a restart", {
  timeout: TIMEOUT_MILLIS,
}, async () => {
  const folder = scratch("place-cli")
  const data = join(folder, "data")
  const { path } = rawImage(folder, "win11.raw", 2 * MiB)
  const large = rawImage(folder, "large.raw", 4 * MiB, 2)
  await json(["image", "add", "win11", path], { data })
  await json(["image", "add", "large", large.path], { data })

  const before = await imagelink(["image", "place", "win11", "--tier", "ramdisk"], { data })
  expect([before.status, before.stdout.trim().split("\n").at(-1)]).toEqual([0, "it takes effect when a server starts"])
  let served = await startServe(data, ["--ram", "4M"])
  const again = await imagelink(["image", "place", "win11", "--tier", "ramdisk"], { data })
  expect([again.status, again.stdout]).toEqual([0, "nothing to change: it is so already\nin RAM: @1, 2 MiB\n"])
  const jobs = await json<ReadonlyArray<JobInfo>>(["jobs"], { data })
  expect(jobs.map((job) => job.title)).toContain("place win11 in RAM")
  const shown = await imagelink(["image", "show", "win11"], { data })
  expect(shown.stdout).toContain("in ramdisk")

  const full = await imagelink(["image", "place", "large", "--tier", "ramdisk", "--json"], { data })
  expect([full.status, refusal(full).code]).toEqual([1, "RAM_TIER_FULL"])
  expect(refusal(full).fix).toContain("imagelink serve --ram SIZE")
  const back = await json<ImagePlacedAnswer>(["image", "place", "win11", "--tier", "file"], { data })
  expect([back.events.length, back.ram]).toEqual([1, null])
  const placed = await json<ImagePlacedAnswer>(["image", "place", "large", "--tier", "ramdisk"], { data })
  expect(placed.ram).toEqual({ versions: [1], bytes: 4 * MiB, left: 0 })
  expect(await served.stop()).toBe(0)

  served = await startServe(data, ["--ram", "1M"])
  for (let i = 0; i < 500 && !served.stderr().includes("RAM_TIER_FULL"); i++)
    await new Promise((r) => setTimeout(r, 20))
  expect(served.stderr()).toMatch(/image large@1 does not fit .*\[RAM_TIER_FULL\].*it is served from its file; fix: /)
  await served.stop()
  const recorded = (await events(data))
    .filter((e) => e.type === "ImagePlaced")
    .map((e) => (e.data.to as { kind: string }).kind)
  expect(recorded).toEqual(["ramdisk", "file", "ramdisk"])
})

it("asks where to, and takes nothing else for it", async () => {
  for (const more of [[], ["--tier", "tape"]]) {
    const run = await imagelink(["image", "place", "win11", ...more, "--json"], { data: scratch("place-usage") })
    expect([run.status, refusal(run).code, refusal(run).fix]).toEqual([2, "USAGE", expect.stringContaining("--help")])
  }
})
