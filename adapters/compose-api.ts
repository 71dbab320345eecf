/** The composition root's part for the API: its router, who is let in, and where it is heard. */
import { readFileSync } from "node:fs"
import { findClients } from "../core/domain/lookup.ts"
import { ImagelinkError } from "../core/errors.ts"
import { catalogueProjection } from "../core/projections/catalogue.ts"
import type { Site } from "../core/runtime/site.ts"
import { makeStatusFeed } from "../core/runtime/status-feed.ts"
import type { WithinGroups } from "./api/caller.ts"
import { Calls } from "./api/calls.ts"
import { makeGate } from "./api/gate.ts"
import { type Listener, listenLocal, listenRemote, type RemoteListener, type Watched } from "./api/listen.ts"
import { makeRouter } from "./api/router.ts"
import { socketPath } from "./api/socket-path.ts"
import { type Identity, readIdentity } from "./api/tls.ts"
import type { OpenedSite } from "./compose.ts"
import { type Run, serverActor } from "./compose-run.ts"

/** Its members may use the socket. */
const SOCKET_GROUP = "imagelink"

export interface ApiOptions {
  readonly run: Run
  readonly site: Site
  readonly watched: Watched
}

export interface ServedApi {
  readonly listeners: Readonly<Record<string, string>>
  close(): Promise<void>
}

/** @throws what its listeners throw */
export const serveApi = async ({ run, site, watched }: ApiOptions): Promise<ServedApi> => {
  const { dataDir, opened, onEvent } = run
  const { parts, host } = opened
  const calls = new Calls()
  const onDenied = (who: string, what: string) =>
    onEvent({
      ...{ level: "info", text: `${who} was refused ${what} [PERMISSION_DENIED]` },
      about: { protocol: "api", actor: who, code: "PERMISSION_DENIED" },
    })
  const { now, newId } = parts
  const ask = () => site.call("status", {}, { actor: serverActor })
  const feed = makeStatusFeed({ run: parts.now(), ask, monotonic: () => performance.now() })
  const router = await makeRouter({ site, calls, feed, within: withinGroups(opened), now, newId, onDenied })
  const gate = makeGate({ host, tokens: parts.tokens, users: () => run.config.users, now })
  const closers: Array<() => Promise<void>> = [router.close, () => calls.close()]
  const close = async () => {
    for (const stop of closers.splice(0).reverse()) await stop()
  }
  const heard = (listener: Listener): string => {
    closers.push(listener.close)
    return listener.at
  }
  const served = { router, watched }
  try {
    const gid = host.peerCredentials === undefined ? undefined : groupNumber(SOCKET_GROUP)
    const control = heard(await listenLocal(served, gate.local, { path: socketPath(dataDir), gid }))
    const { apiAddress: address, apiPort: port, apiTls } = run.config
    if (port === "off") return { listeners: { control }, close }
    const tls = apiTls === undefined ? undefined : readIdentity(apiTls)
    const remote = await listenRemote(served, gate.remote, { address, port, tls })
    if (tls !== undefined) identifyAnew(run, remote, tls)
    return { listeners: { api: heard(remote), control }, close }
  } catch (e) {
    await close()
    throw e
  }
}

/** A certificate is renewed in its file, under a server that goes on. */
const identifyAnew = (run: Run, remote: RemoteListener, first: Identity): void => {
  let shown = first
  run.reloading(({ apiTls }) => {
    const read = apiTls === undefined ? shown : readIdentity(apiTls)
    const changed = [...(read.cert === shown.cert ? [] : ["api-cert"]), ...(read.key === shown.key ? [] : ["api-key"])]
    const apply = () => {
      if (changed.length > 0) remote.identify(read)
      shown = read
    }
    return { apply, read: changed }
  })
}

const withinGroups =
  ({ parts }: OpenedSite): WithinGroups =>
  async (names, groups) => {
    const catalogue = await parts.views.state(catalogueProjection)
    const found = findClients(catalogue, names)
    if (found instanceof ImagelinkError) throw found
    return found.every(({ id }) => groups.some((group) => catalogue.groupsOfClient.get(id)?.has(group)))
  }

/** group(5) */
const groupNumber = (name: string): number | undefined => {
  try {
    const line = readFileSync("/etc/group", "utf8")
      .split("\n")
      .find((one) => one.startsWith(`${name}:`))
    return line === undefined ? undefined : Number(line.split(":")[2])
  } catch {
    return undefined
  }
}
