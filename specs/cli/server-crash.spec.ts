/**
 * A real server process, killed with SIGKILL at a seeded moment under load: whatever it acknowledged is there afterwards.
 *
 *     IMAGELINK_SEEDS=50 npx vitest run specs/cli/server-crash.spec.ts     more moments
 *     IMAGELINK_SEED=7   npx vitest run specs/cli/server-crash.spec.ts     one of them again
 *
 * **Details** The seed decides what is sent and after how many acknowledgements the kill comes; what is in flight then is the machine's
 * choice, so a replay repeats the load and nearly the moment. A disk is judged sector by sector (disk-history.ts).
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { setImmediate as turn } from "node:timers/promises"
import { describe, expect, it } from "vitest"
import { connectSite } from "../../adapters/api/client.ts"
import { openSite } from "../../adapters/compose.ts"
import { connectNbd, type NbdClient } from "../../adapters/nbd/client.ts"
import type { Actor, Recorded } from "../../core/log/event-log.ts"
import type { Site } from "../../core/runtime/site.ts"
import { type Served, scratch, startServe } from "../support/cli.ts"
import { acknowledged, DiskHistory } from "../support/disk-history.ts"
import { type Random, random } from "../support/random.ts"

const actor: Actor = { kind: "cli", name: "operator" }
const one = process.env.IMAGELINK_SEED
const seeds =
  one === undefined ? Array.from({ length: Number(process.env.IMAGELINK_SEEDS ?? 3) }, (_, i) => i + 1) : [Number(one)]
const replay = (seed: number) => `replay: IMAGELINK_SEED=${seed} npx vitest run specs/cli/server-crash.spec.ts`

/** Runs `width` workers until each says that it is done. */
const workers = (width: number, work: () => Promise<boolean>) =>
  Promise.all(
    Array.from({ length: width }, async () => {
      while (await work());
    }),
  )

describe("a server killed while it appends", () => {
  const operations = 1000
  const inFlight = 8
  const mac = (n: number) =>
    `52:54:00:01:${(n >> 8).toString(16).padStart(2, "0")}:${(n & 255).toString(16).padStart(2, "0")}`
  const commandId = (n: number) => `01935b00-0000-7000-8000-${n.toString(16).padStart(12, "0")}`
  const add = (site: Site, n: number) => site.call("client.add", { mac: mac(n) }, { actor, commandId: commandId(n) })

  it.each(seeds)("has every acknowledged command, whole and in order: seed %i", async (seed) => {
    const data = join(scratch("append"), "data")
    const server = await startServe(data, ["--nbd-port", "off"])
    const site = (await connectSite(server.listeners.control!))!
    const killAfter = random(seed).int(operations)
    const answers = new Map<number, Recorded>()
    let next = 0
    let killed: Promise<unknown> | undefined
    await workers(inFlight, async () => {
      if (next === operations || killed !== undefined) return false
      const n = next++
      const answer = await add(site, n).catch(() => undefined)
      if (answer !== undefined) answers.set(n, answer.events[0] as Recorded)
      if (answers.size > killAfter) killed ??= server.kill("SIGKILL")
      return true
    })
    await (killed ?? server.kill("SIGKILL"))
    expect(answers.size, replay(seed)).toBeGreaterThan(killAfter)

    const after = await openSite({ dataDir: data, create: false })
    try {
      const lines: Array<string> = []
      await after.call("log", {}, { actor, onItem: (line) => void lines.push(line) })
      const log = lines.map((line) => JSON.parse(line) as Recorded)
      expect(
        log.map((e) => e.position),
        replay(seed),
      ).toEqual(log.map((_, i) => i + 1))
      for (const answer of answers.values()) expect(log[answer.position - 1], replay(seed)).toEqual(answer)
      expect(log.length, replay(seed)).toBeLessThanOrEqual(next)
      expect(
        (await after.call("rebuild.check", {}, { actor })).every((p) => p.equal),
        replay(seed),
      ).toBe(true)

      for (let n = 0; n < next; n++) {
        const again = await add(after, n)
        const before = answers.get(n)
        if (before !== undefined) expect([again.repeated, again.events], replay(seed)).toEqual([true, [before]])
      }
      const clients = await after.call("client.list", {}, { actor })
      expect(new Set(clients.map((c) => c.mac)).size, replay(seed)).toBe(next)
    } finally {
      await after.close()
    }
  })
})

const SECTOR = 512
const sectors = 2048
const size = sectors * SECTOR
const baseValue = (sector: number) => 0x4000_0000 + sector
const filled = (from: number, count: number, value: (sector: number) => number): Buffer => {
  const words = new Uint32Array((count * SECTOR) / 4)
  for (let s = 0; s < count; s++) words.fill(value(from + s), s * 128, s * 128 + 128)
  return Buffer.from(words.buffer)
}

