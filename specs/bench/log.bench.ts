/**
 * The log at 10 thousand, 100 thousand and a million events: what it takes to replay, start, look back and append, beside the aims.
 *
 *     node --expose-gc --conditions=source specs/bench/log.bench.ts [events…]
 *
 * **Details** Every measurement of a size is a process of its own, so that its peak memory is its own. The log has 200 images and 10,000
 * clients (long-log.ts). A look back is measured at the worst place, one event before a mark, and includes opening the store; the
 * commands add the start of Node, about a fifth of a second.
 */
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import { openParts } from "../../adapters/compose.ts"
import { levelDatabase } from "../../adapters/level/database.ts"
import { eventKey } from "../../core/log/keys.ts"
import { cellsAsOf } from "../../core/projections/as-of.ts"
import { bootHistory } from "../../core/projections/boot-history.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { type AnyProjection, freshCell, restoreCell, saveCell } from "../../core/projections/cell.ts"
import { type Checkpoint, decodeCheckpoint } from "../../core/projections/checkpoint-file.ts"
import { groupsProjection } from "../../core/projections/groups.ts"
import { imageVersions } from "../../core/projections/image-versions.ts"
import { lastChanges } from "../../core/projections/last-changes.ts"
import { linkTable } from "../../core/projections/link-table.ts"
import { eventAt, makeLongLog, shape, uuid } from "./support/long-log.ts"

const all: ReadonlyArray<AnyProjection> = [
  catalogueProjection,
  linkTable,
  imageVersions,
  lastChanges,
  bootHistory,
  groupsProjection,
]
const MiB = 1024 * 1024
/** Appends that are not counted: a server that has run for a minute is past them. */
const warm = 1000
type Numbers = Readonly<Record<string, number>>

const timed = async <A>(work: () => Promise<A>): Promise<[A, number]> => {
  const began = performance.now()
  const value = await work()
  return [value, performance.now() - began]
}
const opened = (dataDir: string) => openParts({ dataDir, create: false, whole: true })
const peakMiB = () => process.resourceUsage().maxRSS / 1024
const heap = () => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
const median = (numbers: Array<number>): number => numbers.sort((a, b) => a - b)[numbers.length >> 1]!

const measurements: Readonly<Record<string, (dataDir: string) => Promise<Numbers>>> = {
  async make(dataDir) {
    await makeLongLog(dataDir, Number(process.argv[4]))
    return {}
  },

  /** One projection, as a start without checkpoints folds it. */
  async replay(dataDir) {
    const { parts, release } = await opened(dataDir)
    const fold = () => Effect.runPromise(cellsAsOf(parts.log, [catalogueProjection], parts.log.head()))
    const before = process.cpuUsage()
    const [, replayMillis] = await timed(fold)
    const { user, system } = process.cpuUsage(before)
    const replayPeakMiB = peakMiB()
    await release()
    return { replayMillis, replayCpuMillis: (user + system) / 1000, replayPeakMiB }
  },

  /** Every projection in one go with its marks, as `rebuild` does one by one. Leaves marks for `back`. */
  async rebuild(dataDir) {
    const { parts, release } = await opened(dataDir)
    const fold = () => Effect.runPromise(cellsAsOf(parts.log, all, parts.log.head(), parts.views.marks))
    const [, rebuildMillis] = await timed(fold)
    const rebuildPeakMiB = peakMiB()
    await parts.views.state(catalogueProjection)
    await parts.views.close()
    await release()
    return { rebuildMillis, rebuildPeakMiB }
  },

  async start(dataDir) {
    const [{ parts, release }, openMillis] = await timed(() => opened(dataDir))
    const [, stateMillis] = await timed(() => parts.views.state(catalogueProjection))
    await release()
    return { openMillis, startMillis: openMillis + stateMillis }
  },

  async back(dataDir) {
    const [{ parts, release }, openMillis] = await timed(() => opened(dataDir))
    const head = parts.log.head()
    const every = parts.views.marks.every()
    let worst = 0
    for (let at = Math.min(every - 1, head); at <= head; at += Math.max(every, Math.floor(head / 5 / every) * every)) {
      const look = () => Effect.runPromise(cellsAsOf(parts.log, [linkTable], at, parts.views.marks))
      worst = Math.max(worst, (await timed(look))[1])
    }
    await release()
    return { backMillis: openMillis + worst, backPeakMiB: peakMiB() }
  },

  /** Appends and bare batches of the same bytes in turns on one disk; the ratio of the medians. */
  async append(dataDir) {
    const { parts, release } = await opened(dataDir)
    const { log } = parts
    const bareDir = mkdtempSync(join(tmpdir(), "imagelink-bench-bare-"))
    const options = { createIfMissing: true, errorIfExists: true, compression: false } as const
    const bare = await levelDatabase(join(bareDir, "db"), options)
    await bare.open()
    const synced: object = { keyEncoding: "utf8", valueEncoding: "buffer", sync: true }
    const appends: Array<number> = []
    const batches: Array<number> = []
    const at = Date.UTC(2027, 0, 1)
    const actor = { kind: "cli", name: "bench" } as const
    for (let n = 0; n < warm + 3000; n++) {
      const position = log.head() + 1
      const event = eventAt(position)
      const envelope = { command: uuid(4, position), fingerprint: "bench", at, actor, expectedPosition: position - 1 }
      const append = await timed(() => Effect.runPromise(log.append({ ...envelope, events: [event] })))
      const value = Buffer.from(JSON.stringify({ ...event, ...envelope }))
      const put = { type: "put" as const, key: eventKey(n), value }
      const batch = await timed(() => bare.batch([put], synced))
      if (n < warm) continue
      appends.push(append[1])
      batches.push(batch[1])
    }
    await bare.close()
    rmSync(bareDir, { recursive: true, force: true })
    await release()
    const [append, batch] = [median(appends), median(batches)]
    return { appendMicros: append * 1000, bareMicros: batch * 1000, appendRatio: batch / append }
  },

  /** What a copy of the catalogue from its checkpoint holds; the events it was folded from are gone by then. */
  async memory(dataDir) {
    const { parts, release } = await opened(dataDir)
    const bytes = saveCell(
      { ...freshCell(catalogueProjection), state: await parts.views.state(catalogueProjection) },
      "s",
    )
    const checkpoint = decodeCheckpoint(bytes) as Checkpoint
    const before = heap()
    const cell = restoreCell(catalogueProjection, checkpoint, "s")
    const catalogueMiB = (heap() - before) / MiB
    await release()
    return typeof cell === "string" ? {} : { catalogueMiB, catalogueFileMiB: bytes.length / MiB }
  },
}

