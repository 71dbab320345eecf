/** The scrub: what it reads, how fast, in which order, what it records, and where it goes on after a stop. */
import { existsSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it, onTestFinished } from "vitest"
import type { EventData } from "../../core/domain/events.ts"
import { limits } from "../../core/limits.ts"
import type { Recorded } from "../../core/log/event-log.ts"
import { makeScrub, type Scrub } from "../../core/runtime/scrub/scrub.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { operator, type ServingSite, serveHere, write } from "../support/serving.ts"
import { type Spoiled, spoiled, spoiledOpener } from "../support/spoiled-opener.ts"
import { type SteppedClock, steppedClock } from "../support/stepped-clock.ts"

const KiB = 1024
const MiB = 1024 * KiB
const CLUSTER = 64 * KiB
const DAY = 86_400_000
const folder = scratch("scrub")
let folders = 0

interface Scrubbed {
  readonly here: ServingSite
  readonly data: string
  readonly clock: SteppedClock
  readonly storage: Spoiled
  readonly said: Array<string>
  /** Types and versions of what was recorded since the last call. */
  found(): Promise<ReadonlyArray<string>>
  scrub(bytesPerSecond?: number): Scrub
  add(name: string, sizeBytes: number, seed?: number): Promise<string>
}

const site = async (data = join(folder, `data-${++folders}`), clock = steppedClock(2_000_000_000_000)) => {
  const storage = spoiled()
  const here = await serveHere(data, ({ opener }) => ({ now: clock.now, opener: spoiledOpener(opener, storage) }))
  const scrubs: Array<Scrub> = []
  const said: Array<string> = []
  let after = here.parts.log.head()
  const made: Scrubbed = {
    ...{ here, data, clock, storage, said },
    async found() {
      const events: Array<Recorded<string, EventData<"ImageChecked">>> = []
      const onItem = (line: string) => void events.push(JSON.parse(line))
      await here.site.call("log", { after }, { actor: operator, onItem })
      after = here.parts.log.head()
      return events
        .filter(({ type }) => type === "ImageChecked")
        .map(({ data: { image, version, result, mismatches } }) =>
          [`${image.name}@${version}`, result, ...mismatches.clusters].join(" "),
        )
    },
    scrub(bytesPerSecond = 64 * MiB) {
      const scrub = makeScrub({
        parts: { ...here.parts, serving: undefined as never },
        actor: { kind: "server", name: "here" },
        bytesPerSecond,
        everyDays: 30,
        sleep: clock.sleep,
        report: (level, text) => void said.push(`${level}: ${text}`),
      })
      scrubs.push(scrub)
      scrub.start()
      return scrub
    },
    async add(name, sizeBytes, seed = 1) {
      const { path } = rawImage(folder, `${folders}-${name}.raw`, sizeBytes, seed)
      await here.do("image.add", { name, path, check: true })
      clock.pass(1)
      storage.asked.splice(0)
      return path
    },
  }
  const close = async () => {
    for (const scrub of scrubs) await scrub.close()
    await here.close()
  }
  let closed: Promise<void> | undefined
  const once = () => (closed ??= close())
  onTestFinished(once)
  return { ...made, close: once }
}
const clusters = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

