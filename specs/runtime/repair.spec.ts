/** What a repair brings back, what it gives up only when told to, and that it never signs another history. */
import {
  existsSync,
  lchownSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { openDatabase } from "../../core/log/database.ts"
import { seal } from "../../core/log/envelope.ts"
import { eventKey } from "../../core/log/keys.ts"
import { database } from "../log/support/store.ts"
import { imagelink, json, refusal, scratch, startServe } from "../support/cli.ts"
import {
  actor,
  type Content,
  contentOf,
  copyData,
  filesIn,
  makeData,
  notWhole,
  repair,
  snapshot,
  withSite,
} from "../support/data-folder.ts"

const folder = scratch("repair")
const data = join(folder, "damaged")
const at = (...names: ReadonlyArray<string>) => join(data, ...names)
let source: string
let content: Content

beforeAll(async () => {
  source = await makeData(folder)
  copyData(source, data)
  content = await contentOf(data)
}, 60_000)

/** A fresh copy with all of this gone or changed. */
const without = (...names: ReadonlyArray<string>) => {
  copyData(source, data)
  for (const name of names) rmSync(at(name), { recursive: true })
}
const logs = () => filesIn(source).filter((name) => /^store\/db\/\d+\.log$/.test(name))
const rowOf = async (part: string, options = {}) => (await repair(data, options)).find((r) => r.part === part)!

/** Changes stored events with right checksums, as somebody would who knows the format. */
const edited = async (
  edit: (event: (position: number) => Promise<string>) => Promise<ReadonlyArray<[number, string | undefined]>>,
) => {
  const db = await openDatabase(database, at("store/db"), false)
  const text = async (position: number) => (await db.get(eventKey(position)))!.subarray(4).toString("utf8")
  for (const [position, changed] of await edit(text)) {
    if (changed === undefined) await db.del(eventKey(position))
    else await db.put(eventKey(position), seal(changed) as Buffer)
  }
  await (db as unknown as { compactRange(from: string, to: string): Promise<void> }).compactRange("0", "g")
  await db.close()
}

describe("repair", () => {
  it("finds nothing in a whole data folder, and its dry run changes nothing", async () => {
    without()
    const before = snapshot(data)
    expect(notWhole(await repair(data, { dryRun: true }))).toEqual([])
    expect(snapshot(data)).toEqual(before)
    expect((await repair(data)).at(-1)).toMatchObject({
      part: "log",
      detail: expect.stringMatching(/^holds: 304 events/),
    })
  })

  it("brings everything back at once, from key, checkpoint and entry bundles alone", async () => {
    without("store/store.json", "store/head", "store/db", "projections", "tlog/tile/0", "tlog/tile/1")
    const rows = await repair(data)
    expect(rows.filter((r) => r.state === "lost")).toEqual([])
    expect(rows.find((r) => r.part === "store/db")!.remedy).toBe(
      "made again with 302 events; 302 of them from the entry bundles; if there were newer ones, nothing knows of them; 17 commands can no longer be repeated by id; the damaged one is kept as db.damaged-1",
    )
    const now = await contentOf(data)
    expect(now.events).toEqual(content.events.slice(0, 302))
    expect(now.links).toHaveLength(150)
  })

  it("keeps the damaged database as it was", async () => {
    without("store/db/CURRENT")
    const before = snapshot(at("store/db"))
    await repair(data)
    expect(snapshot(at("store/db.damaged-1"))).toEqual(before)
    rmSync(at("store/db/CURRENT"))
    await repair(data)
    expect(existsSync(at("store/db.damaged-2"))).toBe(true)
    expect(await contentOf(data)).toEqual(content)
  })

  it("puts back events that somebody changed, swapped and dropped, with every checksum right, as they were signed", async () => {
    without()
    await edited(async (event) => [
      [77, (await event(77)).replace("PC-0", "PX-0")],
      [100, (await event(101)).replace('"position":101', '"position":100')],
      [101, (await event(100)).replace('"position":100', '"position":101')],
      [200, undefined],
    ])
    await expect(withSite(data, (s) => s.call("audit.verify", {}, { actor }))).rejects.toMatchObject({
      code: "AUDIT_FAILED",
      message: expect.stringMatching(/ 77$/),
    })
    expect(await rowOf("store/db", { dryRun: true })).toMatchObject({
      state: "damaged",
      detail: "4 events missing, or not as published",
    })
    expect(notWhole(await repair(data))).toEqual([["store/db", "mended"]])
    expect(await contentOf(data)).toEqual(content)
  })

  it("brings an older copy of the store up to what was published since", async () => {
    without()
    await withSite(data, async (site) => {
      await site.call("client.add", { mac: "52:54:00:00:ff:05" }, { actor })
      await site.call("client.link", { clients: ["PC-002"], image: "win11@1", slot: 2 }, { actor })
      await site.call("audit.checkpoint", {}, { actor })
    })
    const newest = await contentOf(data)
    copyData(join(source, "store"), at("store"))
    await expect(withSite(data, (s) => s.call("audit.checkpoint", {}, { actor }))).rejects.toMatchObject({
      code: "LOG_FORKED",
    })
    expect(await rowOf("store/db")).toMatchObject({
      state: "mended",
      remedy: expect.stringMatching(/^made again with 306 events; 2 of them from the entry bundles;/),
    })
    expect(await contentOf(data)).toEqual(newest)
  })

  it("answers a command whose id was used, also where its index entry is gone, and never appends it twice", async () => {
    const commandId = "01a204d2-871d-7fc3-bf36-0000000000aa"
    without()
    const add = (mac: string) => withSite(data, (s) => s.call("client.add", { mac }, { actor, commandId }))
    await add("52:54:00:00:ff:01")
    await withSite(data, (s) => s.call("audit.checkpoint", {}, { actor }))
    rmSync(at("store/db/CURRENT"))
    await repair(data)
    expect(await add("52:54:00:00:ff:01")).toMatchObject({ repeated: true, position: 305 })
    rmSync(at("store/db"), { recursive: true })
    await repair(data)
    expect(await add("52:54:00:00:ff:01")).toMatchObject({ repeated: true, position: 305 })
    expect((await contentOf(data)).events).toHaveLength(305)
  })

  it("ends what an earlier repair left half done, wherever it was cut off", async () => {
    const states: ReadonlyArray<() => void> = [
      () => renameSync(at("store/db"), at("store/db.new")),
      () => copyData(at("store/db"), at("store/db.new")),
      () => copyData(at("store/db"), at("store/db.building")),
      () => writeFileSync(at("store/head.new"), "half"),
    ]
    for (const state of states) {
      without()
      state()
      await repair(data)
      expect(await contentOf(data)).toEqual(content)
      expect([existsSync(at("store/db.new")), existsSync(at("store/db.building"))]).toEqual([false, false])
      rmSync(at("store/db/CURRENT"))
      await repair(data)
      expect(await contentOf(data)).toEqual(content)
      expect([existsSync(at("store/db.new")), existsSync(at("store/db.building"))]).toEqual([false, false])
    }
  })
})

describe("events that are nowhere", () => {
  it("are named, nothing is changed, and what is left is said", async () => {
    without(...logs())
    const before = snapshot(data)
    expect(await rowOf("store/db")).toMatchObject({
      state: "lost",
      detail: expect.stringMatching(/events 303 to 304 cannot be read, and no entry bundle has what is missing$/),
      remedy: "restore the store from a backup; events 1 to 302 are whole",
    })
    expect(snapshot(data)).toEqual(before)
  })

  it("are given up when told so, if nothing of them was published; the log goes on from there", async () => {
    without(...logs())
    expect(await rowOf("store/db", { acceptLoss: true })).toMatchObject({ state: "mended" })
    expect((await contentOf(data)).events).toEqual(content.events.slice(0, 302))
    await withSite(data, async (site) => {
      expect(await site.call("client.add", { mac: "52:54:00:00:ff:02" }, { actor })).toMatchObject({ position: 303 })
      expect(await site.call("audit.checkpoint", {}, { actor })).toMatchObject({ size: 303 })
    })
  })

  it("are never given up once they were published, nor where nobody knows what was", async () => {
    const bundles = "tlog/tile/entries"
    without("store/db", bundles)
    expect(await rowOf("store/db", { acceptLoss: true })).toMatchObject({ state: "lost" })
    expect(existsSync(at("store/db"))).toBe(false)
    without(...logs())
    writeFileSync(at("tlog/checkpoint"), "garbled")
    expect(await rowOf("store/db", { acceptLoss: true })).toMatchObject({ state: "lost" })
  })

  it("leave no half of a command behind", async () => {
    without()
    const { position } = await withSite(data, (s) =>
      s.call("client.copy", { from: "PC-001", to: [{ mac: "52:54:00:00:ff:03" }] }, { actor }),
    )
    expect(position).toBe(307)
    await edited(async () => [])
    const table = filesIn(data)
      .filter((name) => name.endsWith(".ldb"))
      .at(-1)!
    const bytes = readFileSync(at(table))
    bytes[bytes.indexOf('"position":307') + 12]! ^= 1
    writeFileSync(at(table), bytes)
    expect((await rowOf("store/db", { dryRun: true })).detail).toContain("event 307 cannot be read")
    await repair(data, { acceptLoss: true })
    expect((await contentOf(data)).events).toEqual(content.events)
  })

  it("that were never acknowledged are dropped as LevelDB drops them, with the rest of their command", async () => {
    without()
    const newest = logs().at(-1)!
    const rows = Array.from({ length: 120 }, (_, i) => ({
      line: i + 1,
      mac: `52:54:00:00:fe:${(16 + i).toString(16)}`,
    }))
    const before = readFileSync(at("store/head"))
    await withSite(data, (s) => s.call("client.import", { file: "c.csv", rows }, { actor }))
    // the import is in a log of its own now, of two frames; the last one is cut, and head says that it was not acknowledged
    const log = filesIn(data)
      .filter((name) => /^store\/db\/\d+\.log$/.test(name))
      .at(-1)!
    expect(log).not.toBe(newest)
    const bytes = readFileSync(at(log))
    const torn = bytes.subarray(0, bytes.lastIndexOf('"position":420,'))
    writeFileSync(at("store/head"), before)
    writeFileSync(at(log), torn)
    expect(notWhole(await repair(data, { dryRun: true }))).toEqual([])
    // now with the first frame's checksum flipped as well, so that the log is read for what is left in it
    const flipped = Buffer.from(torn)
    flipped[0]! ^= 1
    writeFileSync(at(log), flipped)
    expect(notWhole(await repair(data))).toEqual([["store/db", "mended"]])
    expect(await contentOf(data)).toEqual(content)
  })

  it("with no head, no checkpoint and a damaged database: nobody knows how many there were", async () => {
    without("store/head", "store/db/CURRENT", "tlog")
    expect((await rowOf("store/db")).detail).toMatch(/304 events can be read, and neither head nor checkpoint says/)
    expect(await rowOf("store/db", { acceptLoss: true })).toMatchObject({ state: "mended" })
    expect((await contentOf(data)).events).toEqual(content.events)
  })
})

it("without the means to check a signature, nothing at all is touched", async () => {
  for (const gone of [
    ["store/store.json", "store/site.key"],
    ["store/store.json", "tlog/checkpoint"],
  ]) {
    without(...gone, "store/db/CURRENT", "store/head")
    const before = snapshot(data)
    const lost = notWhole(await repair(data))
    expect(lost).toEqual(gone.filter((name) => name.startsWith("store/")).map((name) => [name, "lost"]))
    expect(snapshot(data)).toEqual(before)
  }
})

describe("another history", () => {
  /** The same store, its last published events recorded otherwise. */
  const forked = async () => {
    without()
    await edited(async (event) => [[302, (await event(302)).replace('"spec"', '"mallory"')]])
  }
  const note = () => readFileSync(at("tlog/checkpoint"), "utf8")

  it("is not signed when neither events nor bundles give the signed root", async () => {
    await forked()
    rmSync(at("tlog/tile/entries"), { recursive: true })
    const before = note()
    expect((await rowOf("store/db")).detail).toMatch(/event 302 cannot be read/)
    rmSync(at("tlog/tile"), { recursive: true })
    expect((await rowOf("store/db")).detail).toMatch(/do not give the root of the signed checkpoint/)
    expect(await rowOf("store/db", { acceptLoss: true })).toMatchObject({ state: "lost" })
    expect(note()).toBe(before)
  })

  it("is not signed when the checkpoint is gone and the tiles know other events", async () => {
    await forked()
    rmSync(at("tlog/tile/entries"), { recursive: true })
    for (const gone of [
      () => rmSync(at("tlog/checkpoint")),
      () => writeFileSync(at("tlog/checkpoint"), "lab\n302\n"),
    ]) {
      gone()
      expect(await rowOf("tlog")).toMatchObject({
        state: "lost",
        detail: expect.stringContaining("neither tile nor entry bundle has event 302"),
      })
      expect(existsSync(at("tlog/checkpoint")) ? note() : "").not.toContain("—")
    }
  })

  it("is not signed when the checkpoint is garbled and no tile says what it was", async () => {
    without("tlog/tile")
    writeFileSync(at("tlog/checkpoint"), note().replace(/\n[^\n]{44}\n/, `\n${"A".repeat(43)}=\n`))
    expect(await rowOf("tlog/checkpoint")).toMatchObject({ state: "lost" })
    without("tlog/tile")
    writeFileSync(at("tlog/checkpoint"), note().replace("— ", "— x"))
    expect(await rowOf("tlog/checkpoint")).toMatchObject({ state: "mended" })
    expect(note()).toMatch(/^[^\n]+\n304\n/)
  })
})

describe("on the command line", () => {
  it("says what it did as a table or as JSON, and ends with 3 when something stays lost", async () => {
    without("store/head")
    const { status, stdout } = await imagelink(["repair", "--dry-run"], { data })
    expect([status, stdout.split("\n")[0]]).toEqual([0, expect.stringMatching(/^PART +STATE +WHAT +HOW$/)])
    expect(stdout).toMatch(/^store\/head +damaged +.* is missing +made again at 304$/m)
    expect(await json<ReadonlyArray<{ part: string }>>(["repair"], { data })).toContainEqual(
      expect.objectContaining({ part: "store/head", state: "mended" }),
    )
    rmSync(at("store/site.key"))
    const lost = await imagelink(["repair", "--json"], { data })
    expect([lost.status, refusal(lost).code]).toEqual([3, "REPAIR_INCOMPLETE"])
    expect(JSON.parse(lost.stdout)).toContainEqual(expect.objectContaining({ part: "store/site.key", state: "lost" }))
  })

  it.runIf(process.getuid?.() === 0)("run by root, leaves everything to the store's owner", async () => {
    without("store/head", "store/db/CURRENT", "projections", "tlog/tile/0")
    const owner = 65534
    const own = (path: string) => {
      lchownSync(path, owner, owner)
      if (lstatSync(path).isDirectory()) for (const name of readdirSync(path)) own(join(path, name))
    }
    own(data)
    await repair(data)
    const others = readdirSync(data, { recursive: true, encoding: "utf8" }).filter(
      (n) => lstatSync(at(n)).uid !== owner,
    )
    expect(others).toEqual([])
  })

  it("is refused while a server runs, and where there is no store", async () => {
    without()
    const server = await startServe(data)
    const refused = await imagelink(["repair", "--json"], { data })
    expect([refused.status, refusal(refused).code]).toEqual([1, "DATA_IN_USE"])
    await server.stop()
    const none = await imagelink(["repair", "--json"], { data: join(folder, "nothing") })
    expect([none.status, refusal(none).code]).toEqual([1, "DATA_NOT_FOUND"])
    expect(existsSync(join(folder, "nothing"))).toBe(false)
  })
})
