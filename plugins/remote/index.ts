/**
 * Images on other servers: read over HTTP and HTTPS by ranges, with a verified cache on this server's disk.
 *
 *     { "kind": "remote", "config": { "url": "https://images.example.org/win11.qcow2" } }
 *
 * **Details** Read-only. What was read once is served from the cache, also while the server is away. README.md is its manual.
 */
import { definePlugin, limits } from "imagelink/plugin"
import { besideAddress, schemes } from "./address.ts"
import { type Clock, systemClock } from "./clock.ts"
import { config, type RemoteConfig } from "./config.ts"
import { httpSource } from "./http/source.ts"
import { openRemote } from "./open.ts"
import { authorizationOf, type Environment, readSecret } from "./secrets.ts"
import type { Source } from "./source.ts"

/** What the plugin takes from around it. */
export interface Surroundings {
  readonly clock: Clock
  readonly env: Environment
}

export const remotePlugin = ({ clock, env }: Surroundings) =>
  definePlugin<RemoteConfig>({
    apiVersion: 1,
    kind: "remote",
    manifest: { persistent: true, writable: false, sparse: false, shared: true, local: false },
    schemes,
    config,
    open: (given, { signal, host }) =>
      openRemote({ config: given, source: sourceOf(given, { clock, env }), host, signal, clock }),
    sibling: (given, relative) => ({ ...given, url: besideAddress(given.url, relative) }),
  })

export default remotePlugin({ clock: systemClock, env: process.env })

const sourceOf = (given: RemoteConfig, { clock, env }: Surroundings): Source => {
  const { url, credentials, immutable } = given
  const authorize = async (_: URL, headers: Readonly<Record<string, string>>) =>
    credentials === undefined
      ? headers
      : { ...headers, authorization: authorizationOf(await readSecret(credentials, url, env), url) }
  const address = new URL(url)
  const atOnceMax = limits.remoteRangesMax
  return httpSource({ url, address, clock, atOnceMax, immutable, condition: "if-range", redirects: true, authorize })
}
