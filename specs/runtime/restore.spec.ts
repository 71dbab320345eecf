/** A restored log has the same events under the same root, and a name and key of its own; no way to restore makes one log sign two histories. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { dirname, join } from "node:path"
import * as Effect from "effect/Effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { restoreSite } from "../../adapters/compose.ts"
import type { EventData } from "../../core/domain/events.ts"
import type { EventLog, Recorded } from "../../core/log/event-log.ts"
import { storePaths } from "../../core/log/store-files.ts"
import { openCheckpoint } from "../../core/log/tiles/checkpoint.ts"
import { parseVerifierKey } from "../../core/log/tiles/note.ts"
import { verifyBackup } from "../../core/runtime/backup/verify-backup.ts"
import type { RestoreAnswer, RestoreOptions } from "../../core/runtime/restore/restore.ts"
import { derivedName } from "../../core/runtime/restore/site-name.ts"
import type { Input, Result } from "../../core/runtime/site.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { operator, readAll, type ServingSite, serveHere } from "../support/serving.ts"

const KiB = 1024
const folder = scratch("restore")
const data = join(folder, "data")
const backup = join(folder, "backup")
const image = rawImage(folder, "win11.raw", 192 * KiB)
let site: string
let n = 0
/** A data folder that is not there yet, in a folder of its own. */
const fresh = (): string => join(folder, `r${++n}`, "data")

const restore = (to: string, more: Partial<RestoreOptions> = {}): Promise<RestoreAnswer> => {
  mkdirSync(dirname(to), { recursive: true })
  const { signal } = new AbortController()
  return restoreSite({
    ...{ backup, data: to, force: false, dryRun: false, actor: operator, signal, onProgress: () => {} },
    ...more,
  })
}
const withSite = async <A>(dir: string, use: (here: ServingSite) => Promise<A>): Promise<A> => {
  const here = await serveHere(dir)
  return use(here).finally(() => here.close())
}
const bytesOf = (log: EventLog, upTo: number) =>
  Effect.runPromise(log.pageBytes(0, Math.min(1000, upTo))).then((page) =>
    page.map(({ bytes }) => Buffer.from(bytes).toString()),
  )
const refused = (asked: Promise<unknown>) =>
  asked.then(
    () => expect.fail("it was not refused"),
    (e: { code: string; reason: string }) => ({ code: e.code, reason: e.reason }),
  )
const mac = (i: number) => `52:54:00:02:00:${i.toString(16).padStart(2, "0")}`
const add = (here: ServingSite, i: number) => here.do("client.add", { mac: mac(i) })
const makeBackup = (here: ServingSite, more: Partial<Input<"backup">> = {}): Promise<Result<"backup">> =>
  here.do("backup", { dir: backup, images: true, ...more })
const keyOf = (dir: string) => readFileSync(storePaths(dir).key, "utf8")
const checkpointOf = (dir: string) => readFileSync(join(dir, "tlog/checkpoint"), "utf8")

