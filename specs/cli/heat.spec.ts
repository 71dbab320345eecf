/** `image heat`, `image record` and `image place --hot`, with clients of a running server that check every byte. */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "vitest"
import type { ImageHeatAnswer, ImagePlacedAnswer } from "../../core/runtime/site/image-tiers.ts"
import { imagelink, json, refusal, scratch, startServe } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { openNbdDisk } from "../support/nbd-disk.ts"
import { random } from "../support/random.ts"

/** Many commands, each a process of its own. */
const TIMEOUT_MILLIS = 240_000
const C = 65_536
const MiB = 2 ** 20
const folder = scratch("heat-cli")
const data = join(folder, "data")
const clients = [1, 2, 3, 4]

/** Reads until it is told to stop, compares everything, and answers the longest wait. */
const reader = async (listener: string, name: string, bytes: Buffer, seed: number, running: () => boolean) => {
  const disk = await openNbdDisk(listener, name)
  const r = random(seed)
  let [reads, longestMillis] = [0, 0]
  while (running()) {
    const offset = r.int(bytes.length / 512) * 512
    const length = Math.min(512 * (1 + r.int(256)), bytes.length - offset)
    const began = performance.now()
    const read = await disk.read(offset, length)
    longestMillis = Math.max(longestMillis, performance.now() - began)
    if (!bytes.subarray(offset, offset + length).equals(read))
      expect.fail(`${name}: other bytes at ${offset}+${length}`)
    reads++
  }
  await disk.close()
  return { reads, longestMillis }
}

