/**
 * Opens an existing store: looks at everything before LevelDB may, and at the newest event after.
 *
 *     store.json, site.key ─► head ─► scan of db/ ─► LevelDB locks and opens ─► newest key and record agree ─► head brought up
 *
 * Nothing is written before LevelDB opens, and LevelDB opens only what the scan let pass.
 *
 * **Details** Between the scan and LevelDB's lock another process may have had the store. A store that changes while it is scanned can
 * look damaged and is not, so damage is believed only when nobody holds the lock and nothing changed meanwhile; and after opening only
 * "newer than scanned" is believed, never "older". The lock is looked up late because reading the system's list of locks takes
 * milliseconds.
 */
import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fail, type ImagelinkError, isImagelinkError } from "../errors.ts"
import type { Host } from "../host.ts"
import { limits } from "../limits.ts"
import { isLocked, type LogDatabase, type MakeDatabase, openDatabase, storeError } from "./database.ts"
import { decodeRecord } from "./envelope.ts"
import type { Recorded, SiteIdentity } from "./event-log.ts"
import { type Head, openHead } from "./head.ts"
import { positionOf } from "./keys.ts"
import { scanDatabase } from "./leveldb/scan.ts"
import { lockHolder } from "./lock-holder.ts"
import { readSiteFiles } from "./site-files.ts"
import type { SiteKey } from "./site-key.ts"
import { type StorePaths, storeExists, storePaths } from "./store-files.ts"

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
    const { site, key } = readSiteFiles(paths)
    const database = await scanAndOpen(options, paths)
    return { paths, site, key, database, ...(await withHead(paths, database)) }
  } catch (e) {
    throw storeError(e, paths.store, options.host)
  }
}

const inUse = (dir: string, pid = 0): ImagelinkError => {
  const other = pid > 0 ? `process ${pid}` : "another process"
  return fail("DATA_IN_USE", { path: dir, holder: pid === process.pid ? "this process" : other })
}

const lockOf = (paths: StorePaths): number | undefined => lockHolder(join(paths.database, "LOCK"))

/** A command holds a store for a moment, and is waited for; a server holds it for long. */
const scanAndOpen = async (options: OpenStoreOptions, paths: StorePaths): Promise<LogDatabase> => {
  for (let n = 1; ; n++) {
    try {
      scanUnused(options, paths)
      return await lockAndOpen(options, paths)
    } catch (e) {
      const waits = isImagelinkError(e) && e.code === "DATA_IN_USE" && lockOf(paths) !== process.pid
      if (!waits || n === limits.storeLockTries) throw e
      await sleep(limits.storeLockWaitMillis)
    }
  }
}

const scansMax = 5

/** Scans until a scan passes, or finds damage that nobody is the cause of. */
const scanUnused = (options: OpenStoreOptions, paths: StorePaths): void => {
  for (let n = 1; ; n++) {
    const before = fingerprint(paths.database)
    try {
      // head first: it may only be behind the database, never ahead of it
      scanDatabase(paths.database, readHead(paths), options.verifyBytesMax)
      return
    } catch (e) {
      const pid = lockOf(paths)
      if (pid !== undefined) throw inUse(options.dir, pid)
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
    throw inUse(options.dir, lockOf(paths))
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
    if (newest !== undefined && position > head.position()) head.write(position, newest.command)
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
