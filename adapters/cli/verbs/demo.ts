/** `imagelink demo`: the whole product in one terminal, with simulated PCs that speak the real wire protocols. */
import { createHash } from "node:crypto"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { performance } from "node:perf_hooks"
import { fail } from "../../../core/errors.ts"
import { effectiveConfig } from "../../../core/runtime/config.ts"
import { parseBytes } from "../../../core/runtime/sizes.ts"
import type { RunningServer } from "../../compose-server.ts"
import { fillSample, writeSample } from "../demo/sample.ts"
import { simulate } from "../demo/simulated-client.ts"
import { makeStages, type Stages } from "../demo/stages.ts"
import type { CommonOptions } from "../options.ts"
import { bytes, count, print, printJson } from "../output.ts"
import { type ProgressView, progressView } from "../progress.ts"
import { actor, interruptible } from "../site.ts"

interface DemoOptions extends CommonOptions {
  readonly clients: string
  readonly size: string
  readonly keep?: boolean
}

const SEED = 20_261_122
const CLIENTS_MAX = 1000
const PROBLEMS_SHOWN_MAX = 20

export const demo = async (options: DemoOptions): Promise<void> => {
  const clients = numberOf(options.clients, 1, CLIENTS_MAX, "--clients")
  const sizeBytes = parseBytes(options.size)
  if (sizeBytes === undefined || sizeBytes < 2 ** 20 || sizeBytes > 2 ** 30 || sizeBytes % 4096 !== 0)
    throw fail("USAGE", { why: "--size is from 1M to 1G, in whole 4 KiB", see: "imagelink demo --help" })
  const given = options.data ?? process.env.IMAGELINK_DATA
  const dataDir = given === undefined ? mkdtempSync(join(tmpdir(), "imagelink-demo-")) : emptyFolder(resolve(given))
  const stop = interruptible()
  const say = (text: string) => (options.json ? undefined : print(text))

  const image = Buffer.alloc(sizeBytes)
  fillSample(image, SEED)
  const path = join(dataDir, "sample.raw")
  writeSample(path, image)
  const before = fingerprint(path)
  say(`sample disk   ${path} (${bytes(sizeBytes)})`)

  const { startServer } = await import("../../compose-server.ts")
  const server = await startServer({
    dataDir,
    config: effectiveConfig([{ from: "the demo", settings: { "nbd-port": 0 } }]),
    onEvent: () => {},
  })
  try {
    const names = await prepare(server, path, clients, say)
    say(
      `serving       ${Object.entries(server.listeners)
        .map(([protocol, at]) => `${protocol} ${at}`)
        .join(", ")}\n`,
    )
    const stages = makeStages(() => performance.now())
    const view = await progressView(`${clients} clients`, options.json === true)
    const finished = await drive(server, names, image, stages, view, stop).finally(view.end)
    const unchanged = fingerprint(path) === before
    if (!unchanged) stages.mismatch("image untouched", "the sample image's bytes or modification time changed")
    const outcome = { clients, finished, listeners: server.listeners, imageUntouched: unchanged, stages }
    if (options.json) reportJson(outcome)
    else report(outcome)
    if (stages.problems.length > 0 || finished !== clients) {
      process.exitCode = 1
      return
    }
    say(next(outcome, dataDir, options.keep === true))
    if (options.keep) await untilStopped(stop, say)
  } finally {
    await server.close()
    if (given === undefined && !options.keep) rmSync(dataDir, { recursive: true, force: true })
  }
}

const numberOf = (text: string, min: number, max: number, flag: string): number => {
  const n = Number(text)
  if (!/^\d+$/.test(text) || n < min || n > max)
    throw fail("USAGE", { why: `${flag} is a number from ${min} to ${max}`, see: "imagelink demo --help" })
  return n
}

const emptyFolder = (dir: string): string => {
  mkdirSync(dir, { recursive: true })
  if (readdirSync(dir).length > 0)
    throw fail("USAGE", { why: `the demo wants an empty data folder, and ${dir} is not`, see: "imagelink demo --help" })
  return dir
}

const fingerprint = (path: string) =>
  `${createHash("sha256").update(readFileSync(path)).digest("hex")} ${statSync(path, { bigint: true }).mtimeNs}`