describe("a scrub", () => {
  it("reads a version once its last check is old enough, all of it once, and records that at its end", async () => {
    const s = await site()
    await s.add("win11", 2 * MiB + 512)
    await s.found()
    s.scrub()
    await s.clock.idle()
    s.clock.pass(30 * DAY - 10 * 60_000)
    await s.clock.idle()
    expect([s.storage.asked, await s.found()]).toEqual([[], []])
    s.clock.pass(10 * 60_000)
    await s.clock.idle()
    expect(s.storage.asked).toEqual(clusters(0, 33))
    expect([await s.found(), s.said]).toEqual([["win11@1 verified"], ["info: scrubbed win11@1: verified, 33 clusters"]])
    expect((await s.here.do("image.list", {}))[0]!.versions[0]!.checkedAt).toBe(s.clock.now())
    s.clock.pass(29 * DAY)
    await s.clock.idle()
    expect(s.storage.asked).toHaveLength(33)
  })

  it("reads no faster than it is told to, and does not make up for time that was lost", async () => {
    const s = await site()
    await s.add("win11", 8 * MiB)
    s.clock.pass(31 * DAY)
    const [start, waits] = [s.clock.now(), [] as Array<number>]
    s.clock.onShort = (millis) => {
      waits.push(millis)
      if (waits.length === 4) s.clock.pass(60_000)
    }
    s.scrub(MiB / 2)
    await s.clock.idle()
    expect(waits).toEqual(Array.from({ length: 8 }, () => 2000))
    expect(s.clock.now()).toBe(start + 16_000 + 60_000)
  })

  it("begins with the version whose check is oldest, and reads one after the other", async () => {
    const s = await site()
    for (const name of ["c", "a", "b"]) await s.add(name, 64 * KiB)
    await s.here.do("image.add", { name: "never", path: rawImage(folder, "never.raw", 512).path, check: false })
    await s.found()
    s.clock.pass(31 * DAY)
    s.scrub()
    await s.clock.idle()
    expect(await s.found()).toEqual(["c@1 verified", "a@1 verified", "b@1 verified"])
  })

  it("records a cluster that went bad, once for each reading, and again when it is right", async () => {
    const s = await site()
    await s.add("win11", MiB)
    await s.found()
    s.storage.wrong.add(5)
    s.scrub()
    for (let reading = 1; reading <= 2; reading++) {
      s.clock.pass(31 * DAY)
      await s.clock.idle()
      expect(await s.found()).toEqual(["win11@1 mismatch 5"])
      const [version] = (await s.here.do("image.show", { name: "win11" })).image.versions
      expect([version!.checked, version!.mismatches]).toEqual(["mismatch", { count: 1, clusters: [5] }])
    }
    s.storage.wrong.clear()
    s.clock.pass(31 * DAY)
    await s.clock.idle()
    expect(await s.found()).toEqual(["win11@1 verified"])
    expect(s.said[0]).toMatch(
      /^error: scrubbed win11@1: 1 of 16 clusters are bad; image win11@1: .*bytes 327680 to 393215.* \[CRC_MISMATCH\]; fix: /,
    )
  })

  it("counts a cluster that cannot be read as bad, and reads on", async () => {
    const s = await site()
    await s.add("win11", 2 * MiB)
    await s.found()
    s.storage.unreadable.add(0).add(31)
    s.storage.wrong.add(17)
    s.clock.pass(31 * DAY)
    s.scrub()
    await s.clock.idle()
    expect(await s.found()).toEqual(["win11@1 mismatch 0 17 31"])
  })

  it("records nothing when the storage is away, says so, and tries again a day later", async () => {
    const s = await site()
    await s.add("win11", (limits.scrubUnreadableMax + 1) * CLUSTER)
    await s.found()
    for (const c of clusters(0, limits.scrubUnreadableMax + 1)) s.storage.unreadable.add(c)
    s.clock.pass(31 * DAY)
    s.scrub()
    await s.clock.idle()
    expect([await s.found(), s.said.length]).toEqual([[], 1])
    expect(s.said[0]).toContain("[IO_ERROR]")
    s.storage.unreadable.delete(0)
    s.clock.pass(DAY - 6 * 60_000)
    await s.clock.idle()
    expect(await s.found()).toEqual([])
    s.clock.pass(6 * 60_000)
    await s.clock.idle()
    const bad = clusters(1, limits.scrubUnreadableMax + 1)
    expect(await s.found()).toEqual([["win11@1 mismatch", ...bad].join(" ")])
  })

  it("does not judge a file that is not the recorded one", async () => {
    const s = await site()
    const path = await s.add("win11", MiB)
    await s.found()
    utimesSync(path, 1, 1)
    s.clock.pass(31 * DAY)
    s.scrub()
    await s.clock.idle()
    expect([await s.found(), s.storage.asked]).toEqual([[], []])
    expect(s.said[0]).toContain("[IMAGE_CHANGED]")
  })

  it("does not read what the files know to be zeros, but sees that they should not be", async () => {
    const s = await site()
    const path = join(folder, "sparse.raw")
    const bytes = Buffer.alloc(4 * MiB)
    bytes.fill(7, MiB, 2 * MiB)
    writeFileSync(path, bytes)
    await s.here.do("image.add", { name: "win11", path, check: true })
    await s.found()
    s.storage.asked.splice(0)
    // the disk says now that its second mebibyte is a hole, as after a lost extent
    const hole = [{ offset: 0, length: 4 * MiB, kind: "zero" as const }]
    const { opener } = s.here.parts
    const holey = {
      ...opener,
      async open(...asked: Parameters<typeof opener.open>) {
        const opened = await opener.open(...asked)
        return { ...opened, disk: Object.assign(opened.disk, { extents: async () => hole }) }
      },
    }
    Object.assign(s.here.parts, { opener: holey })
    s.clock.pass(31 * DAY)
    s.scrub()
    await s.clock.idle()
    expect(await s.found()).toEqual([["win11@1 mismatch", ...clusters(16, 32)].join(" ")])
    expect(s.storage.asked).toEqual([])
  })

  it("told to read nothing reads nothing", async () => {
    const s = await site()
    await s.add("win11", MiB)
    s.clock.pass(31 * DAY)
    await s.scrub(0).close()
    expect(s.storage.asked).toEqual([])
  })

  it("goes on with the rest when its job is cancelled", async () => {
    const s = await site()
    await s.add("a", 4 * MiB)
    await s.add("b", MiB)
    await s.found()
    s.clock.pass(31 * DAY)
    s.clock.onShort = async () => {
      s.clock.onShort = () => {}
      const job = (await s.here.do("jobs", {})).find(({ title, state }) => title === "scrub a@1" && state === "running")
      await s.here.do("job.cancel", { id: job!.id })
    }
    s.scrub()
    await s.clock.idle()
    expect(await s.found()).toEqual(["b@1 verified"])
    expect((await s.here.do("jobs", {})).slice(-2).map(({ state }) => state)).toEqual(["cancelled", "done"])
  })

  it("leaves an image that is removed while it is read", async () => {
    const s = await site()
    await s.add("win11", 2 * MiB)
    await s.found()
    s.clock.pass(31 * DAY)
    s.clock.onShort = async () => {
      s.clock.onShort = () => {}
      await s.here.do("image.remove", { name: "win11" })
    }
    s.scrub()
    await s.clock.idle()
    expect([await s.found(), s.said]).toEqual([[], []])
  })
})

