/**
 * Looks at a LevelDB folder before LevelDB does: is every event there that was acknowledged, without a gap?
 *
 * LevelDB opens silently with a gap after a flipped byte in its write-ahead log, one record short when the last record is hit, and empty
 * when CURRENT is lost; and opening destroys the evidence, because it turns the `.log` into a table. So this reads, and writes nothing:
 *
 *     CURRENT ─► MANIFEST ─► every live table is there, whole, and its checksums hold       (tables.ts)
 *                        └─► every live write-ahead log, frame by frame                     (frames.ts)
 *                               └─► its batches' sequences and its events' positions have no gap
 *     and in the end `head` decides: a torn tail is fine only if no acknowledged event was in it
 *
 * **Details** The largest key of a table is in the MANIFEST, and events sort above everything else (keys.ts), so the newest event in the
 * tables is known without reading one. Tables and live logs never overlap: one edit of the MANIFEST adds a table and retires its log.
 */
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { fail, type ImagelinkError } from "../../errors.ts"
import { positionOf, positionOfBytes } from "../keys.ts"
import { Malformed } from "./coding.ts"
import { type LogEnd, readLogFile } from "./frames.ts"
import { type Manifest, readManifest, type TableFile } from "./manifest.ts"
import { checkTable } from "./tables.ts"
import { readWriteBatch } from "./write-batch.ts"

export interface Scan {
  /** Position of the newest event found, 0 if there is none. */
  readonly position: number
  /** Whether a write-ahead log ends in something never acknowledged, which LevelDB will drop. */
  readonly torn: boolean
}

/**
 * Scans the database folder `dir` against the acknowledged position `head`. The newest tables, up to `verifyBytesMax` bytes, are checked
 * block by block; of the others size, index and filter. @throws STORE_DAMAGED
 */
export const scanDatabase = (dir: string, head: number, verifyBytesMax: number = Number.POSITIVE_INFINITY): Scan => {
  const manifest = readManifest(dir)
  checkTables(dir, manifest.tables, verifyBytesMax)
  const logs = liveLogs(dir, manifest)
  const walk = new LogWalk(newestInTables(manifest.tables), manifest.lastSequence)
  for (const number of logs) walk.file(join(dir, fileName(number, "log")))
  if (walk.position < head) throw missing(walk, head, manifest)
  return { position: walk.position, torn: walk.torn !== undefined }
}

/** Names of the tables and logs that make up the database `dir`, the logs last. @throws STORE_DAMAGED */
export const liveFiles = (dir: string): ReadonlyArray<string> => {
  const manifest = readManifest(dir)
  const tables = manifest.tables.map(({ number }) => tableName(number)).sort()
  return [...tables, ...liveLogs(dir, manifest).map((number) => fileName(number, "log"))]
}

export const tableName = (number: number): string => fileName(number, "ldb")

const fileName = (number: number, extension: string): string => `${String(number).padStart(6, "0")}.${extension}`

const checkTables = (dir: string, tables: ReadonlyArray<TableFile>, verifyBytesMax: number): void => {
  let budget = verifyBytesMax
  // newest first: that is where the tail of the log is
  for (const table of [...tables].sort((a, b) => b.number - a.number)) {
    checkTable(join(dir, tableName(table.number)), table.sizeBytes, table.sizeBytes <= budget)
    budget -= table.sizeBytes
  }
}

const newestInTables = (tables: ReadonlyArray<TableFile>): number =>
  tables.reduce((newest, table) => Math.max(newest, positionOf(table.largest) ?? 0), 0)

/** Numbers of the live logs in order. The first one the MANIFEST names must be there; later ones are made before it learns of them. */
const liveLogs = (dir: string, manifest: Manifest): ReadonlyArray<number> => {
  const numbers = readdirSync(dir)
    .map((name) => /^([0-9]+)\.log$/.exec(name)?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .filter((number) => number >= manifest.logNumber || number === manifest.previousLogNumber)
    .sort((a, b) => a - b)
  for (const named of [manifest.logNumber, manifest.previousLogNumber]) {
    if (named !== 0 && !numbers.includes(named)) {
      throw fail("STORE_DAMAGED", {
        file: join(dir, fileName(named, "log")),
        why: "the MANIFEST names it, and it is missing",
      })
    }
  }
  return numbers
}

/** Follows sequences and positions through the logs. */
class LogWalk {
  position: number
  /** Sequence that the next batch must begin with; undefined before the first, which only has an upper bound. */
  nextSequence: number | undefined
  readonly sequenceMax: number
  torn: { readonly path: string; readonly end: LogEnd } | undefined
  last: { readonly path: string; readonly end: LogEnd } | undefined

  constructor(position: number, lastSequence: number) {
    this.position = position
    this.sequenceMax = lastSequence + 1
  }

  file(path: string): void {
    const end = readLogFile(path, (record) => this.batch(record))
    this.last = { path, end }
    if (end.torn) this.torn = this.last
  }

  batch(record: Uint8Array): void {
    if (this.torn) {
      throw fail("STORE_DAMAGED", {
        file: this.torn.path,
        offset: this.torn.end.goodBytes,
        why: "it is cut short, and a newer log goes on after it",
      })
    }
    const batch = readWriteBatch(record, (key, kind) => this.key(key, kind))
    const wanted = this.nextSequence ?? Math.min(batch.sequence, this.sequenceMax)
    if (batch.sequence !== wanted)
      throw new Malformed(`writes ${wanted} to ${batch.sequence - 1} are missing before it`)
    this.nextSequence = batch.sequence + batch.count
  }

  key(key: Uint8Array, kind: "put" | "delete"): void {
    const position = positionOfBytes(key)
    if (position === undefined) return
    if (kind === "delete") throw new Malformed(`event ${position} is deleted`)
    if (position !== this.position + 1) {
      throw new Malformed(`event ${position} follows event ${this.position}`)
    }
    this.position = position
  }
}

const missing = (walk: LogWalk, head: number, manifest: Manifest): ImagelinkError => {
  const at = walk.torn ?? walk.last
  const range = walk.position + 1 === head ? `event ${head} is` : `events ${walk.position + 1} to ${head} are`
  const why = `${range} missing, and had been acknowledged`
  return at === undefined
    ? fail("STORE_DAMAGED", { file: manifest.path, why })
    : fail("STORE_DAMAGED", { file: at.path, offset: at.end.goodBytes, why })
}
