/** What an operator says about a remote image. */
import { isAbsolute } from "node:path"
import { boolean, check, type Infer, integer, limits, object, optional, string } from "imagelink/plugin"
import { addressFault } from "./address.ts"
import { credentialsFault } from "./secrets.ts"

export const config = object({
  url: check(string({ min: 1 }), addressFault),
  credentials: optional(check(string({ min: 1 }), credentialsFault)),
  immutable: optional(boolean(), false),
  cache: optional(
    check(string({ min: 1 }), (path) =>
      isAbsolute(path) && !path.includes("\0") ? undefined : "must be the absolute path of a folder",
    ),
  ),
  cacheBytes: optional(integer({ min: limits.remoteCacheBytesMin }), limits.remoteCacheBytesDefault),
  readMillis: optional(integer({ min: 100, max: 120_000 }), limits.remoteReadMillis),
})

export type RemoteConfig = Infer<typeof config>
