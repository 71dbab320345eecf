/** A backup is the log at one position with what belongs to it; the next into the same folder copies only what changed. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { restoreSite } from "../../adapters/compose.ts"
import { verifyBackup } from "../../core/runtime/backup/verify-backup.ts"
import type { BackupAnswer } from "../../core/runtime/site/backup.ts"
import type { Input } from "../../core/runtime/site.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { operator, type ServingSite, serveHere } from "../support/serving.ts"

const KiB = 1024
const folder = scratch("backup")
const dir = join(folder, "backup")
const data = join(folder, "data")
let here: ServingSite

const backup = (more: Partial<Input<"backup">> = {}) => here.do("backup", { dir, ...more })
const plan = (more: Partial<Input<"backup">> = {}) =>
  here.site.call("backup", { dir, ...more }, { actor: operator, dryRun: true })
const refused = (asked: Promise<unknown>) =>
  asked.then(
    () => expect.fail("it was not refused"),
    (e: { code: string; reason: string; details: ReadonlyArray<string> }) => ({
      code: e.code,
      reason: e.reason,
      details: e.details,
    }),
  )
let macs = 0
const register = async (count: number) => {
  const row = () => ({
    line: ++macs,
    mac: `52:54:00:01:${(macs >> 8).toString(16).padStart(2, "0")}:${(macs & 255).toString(16).padStart(2, "0")}`,
  })
  await here.do("client.import", { rows: Array.from({ length: count }, row), file: "lab.csv" })
}
/** Every file of a folder, with its bytes. */
const content = (at: string): ReadonlyMap<string, string> =>
  new Map(
    readdirSync(at, { recursive: true, encoding: "utf8" })
      .filter((name) => statSync(join(at, name)).isFile())
      .sort()
      .map((name) => [name, readFileSync(join(at, name), "base64")]),
  )

const restored = (to: string) => {
  const { signal } = new AbortController()
  const options = { backup: dir, data: to, force: false, dryRun: false, actor: operator, signal, onProgress: () => {} }
  return restoreSite(options)
}

beforeAll(async () => {
  here = await serveHere(data)
  await here.do("image.add", { name: "win11", path: rawImage(folder, "win11.raw", 256 * KiB).path, check: true })
  await register(3)
})
afterAll(() => here.close())

describe("the first backup", () => {
  it("writes nothing when it is only asked what it would copy", async () => {
    expect(await plan({ images: true })).toMatchObject({
      dryRun: true,
      root: null,
      position: 5,
      events: { copied: 5, total: 5 },
      images: [{ image: "win11", version: 1, done: "copied" }],
    })
    expect([existsSync(dir), existsSync(join(data, "tlog"))]).toEqual([false, false])
  })

  it("holds the log, the checksums, and neither images nor the key unless they are asked for", async () => {
    const answer = await backup()
    const { root } = await here.do("audit.checkpoint", {})
    expect(answer).toMatchObject({
      ...{ dir, position: 5, root, dryRun: false, events: { copied: 5, total: 5 }, images: [], secrets: false },
      leftOut: ["1 image file: --images copies them"],
    })
    const names = [...content(dir).keys()]
    expect(names).toEqual([
      "manifest.json",
      expect.stringMatching(/^sidecars\/.*-v1\.crc$/),
      "tlog/checkpoint",
      "tlog/key",
      "tlog/tile/0/000.p/5",
      "tlog/tile/entries/000.p/5",
    ])
    expect(await verifyBackup(dir)).toMatchObject({ checkpoint: { size: 5 } })
  })
})

describe("the next backup", () => {
  it("copies nothing when nothing happened", async () => {
    const before = content(join(dir, "tlog"))
    expect(await backup()).toMatchObject({ events: { copied: 0 }, files: { copied: 0, copiedBytes: 0, kept: 3 } })
    expect(content(join(dir, "tlog"))).toEqual(before)
    await verifyBackup(dir)
  })

  it("copies the new events and the tiles they changed, and takes away the partial ones that grew", async () => {
    await register(600)
    expect(await plan()).toMatchObject({ events: { copied: 600, total: 605 } })
    expect(await backup()).toMatchObject({ position: 605, events: { copied: 600 } })
    await register(1)
    expect(await backup()).toMatchObject({ events: { copied: 1, total: 606 }, files: { copied: 3, kept: 5 } })
    expect([...content(join(dir, "tlog")).keys()]).toEqual([
      ...["checkpoint", "key", "tile/0/000", "tile/0/001", "tile/0/002.p/94"],
      ...["tile/1/000.p/2", "tile/entries/000", "tile/entries/001", "tile/entries/002.p/94"],
    ])
    await verifyBackup(dir)
    const published = content(join(data, "tlog"))
    for (const [name, bytes] of content(join(dir, "tlog")))
      if (name !== "key") expect(published.get(name), name).toBe(bytes)
  })

  it("fills itself again where the one before lost a tile, or has another", async () => {
    for (const spoil of [
      () => rmSync(join(dir, "tlog/tile/0/001")),
      () => truncateSync(join(dir, "tlog/tile/entries/000"), 100),
      () => writeFileSync(join(dir, "tlog/tile/0/002.p/94"), Buffer.alloc(94 * 32)),
    ]) {
      spoil()
      expect((await refused(verifyBackup(dir))).code).toBe("BACKUP_DAMAGED")
      expect(await backup()).toMatchObject({ events: { copied: 606 } })
      await verifyBackup(dir)
    }
  })
})

