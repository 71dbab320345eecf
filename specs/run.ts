/**
 * `npm test` and `npm run soak`: types, lint and specs, one after the other, with a plain count at the end.
 *
 *     node specs/run.ts                all specs, with few seeds: minutes
 *     node specs/run.ts --soak         the seeded specs with many seeds: as long as it takes
 *     node specs/run.ts --soak --slice the same with a bounded number of seeds, for CI
 *     node specs/run.ts specs/nbd      only these specs
 *
 * A spec that lacks a tool is skipped aloud; the skips are listed again here, with the package that brings the tool.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const args = process.argv.slice(2)
const soak = args.includes("--soak")
const seeds = soak ? (args.includes("--slice") ? "60" : "500") : undefined
const only = args.filter((a) => !a.startsWith("--"))
const seeded = ["crash", "damage", "fuzz", "random", "model", "mutat"]

const scratch = mkdtempSync(join(tmpdir(), "imagelink-specs-"))
const skips = process.env.IMAGELINK_SKIPS ?? join(scratch, "skips")
const report = join(scratch, "report.json")

const run = (what: string, module: string, ...rest: ReadonlyArray<string>): boolean => {
  console.log(`\n== ${what}`)
  const env = { ...process.env, IMAGELINK_SKIPS: skips, ...(seeds === undefined ? {} : { IMAGELINK_SEEDS: seeds }) }
  return spawnSync(process.execPath, [module, ...rest], { stdio: "inherit", env }).status === 0
}

interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numTotalTestSuites: number
  readonly testResults: ReadonlyArray<{ readonly status: string; readonly assertionResults: ReadonlyArray<unknown> }>
}

const checks: Array<readonly [string, boolean]> = []
if (!soak && only.length === 0) {
  checks.push(["types", run("types", "node_modules/typescript/bin/tsc", "--noEmit")])
  checks.push(["lint", run("lint", "node_modules/@biomejs/biome/bin/biome", "check", ".")])
}
const files = soak && only.length === 0 ? seeded : only
const specs = run(
  "specs",
  "node_modules/vitest/vitest.mjs",
  "run",
  "--reporter=default",
  "--reporter=json",
  `--outputFile.json=${report}`,
  ...files,
)

let passed = checks.filter(([, ok]) => ok).length
let failed = checks.length - passed
if (existsSync(report)) {
  const r = JSON.parse(readFileSync(report, "utf8")) as Report
  passed += r.numPassedTests
  failed +=
    r.numFailedTests + r.testResults.filter((f) => f.status === "failed" && f.assertionResults.length === 0).length
}
if (!specs && failed === 0) failed = 1

if (existsSync(skips)) {
  const lines = [
    ...new Set(
      readFileSync(skips, "utf8")
        .split("\n")
        .filter((l) => l !== ""),
    ),
  ]
  if (lines.length > 0) console.log(`\n${lines.length} skipped:\n${lines.map((l) => `  ${l}`).join("\n")}`)
}
for (const [what, ok] of checks) if (!ok) console.log(`FAILED: ${what}`)
console.log(`\n${passed} passed, ${failed} failed`)
rmSync(scratch, { recursive: true, force: true })
process.exitCode = failed === 0 ? 0 : 1
