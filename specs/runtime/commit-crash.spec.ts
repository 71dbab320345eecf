/**
 * Killed before any change to any file, a commit was made or it was not: sent again under its id, it is there once, with every byte.
 *
 * **Details** A child kills itself with SIGKILL before its nth change; every seed draws some n, and the last changes are always among them.
 * `IMAGELINK_SEEDS` is how many seeds are tried.
 */
import { spawnSync } from "node:child_process"
import { cpSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, expect, it } from "vitest"
import { scratch } from "../support/cli.ts"
import {
  clientBytes,
  codeOf,
  editAsSuper,
  imageOf,
  type Lab,
  layersOf,
  makeLab,
  versionBytes,
} from "../support/committing.ts"
import { random } from "../support/random.ts"
import { operator, serveHere } from "../support/serving.ts"

const folder = scratch("commit-crash")
const child = join(import.meta.dirname, "../support/commit-crash-child.ts")
const source = join(folder, "source")
const commandId = "01935b00-0000-7000-8000-0000000000cc"
const seeds = Array.from({ length: Number(process.env.IMAGELINK_SEEDS ?? 4) }, (_, i) => i + 1)
const KILLS = 3
let lab: Lab
let versions: ReadonlyArray<Buffer>
let changes = 0

const copy = (name: string): string => {
  const data = join(folder, name)
  rmSync(data, { recursive: true, force: true })
  cpSync(source, data, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true })
  return data
}

/** Runs the child; answers how many changes it made, or undefined where it was killed. */
const run = (nth: number, data: string): number | undefined => {
  const args = ["--conditions=source", child, String(nth), data, lab.image, commandId]
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, { timeout: 120_000, encoding: "utf8" })
  if (signal === "SIGKILL" && nth > 0) return undefined
  expect([status, stderr], `change ${nth}`).toEqual([0, ""])
  return Number(stdout)
}

beforeAll(async () => {
  const here = await serveHere(source)
  lab = await makeLab(here, folder, 2)
  const two = await editAsSuper(here, lab, lab.client(1), lab.bytes, 1)
  await here.do("image.commit", { name: lab.image })
  versions = [lab.bytes, two, await editAsSuper(here, lab, lab.client(1), two, 4)]
  await here.close()
  changes = run(0, copy("whole"))!
}, 240_000)

/** Whether the version was announced when the commit was killed; what follows is the same either way. */
const killAt = async (nth: number, said: string): Promise<boolean> => {
  const data = copy(`killed-${nth}`)
  expect(run(nth, data), said).toBeUndefined()
  const here = await serveHere(data)
  try {
    const isAnnounced = (await imageOf(here, lab.image)).versions.length === 3
    // either way the client sees what it wrote: on its super overlay, or on the version that has it
    expect((await clientBytes(here, lab.client(1))).equals(versions[2]!), said).toBe(true)
    expect((await clientBytes(here, lab.client(2))).equals(versions[isAnnounced ? 2 : 1]!), said).toBe(true)
    const again = await here.site.call("image.commit", { name: lab.image }, { actor: operator, commandId })
    expect([again.repeated, again.events.length], said).toEqual([isAnnounced, 1])
    expect(await codeOf(here.do("image.commit", { name: lab.image })), said).toBe("NO_SUPER_CLIENT")
    for (const [i, bytes] of versions.entries())
      expect((await versionBytes(here, lab.image, i + 1)).equals(bytes), `${said}, version ${i + 1}`).toBe(true)
    expect((await here.do("image.check", { name: lab.image, version: 3 })).result, said).toBe("verified")
    const files = ["parents", "v2.data", "v2.qcow2", "v3.data", "v3.qcow2"]
    expect(readdirSync(await layersOf(here, data, lab.image)).sort(), said).toEqual(files)
    return isAnnounced
  } finally {
    await here.close()
    rmSync(data, { recursive: true })
  }
}

it.each(seeds)(
  "a commit that is killed is made once, whole, by the next (seed %d)",
  async (seed) => {
    const dice = random(seed)
    for (let kill = 0; kill < KILLS; kill++) {
      const nth = 1 + dice.below(changes)
      await killAt(nth, `seed ${seed}, change ${nth} of ${changes}`)
    }
  },
  300_000,
)

it("a commit that is killed at its last changes is announced by then, and at its first is not", async () => {
  expect(await killAt(1, "the first change")).toBe(false)
  expect(await killAt(changes, "the last change")).toBe(true)
}, 240_000)