describe("images", () => {
  const copies = () => [...content(join(dir, "images")).keys()]

  it("are copied once, and again only when they are read from elsewhere", async () => {
    const first = await backup({ images: true })
    expect(first.images).toMatchObject([{ image: "win11", version: 1, sizeBytes: 256 * KiB }])
    expect(first.images[0]!.done).toMatch(/^(copied|cloned)$/)
    expect(readFileSync(join(dir, "images", copies()[0]!)).equals(readFileSync(join(folder, "win11.raw")))).toBe(true)
    expect((await backup({ images: true })).images[0]!.done).toBe("kept")
    const moved = join(folder, "moved.raw")
    renameSync(join(folder, "win11.raw"), moved)
    await here.do("image.relocate", { name: "win11", path: moved })
    expect((await backup({ images: true })).images).toMatchObject([{ path: moved, done: first.images[0]!.done }])
    expect(copies()).toHaveLength(1)
    await verifyBackup(dir)
  })

  it("stay in a backup that is made again without asking for them", async () => {
    expect(await backup()).toMatchObject({ images: [{ done: "kept" }], leftOut: [] })
    expect(copies()).toHaveLength(1)
  })

  it("are copied with their holes left out", async () => {
    const sparse = join(folder, "sparse.raw")
    writeFileSync(sparse, "boot")
    truncateSync(sparse, 8 * 1024 * KiB)
    await here.do("image.add", { name: "sparse", path: sparse, check: true })
    await backup({ images: true })
    const copy = copies().find((name) => name.endsWith("sparse.raw"))!
    const { size, blocks } = statSync(join(dir, "images", copy))
    expect([size, blocks * 512 < 1024 * KiB]).toEqual([8 * 1024 * KiB, true])
  })

  it("that are gone or changed are named; everything else is copied, and it is no success", async () => {
    const changed = rawImage(folder, "changed.raw", 64 * KiB, 5).path
    const gone = rawImage(folder, "gone.raw", 64 * KiB, 6).path
    await here.do("image.add", { name: "changed", path: changed, check: true })
    await here.do("image.add", { name: "gone", path: gone, check: true })
    writeFileSync(changed, "x")
    rmSync(gone)
    const { code, details } = await refused(backup({ images: true }))
    expect(code).toBe("BACKUP_INCOMPLETE")
    expect(details).toEqual([
      expect.stringContaining(`image changed: ${changed} was changed`),
      expect.stringContaining("image gone@1"),
    ])
    expect((await verifyBackup(dir)).manifest.position).toBe(here.parts.log.head())
    await here.do("image.remove", { name: "changed" })
    await here.do("image.remove", { name: "gone" })
    await backup({ images: true })
  })
})

describe("secrets and what is left out", () => {
  it("has the key only in a backup that asked for it, and only for its owner", async () => {
    const key = join(dir, "secrets/site.key")
    expect((await backup({ secrets: true })).secrets).toBe(true)
    expect(readFileSync(key).equals(readFileSync(join(data, "store/site.key")))).toBe(true)
    expect(statSync(key).mode & 0o777).toBe(0o600)
    expect((await backup()).secrets).toBe(false)
    expect(existsSync(join(dir, "secrets"))).toBe(false)
  })

  it("has the API tokens, hashed, only in a backup that asked for it, and a restored site lets them in", async () => {
    const tokens = join(dir, "secrets/tokens.json")
    const { token } = await here.do("token.create", { name: "desk", role: "viewer" })
    const secret = token.slice(token.indexOf("_", "il_".length) + 1)
    await backup({ secrets: true })
    expect(statSync(tokens).mode & 0o777).toBe(0o600)
    expect(readFileSync(tokens, "utf8")).not.toContain(secret)
    const to = join(folder, "with-tokens")
    const answer = await restored(to)
    expect(answer.notes).toContain("1 API token of the backup may ask here too: imagelink token list")
    expect(statSync(join(to, "tokens.json")).mode & 0o777).toBe(0o600)
    const there = await serveHere(to)
    expect(await (await there.parts.tokens()).verify(token)).toMatchObject({ name: "desk", role: "viewer" })
    await there.close()
    await backup()
    const hash = JSON.parse(readFileSync(join(data, "tokens.json"), "utf8")).tokens[0].hash as string
    for (const [file, bytes] of content(dir)) {
      const text = Buffer.from(bytes, "base64").toString("latin1")
      expect([file, text.includes(secret), text.includes(hash)]).toEqual([file, false, false])
    }
    expect((await restored(join(folder, "without-tokens"))).notes.join()).not.toContain("token")
  })

  it("names the writes that clients keep", async () => {
    await here.do("client.link", { clients: ["PC-002", "PC-001"], image: "win11", slot: 0, overlay: "keep" })
    await here.do("client.link", { clients: ["PC-003"], image: "win11", slot: 1 })
    expect((await backup()).leftOut).toEqual([
      "what PC-001 slot 0 keeps over win11@1",
      "what PC-002 slot 0 keeps over win11@1",
    ])
  })
})

