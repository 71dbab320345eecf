/**
 * Opens an existing store: looks at everything before LevelDB may, and at the newest event after.
 *
 *     store.json, site.key ─► is it in use? ─► head ─► scan of db/ ─► LevelDB opens ─► newest key and record agree ─► head brought up
 *
 * Nothing is written before LevelDB opens, and LevelDB opens only what the scan let pass.
 *
 * **Details** Between the scan and LevelDB's lock another process may have had the store. A store that changes while it is scanned can
 * look damaged and is not, so then it is scanned again; and after opening only "newer than scanned" is believed, never "older".
 */
import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { fail } from "../errors.ts"
import type { Host } from "../host.ts"
import { isLocked, type LogDatabase, type MakeDatabase, openDatabase, storeError } from "./database.ts"
import { decodeRecord } from "./envelope.ts"
import type { Recorded, SiteIdentity } from "./event-log.ts"
import { type Head, openHead } from "./head.ts"
import { positionOf } from "./keys.ts"
import { scanDatabase } from "./leveldb/scan.ts"
import { lockHolder } from "./lock-holder.ts"
import type { SiteKey } from "./site-key.ts"
import { readStoreFiles, type StorePaths, storeExists, storePaths } from "./store-files.ts"

export interface OpenStore {
  readonly paths: StorePaths
  readonly site: SiteIdentity
  readonly key: SiteKey
  readonly database: LogDatabase
  readonly head: Head
  /** The newest event, in the shape it was written in; undefined for an empty log. */
  readonly newest: Recorded | undefined
}

export interface OpenStoreOptions {
  /** The data folder; the store is `store/` in it. */
  readonly dir: string
  readonly database: MakeDatabase
  readonly host?: Host
  /**
   * How many bytes of the newest tables are checked in full before LevelDB reads them; all when left out. For a reader of the tail alone:
   * LevelDB can end the process over a damaged block that nobody checked.
   */
  readonly verifyBytesMax?: number
}

/** @throws DATA_NOT_FOUND STORE_DAMAGED STORE_NEWER DATA_IN_USE DATA_ACCESS_DENIED NO_SPACE IO_ERROR */
export const openStore = async (options: OpenStoreOptions): Promise<OpenStore> => {
  const paths = storePaths(options.dir)
  try {
    if (!storeExists(options.dir)) throw fail("DATA_NOT_FOUND", { path: options.dir })
    const { site, key } = readStoreFiles(paths)
    refuseIfInUse(options.dir, paths)
    scanStable(paths, options.verifyBytesMax)
    const database = await lockAndOpen(options, paths)
    return { paths, site, key, database, ...(await withHead(paths, database)) }
  } catch (e) {
    throw storeError(e, paths.store, options.host)
  }
}

const refuseIfInUse = (dir: string, paths: StorePaths): void => {
  const pid = lockHolder(join(paths.database, "LOCK"))
  if (pid === undefined) return
  const holder = pid === process.pid ? "this process" : pid > 0 ? `process ${pid}` : "a process outside this container"
  throw fail("DATA_IN_USE", { path: dir, holder })
}

const scansMax = 5

/** Scans until a scan passes, or fails while nothing changed under it. */
const scanStable = (paths: StorePaths, verifyBytesMax: number | undefined): void => {
  for (let n = 1; ; n++) {
    const before = fingerprint(paths.database)
    try {
      // head first: it may only be behind the database, never ahead of it
      scanDatabase(paths.database, readHead(paths), verifyBytesMax)
      return
    } catch (e) {
      if (n === scansMax || fingerprint(paths.database) === before) throw e
    }
  }
}

const readHead = (paths: StorePaths): number => {
  const head = openHead(paths.head, { write: false })
  head.close()
  return head.position()
}

/** What tells whether a folder changed: every file's name, size and times. */
const fingerprint = (dir: string): string => {
  const stat = (name: string) => {
    const s = statSync(join(dir, name), { throwIfNoEntry: false, bigint: true })
    return s === undefined ? name : `${name} ${s.ino} ${s.size} ${s.mtimeNs}`
  }
  try {
    return readdirSync(dir).sort().map(stat).join("\n")
  } catch {
    return ""
  }
}

const lockAndOpen = async (options: OpenStoreOptions, paths: StorePaths): Promise<LogDatabase> => {
  try {
    return await openDatabase(options.database, paths.database, false)
  } catch (e) {
    if (!isLocked(e)) throw storeError(e, paths.database, options.host)
    throw fail("DATA_IN_USE", { path: options.dir, holder: "another process" }, { underlying: e })
  }
}

const withHead = async (
  paths: StorePaths,
  database: LogDatabase,
): Promise<{ head: Head; newest: Recorded | undefined }> => {
  let head: Head | undefined
  try {
    head = openHead(paths.head, { write: true })
    const newest = await newestRecord(paths, database)
    const position = newest?.position ?? 0
    if (position < head.position()) {
      const why = `the newest event found is ${position}, but event ${head.position()} had been acknowledged`
      throw fail("STORE_DAMAGED", { file: paths.database, why })
    }
    if (position > head.position()) head.write(position)
    return { head, newest }
  } catch (e) {
    head?.close()
    await database.close()
    throw e
  }
}

const newestRecord = async (paths: StorePaths, database: LogDatabase): Promise<Recorded | undefined> => {
  const [entry] = await database
    .iterator({ reverse: true, limit: 1, keyEncoding: "utf8", valueEncoding: "buffer" })
    .all()
  if (entry === undefined) return undefined
  const position = positionOf(entry[0])
  if (position === undefined) {
    throw fail("STORE_DAMAGED", {
      file: paths.database,
      why: `its last key is no event's: ${JSON.stringify(entry[0])}`,
    })
  }
  return decodeRecord(paths.database, position, entry[1])
}
