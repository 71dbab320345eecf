/**
 * Killed before any change to any file, a backup leaves the one before whole or the new one, and a restore the data folder before or the new one.
 *
 * **Details** A child kills itself with SIGKILL before its nth change; n is drawn from the seed. `IMAGELINK_SEEDS` is how many are tried.
 */
import { spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, expect, it } from "vitest"
import { restoreSite } from "../../adapters/compose.ts"
import { readManifest } from "../../core/runtime/backup/manifest.ts"
import { verifyBackup } from "../../core/runtime/backup/verify-backup.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { random } from "../support/random.ts"
import { operator, type ServingSite, serveHere, write } from "../support/serving.ts"

const folder = scratch("backup-crash")
const child = join(import.meta.dirname, "support/backup-crash-child.ts")
const seeds = Array.from({ length: Number(process.env.IMAGELINK_SEEDS ?? 4) }, (_, i) => i + 1)
const data = join(folder, "data")
const first = join(folder, "first")
let changes: { readonly backup: number; readonly next: number; readonly restore: number }
let head = 0

/** Runs the child; answers how many changes it made, or undefined where it was killed. */
const run = (what: string, nth: number, ...paths: ReadonlyArray<string>): number | undefined => {
  const args = ["--conditions=source", child, what, String(nth), ...paths]
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, { timeout: 120_000, encoding: "utf8" })
  if (signal === "SIGKILL" && nth > 0) return undefined
  expect([status, stderr], `${what} ${nth}`).toEqual([0, ""])
  return Number(stdout)
}
const rows = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => ({
    line: i + 2,
    mac: `52:54:03:00:${(from + i) >> 8}0:${((from + i) & 255).toString(16).padStart(2, "0")}`,
  }))
const grow = async (from: number, count: number, more: "image" | undefined = undefined) => {
  const here = await serveHere(data)
  await here.do("client.import", { rows: rows(from, count), file: "lab.csv" })
  if (more) await addImages(here)
  head = here.parts.log.head()
  await here.close()
}
/** One that is served in place with a version committed on it, and one that was written to and sealed. */
const addImages = async (here: ServingSite) => {
  await here.do("image.add", { name: "win11", path: rawImage(folder, "win11.raw", 96 * 1024).path, check: true })
  await here.do("client.link", { clients: ["PC-001"], image: "win11", slot: 0 })
  await here.do("client.set-super", { client: "PC-001", image: "win11" })
  const lease = await here.attach("PC-001")
  await write(lease, 0, Buffer.alloc(4096, "two"))
  await lease.release()
  await here.do("image.commit", { name: "win11" })
  await here.do("image.create", { name: "tools", sizeBytes: 64 * 1024 })
  await here.do("image.seal", { name: "tools" })
  await here.do("image.check", { name: "win11", version: 2 })
  await here.do("image.check", { name: "tools" })
}
const restored = async (backup: string, to: string): Promise<number> => {
  const { signal } = new AbortController()
  const options = { backup, data: to, force: true, dryRun: false, actor: operator, signal, onProgress: () => {} }
  return (await restoreSite(options)).to!.position
}
const verifyData = async (dir: string) => {
  const here = await serveHere(dir)
  const { size } = await here.do("audit.verify", {})
  const { name } = here.parts.log.site
  for (const { name: image, current } of await here.do("image.list", {}))
    expect((await here.do("image.check", { name: image, version: current })).result).toBe("verified")
  await here.close()
  return { size, name }
}

beforeAll(async () => {
  await grow(0, 250)
  run("backup", 0, data, first)
  await grow(256, 20, "image")
  const [scratchOne, scratchTwo] = [join(folder, "count-1"), join(folder, "count-2")]
  cpSync(first, scratchTwo, { recursive: true })
  const target = join(folder, "count/data")
  mkdirSync(join(folder, "count"))
  await restored(first, target)
  changes = {
    backup: run("backup", 0, data, scratchOne)!,
    next: run("backup", 0, data, scratchTwo)!,
    restore: run("restore", 0, data, scratchOne, target)!,
  }
}, 300_000)

it.each(seeds)(
  "a backup that is killed loses nothing and is finished by the next (seed %d)",
  async (seed) => {
    const r = random(seed)
    for (const isNext of [false, true]) {
      const dir = join(folder, `backup-${seed}-${isNext}`)
      if (isNext) cpSync(first, dir, { recursive: true })
      const nth = 1 + r.below(isNext ? changes.next : changes.backup)
      run("backup", nth, data, dir)
      const said = `seed ${seed}, ${isNext ? "next" : "first"}, change ${nth}`
      const manifest = existsSync(dir) ? readManifest(dir) : undefined
      if (isNext || manifest !== undefined) {
        const { position } = (await verifyBackup(dir)).manifest
        expect(isNext ? [250, head] : [head], said).toContain(position)
      }
      run("backup", 0, data, dir)
      expect((await verifyBackup(dir)).manifest.position, said).toBe(head)
      expect(readdirSync(dir).sort(), said).toEqual(["drafts", "images", "layers", "manifest.json", "sidecars", "tlog"])
      rmSync(dir, { recursive: true })
    }
    expect((await verifyData(data)).size).toBe(head)
  },
  300_000,
)

/** Restores over an older data folder, killed before the nth change; answers whether the old folder was aside by then. */
const killRestore = async (nth: number, tag: string): Promise<boolean> => {
  const parent = join(folder, `restore-${tag}`)
  const to = join(parent, "data")
  mkdirSync(parent)
  expect(await restored(first, to)).toBe(251)
  const { name } = await verifyData(to)
  const backup = join(folder, "count-1")
  expect(run("restore", nth, data, backup, to), `change ${nth} was never made`).toBeUndefined()
  const said = `${tag}, change ${nth}: ${readdirSync(parent)}`
  const aside = readdirSync(parent).find((entry) => entry.includes(".before-restore-"))
  // whichever of the two has the old name now, it is whole and goes on under its own key
  const old = aside === undefined ? to : join(parent, aside)
  expect(await verifyData(old), said).toEqual({ size: 251, name })
  if (aside !== undefined && existsSync(to)) expect((await verifyData(to)).size, said).toBe(head + 1)
  expect(await restored(backup, to), said).toBe(head + 1)
  expect(await verifyData(to), said).toMatchObject({ size: head + 1 })
  expect(
    readdirSync(parent).filter((entry) => entry.includes(".new-")),
    said,
  ).toEqual([])
  rmSync(parent, { recursive: true })
  return aside !== undefined
}

it.each(seeds)(
  "a restore that is killed leaves the old data whole, and can be run again (seed %d)",
  async (seed) => {
    await killRestore(1 + random(seed + 1000).below(changes.restore), `seed ${seed}`)
  },
  300_000,
)

it("a restore that is killed around the exchange of the two folders leaves one of them, or both", async () => {
  const asides: Array<boolean> = []
  for (let nth = changes.restore - 4; nth <= changes.restore; nth++) asides.push(await killRestore(nth, `last ${nth}`))
  expect([asides[0], asides.at(-1)]).toEqual([false, true])
}, 300_000)
