/** `imagelink demo`: the whole product in one terminal, with simulated PCs that speak the real wire protocols. */
import { createHash } from "node:crypto"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { networkInterfaces, tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { performance } from "node:perf_hooks"
import { fail } from "../../../core/errors.ts"
import { effectiveConfig } from "../../../core/runtime/config.ts"
import { parseBytes } from "../../../core/runtime/sizes.ts"
import type { RunningServer } from "../../compose-server.ts"
import { duration, slowestStage } from "../boot-timeline.ts"
import { BOOT_READS, bootTrace, type TracedRead } from "../demo/boot-trace.ts"
import { type Pc, powerOn } from "../demo/power-on.ts"
import { fillSample, writeSample } from "../demo/sample.ts"
import { simulate } from "../demo/simulated-client.ts"
import { makeStages, type Stages } from "../demo/stages.ts"
import { tellStory } from "../demo/story.ts"
import type { Wires } from "../demo/wires.ts"
import type { CommonOptions } from "../options.ts"
import { bytes, count, print, printJson } from "../output.ts"
import { type ProgressView, progressView } from "../progress.ts"
import { actor, interruptible } from "../site.ts"

interface DemoOptions extends CommonOptions {
  readonly clients: string
  readonly size: string
  readonly reads: string
  readonly keep?: boolean
}

const SEED = 20_261_122
const CLIENTS_MAX = 1000
const PROBLEMS_SHOWN_MAX = 20
const LOOPBACK = "127.0.0.1"
/** Lent to the simulated PCs, for no address of loopback can be recorded for a client. */
const RANGE = "127.77.0.10-127.77.7.250"
/** Through which they ask; none of theirs. */
const RELAY = "127.77.255.1"
/** Of a boot program, as large as those of iPXE are. */
const PROGRAM_BYTES = 256 * 1024
const PROGRAM = "snponly.efi"
/** Of every boot that was followed from its first sign of life on. */
const STAGES = "offer, tftp, ipxe, script, login, first read"

export const demo = async (options: DemoOptions): Promise<void> => {
  const clients = numberOf(options.clients, 1, CLIENTS_MAX, "--clients")
  const reads = numberOf(options.reads, 1, BOOT_READS, "--reads")
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
  const program = Buffer.alloc(PROGRAM_BYTES)
  fillSample(program, SEED + 1)
  mkdirSync(join(dataDir, "boot"))
  writeFileSync(join(dataDir, "boot", PROGRAM), program)
  const before = fingerprint(path)
  say(`sample disk   ${path} (${bytes(sizeBytes)})`)

  const server = await serve(dataDir)
  const wires = await server.pcs(RELAY)
  try {
    const pcs = await prepare(server, path, clients, say)
    say(`serving       ${servedText(server)}\n`)
    const stages = makeStages(() => performance.now())
    const view = await progressView(`${clients} clients`, options.json === true)
    const demonstration = {
      server,
      wires,
      pcs,
      image,
      trace: bootTrace(sizeBytes).slice(0, reads),
      program,
      stages,
      view,
      stop,
    }
    const finished = await drive(demonstration).finally(view.end)
    const followed = finished === clients ? await judgeRecorded(demonstration) : ""
    if (!options.json) print(stages.render(clients))
    say(followed)
    if (stages.problems.length === 0) {
      const boot = async (n: number) => {
        const pc = pcs[n % pcs.length]!
        return {
          name: pc.name,
          disk: (
            await powerOn(
              pc,
              wires,
              makeStages(() => 0),
              program,
            )
          ).disk,
        }
      }
      await tellStory({ site: server.site, image, boot, stages, say })
    }
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
    await wires.close()
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

/** Every protocol on loopback, on ports that take no privileges. */
const serve = async (dataDir: string): Promise<RunningServer> => {
  const { startServer } = await import("../../compose-server.ts")
  const ports = { "dhcp-port": 0, "dhcp-proxy-port": 0, "tftp-port": 0, "http-port": 0, "iscsi-port": 0, "nbd-port": 0 }
  const settings = { dhcp: "full", interface: loopbackInterface(), "dhcp-range": RANGE, ...ports } as const
  return startServer({ dataDir, config: effectiveConfig([{ from: "the demo", settings }]), onEvent: () => {} })
}

const loopbackInterface = (): string =>
  Object.entries(networkInterfaces()).find(([, all]) => all?.some(({ address }) => address === LOOPBACK))?.[0] ?? "lo"

const servedText = ({ listeners }: RunningServer): string =>
  ["dhcp", "tftp", "http", "iscsi", "nbd"].map((protocol) => `${protocol} ${listeners[protocol]}`).join(", ")

/** Image and clients, through the same operations as an operator's commands. */
const prepare = async (
  { site }: RunningServer,
  path: string,
  clients: number,
  say: (text: string) => void,
): Promise<ReadonlyArray<Pc>> => {
  await site.call("image.add", { name: "sample", path, check: true }, { actor: actor() })
  say("image add     sample@1, read once and checksummed")
  const pcs = Array.from({ length: clients }, (_, i) => ({
    name: `PC-${String(i + 1).padStart(3, "0")}`,
    mac: `52:54:00:00:${(i >> 8).toString(16).padStart(2, "0")}:${(i & 255).toString(16).padStart(2, "0")}`,
  }))
  const rows = pcs.map((pc, i) => ({ line: i + 2, ...pc }))
  const { events } = await site.call("client.import", { rows, file: "demo.csv", image: "sample" }, { actor: actor() })
  const links = await site.call("links", {}, { actor: actor() })
  say(
    `client import ${count(clients, "client")} in one command: ${count(events.length, "event")}, ${count(links.length, "link")}`,
  )
  return pcs
}

interface Demonstration {
  readonly server: RunningServer
  readonly wires: Wires
  readonly pcs: ReadonlyArray<Pc>
  readonly image: Buffer
  /** What each reads of it to boot. */
  readonly trace: ReadonlyArray<TracedRead>
  readonly program: Buffer
  readonly stages: Stages
  readonly view: ProgressView
  readonly stop: AbortSignal
}

/** All are switched on at once. */
const drive = async ({ wires, pcs, image, trace, program, stages, view, stop }: Demonstration): Promise<number> => {
  const addresses = new Set<string>()
  let done = 0
  let finished = 0
  view.report({ done, total: pcs.length, unit: "items" })
  await Promise.all(
    pcs.map(async (pc, index) => {
      try {
        const { address, disk, again } = await powerOn(pc, wires, stages, program)
        if (addresses.has(address)) stages.mismatch("dhcp", `${pc.name}: ${address} is another PC's`)
        addresses.add(address)
        await simulate({ name: pc.name, index, image, trace, disk, again, stages })
        finished++
      } catch {
        // counted where it happened, by stages.time
      }
      view.report({ done: ++done, total: pcs.length, unit: "items" })
    }),
  )
  if (stop.aborted) throw fail("CANCELLED", { what: "the demo" })
  return finished
}

const RECORDED_TRIES = 100
const RECORDED_MILLIS = 50

/** What the server says of the same boots; recording them takes a moment. */
const judgeRecorded = async ({ server, pcs, stages }: Demonstration): Promise<string> => {
  for (let tries = 1; ; tries++) {
    const rows = await server.site.call("boots", {}, { actor: actor() })
    if (rows.length < pcs.length && tries < RECORDED_TRIES) {
      await new Promise((resolve) => setTimeout(resolve, RECORDED_MILLIS))
      continue
    }
    if (rows.length !== pcs.length) stages.mismatch("boots", `${rows.length} boots of ${pcs.length} are recorded`)
    for (const { client, stages: reached } of rows) {
      const names = reached.map(({ name }) => name).join(", ")
      if (names !== STAGES) stages.mismatch("boots", `${client.name}: its stages are ${names}`)
    }
    const longest = rows.toSorted((a, b) => b.stages.at(-1)!.millis - a.stages.at(-1)!.millis)[0]
    const slowest = longest === undefined ? undefined : slowestStage(longest.stages)
    const end =
      slowest === undefined
        ? ""
        : `; longest ${longest!.client.name}, most of it ${slowest.name} (${duration(slowest.millis)})`
    return `\nboots         ${count(rows.length, "boot")} recorded with every stage from DHCP offer to first read${end}`
  }
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
    [`bin/imagelink boots --client PC-001 ${data}`, "what it booted, stage by stage"],
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
