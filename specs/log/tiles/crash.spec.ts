/** Killed at random moments of append and publishing, the log is published on, and every checkpoint it ever printed still holds. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { afterAll, expect, it } from "vitest"
import type { LevelLog } from "../../../core/log/level-log.ts"
import { leafHash } from "../../../core/log/merkle/hash.ts"
import { eachEvent } from "../../../core/log/tiles/events.ts"
import { Publisher } from "../../../core/log/tiles/publisher.ts"
import { TileTree } from "../../../core/log/tiles/tile-tree.ts"
import { verifyLog } from "../../../core/log/tiles/verify-log.ts"
import { random } from "../support/random.ts"
import { discard, newStore, temporary, withLog } from "../support/store.ts"
import { memoryTlog, publisherOf, verifyIn } from "../support/tlog.ts"

const folders: Array<string> = []
afterAll(() => {
  for (const dir of folders) discard(dir)
})
const child = join(import.meta.dirname, "../support/tlog-crash-child.ts")
const seeds = Number(process.env.IMAGELINK_SEEDS ?? 4)
const first = Number(process.env.IMAGELINK_SEED ?? 1)

/** Size and root of a checkpoint that was signed and seen by somebody. */
type Seen = readonly [size: number, root: string]

/** Runs the child until it has signed some checkpoints, and kills it a random moment later; those that it printed. */
const run = async (dir: string, r: ReturnType<typeof random>): Promise<ReadonlyArray<Seen>> => {
  const publishing = spawn(process.execPath, ["--conditions=source", child, dir], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const gone = once(publishing, "exit")
  const lines = 1 + r.below(6)
  let text = ""
  publishing.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString()
    if (text.split("\n").length > lines) setTimeout(() => publishing.kill("SIGKILL"), r.below(30))
  })
  const late = setTimeout(() => publishing.kill("SIGKILL"), 15_000)
  expect(await gone).toEqual([null, "SIGKILL"])
  clearTimeout(late)
  // a line cut off by the kill counts for nothing
  const whole = text.split("\n").slice(0, -1)
  return whole.map((line) => [Number(line.split(" ")[0]), line.split(" ")[1]!])
}

/** Every checkpoint that anybody saw is one of this log: nothing was ever signed twice differently. */
const extendsAll = async (log: LevelLog, seen: ReadonlyArray<Seen>, hint: string) => {
  const tree = new TileTree()
  const roots = new Map(seen)
  let found = 0
  await eachEvent(log, 0, log.head(), async (events) => {
    for (const { bytes } of events) {
      tree.add(leafHash(bytes), () => {})
      const root = roots.get(tree.size)
      if (root === undefined) continue
      expect(Buffer.from(tree.root()).toString("base64"), `${hint}: the checkpoint of ${tree.size}`).toBe(root)
      found++
    }
  })
  expect(found, hint).toBe(roots.size)
}

it.each(Array.from({ length: process.env.IMAGELINK_SEED === undefined ? seeds : 1 }, (_, i) => first + i))(
  "seed %i",
  async (seed) => {
    const r = random(seed)
    const dir = await newStore("tlog-crash")
    folders.push(dir)
    const seen: Array<Seen> = []
    for (let round = 1; round <= 2; round++) {
      const hint = `seed ${seed}, round ${round}`
      seen.push(...(await run(dir, r)))
      await withLog(dir, async (log) => {
        const publisher = new Publisher({ dir, log, key: () => log.key })
        const { size, root } = publisher.published()!
        expect(size, hint).toBeGreaterThanOrEqual(seen.at(-1)![0])
        seen.push([size, Buffer.from(root).toString("base64")])
        await verifyLog({ log, files: publisher.files, checkpoint: publisher.published() })
        await extendsAll(log, seen, hint)
        if (r.below(2) === 0) return
        expect((await publisher.publish()).size).toBe(log.head())
        await verifyLog({ log, files: publisher.files, checkpoint: publisher.published() })
        await extendsAll(log, seen, hint)
      })
    }
  },
  60_000,
)

it("goes on after any one file could not be written, in the same process", async () => {
  // two full files, three partial ones, the checkpoint
  for (let nth = 1; nth <= 7; nth++) {
    const dir = temporary("tlog-fail")
    folders.push(dir)
    const log = memoryTlog(300)
    const publisher = publisherOf(dir, log)
    await publisher.publish()
    log.grow(300)
    const { files } = publisher
    const write = files.write.bind(files)
    let writes = 0
    files.write = async (name, bytes) => {
      if (++writes === nth) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" })
      await write(name, bytes)
    }
    const outcome = await publisher.publish().then(
      () => "published",
      (e: { code: string }) => e.code,
    )
    expect([nth, outcome]).toEqual([nth, nth <= 6 ? "NO_SPACE" : "published"])
    expect(publisher.published()!.size).toBe(nth <= 6 ? 300 : 600)
    expect((await publisher.publish()).size).toBe(600)
    expect(await verifyIn(dir, log)).toMatchObject({ published: 600 })
  }
})