it(
  "records boots and a launch, prints them, and moves the hot zone into RAM and back under running clients",
  async () => {
    const { path, bytes } = rawImage(folder, "win11.raw", 48 * MiB)
    await json(["image", "add", "win11", path], { data })
    const none = await imagelink(["image", "heat", "win11"], { data })
    expect([none.status, none.stdout.split("\n")[0]]).toEqual([0, "nothing is known yet of what is hot in win11"])
    for (const n of clients) await json(["client", "add", `52:54:00:00:00:0${n}`, "--name", `PC-${n}`], { data })
    await json(["client", "link", ...clients.map((n) => `PC-${n}`), "win11"], { data })
    const alone = await imagelink(["image", "record", "win11", "--label", "launch", "--for", "1s", "--json"], { data })
    expect([alone.status, refusal(alone).code]).toEqual([1, "HEAT_NOT_RECORDED"])

    const served = await startServe(data, ["--ram", "64M", "--cache", "16M"])
    const listener = served.listeners.nbd!
    const early = await imagelink(["image", "place", "win11", "--tier", "ramdisk", "--hot", "--json"], { data })
    expect([early.status, refusal(early).code]).toEqual([1, "HEAT_NONE"])
    const disk = await openNbdDisk(listener, "client/PC-1/0")
    for (let cluster = 0; cluster < 64; cluster += 2) await disk.read(cluster * C, 4096)
    const heat = await json<ImageHeatAnswer>(["image", "heat", "win11"], { data })
    expect(heat).toMatchObject({ booting: 1, labels: [{ label: "boot", recorded: 1, reads: 32 }] })

    const recording = json(["image", "record", "win11", "--label", "launch", "--for", "8s"], { data })
    let isRunning = true
    void recording.finally(() => (isRunning = false)).catch(() => {})
    while (isRunning) await disk.read(700 * C, 4096)
    expect(await recording).toEqual({ image: "win11", label: "launch", clients: 1, clusters: 1, bytes: C })
    await disk.close()
    const shown = await imagelink(["image", "heat", "win11"], { data })
    expect(shown.stdout).toMatch(/^1 boot of win11 is being recorded now\nwin11: 2\.1 MiB of 48 MiB were read/)
    expect(shown.stdout).toMatch(/\[###---?\.+-\.+\]\n|\[[-.+#]{64}\]\n/)
    expect(shown.stdout).toMatch(/boot +1 +1 .*1 MiB/)
    expect(shown.stdout).toMatch(/launch +1 +1 .*64 KiB/)

    let running = true
    const readers = clients.map((n) => reader(listener, `client/PC-${n}/0`, bytes, n, () => running))
    const placed = await json<ImagePlacedAnswer>(["image", "place", "win11", "--tier", "ramdisk", "--hot"], { data })
    expect(placed.events.map((e) => e.data)).toMatchObject([{ to: { kind: "ramdisk", hot: true, share: 99 } }])
    expect(placed.ram?.bytes).toBeGreaterThanOrEqual(3 * MiB)
    const listed = await imagelink(["image", "list"], { data })
    expect(listed.stdout).toContain("ramdisk, hot")
    const image = await imagelink(["image", "show", "win11"], { data })
    expect(image.stdout).toContain("in ramdisk (hot zone, 99 % of what is read)")
    const whole = await json<ImagePlacedAnswer>(["image", "place", "win11", "--tier", "ramdisk"], { data })
    expect(whole.ram).toEqual({ versions: [1], bytes: 48 * MiB, left: 0 })
    await json(["image", "place", "win11", "--tier", "ramdisk", "--hot", "--share", "50"], { data })
    await json(["image", "place", "win11", "--tier", "file"], { data })
    running = false
    const seen = await Promise.all(readers)
    for (const { reads } of seen) expect(reads).toBeGreaterThan(0)
    const longest = Math.max(...seen.map((s) => s.longestMillis))
    console.log(
      `${seen.reduce((sum, s) => sum + s.reads, 0)} reads while it moved, the longest took ${longest.toFixed(1)} ms`,
    )
    expect(longest).toBeLessThan(10_000)

    const file = join(folder, "win11.heat")
    const exported = await imagelink(["image", "heat", "win11", "--export", file], { data })
    expect([exported.status, existsSync(file)]).toEqual([0, true])
    const twice = await imagelink(["image", "heat", "win11", "--export", file, "--json"], { data })
    expect([twice.status, refusal(twice).message]).toEqual([2, expect.stringContaining("--force replaces it")])
    expect((await imagelink(["image", "heat", "win11", "--export", file, "--force"], { data })).status).toBe(0)
    expect(await served.stop()).toBe(0)
    const kept = await json<ImageHeatAnswer>(["image", "heat", "win11"], { data })
    expect(kept.labels.map((l) => [l.label, l.recorded]).sort()).toEqual([
      ["boot", 4],
      ["launch", 1],
    ])
    const imported = await imagelink(["image", "heat", "win11", "--import", file], { data })
    expect([imported.status, imported.stdout.split("\n")[0]]).toEqual([0, expect.stringMatching(/^took 5 recordings /)])
    writeFileSync(file, readFileSync(file).subarray(1))
    const refused = await imagelink(["image", "heat", "win11", "--import", file, "--json"], { data })
    expect([refused.status, refusal(refused).code]).toEqual([1, "HEAT_REFUSED"])
  },
  TIMEOUT_MILLIS,
)

it("what is asked for wrongly is a usage error, said before anything is looked at", async () => {
  const wrong = [
    ["image", "place", "win11", "--tier", "file", "--hot"],
    ["image", "place", "win11", "--tier", "ramdisk", "--share", "99"],
    ["image", "place", "win11", "--tier", "ramdisk", "--hot", "--share", "0"],
    ["image", "place", "win11", "--tier", "ramdisk", "--hot", "--share", "101"],
    ["image", "heat", "win11", "--export", "a", "--import", "b"],
    ["image", "heat", "win11", "--force"],
    ["image", "record", "win11", "--for", "5m"],
    ["image", "record", "win11", "--label", "launch"],
    ["image", "record", "win11", "--label", "launch", "--for", "soon"],
  ]
  for (const args of wrong) {
    const run = await imagelink([...args, "--json"], { data: scratch("heat-usage") })
    expect([run.status, refusal(run).code], args.join(" ")).toEqual([2, "USAGE"])
  }
})