describe("a committed version", () => {
  it("is read where its layer touched it; what is its parent's is read there", async () => {
    const s = await site()
    const { here } = s
    await s.add("win11", 4 * MiB)
    await here.do("client.add", { mac: "52:54:00:00:00:01" })
    await here.do("client.link", { clients: ["PC-001"], image: "win11", slot: 0 })
    await here.do("client.set-super", { client: "PC-001", image: "win11" })
    const lease = await here.attach("PC-001")
    await write(lease, 20 * CLUSTER + 4 * KiB, Buffer.alloc(4 * KiB, "mine"))
    await lease.release()
    await here.do("image.commit", { name: "win11" })
    s.clock.pass(1)
    await here.do("image.check", { name: "win11", version: 2 })
    await s.found()
    s.storage.asked.splice(0)
    s.clock.pass(31 * DAY)
    s.scrub()
    await s.clock.idle()
    expect(await s.found()).toEqual(["win11@1 verified", "win11@2 verified"])
    // of the second version only the grains beside the written one are the image's
    expect(s.storage.asked.slice(64)).toEqual([20, 20])
    // damage below is found where it is, and from then on the version above is read whole
    s.storage.wrong.add(3)
    s.clock.pass(31 * DAY)
    await s.clock.idle()
    expect(await s.found()).toEqual(["win11@1 mismatch 3", "win11@2 mismatch 3"])
  })
})

describe("an image that another server has", () => {
  /** The same storage, whose plugin does not promise that reads cross no network. */
  const moveAway = (s: Scrubbed) => {
    const { opener } = s.here.parts
    const isLocal = async ({ kind }: { readonly kind: string }) => kind === "data"
    Object.assign(s.here.parts, { opener: { ...opener, isLocal } })
  }

  /** Version 2, checked, and a month later. */
  const commitAndScrub = async (s: Scrubbed) => {
    await s.here.do("client.add", { mac: "525400000001", name: "PC-1" })
    await s.here.do("client.link", { clients: ["PC-1"], image: "far", slot: 0 })
    await s.here.do("client.set-super", { client: "PC-1", image: "far" })
    const lease = await s.here.attach("PC-1")
    await write(lease, 3 * CLUSTER, Buffer.alloc(CLUSTER, 5))
    await lease.release()
    await s.here.do("image.commit", { name: "far" })
    await s.here.do("image.check", { name: "far", version: 2 })
    await s.found()
    s.storage.asked.splice(0)
    s.clock.pass(31 * DAY)
    const scrub = s.scrub()
    await s.clock.idle()
    await scrub.close()
  }

  it("is not read; what a commit made of it is", async () => {
    const s = await site()
    await s.add("far", 2 * MiB)
    moveAway(s)
    await commitAndScrub(s)
    expect([await s.found(), s.storage.asked]).toEqual([["far@2 verified"], []])
    expect(s.said).toEqual([
      "info: far@1 is not scrubbed, because it is read from another server; image check reads all of it",
      "info: scrubbed far@2: verified, 32 clusters",
    ])
  })

  it("is not read for a version on it either, while it is not known to be right", async () => {
    const s = await site()
    await s.add("far", 2 * MiB)
    s.storage.wrong.add(7)
    await s.here.do("image.check", { name: "far" })
    moveAway(s)
    await commitAndScrub(s)
    expect([await s.found(), s.storage.asked]).toEqual([[], []])
    expect(s.said.map((line) => line.slice(0, 28))).toEqual([
      "info: far@1 is not scrubbed,",
      "info: far@2 is not scrubbed,",
    ])
  })
})