/** One client's disk, what was sent to it, and what it may hold. */
class Writer {
  readonly name: string
  readonly history = new DiskHistory(baseValue)
  readonly #random: Random
  #disk: NbdClient | undefined
  #values = 0

  constructor(name: string, seed: number) {
    this.name = name
    this.#random = random(seed)
  }

  async connect(server: Served): Promise<void> {
    this.#disk = await connectNbd({ host: "127.0.0.1", port: server.nbdPort, export: `client/${this.name}/0` })
  }

  /** One request of a kind, place and length that the seed decides; true when it was acknowledged. */
  async step(): Promise<boolean> {
    const pick = this.#random
    const kind = pick.int(20)
    if (kind === 0) {
      return this.#disk!.flush().then(
        () => true,
        () => false,
      )
    }
    const longest = pick.chance(0.5) ? 8 : 64
    const from = pick.int(sectors)
    const count = 1 + pick.int(Math.min(longest, sectors - from))
    const value = kind === 1 ? 0 : ++this.#values
    const change = this.history.begin(
      Array.from({ length: count }, (_, i) => from + i),
      value,
    )
    const sent =
      kind === 1
        ? this.#disk!.zero(from * SECTOR, count * SECTOR)
        : this.#disk!.write(
            from * SECTOR,
            filled(from, count, () => value),
            { fua: kind === 2 },
          )
    const done = await sent.then(
      () => true,
      () => false,
    )
    if (done) change.finish(false)
    return done
  }

  /** Reads the whole disk and answers the sectors that are not what they may be. */
  async wrong(): Promise<ReadonlyArray<string>> {
    const now = this.history.now
    const bytes = await this.#disk!.read(0, size)
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, size / 4)
    const bad: Array<string> = []
    for (let sector = 0; sector < sectors; sector++) {
      const value = words[sector * 128]!
      const whole = words.subarray(sector * 128, sector * 128 + 128).every((word) => word === value)
      const allowed = this.history.allowed(sector, now, acknowledged)
      if (!whole || !allowed.has(value))
        bad.push(`${this.name} sector ${sector}: ${value}${whole ? "" : " torn"}, may be ${[...allowed]}`)
      this.history.saw(sector, value, false)
    }
    return bad
  }

  drop(): void {
    this.#disk?.destroy()
  }
}

describe("a server killed while clients write", () => {
  const kills = 2
  it.each(seeds)(
    "has every acknowledged write of every client, and the image everywhere else: seed %i",
    async (seed) => {
      const folder = scratch("writes")
      const data = join(folder, "data")
      const path = join(folder, "disk.raw")
      const image = filled(0, sectors, baseValue)
      writeFileSync(path, image)
      const setUp = await openSite({ dataDir: data, create: true })
      await setUp.call("image.add", { name: "disk", path, check: seed % 2 === 0 }, { actor })
      const writers = Array.from({ length: 4 }, (_, i) => new Writer(`PC-${i}`, seed * 10 + i))
      for (const [i, { name }] of writers.entries()) {
        await setUp.call("client.add", { mac: mac2(i), name }, { actor })
        const overlay = i % 2 === 0 ? "keep" : "discard"
        await setUp.call("client.link", { clients: [name], image: "disk", slot: 0, overlay }, { actor })
      }
      await setUp.close()

      const moments = random(seed)
      for (let kill = 0; kill < kills; kill++) {
        const server = await startServe(data)
        await Promise.all(writers.map((w) => w.connect(server)))
        if (kill > 0) for (const w of writers) expect(await w.wrong(), replay(seed)).toEqual([])
        let left = 1 + moments.int(600)
        let killed: Promise<unknown> | undefined
        await Promise.all(
          writers.map((w) =>
            workers(6, async () => {
              if (!(await w.step())) return false
              if (--left === 0) killed = server.kill("SIGKILL")
              if (left % 16 === 0) await turn()
              return true
            }),
          ),
        )
        await killed
        for (const w of writers) {
          w.drop()
          w.history.died()
        }
      }
      const server = await startServe(data)
      await Promise.all(writers.map((w) => w.connect(server)))
      for (const w of writers) expect(await w.wrong(), replay(seed)).toEqual([])
      const version = await connectNbd({ host: "127.0.0.1", port: server.nbdPort, export: "image/disk@1" })
      expect((await version.read(0, size)).equals(image), replay(seed)).toBe(true)
      version.destroy()
      for (const w of writers) w.drop()
      expect(await server.stop()).toBe(0)
    },
  )
})

const mac2 = (n: number) => `52:54:00:02:00:0${n}`

it("the judge of a disk notices a write that was acknowledged and is gone", () => {
  const history = new DiskHistory(baseValue)
  history.begin([7], 1).finish(false)
  history.died()
  expect([...history.allowed(7, history.now, acknowledged)]).toEqual([1])
  history.begin([7], 2)
  history.died()
  expect([...history.allowed(7, history.now, acknowledged)]).toEqual([1, 2])
})
