/**
 * Images on other servers: read over HTTP and HTTPS, from S3 and over NBD, with a verified cache on this server's disk.
 *
 *     { "kind": "remote", "config": { "url": "https://images.example.org/win11.qcow2" } }
 *
 * **Details** Read-only. What was read once is served from the cache, also while the server is away. README.md is its manual.
 */
import { definePlugin } from "imagelink/plugin"
import { besideAddress, schemes } from "./address.ts"
import { systemClock } from "./clock.ts"
import { config, type RemoteConfig } from "./config.ts"
import { openRemote } from "./open.ts"
import { type Surroundings, sourceOf } from "./source-of.ts"

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
