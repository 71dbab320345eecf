/**
 * Killed before any change to any file, a version was flattened or it was not: every version has its bytes, and sent again under its id it is done once.
 *
 * **Details** A child kills itself with SIGKILL before its nth change; every seed draws some n, and the last changes are always among them. What a power
 * loss takes besides, the order shows: what is announced was synced before (flatten.ts). `IMAGELINK_SEEDS` is how many seeds are tried.
 */
import { spawnSync } from "node:child_process"
import { cpSync, readdirSync, readlinkSync, rmSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, expect, it } from "vitest"
import { scratch } from "../support/cli.ts"
import {
  checked,
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

const folder = scratch("flatten-crash")
const child = join(import.meta.dirname, "../support/flatten-crash-child.ts")
const source = join(folder, "source")
const commandId = "01935b00-0000-7000-8000-0000000000cf"
const seeds = Array.from({ length: Number(process.env.IMAGELINK_SEEDS ?? 4) }, (_, i) => i + 1)
const KILLS = 3
const VERSIONS = 4
let lab: Lab
const versions: Array<Buffer> = []
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
  versions.push(lab.bytes)
  for (let n = 2; n <= VERSIONS; n++) {
    versions.push(await editAsSuper(here, lab, lab.client(1), versions.at(-1)!, n))
    await here.do("image.commit", { name: lab.image })
    await checked(here, lab.image, n)
  }
  await here.close()
  changes = run(0, copy("whole"))!
}, 240_000)

/** Whether the new file was announced when it was killed; what is read is the same either way. */
const killAt = async (nth: number, said: string): Promise<boolean> => {
  const data = copy(`killed-${nth}`)
  expect(run(nth, data), said).toBeUndefined()
  const here = await serveHere(data)
  try {
    const isAnnounced = (await imageOf(here, lab.image)).versions[3]!.over === 1
    const names = (version: number) => [`v${version}.data`, `v${version}.qcow2`]
    const merged = ["v4-changes.qcow2", "v4-over-1.qcow2", "v4.qcow2"]
    const layers = await layersOf(here, data, lab.image)
    expect(readdirSync(layers).sort(), said).toEqual(
      ["parents", ...names(2), ...names(3), ...(isAnnounced ? merged : names(4))].sort(),
    )
    expect((await clientBytes(here, lab.client(2))).equals(versions[3]!), said).toBe(true)
    const again = await here.site.call("image.flatten", { name: lab.image }, { actor: operator, commandId })
    expect([again.repeated, again.events.length], said).toEqual([isAnnounced, 1])
    expect(await codeOf(here.do("image.flatten", { name: lab.image })), said).toBe("FLATTEN_NOTHING")
    for (const [i, bytes] of versions.entries())
      expect((await versionBytes(here, lab.image, i + 1)).equals(bytes), `${said}, version ${i + 1}`).toBe(true)
    expect((await here.do("image.check", { name: lab.image, version: 4 })).result, said).toBe("verified")
    expect(readlinkSync(join(layers, "v4.qcow2")), said).toBe("v4-over-1.qcow2")
    expect((await clientBytes(here, lab.client(2))).equals(versions[3]!), said).toBe(true)
    return isAnnounced
  } finally {
    await here.close()
    rmSync(data, { recursive: true })
  }
}

it.each(seeds)(
  "what is killed is done once, whole, by the next (seed %d)",
  async (seed) => {
    const dice = random(seed)
    for (let kill = 0; kill < KILLS; kill++) {
      const nth = 1 + dice.below(changes)
      await killAt(nth, `seed ${seed}, change ${nth} of ${changes}`)
    }
  },
  300_000,
)

it("what is killed at its last changes is announced by then, and at its first is not", async () => {
  expect(await killAt(1, "the first change")).toBe(false)
  expect(await killAt(changes, "the last change")).toBe(true)
}, 240_000)