describe("a scrub that was stopped", () => {
  /** Stops it after the third step of a version of eight, two clusters of which are bad. */
  const stopped = async () => {
    const s = await site()
    await s.add("win11", 8 * MiB)
    await s.found()
    s.storage.wrong.add(1).add(127)
    s.clock.pass(31 * DAY)
    let steps = 0
    let stop: Promise<void> | undefined
    s.clock.onShort = () => {
      if (++steps === 3) stop = scrub.close()
    }
    const scrub = s.scrub()
    await expect.poll(() => stop !== undefined, { timeout: 20_000 }).toBe(true)
    await stop
    expect([s.storage.asked.length, await s.found()]).toEqual([48, []])
    await s.close()
    return s
  }
  const goesOn = async ({ data, clock }: Scrubbed) => {
    clock.onShort = () => {}
    const s = await site(data, clock)
    s.storage.wrong.add(127)
    s.scrub()
    await s.clock.idle()
    return s
  }

  it("goes on where it was after a restart, and knows what it had found", async () => {
    const s = await goesOn(await stopped())
    expect([s.storage.asked, await s.found()]).toEqual([clusters(48, 128), ["win11@1 mismatch 1 127"]])
    expect(existsSync(join(s.data, "scrub.json"))).toBe(false)
  })

  it("begins again when its place is damaged or lost", async () => {
    const damages = [
      (file: string) => rmSync(file),
      (file: string) => writeFileSync(file, ""),
      (file: string) => writeFileSync(file, readFileSync(file, "utf8").replace('"next":48', '"next":49')),
    ]
    for (const damage of damages) {
      const before = await stopped()
      damage(join(before.data, "scrub.json"))
      const s = await goesOn(before)
      expect([s.storage.asked, await s.found()]).toEqual([clusters(0, 128), ["win11@1 mismatch 127"]])
      await s.close()
    }
  })

  it("begins again when the version was checked meanwhile", async () => {
    const before = await stopped()
    const between = await site(before.data, before.clock)
    between.storage.wrong.add(7)
    await between.here.do("image.check", { name: "win11" })
    await between.close()
    before.clock.pass(31 * DAY)
    const s = await goesOn(before)
    expect([s.storage.asked, await s.found()]).toEqual([[...clusters(0, 128), 7], ["win11@1 mismatch 127"]])
  })
})

describe("what a read found bad while the scrub was past it", () => {
  const during = async (stays: boolean) => {
    const s = await site()
    await s.add("win11", 2 * MiB)
    await s.found()
    const list = await s.here.do("image.list", {})
    s.clock.pass(31 * DAY)
    s.clock.onShort = async () => {
      s.clock.onShort = () => {}
      const { makeChange } = await import("../../core/runtime/operations/change.ts")
      const damage = { type: "RecordDamage", imageId: list[0]!.id, version: 1, clusters: [2] } as const
      await makeChange(s.here.parts)(damage, { actor: operator })
      if (stays) s.storage.wrong.add(2)
    }
    s.scrub()
    await s.clock.idle()
    expect(s.storage.asked).toEqual([...clusters(0, 32), 2])
    return s.found()
  }
  it("is read once more before the scrub says that all is right", async () => {
    expect(await during(true)).toEqual(["win11@1 mismatch 2", "win11@1 mismatch 2"])
    expect(await during(false)).toEqual(["win11@1 mismatch 2", "win11@1 verified"])
  })
})