const aims: ReadonlyArray<readonly [what: string, key: string, aim: string, holds?: (n: number) => boolean]> = [
  ["replay of the catalogue from zero, s", "replayMillis", "6", (n) => n <= 6000],
  ["  CPU time of all threads, s", "replayCpuMillis", "-"],
  ["  peak memory, MiB", "replayPeakMiB", "400", (n) => n <= 400],
  ["rebuild of all four with marks, s", "rebuildMillis", "-"],
  ["  peak memory, MiB", "rebuildPeakMiB", "-"],
  ["open and verify the store, s", "openMillis", "-"],
  ["start with a checkpoint, s", "startMillis", "1", (n) => n <= 1000],
  ["links --at, worst place, s", "backMillis", "1", (n) => n <= 1000],
  ["append of one event, µs", "appendMicros", "-"],
  ["  bare synced batch, µs", "bareMicros", "-"],
  ["  bare / append", "appendRatio", "0.8", (n) => n >= 0.8],
  ["catalogue, MiB", "catalogueMiB", "100", (n) => n <= 100],
]

const shown = (key: string, n: number | undefined, holds: ((n: number) => boolean) | undefined): string => {
  if (n === undefined) return "-"
  const value = key.endsWith("Millis") ? (n / 1000).toFixed(2) : key.endsWith("Ratio") ? n.toFixed(2) : n.toFixed(0)
  return holds === undefined ? value : `${value} ${holds(n) ? "ok" : "MISSED"}`
}

const child = (name: string, dataDir: string, events: number): Numbers => {
  const flags = ["--expose-gc", "--conditions=source", fileURLToPath(import.meta.url), name, dataDir, String(events)]
  const { stdout, stderr, status } = spawnSync(process.execPath, flags, { encoding: "utf8", timeout: 600_000 })
  if (status !== 0) throw new Error(`${name} of ${events} events ended with ${status}: ${stderr}`)
  return JSON.parse(stdout) as Numbers
}

const measureSize = (folder: string, events: number): Numbers => {
  const dataDir = join(folder, String(events))
  const found: Record<string, number> = {}
  for (const name of Object.keys(measurements)) Object.assign(found, child(name, dataDir, events))
  rmSync(dataDir, { recursive: true, force: true })
  return found
}

const measureAll = (sizes: ReadonlyArray<number>): void => {
  const folder = mkdtempSync(join(tmpdir(), "imagelink-bench-log-"))
  try {
    const results = sizes.map((events) => measureSize(folder, events))
    console.log(`${shape.clients} clients, ${shape.images} images; one process for each measurement`)
    const line = (cells: ReadonlyArray<string>) =>
      console.log(cells.map((cell, i) => (i === 0 ? cell.padEnd(38) : cell.padStart(13))).join(""))
    line(["", "aim at 1 M", ...sizes.map((n) => `${n}`)])
    for (const [what, key, aim, holds] of aims) line([what, aim, ...results.map((r) => shown(key, r[key], holds))])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const [name, dataDir] = process.argv.slice(2)
const measurement = name === undefined ? undefined : measurements[name]
if (measurement !== undefined) console.log(JSON.stringify(await measurement(dataDir!)))
else {
  const sizes = process.argv.slice(2).map(Number)
  measureAll(sizes.length > 0 ? sizes : [10_000, 100_000, 1_000_000])
}
