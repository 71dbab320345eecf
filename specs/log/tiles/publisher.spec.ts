/** Publishing: what is written, in which order it may be cut off, and what is never signed. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { rootOf } from "../../../core/log/merkle/frontier.ts"
import { leafHash } from "../../../core/log/merkle/hash.ts"
import { proveConsistency, proveInclusion } from "../../../core/log/merkle/prove.ts"
import { verifyConsistency, verifyInclusion } from "../../../core/log/merkle/verify.ts"
import { signCheckpoint } from "../../../core/log/tiles/checkpoint.ts"
import { encodeProof, openProof } from "../../../core/log/tiles/proof.ts"
import { tileHashes } from "../../../core/log/tiles/tile-hashes.ts"
import { random } from "../support/random.ts"
import { discard, temporary } from "../support/store.ts"
import { event, key, memoryTlog, noteKey, published, publisherOf, verifyIn } from "../support/tlog.ts"

const folders: Array<string> = []
const folder = (): string => {
  const dir = temporary("tlog")
  folders.push(dir)
  return dir
}
afterEach(() => {
  for (const dir of folders.splice(0)) discard(dir)
})

describe("what is published", () => {
  it("of an empty log is a checkpoint of no entries and no tile", async () => {
    const dir = folder()
    await publisherOf(dir, memoryTlog()).publish()
    expect([...published(dir).keys()]).toEqual(["checkpoint"])
  })

  it.each([
    [1, ["tile/0/000.p/1", "tile/entries/000.p/1"]],
    [255, ["tile/0/000.p/255", "tile/entries/000.p/255"]],
    [256, ["tile/0/000", "tile/1/000.p/1", "tile/entries/000"]],
    [257, ["tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/1"]],
    [512, ["tile/0/000", "tile/0/001", "tile/1/000.p/2", "tile/entries/000", "tile/entries/001"]],
  ])("of %i entries is these tiles", async (size, paths) => {
    const dir = folder()
    const log = memoryTlog(size)
    const { root } = await publisherOf(dir, log).publish()
    expect([...published(dir).keys()]).toEqual(["checkpoint", ...paths])
    expect(Buffer.compare(root, rootOf(log.events.map(leafHash)))).toBe(0)
  })

  it("has a second level above 65,536 entries, and proofs reach through it", async () => {
    const dir = folder()
    const log = memoryTlog(65_536 + 300)
    const publisher = publisherOf(dir, log)
    const { root, size } = await publisher.publish()
    expect([...published(dir).keys()].filter((name) => !/tile\/(0|entries)/.test(name))).toEqual([
      "checkpoint",
      "tile/1/000",
      "tile/1/001.p/1",
      "tile/2/000.p/1",
    ])
    const hashes = tileHashes(publisher.files, size)
    for (const index of [0, 255, 256, 65_535, 65_536, size - 1]) {
      const path = proveInclusion(hashes, index, size)
      expect(verifyInclusion(leafHash(log.events[index]!), index, size, path, root), `leaf ${index}`).toBe(true)
    }
    for (const old of [1, 256, 65_535, 65_536, 65_537, size]) {
      const before = { size: old, root: rootOf(log.events.slice(0, old).map(leafHash)) }
      expect(verifyConsistency(before, { size, root }, proveConsistency(hashes, old, size)), `from ${old}`).toBe(true)
    }
    expect(await verifyIn(dir, log)).toMatchObject({ size, published: size })
  })

  it("is the same whether it grew by steps, over restarts, or at once", async () => {
    const r = random(21)
    const dir = folder()
    const log = memoryTlog()
    let publisher = publisherOf(dir, log)
    while (log.events.length < 1500) {
      log.grow(1 + r.below(200))
      if (r.below(3) === 0) publisher = publisherOf(dir, log)
      await publisher.publish()
      await verifyIn(dir, log)
    }
    const atOnce = folder()
    await publisherOf(atOnce, log).publish()
    const grown = published(dir)
    for (const [name, bytes] of published(atOnce)) expect(grown.get(name), name).toEqual(bytes)
  })

  it("is published once when many ask at the same time", async () => {
    const log = memoryTlog(300)
    const publisher = publisherOf(folder(), log)
    const notes = await Promise.all([1, 2, 3].map(() => publisher.publish()))
    expect(new Set(notes.map((n) => n.note)).size).toBe(1)
  })

  it("proves every event of a small log in a file that opens offline", async () => {
    const log = memoryTlog(37)
    const publisher = publisherOf(folder(), log)
    const { note, size } = await publisher.publish()
    for (let index = 0; index < size; index++) {
      const text = encodeProof(
        log.events[index]!,
        index,
        proveInclusion(tileHashes(publisher.files, size), index, size),
        note,
      )
      expect(openProof(text, noteKey)).toMatchObject({ index, size })
    }
  })
})

describe("a crash", () => {
  it("between tiles and checkpoint leaves tiles that the next publishing finishes", async () => {
    const dir = folder()
    const log = memoryTlog(700)
    await publisherOf(dir, log).publish()
    const all = published(dir)
    for (let seed = 1; seed <= 20; seed++) {
      const r = random(seed)
      const at = folder()
      const before = memoryTlog(r.below(700))
      if (r.below(4) > 0) await publisherOf(at, before).publish()
      for (const [name, bytes] of all) {
        if (name === "checkpoint" || r.below(2) === 0) continue
        mkdirSync(dirname(join(at, "tlog", name)), { recursive: true })
        writeFileSync(join(at, "tlog", `${name}${r.below(4) === 0 ? ".new" : ""}`), bytes)
      }
      const { size } = await publisherOf(at, log).publish()
      expect(await verifyIn(at, log), `seed ${seed}`).toMatchObject({ size, published: 700 })
    }
  })

  it("that lost every tile but not the checkpoint is made good from the events", async () => {
    const dir = folder()
    const log = memoryTlog(600)
    await publisherOf(dir, log).publish()
    const all = published(dir)
    rmSync(join(dir, "tlog/tile"), { recursive: true })
    log.grow(1)
    await publisherOf(dir, log).publish()
    await verifyIn(dir, log)
    for (const [name, bytes] of all)
      if (!/\.p\/|checkpoint/.test(name)) expect(published(dir).get(name), name).toEqual(bytes)
  })

  it("that lost the checkpoint begins again with the tiles that are there", async () => {
    const dir = folder()
    const log = memoryTlog(600)
    const { note } = await publisherOf(dir, log).publish()
    rmSync(join(dir, "tlog/checkpoint"))
    expect((await publisherOf(dir, log).publish()).note).toBe(note)
  })
})

describe("two histories are never signed", () => {
  const refused = async (dir: string, log: ReturnType<typeof memoryTlog>, why: string) => {
    const before = published(dir)
    await expect(publisherOf(dir, log).check()).rejects.toMatchObject({ code: "LOG_FORKED" })
    await expect(publisherOf(dir, log).publish()).rejects.toMatchObject({
      code: "LOG_FORKED",
      reason: expect.stringContaining(why),
    })
    expect(published(dir)).toEqual(before)
  }

  it("when the log is shorter than its checkpoint", async () => {
    const dir = folder()
    const log = memoryTlog(300)
    await publisherOf(dir, log).publish()
    log.events.pop()
    await refused(dir, log, "events 300 to 300 were published")
  })

  it("when the log is shorter than tiles whose checkpoint is gone", async () => {
    const dir = folder()
    await publisherOf(dir, memoryTlog(300)).publish()
    rmSync(join(dir, "tlog/checkpoint"))
    await refused(dir, memoryTlog(299), "events 300 to 300 were published")
  })

  it("when a published event was changed, the newest or under the newest tile", async () => {
    for (const position of [257, 300]) {
      const dir = folder()
      const log = memoryTlog(300)
      await publisherOf(dir, log).publish()
      log.events[position - 1] = event(position, "other")
      log.grow(5)
      await refused(dir, log, "the checkpoint of 300 events has another root")
    }
  })

  it("when tiles beyond the checkpoint are another log's", async () => {
    const dir = folder()
    const log = memoryTlog(100)
    await publisherOf(dir, log).publish()
    const fork = folder()
    const other = memoryTlog(200)
    other.events[150] = event(151, "other")
    await publisherOf(fork, other).publish()
    for (const name of ["tile/0/000.p/200", "tile/entries/000.p/200"])
      renameSync(join(fork, "tlog", name), join(dir, "tlog", name))
    log.grow(100)
    await expect(publisherOf(dir, log).publish()).rejects.toMatchObject({ code: "LOG_FORKED" })
    expect(readFileSync(join(dir, "tlog/checkpoint"), "utf8")).toContain("\n100\n")
  })

  it("when the checkpoint is no checkpoint, or another site's", async () => {
    const dir = folder()
    const log = memoryTlog(3)
    const { root } = await publisherOf(dir, log).publish()
    writeFileSync(join(dir, "tlog/checkpoint"), "")
    await refused(dir, log, "is not a checkpoint of this site")
    const elsewhere = { ...noteKey, name: "else.example" }
    writeFileSync(join(dir, "tlog/checkpoint"), signCheckpoint({ size: 3, root }, elsewhere, key.privateKey))
    await refused(dir, log, "its origin is")
  })

  it("when events are dropped between two publishings of the same process", async () => {
    const dir = folder()
    const log = memoryTlog(10)
    const publisher = publisherOf(dir, log)
    await publisher.publish()
    log.events.pop()
    await expect(publisher.publish()).rejects.toMatchObject({ code: "LOG_FORKED" })
    expect(readFileSync(join(dir, "tlog/checkpoint"), "utf8")).toContain("\n10\n")
  })
})