describe("refused, and nothing changed:", () => {
  it("a folder that holds something else, a file, and one in the data folder", async () => {
    const other = join(folder, "other")
    mkdirSync(other)
    writeFileSync(join(other, "thesis.txt"), "mine")
    for (const to of [other, join(other, "thesis.txt"), data, join(data, "backup")])
      for (const ask of [backup, plan])
        expect([to, (await refused(ask({ dir: to }))).code]).toEqual([to, "BACKUP_REFUSED"])
    expect(readdirSync(other)).toEqual(["thesis.txt"])
  })

  it("the backup of another site, and a newer one of this site", async () => {
    const elsewhere = await serveHere(join(folder, "elsewhere"))
    await elsewhere.do("client.add", { mac: "52:54:00:00:00:01" })
    const theirs = join(folder, "theirs")
    await elsewhere.do("backup", { dir: theirs })
    await elsewhere.close()
    for (const ask of [backup, plan])
      expect(await refused(ask({ dir: theirs }))).toMatchObject({
        code: "BACKUP_REFUSED",
        reason: expect.stringContaining("it holds a backup of"),
      })
    await backup()
    const older = join(folder, "older")
    await here.close()
    cpSync(data, older, { recursive: true })
    here = await serveHere(data)
    await register(1)
    await backup()
    const behind = await serveHere(older)
    expect(await refused(behind.do("backup", { dir }))).toMatchObject({
      code: "BACKUP_REFUSED",
      reason: expect.stringMatching(/has \d+ events of this site, and the log has only/),
    })
    await behind.do("client.add", { mac: "52:54:00:00:00:02" })
    expect(await refused(behind.do("backup", { dir }))).toMatchObject({
      code: "BACKUP_REFUSED",
      reason: expect.stringContaining("are not the first of this log"),
    })
    await behind.close()
    await verifyBackup(dir)
  })

  it("a folder that another process is writing, and not one that a dead process left", async () => {
    const mark = join(dir, ".imagelink-backup")
    writeFileSync(mark, "1")
    expect((await refused(backup())).reason).toContain("process 1 makes a backup there now")
    for (const pid of ["999999999", String(process.pid)]) {
      writeFileSync(mark, pid)
      await backup()
      expect(existsSync(mark)).toBe(false)
    }
  })

  it("two at once into one folder", async () => {
    await register(300)
    const both = await Promise.allSettled([backup(), backup()])
    expect(both.map((one) => one.status).sort()).toEqual(["fulfilled", "rejected"])
    await verifyBackup(dir)
  })

  it("a manifest with any byte changed", async () => {
    const path = join(dir, "manifest.json")
    const bytes = readFileSync(path)
    const at = bytes.indexOf('"position"') + 13
    bytes[at]! ^= 1
    writeFileSync(path, bytes)
    for (const ask of [() => verifyBackup(dir), backup]) expect((await refused(ask())).code).toBe("BACKUP_DAMAGED")
    bytes[at]! ^= 1
    writeFileSync(path, bytes)
    await verifyBackup(dir)
  })
})

it("can be cancelled, and goes on the next time", async () => {
  await register(10)
  const cancelled = await refused(here.site.call("backup", { dir }, { actor: operator, signal: AbortSignal.abort() }))
  expect(cancelled.code).toBe("CANCELLED")
  await verifyBackup(dir)
  const answer: BackupAnswer = await backup()
  expect(answer.position).toBe(here.parts.log.head())
  expect(
    (await here.do("jobs", {})).some(({ title, state }) => title === `backup to ${dir}` && state === "cancelled"),
  ).toBe(true)
})

it("names every file that was changed or lost", async () => {
  await backup({ images: true, secrets: true })
  const { manifest } = await verifyBackup(dir)
  for (const { path } of manifest.files) {
    const at = join(dir, path)
    const bytes = readFileSync(at)
    const wrong = Buffer.from(bytes)
    wrong[wrong.length >> 1]! ^= 4
    writeFileSync(at, wrong)
    expect(await refused(verifyBackup(dir))).toMatchObject({
      code: "BACKUP_DAMAGED",
      details: [`${path}: it does not have its SHA-256`],
    })
    rmSync(at)
    expect((await refused(verifyBackup(dir))).details).toEqual([`${path}: it is missing`])
    writeFileSync(at, bytes)
  }
  await verifyBackup(dir)
})
