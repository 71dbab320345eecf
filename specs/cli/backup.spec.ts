/** Backup and restore as an operator has them: while a server runs and without one. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { events, imagelink, json, refusal, scratch, startServe } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"

const folder = scratch("backup-cli")
const data = join(folder, "data")
const backup = join(folder, "backup")
const image = rawImage(folder, "win11.raw", 128 * 1024)

const ok = async (args: ReadonlyArray<string>, at = data): Promise<string> => {
  const { status, stdout, stderr } = await imagelink(args, { data: at })
  expect({ args, status, stderr: status === 0 ? "" : stderr }).toEqual({ args, status: 0, stderr: "" })
  return stdout
}
const refused = async (args: ReadonlyArray<string>, at = data) => {
  const run = await imagelink([...args, "--json"], { data: at })
  return { exit: run.status, ...refusal(run) }
}

beforeAll(async () => {
  await ok(["image", "add", "win11", image.path])
  await ok(["client", "add", "52:54:00:00:00:01"])
  await ok(["client", "link", "PC-001", "win11", "--overlay", "keep"])
}, 30_000)

describe("imagelink backup", () => {
  it("copies what is new while a server runs, and after it stopped nothing more", async () => {
    expect(await ok(["backup", backup, "--dry-run", "--images"])).toContain("would copy 4 new events of 4")
    expect(existsSync(backup)).toBe(false)
    const server = await startServe(data)
    expect(await ok(["backup", backup, "--images"])).toMatch(
      /^\S+backup: position 4, 4 new events of 4\n {2}4 files copied, .*\n {2}win11@1 (copied|cloned): \S+win11\.raw, 128 KiB\n {2}left out: what PC-001 slot 0 keeps over win11@1\n$/,
    )
    expect((await json<ReadonlyArray<{ title: string }>>(["jobs"], { data })).map(({ title }) => title)).toContain(
      `backup to ${backup}`,
    )
    await server.stop()
    const again = await json(["backup", backup, "--images"], { data })
    expect(again).toMatchObject({ position: 4, events: { copied: 0, total: 4 }, files: { copied: 0, kept: 4 } })
  }, 60_000)

  it("says what is missing, with exit 1, and makes no data where there is none", async () => {
    const gone = rawImage(folder, "gone.raw", 64 * 1024, 2).path
    await ok(["image", "add", "gone", gone, "--no-check"])
    rmSync(gone)
    const { exit, code, details } = await refused(["backup", join(folder, "half"), "--images"])
    expect([exit, code, details]).toEqual([1, "BACKUP_INCOMPLETE", [expect.stringContaining("image gone@1")]])
    await ok(["image", "remove", "gone"])
    expect((await refused(["backup", backup], join(folder, "nowhere"))).code).toBe("DATA_NOT_FOUND")
    expect(existsSync(join(folder, "nowhere"))).toBe(false)
  }, 60_000)
})

describe("imagelink restore", () => {
  const restored = join(folder, "restored")

  it("makes the data folder anew, under a name of its own", async () => {
    expect(await ok(["restore", backup, "--dry-run"], restored)).toContain(`would restore it into ${restored}`)
    expect(existsSync(restored)).toBe(false)
    const said = await ok(["restore", backup, "--site", "lab.example"], restored)
    expect(said).toContain(`restored into ${restored} as lab.example: position 5`)
    expect(said).toContain("note: PC-001 slot 0 begins anew over win11@1")
    expect(await ok(["audit", "verify"], restored)).toContain("holds: 5 events")
    expect((await ok(["audit", "key"], restored)).startsWith("lab.example+")).toBe(true)
    expect(await ok(["history"], restored)).toMatch(/log restored +- +\S+, 4 events +lab\.example +\S+\n$/)
    expect((await events(restored)).slice(0, 4)).toEqual((await events(data)).slice(0, 4))
  }, 60_000)

  it("refuses a folder that is not empty unless it is forced, and a server that runs on it always", async () => {
    expect(await refused(["restore", backup], restored)).toMatchObject({ exit: 1, code: "TARGET_NOT_EMPTY" })
    const server = await startServe(restored)
    expect(await refused(["restore", backup, "--force"], restored)).toMatchObject({ exit: 1, code: "DATA_IN_USE" })
    await server.stop()
    const { aside } = await json<{ aside: string }>(["restore", backup, "--force"], { data: restored })
    expect(await ok(["audit", "verify"], aside)).toContain("holds: 5 events")
  }, 60_000)

  it("refuses a damaged backup, with exit 3", async () => {
    const path = join(backup, "tlog/tile/entries/000.p/4")
    const bytes = readFileSync(path)
    bytes[bytes.indexOf("PC-001")]! ^= 1
    writeFileSync(path, bytes)
    expect(await refused(["restore", backup], join(folder, "other"))).toMatchObject({ exit: 3, code: "BACKUP_DAMAGED" })
    expect(existsSync(join(folder, "other"))).toBe(false)
  }, 30_000)
})

describe("imagelink restore --until", () => {
  it("brings links back by new events, with and without a server, and says which in a dry run", async () => {
    const at = join(folder, "until")
    await ok(["image", "add", "win11", image.path], at)
    for (const n of [1, 2]) await ok(["client", "add", `52:54:00:00:01:0${n}`], at)
    await ok(["client", "link", "PC-{001..002}", "win11"], at)
    const links = await json(["links"], { data: at })
    await ok(["client", "unlink", "PC-001"], at)
    await ok(["client", "remove", "PC-002"], at)
    expect(await ok(["restore", "--position", "6", "--dry-run"], at)).toMatch(
      /^would append 3 events:\n {2}PC-002 registered: .*\n {2}PC-001 linked: .*\n {2}PC-002 linked: /,
    )
    expect(await json(["links"], { data: at })).toEqual([])
    await ok(["restore", "--position", "6"], at)
    expect(await json(["links"], { data: at })).toEqual(links)
    const server = await startServe(at)
    await ok(["client", "add", "52:54:00:00:01:03"], at)
    await ok(["client", "unlink", "PC-002"], at)
    expect(await ok(["restore", "--position", "11"], at)).toMatch(/^PC-003 removed: .*\nPC-002 linked: /)
    expect(await json(["links"], { data: at })).toEqual(links)
    expect(await ok(["restore", "--until", "0s"], at)).toContain("nothing to change")
    await server.stop()
    expect(await ok(["audit", "verify"], at)).toContain("holds: 15 events")
  }, 60_000)

  it("takes a folder or one moment, and says so", async () => {
    for (const args of [
      [],
      [backup, "--until", "1h"],
      ["--until", "1h", "--position", "1"],
      ["--position", "1", "--force"],
    ])
      expect((await imagelink(["restore", ...args], { data })).status).toBe(2)
    expect(await refused(["restore", "--position", "99"])).toMatchObject({ exit: 1, code: "POSITION_NOT_FOUND" })
  }, 30_000)
})
