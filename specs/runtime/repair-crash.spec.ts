/**
 * A repair that is killed at any moment loses nothing: repeated, it brings back what the first one would have.
 *
 * **Details** A child repairs a data folder whose database, head, tiles and projections are damaged, and is killed with SIGKILL a seeded moment
 * after it began, twice in a row. Half of `IMAGELINK_SEEDS` are tried.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { rmSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { beforeAll, expect, it } from "vitest"
import { scratch } from "../support/cli.ts"
import { type Content, contentOf, copyData, makeData, repair } from "../support/data-folder.ts"
import { random } from "../support/random.ts"

const child = fileURLToPath(new URL("../support/repair-crash-child.ts", import.meta.url))
const seeds = Array.from({ length: Math.ceil(Number(process.env.IMAGELINK_SEEDS ?? 6) / 2) }, (_, i) => i + 1)
const folder = scratch("repair-crash")
const data = join(folder, "damaged")
let source: string
let content: Content

beforeAll(async () => {
  source = await makeData(folder)
  copyData(source, data)
  content = await contentOf(data)
}, 240_000)

const runAndKill = async (afterMillis: number): Promise<void> => {
  const repairing = spawn(process.execPath, ["--conditions=source", child, data], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const gone = once(repairing, "close")
  const late = setTimeout(() => repairing.kill("SIGKILL"), 20_000)
  let text = ""
  repairing.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString()
    if (text === "begin\n") setTimeout(() => repairing.kill("SIGKILL"), afterMillis)
  })
  await gone
  clearTimeout(late)
}

it.each(seeds)(
  "repeated after kill -9, it brings everything back (seed %d)",
  async (seed) => {
    const dice = random(seed)
    copyData(source, data)
    rmSync(join(data, "store/db/CURRENT"))
    truncateSync(join(data, "store/head"), 7)
    rmSync(join(data, "tlog/tile/0"), { recursive: true })
    writeFileSync(join(data, "projections/catalogue.checkpoint"), "no")
    for (let round = 0; round < 2; round++) await runAndKill(dice.below(200))
    const rows = await repair(data)
    expect(
      rows.filter((r) => r.state === "lost"),
      `seed ${seed}`,
    ).toEqual([])
    expect(await contentOf(data), `seed ${seed}`).toEqual(content)
  },
  240_000,
)
