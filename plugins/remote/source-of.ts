/** The source of an address, by its scheme. */
import { limits } from "imagelink/plugin"
import type { Clock } from "./clock.ts"
import type { RemoteConfig } from "./config.ts"
import { httpSource } from "./http/source.ts"
import { nbdSource } from "./nbd/source.ts"
import { s3Address } from "./s3/address.ts"
import { keyOf, signed } from "./s3/sign.ts"
import { authorizationOf, type Environment, readSecret } from "./secrets.ts"
import type { Source } from "./source.ts"

/** What the plugin takes from around it. */
export interface Surroundings {
  readonly clock: Clock
  readonly env: Environment
}

const NBD_PORT = 10_809
const REGION_DEFAULT = "us-east-1"

export const sourceOf = (config: RemoteConfig, { clock, env }: Surroundings): Source => {
  const { url, credentials, immutable } = config
  const address = new URL(url)
  const common = { url, clock, immutable, atOnceMax: limits.remoteRangesMax }
  if (address.protocol === "nbd:") {
    const host = address.hostname.replace(/^\[(.*)\]$/, "$1")
    const port = address.port === "" ? NBD_PORT : Number(address.port)
    return nbdSource({ url, host, port, name: decodeURIComponent(address.pathname.slice(1)) }, clock)
  }
  if (address.protocol === "s3:") {
    const { endpoint, region = REGION_DEFAULT, pathStyle } = config
    const object = s3Address({ url, endpoint, region, pathStyle })
    const authorize = async (to: URL, headers: Readonly<Record<string, string>>) => {
      const key = await keyOf(credentials, url, env)
      return key === undefined ? headers : signed(to, headers, key, region, clock.utc())
    }
    return httpSource({ ...common, address: object, condition: "if-match", redirects: false, authorize })
  }
  const authorize = async (_: URL, headers: Readonly<Record<string, string>>) =>
    credentials === undefined
      ? headers
      : { ...headers, authorization: authorizationOf(await readSecret(credentials, url, env), url) }
  return httpSource({ ...common, address, condition: "if-range", redirects: true, authorize })
}
