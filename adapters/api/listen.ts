/**
 * Where the API is heard: a unix socket in the data folder for this machine, and a TCP port for others if one is named.
 *
 * **Details** The socket is mode 0660 and of the group `imagelink` where there is such a group and the kernel says who connects; else 0600, and
 * the file mode is the admission. TCP without a certificate is for the loopback addresses alone (RFC 6750 §5.3: tokens are never sent in clear).
 */
import { chmodSync, chownSync, rmSync } from "node:fs"
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http"
import { createServer as createTlsServer } from "node:https"
import { createConnection } from "node:net"
import { fail } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import { METRICS_TYPE } from "../../core/runtime/metrics/text.ts"
import { refuseSetting } from "../../core/runtime/refused-setting.ts"
import { admit, type Caller } from "./caller.ts"
import { asError } from "./calls.ts"
import { PROBLEM_TYPE, problemOf } from "./contract/problem.ts"
import type { Router } from "./router.ts"
import type { Identity } from "./tls.ts"

export interface Listener {
  /** A path, or `address:port`. */
  readonly at: string
  close(): Promise<void>
}

/** Paths that anybody may ask: they say nothing about the site. */
const open: ReadonlySet<string> = new Set(["/v1/ping", "/healthz", "/openapi.json", "/docs"])

/** What is told about the server itself, beside its operations. */
export interface Watched {
  /** In the format of Prometheus. */
  metrics(): Promise<string>
  /** Why it is not ready, in words that say nothing about the site; empty: it is. */
  unready(): ReadonlyArray<string>
}

/** What every listener hands its requests to. */
export interface Served {
  readonly router: Router
  readonly watched: Watched
}

const TLS = { minVersion: "TLSv1.2" } as const

type WhoAsks = (request: IncomingMessage) => Caller | Promise<Caller>

const listener = ({ router, watched }: Served, who: WhoAsks): RequestListener => {
  const admitted = async (request: IncomingMessage, response: ServerResponse) => {
    const gone = new AbortController()
    response.once("close", () => gone.abort())
    const path = request.url?.split("?", 1)[0] ?? ""
    if (path === "/v1/ping" || path === "/healthz") return void response.end("ok\n")
    if (path === "/readyz") return tellReady(response, watched.unready())
    try {
      // What comes in pieces is counted by the router.
      if (Number(request.headers["content-length"] ?? 0) > limits.apiBodyBytesMax)
        throw fail("REQUEST_TOO_LARGE", { maxBytes: limits.apiBodyBytesMax })
      const caller = open.has(path) ? nobody : await who(request)
      // Every role may see them.
      if (path === "/metrics" && request.method === "GET") {
        const text = await watched.metrics()
        return void response.writeHead(200, { "content-type": METRICS_TYPE, "cache-control": "no-store" }).end(text)
      }
      admit(request, { caller, gone: gone.signal })
    } catch (e) {
      const problem = problemOf(asError(e).toJSON())
      const challenge = problem.status === 401 ? { "www-authenticate": "Bearer" } : {}
      const retry = problem.status === 429 ? { "retry-after": "60" } : {}
      response.writeHead(problem.status, { "content-type": PROBLEM_TYPE, ...challenge, ...retry })
      return void response.end(JSON.stringify(problem))
    }
    router.handle(request, response)
  }
  return (request, response) => void admitted(request, response)
}

const tellReady = (response: ServerResponse, unready: ReadonlyArray<string>): void => {
  response.writeHead(unready.length === 0 ? 200 : 503, { "content-type": "text/plain; charset=utf-8" })
  response.end(unready.length === 0 ? "ok\n" : unready.map((why) => `${why}\n`).join(""))
}

const nobody: Caller = { actor: { kind: "api", name: "nobody" }, role: "viewer", groups: [] }

const bounded = (server: Server): Server => {
  server.requestTimeout = limits.apiRequestSecondsMax * 1000
  server.headersTimeout = limits.apiRequestSecondsMax * 1000
  server.maxConnections = limits.apiConnectionsMax
  return server
}

const listening = (server: Server, at: { readonly path: string } | { readonly port: number; readonly host: string }) =>
  new Promise<void>((resolve, reject) => {
    const refused = (e: NodeJS.ErrnoException) => {
      const [address, port] = "path" in at ? [at.path, 0] : [at.host, at.port]
      if (e.code === "EADDRINUSE" && port !== 0) return reject(fail("PORT_IN_USE", { protocol: "api", address, port }))
      reject(fail("LISTEN_FAILED", { protocol: "api", address, port, why: e.message }))
    }
    server.once("error", refused)
    server.listen(at, () => {
      server.off("error", refused)
      // An accept that fails concerns that caller alone.
      server.on("error", () => undefined)
      resolve()
    })
  })

const closeServer = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })

export interface LocalOptions {
  readonly path: string
  /** Group of the socket, by number; undefined: for the server's own user alone. */
  readonly gid: number | undefined
}

/** @throws DATA_IN_USE when another server answers there, LISTEN_FAILED */
export const listenLocal = async (served: Served, who: WhoAsks, { path, gid }: LocalOptions): Promise<Listener> => {
  if (await answers(path)) throw fail("DATA_IN_USE", { path, holder: "another server" })
  rmSync(path, { force: true })
  const server = bounded(createServer(listener(served, who)))
  const mask = process.umask(0o177)
  try {
    await listening(server, { path })
  } finally {
    process.umask(mask)
  }
  if (gid !== undefined && given(path, gid)) chmodSync(path, 0o660)
  return { at: path, close: () => closeServer(server) }
}

/** False where this process may not. */
const given = (path: string, gid: number): boolean => {
  try {
    chownSync(path, -1, gid)
    return true
  } catch {
    return false
  }
}

const answers = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createConnection(path)
    probe.once("connect", () => {
      probe.destroy()
      resolve(true)
    })
    probe.once("error", () => resolve(false))
  })

export interface RemoteOptions {
  readonly address: string
  readonly port: number
  /** Undefined: in clear. */
  readonly tls: Identity | undefined
}

export interface RemoteListener extends Listener {
  /** What new connections are shown; those that are there go on. */
  identify(identity: Identity): void
}

/** @throws CONFIG_INVALID without a certificate on an address that is not loopback, PORT_IN_USE LISTEN_FAILED */
export const listenRemote = async (served: Served, who: WhoAsks, options: RemoteOptions): Promise<RemoteListener> => {
  const { address, port, tls } = options
  mayListen(address, tls !== undefined)
  const handle = listener(served, who)
  const secure = tls === undefined ? undefined : createTlsServer({ ...tls, ...TLS }, handle)
  const server = bounded((secure as unknown as Server | undefined) ?? createServer(handle))
  await listening(server, { host: address, port })
  const bound = server.address()
  const at = typeof bound === "object" && bound !== null ? bound.port : port
  return {
    at: `${address.includes(":") ? `[${address}]` : address}:${at}`,
    identify: (identity) => secure?.setSecureContext({ ...identity, ...TLS }),
    close: () => closeServer(server),
  }
}

/** @throws CONFIG_INVALID where tokens would be sent in clear */
export const mayListen = (address: string, secure: boolean): void => {
  if (secure || isLoopback(address)) return
  const why = `${address} is not a loopback address, and tokens are not sent in clear: name api-cert and api-key too`
  throw refuseSetting(["api-address"], why)
}

const isLoopback = (address: string): boolean => address.startsWith("127.") || address === "::1"
