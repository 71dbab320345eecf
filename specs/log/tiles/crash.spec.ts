/** Killed at random moments of append and publishing, the log is published on, and every checkpoint it ever printed still holds. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { afterAll, expect, it } from "vitest"
import { Publisher } from "../../../core/log/tiles/publisher.ts"
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

/** Runs the child until it has signed some checkpoints, and kills it a random moment later; the size of the last one seen. */
const run = async (dir: string, r: ReturnType<typeof random>): Promise<number> => {
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
  return Number(text.split("\n").at(-2))
}

it.each(Array.from({ length: process.env.IMAGELINK_SEED === undefined ? seeds : 1 }, (_, i) => first + i))(
  "seed %i",
  async (seed) => {
    const r = random(seed)
    const dir = await newStore("tlog-crash")
    folders.push(dir)
    for (let round = 1; round <= 2; round++) {
      const seen = await run(dir, r)
      await withLog(dir, async (log) => {
        const publisher = new Publisher({ dir, log, key: () => log.key })
        expect(publisher.published()!.size).toBeGreaterThanOrEqual(seen)
        await verifyLog({ log, files: publisher.files, checkpoint: publisher.published() })
        if (r.below(2) === 0) return
        expect((await publisher.publish()).size).toBe(log.head())
        await verifyLog({ log, files: publisher.files, checkpoint: publisher.published() })
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
