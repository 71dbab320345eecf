/**
 * Who the store is, from whatever is left of it: `store.json`, `site.key`, and what others noted down about both.
 *
 *     store.json ◄─ its key from site.key; its name from the signed checkpoint; its id from a projection's checkpoint
 *     site.key   ◄─ nothing: who has a private key only in pieces has none
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs"
import { isImagelinkError } from "../../errors.ts"
import type { SiteIdentity } from "../event-log.ts"
import { type SiteKey, siteKeyFromPem } from "../site-key.ts"
import { encodeStoreJson, isSiteName, readSite, type StorePaths } from "../store-files.ts"
import { syncPath } from "../sync.ts"
import { openCheckpoint } from "../tiles/checkpoint.ts"
import type { TlogFiles } from "../tiles/files.ts"
import { uuid7Time } from "../uuid7.ts"
import { damagedPart, type Finding, lost, whole } from "./finding.ts"

export interface Identity {
  readonly site: SiteIdentity | undefined
  readonly key: SiteKey | undefined
  readonly findings: ReadonlyArray<Finding>
}

/** `storeId` is what the projections' checkpoints say, or a fresh one. @throws STORE_NEWER */
export const inspectIdentity = (paths: StorePaths, files: TlogFiles, storeId: string): Identity => {
  const key = readKey(paths)
  const recorded = readRecorded(paths)
  if (!("damage" in recorded)) {
    const matches = key !== undefined && Buffer.from(key.publicKey).equals(recorded.publicKey)
    const findings = [whole("store/store.json", `site ${recorded.name}`), matches ? keyWhole : keyLost(key)]
    return { site: recorded, key: matches ? key : undefined, findings }
  }
  const name = key && signedName(files, key)
  if (key === undefined || name === undefined) {
    const why =
      key === undefined ? "site.key is not there to make it from" : "no signed checkpoint says the site's name"
    const finding = lost(
      "store/store.json",
      `${recorded.damage}; ${why}`,
      "put it back from a backup; until then nothing else is touched",
    )
    return { site: undefined, key, findings: [finding, key === undefined ? keyLost(key) : keyWhole] }
  }
  const site = { name, storeId, publicKey: key.publicKey, createdAt: uuid7Time(storeId) }
  const finding = damagedPart(
    "store/store.json",
    recorded.damage,
    `made again from site.key and the signed checkpoint of ${name}`,
    async () => replace(paths.json, encodeStoreJson(site)),
  )
  return { site, key, findings: [finding, keyWhole] }
}

const keyWhole = whole("store/site.key", "the key that signs")
const keyLost = (other: SiteKey | undefined): Finding =>
  lost(
    "store/site.key",
    other === undefined ? "the private key is missing or damaged" : "it is another site's key",
    "put it back from a backup made with --secrets; what is signed already can still be checked, and nothing new can be signed as this site",
  )

const readKey = (paths: StorePaths): SiteKey | undefined => {
  try {
    return siteKeyFromPem(readFileSync(paths.key, "latin1"))
  } catch {
    return undefined
  }
}

const readRecorded = (paths: StorePaths): SiteIdentity | { readonly damage: string } => {
  try {
    return readSite(paths)
  } catch (e) {
    if (isImagelinkError(e) && e.code === "STORE_DAMAGED") return { damage: e.reason }
    throw e
  }
}

/** The origin of a checkpoint that this key signed. */
const signedName = (files: TlogFiles, { publicKey }: SiteKey): string | undefined => {
  const note = files.read("checkpoint")?.toString("utf8") ?? ""
  const name = note.slice(0, Math.max(0, note.indexOf("\n")))
  return isSiteName(name) && !("refused" in openCheckpoint(note, { name, publicKey })) ? name : undefined
}

const replace = (path: string, text: string): void => {
  const temporary = `${path}.new`
  writeFileSync(temporary, text)
  syncPath(temporary)
  renameSync(temporary, path)
  syncPath(path)
}
