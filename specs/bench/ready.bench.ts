/**
 * How long a server takes from its start to its first client: 10,000 clients, 200 images and a log of a million events.
 *
 *     npm run bench -- ready [events] [rounds]        needs dist/
 *
 * **Details** Whole processes, from the shell's command to the line that says where it listens; medians of wall time, and the most memory. Two states: stopped in order,
 * and killed. The aim is 2 seconds.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { median } from "./support/load.ts"
import { makeLongLog, shape } from "./support/long-log.ts"

const events = Number(process.argv[2] ?? 1_000_000)
const rounds = Number(process.argv[3] ?? 7)
const AIM_MILLIS = 2000
const dir = mkdtempSync(join(tmpdir(), "imagelink-ready-"))
const data = join(dir, "data")
const ports = ["nbd", "iscsi", "http", "tftp"].flatMap((protocol) => [`--${protocol}-port`, "0"])

interface Start {
  readonly millis: number
  readonly peakMiB: number
}

const start = async (end: NodeJS.Signals): Promise<Start> => {
  const from = performance.now()
  const args = ["serve", "--json", "--log-level", "error", "--data", data, ...ports]
  // The images of this log are nowhere, and each is told on stderr.
  const child = spawn("bin/imagelink", args, { stdio: ["ignore", "pipe", "ignore"] })
  const gone = once(child, "exit")
  await Promise.race([once(createInterface({ input: child.stdout }), "line"), gone.then(() => Promise.reject("gone"))])
  const millis = performance.now() - from
  const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1]
  child.kill(end)
  await gone
  return { millis, peakMiB: Number(peak) / 1024 }
}

const row = (what: string, starts: ReadonlyArray<Start>): void => {
  const millis = starts.map((s) => s.millis)
  const cells = [median(millis), Math.max(...millis)].map((n) => `${Math.round(n)} ms`.padStart(10)).join("")
  const peak = `${Math.round(Math.max(...starts.map((s) => s.peakMiB)))} MiB`.padStart(10)
  console.log(`${what.padEnd(28)}${cells}${median(millis) > AIM_MILLIS ? "!" : " "}${peak}`)
}

try {
  await makeLongLog(data, events)
  console.log(`${shape.clients} clients, ${shape.images} images, ${events} events`)
  console.log(`${"".padEnd(28)}${"median".padStart(10)}${"worst".padStart(10)} ${"memory".padStart(10)}`)
  row("the first after the import", [await start("SIGTERM")])
  for (const [what, end] of [
    ["stopped in order before", "SIGTERM"],
    ["killed before", "SIGKILL"],
  ] as const) {
    await start(end)
    const starts: Array<Start> = []
    for (let round = 0; round < rounds; round++) starts.push(await start(end))
    row(what, starts)
  }
  console.log(`${rounds} rounds; "!": above ${AIM_MILLIS} ms; load average ${loadavg()[0]!.toFixed(1)}`)
} finally {
  rmSync(dir, { recursive: true, force: true })
}
