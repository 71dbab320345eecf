/** The site's identity with the key that proves it: `store.json` and `site.key` together. */
import type { SiteIdentity } from "./event-log.ts"
import { type SiteKey, siteKeyFromPem } from "./site-key.ts"
import { damaged, readSite, readStoreFile, type StorePaths } from "./store-files.ts"

/** Reads and checks both. @throws STORE_DAMAGED STORE_NEWER */
export const readSiteFiles = (paths: StorePaths): { readonly site: SiteIdentity; readonly key: SiteKey } => {
  const site = readSite(paths)
  const key = siteKeyFromPem(readStoreFile(paths.key).toString("latin1"))
  if (key === undefined) throw damaged(paths.key, "it does not hold an Ed25519 private key")
  if (!Buffer.from(key.publicKey).equals(site.publicKey)) {
    throw damaged(paths.key, `it is not the key of the site ${site.name} that store.json names`)
  }
  return { site, key }
}
