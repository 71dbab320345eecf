/**
 * `npm run soak`: half an hour of a hundred PCs that boot in a loop, and beside it the seeded specs with many seeds.
 *
 *     npm run soak                     both, in full: 30 minutes and 500 seeds
 *     npm run soak -- --slice          10 minutes and 40 seeds, as CI runs it
 *     npm run soak -- --pcs [minutes]  only the PCs
 *     npm run soak -- --seeds          only the seeded specs
 *
 * **Details** The seeded specs have the lowest priority, so that they take what the PCs leave.
 */
import { spawn } from "node:child_process"
import { constants, setPriority } from "node:os"
import { join } from "node:path"

const args = process.argv.slice(2)
const slice = args.includes("--slice")
const minutes = args.find((arg) => /^\d+(\.\d+)?$/.test(arg)) ?? (slice ? "10" : "30")
const whole = !args.includes("--pcs") && !args.includes("--seeds")

/** Settles with whether it went well. What it says comes when it is done, so that two do not talk at once. */
const run = (priority: number, ...words: ReadonlyArray<string>): Promise<boolean> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, words, { stdio: ["ignore", "pipe", "inherit"] })
    setPriority(child.pid!, priority)
    let said = ""
    child.stdout.on("data", (chunk: Buffer) => (said += chunk))
    child.once("close", (status) => {
      process.stdout.write(said)
      resolve(status === 0)
    })
  })

const runs: Array<Promise<boolean>> = []
if (whole || args.includes("--pcs"))
  runs.push(run(0, "--conditions=source", join(import.meta.dirname, "pcs.ts"), minutes))
if (whole || args.includes("--seeds"))
  runs.push(
    run(
      constants.priority.PRIORITY_LOW,
      join(import.meta.dirname, "../run.ts"),
      "--soak",
      ...(slice ? ["--slice"] : []),
    ),
  )
process.exitCode = (await Promise.all(runs)).every(Boolean) ? 0 : 1