beforeAll(async () => {
  await withSite(data, async (here) => {
    site = here.parts.log.site.name
    await here.do("image.add", { name: "win11", path: image.path, check: true })
    for (let i = 1; i <= 3; i++) await add(here, i)
    await here.do("client.link", { clients: ["PC-{001..003}"], image: "win11", slot: 0 })
    await here.do("client.link", { clients: ["PC-002"], image: "win11", slot: 1, overlay: "keep" })
    await makeBackup(here)
  })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe("a restored log", () => {
  let answer: RestoreAnswer
  const to = fresh()

  it("has the events of the backup to the byte, the same root, and then says whose it was", async () => {
    answer = await restore(to)
    const { manifest } = await verifyBackup(backup)
    const { position, root, checkpoint } = manifest
    expect(answer).toMatchObject({
      data: to,
      dryRun: false,
      aside: null,
      images: [],
      from: { origin: site, position, root },
    })
    expect(answer.to).toMatchObject({ position: position + 1, origin: expect.stringMatching(/-r[0-9a-f]{8}$/) })
    const before = await withSite(data, ({ parts }) => bytesOf(parts.log, position))
    await withSite(to, async (here) => {
      const { log } = here.parts
      const after = await bytesOf(log, position + 1)
      expect(after.slice(0, position)).toEqual(before)
      const { type, data: said } = JSON.parse(after[position]!) as Recorded
      expect([type, said]).toEqual([
        "LogRestored",
        {
          origin: answer.to!.origin,
          key: answer.to!.key,
          from: { origin: site, key: answer.from.key, size: position, root, checkpoint },
        } satisfies EventData<"LogRestored">,
      ])
      expect((await here.do("audit.verify", {})).published).toBe(position + 1)
      const old = parseVerifierKey(answer.from.key)!
      expect(openCheckpoint(checkpoint, old)).toMatchObject({ size: position })
    })
  })

  it("shows links, images, history and the past as they were", async () => {
    const look = (here: ServingSite, more: Partial<Input<"links.at">> = {}) =>
      Promise.all([
        here.do("links", {}),
        here.do("image.list", {}),
        here.do("client.list", {}),
        here.do("links.at", { position: 5, ...more }),
      ])
    const before = await withSite(data, (here) => look(here))
    await withSite(to, async (here) => {
      expect(await look(here)).toEqual(before)
      const lines: Array<unknown> = []
      await here.site.call("history", {}, { actor: operator, onItem: (line) => void lines.push(line) })
      expect(lines.at(-1)).toMatchObject({
        what: "log restored",
        from: `${site}, 9 events`,
        to: answer.to!.origin,
      })
    })
  })

  it("checks and serves its images where they were recorded", async () => {
    await withSite(to, async (here) => {
      expect((await here.do("image.check", { name: "win11" })).result).toBe("verified")
      const lease = await here.attach("PC-001")
      expect(await readAll(lease)).toEqual(image.bytes)
      await lease.release()
    })
  })

  it("goes on: it takes new commands, answers those that were carried out before, and renews every projection", async () => {
    await withSite(to, async (here) => {
      const head = here.parts.log.head()
      const [event] = await Effect.runPromise(here.parts.log.page(1, 1))
      const again = { actor: operator, commandId: event!.command }
      const repeated = await here.site.call("client.add", { mac: mac(1) }, again)
      expect([repeated.repeated, here.parts.log.head()]).toEqual([true, head])
      await add(here, 9)
      expect(here.parts.log.head()).toBe(head + 1)
      expect((await here.do("rebuild.check", {})).every(({ equal }) => equal)).toBe(true)
      expect((await here.do("audit.verify", {})).size).toBe(head + 1)
    })
  })

  it("tells who kept writes that no backup has", async () => {
    expect(answer.notes).toEqual(["PC-002 slot 1 begins anew over win11@1: what it kept is in no backup"])
    await withSite(to, async (here) => {
      const lease = await here.attach("PC-002", 1)
      expect(await readAll(lease)).toEqual(image.bytes)
      await lease.release()
    })
  })
})

it("is restored from a backup of several tiles, and of no event at all", async () => {
  const [empty, long] = [join(folder, "empty"), join(folder, "long")]
  await withSite(join(folder, "some"), async (here) => {
    await here.do("backup", { dir: empty })
    const rows = Array.from({ length: 700 }, (_, i) => ({
      line: i + 2,
      mac: `52:54:01:00:${(i >> 8).toString(16).padStart(2, "0")}:${(i & 255).toString(16).padStart(2, "0")}`,
    }))
    await here.do("client.import", { rows, file: "lab.csv" })
    await add(here, 1)
    await here.do("backup", { dir: long })
  })
  for (const [dir, size] of [
    [empty, 0],
    [long, 701],
  ] as const) {
    const to = fresh()
    expect((await restore(to, { backup: dir })).to!.position).toBe(size + 1)
    await withSite(to, async (here) => {
      expect((await here.do("client.list", {})).length).toBe(size)
      expect((await here.do("audit.verify", {})).published).toBe(size + 1)
    })
  }
})

describe("no log signs two histories:", () => {
  const origins = new Set<string>()
  const keys = new Set<string>()
  /** Restores, and holds that the new name and key were never seen before. */
  const another = async (to: string, more: Partial<RestoreOptions> = {}): Promise<RestoreAnswer> => {
    const answer = await restore(to, more)
    expect([origins.has(answer.to!.origin), keys.has(answer.to!.key)]).toEqual([false, false])
    origins.add(answer.to!.origin)
    keys.add(answer.to!.key)
    expect(keyOf(to)).not.toBe(keyOf(data))
    return answer
  }

  it("the same backup twice, and a copy of it", async () => {
    const [one, two, three] = [fresh(), fresh(), fresh()]
    const copy = join(folder, "copy")
    cpSync(backup, copy, { recursive: true })
    await another(one)
    await another(two)
    await another(three, { backup: copy })
    await withSite(one, (here) => add(here, 20).then(() => here.do("audit.checkpoint", {})))
    await withSite(two, (here) => add(here, 21).then(() => here.do("audit.checkpoint", {})))
    const note = join(folder, "one.note")
    writeFileSync(note, checkpointOf(one))
    await withSite(two, async (here) => {
      const asked = here.do("audit.consistency", { note: checkpointOf(one), file: note })
      expect((await refused(asked)).code).toBe("NOTE_REFUSED")
    })
  })

  it("a restored log and its original, which both go on", async () => {
    const to = fresh()
    await another(to)
    await withSite(to, (here) => add(here, 30).then(() => here.do("audit.checkpoint", {})))
    const note = await withSite(data, async (here) => {
      await add(here, 31)
      return (await here.do("audit.checkpoint", {})).note
    })
    expect(note.split("\n")[0]).toBe(site)
    expect(checkpointOf(to).split("\n")[0]).not.toBe(site)
    await withSite(to, async (here) => {
      expect((await refused(here.do("audit.consistency", { note, file: "x" }))).code).toBe("NOTE_REFUSED")
    })
  })

  it("an older backup over a newer store, which is kept whole", async () => {
    const newer = join(folder, "newer/data")
    cpSync(data, newer, { recursive: true })
    await withSite(newer, (here) => add(here, 40).then(() => here.do("audit.checkpoint", {})))
    const before = [keyOf(newer), checkpointOf(newer)]
    expect(await refused(restore(newer))).toMatchObject({ code: "TARGET_NOT_EMPTY" })
    expect([keyOf(newer), checkpointOf(newer)]).toEqual(before)
    const answer = await another(newer, { force: true })
    expect([keyOf(answer.aside!), checkpointOf(answer.aside!)]).toEqual(before)
    await withSite(newer, async (here) => {
      expect((await here.do("audit.verify", {})).size).toBe(answer.to!.position)
      expect(here.parts.log.site.name).toBe(answer.to!.origin)
    })
  })

  it("a backup with the key in it, which signs nothing", async () => {
    const secret = join(folder, "secret")
    await withSite(data, (here) => here.do("backup", { dir: secret, secrets: true }))
    const to = fresh()
    await another(to, { backup: secret })
    expect(existsSync(join(to, "secrets"))).toBe(false)
    expect(existsSync(join(to, "tokens.json"))).toBe(false)
  })

  it("a backup of a restored log, into its own folder only, restored again", async () => {
    const [to, next] = [fresh(), fresh()]
    const first = await another(to, { site: "lab.example" })
    expect(first.to!.origin).toBe("lab.example")
    const theirs = join(folder, "theirs")
    await withSite(to, async (here) => {
      expect((await refused(makeBackup(here))).code).toBe("BACKUP_REFUSED")
      await here.do("backup", { dir: theirs })
    })
    const second = await another(next, { backup: theirs })
    expect(second.to!.origin).toMatch(/^lab\.example-r[0-9a-f]{8}$/)
    expect(second.to!.position).toBe(first.to!.position + 1)
    expect(await refused(restore(fresh(), { backup: theirs, site: "lab.example" }))).toMatchObject({
      code: "RESTORE_REFUSED",
    })
  })

  it("the old tiles under the new store, put back by hand", async () => {
    const to = fresh()
    await another(to)
    rmSync(join(to, "tlog"), { recursive: true })
    cpSync(join(backup, "tlog"), join(to, "tlog"), { recursive: true })
    await withSite(to, async (here) => {
      expect((await refused(here.do("audit.checkpoint", {}))).code).toBe("LOG_FORKED")
    })
  })
})

describe("image files", () => {
  const lost = join(folder, "lost.raw")
  it("are put where they are asked for, compared, and read from there", async () => {
    renameSync(image.path, lost)
    const [to, images] = [fresh(), join(folder, "images")]
    const answer = await restore(to, { imagesTo: images })
    const path = join(images, "win11/v1/win11.raw")
    expect(answer.images).toEqual([{ image: "win11", version: 1, path }])
    await withSite(to, async (here) => {
      const lease = await here.attach("PC-001")
      expect(await readAll(lease)).toEqual(image.bytes)
      await lease.release()
      const last = (await Effect.runPromise(here.parts.log.page(answer.to!.position - 1, 1)))[0]!
      expect(last).toMatchObject({
        type: "ImageRelocated",
        data: { from: { files: [{ path: image.path }] }, to: { files: [{ path }] } },
      })
    })
    const inode = statSync(path).ino
    await restore(fresh(), { imagesTo: images })
    expect(statSync(path).ino).toBe(inode)
    writeFileSync(path, "mine")
    expect(await refused(restore(fresh(), { imagesTo: images }))).toMatchObject({ code: "FILE_EXISTS" })
    expect(readFileSync(path, "utf8")).toBe("mine")
    await restore(fresh(), { imagesTo: images, force: true })
    expect(readFileSync(path).equals(image.bytes)).toBe(true)
    renameSync(lost, image.path)
  })

  it("of a version that was never checked are there, and the log goes on naming the old place", async () => {
    const [from, dir] = [join(folder, "unchecked"), join(folder, "unchecked-backup")]
    await withSite(from, async (here) => {
      await here.do("image.add", { name: "new", path: image.path, check: false })
      await here.do("backup", { dir, images: true })
    })
    const images = join(folder, "unchecked-images")
    const answer = await restore(fresh(), { backup: dir, imagesTo: images })
    expect(answer.images).toEqual([])
    expect(answer.notes).toEqual([expect.stringContaining(`its file is at ${join(images, "new/v1/win11.raw")}`)])
  })
})

describe("refused, and nothing is changed or left:", () => {
  const clean = (to: string) => expect(readdirSync(dirname(to)).filter((name) => name !== "data")).toEqual([])

  it("a backup with any one file changed, or none at all", async () => {
    const bad = join(folder, "bad")
    cpSync(backup, bad, { recursive: true })
    const { manifest } = await verifyBackup(bad)
    for (const { path } of manifest.files) {
      const bytes = readFileSync(join(bad, path))
      const wrong = Buffer.from(bytes)
      wrong[0]! ^= 1
      writeFileSync(join(bad, path), wrong)
      const to = fresh()
      expect([path, (await refused(restore(to, { backup: bad }))).code]).toEqual([path, "BACKUP_DAMAGED"])
      expect(existsSync(to)).toBe(false)
      clean(to)
      writeFileSync(join(bad, path), bytes)
    }
    mkdirSync(join(folder, "nothing"))
    for (const dir of [join(folder, "nothing"), join(folder, "not-there")])
      expect((await refused(restore(fresh(), { backup: dir }))).code).toBe("BACKUP_DAMAGED")
  })

  it("a folder that holds anything, a file, one in the backup, and names that will not do", async () => {
    const to = fresh()
    mkdirSync(to, { recursive: true })
    writeFileSync(join(to, "thesis.txt"), "mine")
    expect((await refused(restore(to))).code).toBe("TARGET_NOT_EMPTY")
    expect((await refused(restore(join(to, "thesis.txt")))).code).toBe("RESTORE_REFUSED")
    expect((await refused(restore(join(backup, "data"), { force: true }))).code).toBe("RESTORE_REFUSED")
    expect((await refused(restore(folder, { force: true }))).code).toBe("RESTORE_REFUSED")
    expect((await refused(restore(fresh(), { site }))).code).toBe("RESTORE_REFUSED")
    for (const name of ["", "a b", "a+b", "x".repeat(65)])
      expect((await refused(restore(fresh(), { site: name }))).code).toBe("SITE_NAME_INVALID")
    expect(readdirSync(to)).toEqual(["thesis.txt"])
    clean(to)
  })

  it("a data folder that somebody has open, even with force", async () => {
    const to = fresh()
    await restore(to)
    await withSite(to, async (here) => {
      await add(here, 50)
      expect(await refused(restore(to, { force: true }))).toMatchObject({ code: "DATA_IN_USE" })
    })
    clean(to)
  })

  it("when it is cancelled", async () => {
    const to = fresh()
    expect((await refused(restore(to, { signal: AbortSignal.abort() }))).code).toBe("CANCELLED")
    const abort = new AbortController()
    const onProgress = () => abort.abort()
    expect((await refused(restore(to, { signal: abort.signal, onProgress }))).code).toBe("CANCELLED")
    expect(existsSync(to)).toBe(false)
    clean(to)
  })
})

it("goes into a folder that is there and empty, and keeps the settings of one that it replaces", async () => {
  const to = fresh()
  mkdirSync(to, { recursive: true })
  await restore(to)
  writeFileSync(join(to, "imagelink.toml"), "# mine\n")
  const { aside } = await restore(to, { force: true })
  expect(readFileSync(join(to, "imagelink.toml"), "utf8")).toBe("# mine\n")
  expect(existsSync(join(aside!, "store"))).toBe(true)
})

it("verifies and says what it would do in a dry run, and does nothing", async () => {
  const to = fresh()
  expect(await restore(to, { dryRun: true })).toMatchObject({ dryRun: true, to: null, from: { origin: site } })
  expect(existsSync(to)).toBe(false)
  expect((await refused(restore(data, { dryRun: true }))).code).toBe("TARGET_NOT_EMPTY")
})

it("removes what a killed restore left beside", async () => {
  const to = fresh()
  mkdirSync(`${to}.new-999999999-0a`, { recursive: true })
  await restore(to)
  expect(readdirSync(dirname(to))).toEqual(["data"])
})

it("names a restored log after the old one, within the limit, and once", () => {
  const random = Uint8Array.of(0x1f, 0x2e, 0x3d, 0x4c)
  expect(derivedName("lab.example", random)).toBe("lab.example-r1f2e3d4c")
  expect(derivedName("lab.example-r00000000", random)).toBe("lab.example-r1f2e3d4c")
  expect(derivedName("x".repeat(64), random)).toBe(`${"x".repeat(54)}-r1f2e3d4c`)
})
