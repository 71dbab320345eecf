/**
 * The store folder, `<data>/store/`: who this store is, its signing key, its head, and the database.
 *
 *     store.json   format, feature bits, site, store id, public key; checksummed        written once
 *     site.key     the site's Ed25519 private key, PKCS #8 PEM, mode 0600               written once
 *     head         how far the log was acknowledged (head.ts)                           overwritten in place
 *     db/          LevelDB                                                              LevelDB's own
 *
 * **Details** `store.json` is what says "this is a store": a folder without it is damaged, never empty, so that nothing is begun anew
 * over the remains of something. Incompatible feature bits name what a reader must understand; compatible ones it may ignore.
 */
import { readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { crc32c } from "../bytes.ts"
import { fail, type ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import { canonicalBytes } from "./canonical.ts"
import { parse } from "./envelope.ts"
import type { SiteIdentity } from "./event-log.ts"

export const storeFormat = 1
/** Incompatible features that this version understands: none yet. */
const incompatibleKnown = 0

export interface StorePaths {
  readonly store: string
  readonly json: string
  readonly key: string
  readonly head: string
  readonly database: string
}

/** Where everything is in the data folder `dir`. */
export const storePaths = (dir: string): StorePaths => pathsIn(join(dir, "store"))

export const pathsIn = (store: string): StorePaths => ({
  store,
  json: join(store, "store.json"),
  key: join(store, "site.key"),
  head: join(store, "head"),
  database: join(store, "db"),
})

/** Whether the data folder `dir` holds a store, whole or damaged. */
export const storeExists = (dir: string): boolean =>
  statSync(storePaths(dir).store, { throwIfNoEntry: false }) !== undefined

/** 1 to 64 printable ASCII characters without space or '+', which the signed notes of the audit log cannot hold. */
export const isSiteName = (name: string): boolean =>
  name.length <= limits.siteNameBytesMax && /^[\x21-\x2a\x2c-\x7e]+$/.test(name)

/** The content of `store.json`. */
export const encodeStoreJson = (site: SiteIdentity): string => {
  const body = {
    format: storeFormat,
    features: { compatible: 0, incompatible: 0 },
    site: site.name,
    storeId: site.storeId,
    publicKey: Buffer.from(site.publicKey).toString("base64"),
    createdAt: site.createdAt,
  }
  return `${JSON.stringify({ ...body, crc32c: checksum(body) }, null, 2)}\n`
}

const checksum = (body: object): string => crc32c(canonicalBytes(body)).toString(16).padStart(8, "0")

/** Reads and checks `store.json`. @throws STORE_DAMAGED STORE_NEWER */
export const readSite = (paths: StorePaths): SiteIdentity => decodeStoreJson(paths.json, readStoreFile(paths.json))

/** STORE_DAMAGED for a file of the store. */
export const damaged = (file: string, why: string): ImagelinkError => fail("STORE_DAMAGED", { file, why })

/** A whole file of the store. @throws STORE_DAMAGED when it is missing */
export const readStoreFile = (path: string): Buffer => {
  try {
    return readFileSync(path)
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e
    throw damaged(path, "it is missing")
  }
}

const isBits = (v: unknown): v is number => Number.isInteger(v) && (v as number) >= 0 && (v as number) < 2 ** 31

const decodeStoreJson = (path: string, bytes: Uint8Array): SiteIdentity => {
  const { crc32c: stored, ...body } = (parse(bytes) ?? {}) as Record<string, unknown>
  if (stored !== checksum(body)) throw damaged(path, "it does not match its checksum")
  if (body.format !== storeFormat) {
    throw fail("STORE_NEWER", { path, why: `its format is ${body.format}; this version reads format ${storeFormat}` })
  }
  const { incompatible } = (body.features ?? {}) as Record<string, unknown>
  if (!isBits(incompatible)) throw damaged(path, "its features are not there")
  const unknown = incompatible & ~incompatibleKnown
  if (unknown !== 0) {
    throw fail("STORE_NEWER", { path, why: `it uses features that this version does not know (bits ${unknown})` })
  }
  return identity(path, body)
}

const identity = (path: string, body: Record<string, unknown>): SiteIdentity => {
  const { site, storeId, publicKey, createdAt } = body
  const key = typeof publicKey === "string" ? Buffer.from(publicKey, "base64") : Buffer.alloc(0)
  if (typeof site !== "string" || !isSiteName(site)) throw damaged(path, "it names no site")
  if (typeof storeId !== "string" || key.length !== 32 || !Number.isSafeInteger(createdAt)) {
    throw damaged(path, "something in it is missing")
  }
  return { name: site, storeId, publicKey: new Uint8Array(key), createdAt: createdAt as number }
}
