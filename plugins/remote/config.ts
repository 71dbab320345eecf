/** What an operator says about a remote image. */
import { isAbsolute } from "node:path"
import { boolean, check, type Infer, integer, limits, object, optional, string } from "imagelink/plugin"
import { addressFault } from "./address.ts"
import { credentialsFault } from "./secrets.ts"

const keys = object({
  url: check(string({ min: 1 }), addressFault),
  credentials: optional(check(string({ min: 1 }), credentialsFault)),
  endpoint: optional(
    check(string({ min: 1, max: 1024 }), (text) => {
      const why = addressFault(text)
      if (why !== undefined) return why
      return /^https?:/i.test(text) && !text.includes("?")
        ? undefined
        : "must be an address like https://objects.example.org"
    }),
  ),
  region: optional(
    check(string({ min: 1, max: 64 }), (text) => (/^[a-z0-9-]+$/.test(text) ? undefined : "must be like eu-central-1")),
  ),
  pathStyle: optional(boolean()),
  immutable: optional(boolean(), false),
  cache: optional(
    check(string({ min: 1 }), (path) =>
      isAbsolute(path) && !path.includes("\0") ? undefined : "must be the absolute path of a folder",
    ),
  ),
  cacheBytes: optional(
    integer({ min: limits.remoteCacheBytesMin, max: limits.remoteCacheBytesMax }),
    limits.remoteCacheBytesDefault,
  ),
  readMillis: optional(integer({ min: 100, max: 120_000 }), limits.remoteReadMillis),
})

export const config = check(keys, ({ url, endpoint, region, pathStyle, credentials }) => {
  const scheme = url.slice(0, url.indexOf(":")).toLowerCase()
  if (scheme !== "s3" && (endpoint ?? region ?? pathStyle) !== undefined)
    return "endpoint, region and pathStyle are for s3:// addresses"
  return scheme === "nbd" && credentials !== undefined ? "credentials are for https:// and s3:// addresses" : undefined
})

export type RemoteConfig = Infer<typeof config>
