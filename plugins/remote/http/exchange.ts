/**
 * One HTTP request and its answer's head, over a connection that is kept.
 *
 * **Details** `node:http` and `node:https` rather than the built-in `fetch`: their agent can be sized and closed with the volume, a body arrives as plain
 * buffers that go into the reader's memory with one copy, and a connection that went away while it was idle is told from a server that failed
 * (`reusedSocket`). Silence is measured from the first byte sent to the last one received, by the clock given.
 */
import * as http from "node:http"
import * as https from "node:https"
import { limits } from "imagelink/plugin"
import type { Clock } from "../clock.ts"
import { Transient } from "../source.ts"

export interface Connections {
  readonly agents: { readonly "http:": http.Agent; readonly "https:": https.Agent }
  close(): void
}

export const makeConnections = (atOnceMax: number): Connections => {
  const options = { keepAlive: true, maxSockets: atOnceMax, maxFreeSockets: atOnceMax, scheduling: "lifo" as const }
  const agents = { "http:": new http.Agent(options), "https:": new https.Agent(options) }
  return {
    agents,
    close() {
      agents["http:"].destroy()
      agents["https:"].destroy()
    },
  }
}

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  /** Hands over the body piece by piece; `take` answers false for "no more". @throws Transient when it is cut short */
  body(take: (piece: Uint8Array) => boolean): Promise<void>
  /** The body is not wanted: a short one is read to its end so that the connection is of use again, a long one is cut. */
  drop(): void
}

const DROPPED_BYTES_MAX = 16 * 1024

/** @throws Transient */
export const exchange = (
  { agents }: Connections,
  url: URL,
  headers: http.OutgoingHttpHeaders,
  clock: Clock,
  signal: AbortSignal,
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const secure = url.protocol === "https:"
    const agent = secure ? agents["https:"] : agents["http:"]
    const request = (secure ? https : http).request(url, { method: "GET", headers, agent })
    const watch = silenceWatch(request, clock, signal)
    request.on("response", (message) => {
      watch.heard()
      resolve(answerOf(message, watch))
    })
    request.on("error", (error: NodeJS.ErrnoException) => {
      watch.end()
      const atOnce = request.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE")
      reject(asTransient(error, atOnce))
    })
    request.end()
  })

interface Watch {
  heard(): void
  end(): void
  readonly request: http.ClientRequest
}

/** Ends a request that hears nothing for too long, or that nobody waits for. */
const silenceWatch = (request: http.ClientRequest, clock: Clock, signal: AbortSignal): Watch => {
  const silent = () => request.destroy(new Transient(`nothing was heard for ${limits.remoteSilenceMillis} ms`))
  const abort = () => request.destroy(new Transient("there was no answer in time"))
  let cancel = clock.after(limits.remoteSilenceMillis, silent)
  signal.addEventListener("abort", abort, { once: true })
  if (signal.aborted) abort()
  return {
    request,
    heard() {
      cancel()
      cancel = clock.after(limits.remoteSilenceMillis, silent)
    },
    end() {
      cancel()
      signal.removeEventListener("abort", abort)
    },
  }
}

const answerOf = (message: http.IncomingMessage, watch: Watch): Answer => {
  message.on("error", () => undefined)
  message.on("close", () => watch.end())
  return {
    status: message.statusCode ?? 0,
    headers: message.headers,
    body: (take) =>
      new Promise((resolve, reject) => {
        if (message.destroyed) return reject(new Transient("the answer was cut short"))
        message.on("data", (piece: Buffer) => {
          watch.heard()
          if (take(piece)) return
          resolve()
          message.destroy()
        })
        message.on("end", () => resolve())
        message.on("error", (error) => reject(asTransient(error, false)))
        message.on("close", () => reject(new Transient("the answer was cut short")))
      }),
    drop() {
      const length = Number(message.headers["content-length"] ?? Number.POSITIVE_INFINITY)
      if (length > DROPPED_BYTES_MAX) message.destroy()
      else message.resume()
    },
  }
}

const asTransient = (error: NodeJS.ErrnoException, atOnce: boolean): Error => {
  if (error instanceof Transient) return error
  const { code = "" } = error
  if (isCertificate(code)) return new Untrusted(code)
  return new Transient(words[code] ?? (code === "" ? "the connection failed" : `the connection failed (${code})`), {
    atOnce,
  })
}

/** The server's certificate is not one that this machine trusts; no time will mend that. */
export class Untrusted extends Error {
  override readonly name = "Untrusted"
}

const isCertificate = (code: string): boolean =>
  /^(ERR_TLS_CERT|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|ERR_SSL_)/.test(code)

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: "its server refuses connections",
  ECONNRESET: "its server dropped the connection",
  EPIPE: "its server dropped the connection",
  ENOTFOUND: "the name of its server is not known",
  EAI_AGAIN: "the name of its server cannot be looked up now",
  ETIMEDOUT: "its server does not answer",
  EHOSTUNREACH: "there is no way to its server",
  ENETUNREACH: "there is no way to its server",
}
