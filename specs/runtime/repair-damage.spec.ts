/**
 * Every file of a data folder, damaged in every way: detected by name, reads served where they can be, and mended to what was there before.
 *
 * **Details** One data folder is made, and damaged in copies of it: a byte flipped, the file cut in half, filled with zeros, deleted. The
 * events, the Merkle root and the link table must come out as they were. Where a byte is flipped, a seed says; `IMAGELINK_SEED` gives another.
 */
import { cpSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { crc32c } from "../../core/bytes.ts"
import { isImagelinkError } from "../../core/errors.ts"
import { scratch } from "../support/cli.ts"
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
import { random } from "../support/random.ts"

const folder = scratch("repair")
const damaged = join(folder, "damaged")
const first = Number(process.env.IMAGELINK_SEED ?? 1)
let source: string
let content: Content

beforeAll(async () => {
  source = await makeData(folder)
  copyData(source, damaged)
  content = await contentOf(damaged)
  expect([content.events.length, content.links.length]).toEqual([304, 151])
}, 60_000)

const damages: Readonly<Record<string, (path: string, hint: string) => void>> = {
  flip: (path, hint) => {
    const bytes = readFileSync(path)
    const dice = random(crc32c(Buffer.from(hint)))
    bytes[dice.below(bytes.length)]! ^= 1 << dice.below(8)
    writeFileSync(path, bytes)
  },
  truncate: (path) => truncateSync(path, Math.floor(statSync(path).size / 2)),
  zero: (path) => writeFileSync(path, Buffer.alloc(statSync(path).size)),
  delete: (path) => rmSync(path),
}

/** How often each damage is tried: a soak flips other bytes each time. */
const rounds = (how: string) => (how === "flip" ? Math.ceil(Number(process.env.IMAGELINK_SEEDS ?? 1) / 50) : 1)

/** The row that a file belongs to. */
const partOf = (name: string): string => {
  if (name.startsWith("store/db/")) return "store/db"
  if (name.startsWith("tlog/tile/")) return "tlog/tile"
  return name.startsWith("projections/") ? "projections" : name
}

const links = () => withSite(damaged, (site) => site.call("links", {}, { actor })).catch((e: unknown) => e)
/** Where the link table cannot be served, because nobody knows whether it is the newest. */
const withoutLinks = /^store\/(store\.json|head)$/

/** What repair says cannot come from the data folder comes from elsewhere: a backup, or the image. */
const outside = async (name: string) => {
  expect(name).toMatch(/^(store\/site\.key|store\/db\/\d+\.log|sidecars\/.*)$/)
  if (name.startsWith("sidecars/")) await withSite(damaged, (s) => s.call("image.check", { name: "win11" }, { actor }))
  else cpSync(join(source, name), join(damaged, name))
}

describe.each(Object.keys(damages))("%s", (how) => {
  const damage = (name: string, hint: string) => {
    copyData(source, damaged)
    damages[how]!(join(damaged, name), hint)
  }
  const seeds = Array.from({ length: rounds(how) }, (_, i) => first + i)

  it.each(seeds)(
    "any one file: named, links still served, and mended to what it was (seed %d)",
    async (seed) => {
      const harmless: Array<string> = []
      for (const name of filesIn(source)) {
        const hint = `${how} ${name} (seed ${seed})`
        damage(name, hint)
        const before = snapshot(damaged)
        const found = notWhole(await repair(damaged, { dryRun: true }))
        expect(snapshot(damaged), `a dry run changes nothing: ${hint}`).toEqual(before)
        if (found.length === 0) harmless.push(name)
        else
          expect(
            found.map(([part]) => part),
            hint,
          ).toEqual([partOf(name)])

        const shown = await links()
        if (isImagelinkError(shown)) {
          expect(name, hint).toMatch(withoutLinks)
          expect([shown.code, shown.exit], hint).toEqual(["STORE_DAMAGED", 3])
          expect(shown.message, hint).toContain(join(damaged, name))
        } else expect(shown, hint).toEqual(content.links)

        // anew, because reading mends what it can: the checkpoint of a projection is saved again
        damage(name, hint)
        const rows = await repair(damaged)
        if (found.some(([, state]) => state === "lost")) {
          expect(notWhole(rows), hint).toEqual(found)
          await outside(name)
        } else expect(notWhole(rows), hint).toEqual(found.map(([part]) => [part, "mended"]))
        expect(await contentOf(damaged), hint).toEqual(content)
        expect(notWhole(await repair(damaged, { dryRun: true })), `twice: ${hint}`).toEqual([])
      }
      // one of the head's two copies, and checkpoints, which are never needed
      const nothingWrong = { flip: /^store\/head$/, truncate: /^store\/head$/, delete: /^projections\// }[how] ?? /^$/
      expect(harmless.filter((name) => !nothingWrong.test(name))).toEqual([])
    },
    180_000,
  )
})
