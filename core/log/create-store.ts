/**
 * Makes a new store, all or nothing: built beside its place, synced, and renamed into it.
 *
 *     store.new-<pid>-<id>/   written and synced, file by file, folder by folder
 *        └─ rename ─► store/  and the data folder synced
 *
 * A crash leaves a `store.new-*` behind, which the next creation removes, unless the process that makes it still runs.
 */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import type { Effect } from "effect/Effect"
import { fail, type ImagelinkError } from "../errors.ts"
import type { Host } from "../host.ts"
import { type MakeDatabase, openDatabase, storeError } from "./database.ts"
import type { SiteIdentity } from "./event-log.ts"
import { emptyHead } from "./head.ts"
import { buildingName, removeLeftOvers } from "./left-overs.ts"
import { fromPromise } from "./promise.ts"
import { siteKeyFromSeed, siteKeyPem, siteKeySeedBytes } from "./site-key.ts"
import { encodeStoreJson, isSiteName, pathsIn, storeExists, storePaths } from "./store-files.ts"
import { syncPath, syncTree } from "./sync.ts"
import { uuid7, uuid7RandomBytes } from "./uuid7.ts"

export interface CreateStoreOptions {
  /** Name of the site, fixed for ever. */
  readonly site: string
  /** Wall clock, UTC milliseconds. */
  readonly now: number
  /** Bytes for the store's id and its key: from a cryptographic source, except in specs. */
  readonly random: (bytes: number) => Uint8Array
  readonly database: MakeDatabase
  readonly host?: Host
}

/** Makes `<dir>/store/`, and `dir` itself where it is missing. @throws SITE_NAME_INVALID STORE_EXISTS DATA_ACCESS_DENIED NO_SPACE */
export const createStore = (dir: string, options: CreateStoreOptions): Effect<SiteIdentity, ImagelinkError> =>
  fromPromise(async () => {
    if (!isSiteName(options.site)) throw fail("SITE_NAME_INVALID", { name: options.site })
    try {
      return await create(resolve(dir), options)
    } catch (e) {
      throw storeError(e, dir, options.host)
    }
  })

const create = async (dir: string, options: CreateStoreOptions): Promise<SiteIdentity> => {
  mkdirSync(dir, { recursive: true })
  syncPath(dirname(dir))
  if (storeExists(dir)) throw fail("STORE_EXISTS", { path: dir })
  removeLeftOvers(dir, "store")
  const building = join(dir, buildingName("store", Buffer.from(options.random(4)).toString("hex")))
  try {
    const site = await build(building, options)
    renameOnto(building, dir)
    syncPath(dir)
    return site
  } finally {
    rmSync(building, { recursive: true, force: true })
  }
}

const build = async (folder: string, options: CreateStoreOptions): Promise<SiteIdentity> => {
  const paths = pathsIn(folder)
  const key = siteKeyFromSeed(options.random(siteKeySeedBytes))
  const site: SiteIdentity = {
    name: options.site,
    storeId: uuid7(options.now, options.random(uuid7RandomBytes)),
    publicKey: key.publicKey,
    createdAt: options.now,
  }
  mkdirSync(folder)
  writeFileSync(paths.json, encodeStoreJson(site))
  writeFileSync(paths.key, siteKeyPem(key), { mode: 0o600 })
  writeFileSync(paths.head, emptyHead())
  const database = await openDatabase(options.database, paths.database, true)
  await database.close()
  syncTree(folder)
  return site
}

const renameOnto = (building: string, dir: string): void => {
  try {
    renameSync(building, storePaths(dir).store)
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw e
    throw fail("STORE_EXISTS", { path: dir })
  }
}