/** Image and clients, through the same operations as an operator's commands. */
const prepare = async (
  server: RunningServer,
  path: string,
  clients: number,
  say: (text: string) => void,
): Promise<ReadonlyArray<string>> => {
  const { site } = server
  await site.call("image.add", { name: "sample", path, check: true }, { actor: actor() })
  say("image add     sample@1, read once and checksummed")
  const names = Array.from({ length: clients }, (_, i) => `PC-${String(i + 1).padStart(3, "0")}`)
  const rows = names.map((name, i) => ({
    line: i + 2,
    name,
    mac: `52:54:00:00:${(i >> 8).toString(16).padStart(2, "0")}:${(i & 255).toString(16).padStart(2, "0")}`,
    address: `10.77.${i >> 7}.${(i & 127) + 10}`,
  }))
  const { events } = await site.call("client.import", { rows, file: "demo.csv", image: "sample" }, { actor: actor() })
  const links = await site.call("links", {}, { actor: actor() })
  say(
    `client import ${count(clients, "client")} in one command: ${count(events.length, "event")}, ${count(links.length, "link")}`,
  )
  return names
}

const drive = async (
  server: RunningServer,
  names: ReadonlyArray<string>,
  image: Buffer,
  stages: Stages,
  view: ProgressView,
  stop: AbortSignal,
): Promise<number> => {
  let done = 0
  let finished = 0
  view.report({ done, total: names.length, unit: "items" })
  await Promise.all(
    names.map(async (name, index) => {
      try {
        await simulate({ name, index, image, stages, open: server.openDisk })
        finished++
      } catch {
        // counted where it happened, by stages.time
      }
      view.report({ done: ++done, total: names.length, unit: "items" })
    }),
  )
  if (stop.aborted) throw fail("CANCELLED", { what: "the demo" })
  return finished
}

interface Outcome {
  readonly clients: number
  readonly finished: number
  readonly listeners: RunningServer["listeners"]
  readonly imageUntouched: boolean
  readonly stages: Stages
}

const reportJson = ({ stages, ...rest }: Outcome): void =>
  printJson({ ...rest, stages: stages.rows(rest.clients), problems: stages.problems })

const report = ({ stages, clients, finished, imageUntouched }: Outcome): void => {
  print(stages.render(clients))
  for (const problem of stages.problems.slice(0, PROBLEMS_SHOWN_MAX)) print(`MISMATCH ${problem}`)
  const verdict = stages.problems.length === 0 ? "every byte was right" : `${finished} of ${clients} clients finished`
  print(`\n${verdict}; the image file is ${imageUntouched ? "untouched" : "CHANGED"}`)
}

/** What to do next, with commands that work as they stand. */
const next = ({ listeners }: Outcome, dataDir: string, keep: boolean): string => {
  const { nbd } = listeners
  const data = `--data ${dataDir}`
  const serving: ReadonlyArray<readonly [string, string]> = [
    [`qemu-img info nbd://${nbd}/client/PC-001/0`, "a client's own writable disk"],
    [`nbdcopy nbd://${nbd}/image/sample@1 - | sha256sum`, "a version, read-only"],
    [`bin/imagelink links ${data}`, "the link table"],
    [`bin/imagelink history --client PC-001 ${data}`, "who changed what"],
  ]
  const own: ReadonlyArray<readonly [string, string]> = [
    ...(keep ? [] : [["bin/imagelink demo --keep", "the same, and it goes on serving"] as const]),
    ["bin/imagelink image add win11 DISK.raw", "your own image, served in place"],
    ["bin/imagelink client import CLIENTS.csv --image win11", "columns mac,name,ip"],
    ["bin/imagelink serve", "its clients' disks"],
  ]
  const lines = keep ? [...serving, ...own] : own
  const width = Math.max(...lines.map(([command]) => command.length))
  return ["next:", ...lines.map(([command, what]) => `  ${command.padEnd(width)}  ${what}`)].join("\n")
}

const untilStopped = (stop: AbortSignal, say: (text: string) => void): Promise<void> =>
  new Promise((resolve) => {
    say("\nserving until Ctrl-C")
    if (stop.aborted) return resolve()
    stop.addEventListener("abort", () => resolve())
    process.once("SIGTERM", () => resolve())
  })
