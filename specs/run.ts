/**
 * `npm test`: types, lint and specs, one after the other, with a plain count at the end.
 *
 *     node specs/run.ts                all specs, with few seeds: minutes
 *     node specs/run.ts --soak         the seeded specs with many seeds: as long as it takes (npm run soak)
 *     node specs/run.ts --soak --slice the same with a bounded number of seeds, for CI
 *     node specs/run.ts specs/nbd      only these specs
 *
 * A spec that lacks a tool is skipped aloud; the skips are listed again here, with the package that brings the tool. What hangs is ended, and is a
 * failure with a name: a loop that never gives its thread back cannot be timed out from within.
 */
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const args = process.argv.slice(2)
const soak = args.includes("--soak")
const seeds = soak ? (args.includes("--slice") ? "40" : "500") : undefined
const only = args.filter((a) => !a.startsWith("--"))
const seeded = ["crash", "damage", "fuzz", "random", "model", "mutat"]

const scratch = mkdtempSync(join(tmpdir(), "imagelink-specs-"))
const skips = process.env.IMAGELINK_SKIPS ?? join(scratch, "skips")
const report = join(scratch, "report.json")
const running = join(scratch, "running")
const patienceMinutes = soak ? (args.includes("--slice") ? 35 : 600) : 45

/** A process group of its own, so that its end is the end of all that it started. */
const run = (what: string, module: string, ...rest: ReadonlyArray<string>): Promise<boolean> => {
  console.log(`\n== ${what}`)
  const env = {
    ...process.env,
    ...{ IMAGELINK_SKIPS: skips, IMAGELINK_RUNNING: running },
    ...(seeds === undefined ? {} : { IMAGELINK_SEEDS: seeds }),
  }
  const child = spawn(process.execPath, [module, ...rest], { stdio: "inherit", env, detached: true })
  const end = (signal: NodeJS.Signals) => process.kill(-child.pid!, signal)
  const hangs = setTimeout(() => end("SIGKILL"), patienceMinutes * 60_000)
  process.on("SIGINT", end).on("SIGTERM", end)
  return new Promise((resolve) =>
    child.once("close", (status) => {
      clearTimeout(hangs)
      process.off("SIGINT", end).off("SIGTERM", end)
      resolve(status === 0)
    }),
  )
}

interface Report {
  readonly numPassedTests: number
  readonly testResults: ReadonlyArray<{
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: ReadonlyArray<{
      readonly status: string
      readonly fullName: string
      readonly failureMessages: ReadonlyArray<string>
    }>
  }>
}

/** Every failure with its reason; a file that did not load is one. */
const failuresOf = ({ testResults }: Report): ReadonlyArray<string> =>
  testResults.flatMap(({ name, status, message, assertionResults }) => {
    if (status === "failed" && assertionResults.length === 0) return [`${name}\n${reason(message)}`]
    const red = assertionResults.filter((a) => a.status === "failed")
    return red.map(({ fullName, failureMessages }) => `${name}: ${fullName}\n${reason(failureMessages.join("\n"))}`)
  })

/** A machine that failed says why at the end of what it said, so both ends are shown; of the stack only where it was thrown. */
const reason = (text: string): string => {
  const stack = (line: string) => /^\s+at /.test(line)
  const all = text.split("\n")
  const lines = [...all.filter((line) => !stack(line)), ...all.filter(stack).slice(0, 2)]
  const shown = lines.length <= 52 ? lines : [...lines.slice(0, 12), "…", ...lines.slice(-40)]
  return shown.map((line) => `    ${line}`).join("\n")
}

const checks: Array<readonly [string, boolean]> = []
if (!soak && only.length === 0) {
  checks.push(["types", await run("types", "node_modules/typescript/bin/tsc", "--noEmit")])
  checks.push(["lint", await run("lint", "node_modules/@biomejs/biome/bin/biome", "check", ".")])
}
const files = soak && only.length === 0 ? seeded : only
const specs = await run(
  "specs",
  "node_modules/vitest/vitest.mjs",
  "run",
  "--reporter=default",
  "--reporter=json",
  `--reporter=${join(import.meta.dirname, "support/running-reporter.ts")}`,
  `--outputFile.json=${report}`,
  ...files,
)

let passed = checks.filter(([, ok]) => ok).length
let failed = checks.length - passed
const failures: Array<string> = checks.flatMap(([what, ok]) => (ok ? [] : [what]))
if (existsSync(report)) {
  const r = JSON.parse(readFileSync(report, "utf8")) as Report
  passed += r.numPassedTests
  failures.push(...failuresOf(r))
} else if (existsSync(running)) {
  const files = readFileSync(running, "utf8").split("\n")
  failures.push(...files.map((file) => `${file}: did not come to its end`))
}
failed = failures.length
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
for (const failure of failures) console.log(`FAILED: ${failure}`)
console.log(`\n${passed} passed, ${failed} failed`)
rmSync(scratch, { recursive: true, force: true })
process.exitCode = failed === 0 ? 0 : 1
