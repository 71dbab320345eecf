/**
 * Serves boot scripts and boot files over HTTP/1.1 (RFC 9110, 9112) to firmware: GET and HEAD, one range, exact lengths.
 *
 * **Details** A file is read piece by piece as the client takes it, so a slow one costs a piece of memory, and one that stops taking is cut off
 * after a while. Headers that are too long, too many or too slow end their connection; more connections than the limit are not taken.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { fail } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import type { BootFiles } from "../../core/runtime/boot-files.ts"
import type { BootScripts } from "../../core/runtime/boot-scripts.ts"
import { watchListener } from "../../core/runtime/listening.ts"
import { type Answer, type Asked, answerTo, askedOf, type Refusal } from "./answer.ts"
import type { HttpEvent } from "./events.ts"
import { type Range, rangeOf } from "./range.ts"

export interface HttpServerLimits {
  readonly connectionsMax: number
  readonly headerMillisMax: number
  readonly silenceMillisMax: number
}

export interface HttpServerInput {
  readonly address: string
  /** 0 for any free one. */
  readonly port: number
  readonly files: BootFiles
  readonly scripts: BootScripts
  /** Whether the client with this MAC is asked to boot anew; by default none is. */
  readonly rebootWanted?: (mac: string) => boolean
  readonly onEvent?: (event: HttpEvent) => void
  readonly limits?: Partial<HttpServerLimits>
}

export interface HttpServer {
  readonly address: string
  readonly port: number
  /** Whether it still hears its peers. */
  listens(): boolean
  /** Takes no more requests, lets those that run end for a while, closes. A second close is the first. */
  close(): Promise<void>
}

/** Listens and serves. @throws PORT_IN_USE LISTEN_FAILED */
export const listenHttp = async (input: HttpServerInput): Promise<HttpServer> => {
  const { connectionsMax, headerMillisMax, silenceMillisMax }: HttpServerLimits = {
    connectionsMax: limits.httpConnectionsMax,
    headerMillisMax: limits.httpHeaderMillisMax,
    silenceMillisMax: limits.httpSilenceMillisMax,
    ...input.limits,
  }
  const server = createServer({
    maxHeaderSize: limits.httpHeaderBytesMax,
    headersTimeout: headerMillisMax,
    requestTimeout: headerMillisMax,
    keepAliveTimeout: limits.httpKeepAliveMillis,
    connectionsCheckingInterval: Math.min(1000, headerMillisMax),
  })
  server.maxHeadersCount = limits.httpHeadersMax
  server.maxConnections = connectionsMax
  server.setTimeout(silenceMillisMax, (socket) => socket.destroy())
  const report = (event: HttpEvent): void => input.onEvent?.(event)
  server.on("request", (request, response) => void respond(input, request, response, report))
  server.on("clientError", (e: NodeJS.ErrnoException, socket) => {
    report({ type: "malformed", client: "?", message: e.code ?? e.message })
    if (socket.writable && e.code !== "ECONNRESET")
      socket.end(
        `HTTP/1.1 ${e.code === "HPE_HEADER_OVERFLOW" ? "431 Request Header Fields Too Large" : "400 Bad Request"}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
      )
    else socket.destroy()
  })
  await listening(server, input)
  const listens = watchListener(server, "connection", (e) => report({ type: "broken", message: e.message }))
  const { address, port } = server.address() as AddressInfo
  let closing: Promise<void> | undefined
  return { address, port, listens, close: () => (closing ??= close(server)) }
}

const listening = (server: Server, { address, port }: HttpServerInput): Promise<void> =>
  new Promise((resolve, reject) => {
    const refused = (e: NodeJS.ErrnoException) => {
      const at = { protocol: "http", address, port }
      reject(
        e.code === "EADDRINUSE"
          ? fail("PORT_IN_USE", at, { underlying: e })
          : fail("LISTEN_FAILED", { ...at, why: e.message }, { underlying: e }),
      )
    }
    server.once("error", refused)
    server.listen(port, address, () => {
      server.off("error", refused)
      resolve()
    })
  })

const close = async (server: Server): Promise<void> => {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), limits.httpCloseMillisMax)
  await closed
  clearTimeout(timer)
}

const respond = async (
  { files, scripts, rebootWanted = () => false }: HttpServerInput,
  request: IncomingMessage,
  response: ServerResponse,
  report: (event: HttpEvent) => void,
): Promise<void> => {
  const client = request.socket.remoteAddress ?? "?"
  const what = `${request.method} ${request.url}`
  let answer: Answer | Refusal | undefined
  request.resume()
  response.on("error", () => {})
  try {
    const asked = askedOf(request)
    answer = "status" in asked ? asked : await answerTo(asked, { files, scripts, rebootWanted })
    if ("status" in asked || !("file" in answer)) {
      refuse(response, answer.status)
      return report({ type: "refused", client, what, status: answer.status })
    }
    const bytes = await send(response, asked, answer, request.headers.range)
    if (bytes === undefined) report({ type: "ended", client, message: `${what}: ended by the client` })
    else report({ type: answer.polled ? "polled" : "sent", client, what, bytes })
  } catch (e) {
    const message = e instanceof Error ? e.message : String(e)
    report({ type: "failed", client, what, message })
    if (response.headersSent) response.destroy()
    else refuse(response, 500)
  } finally {
    if (answer !== undefined && "file" in answer) await answer.file.close()
  }
}

const refuse = (response: ServerResponse, status: number): void => {
  const allow = status === 405 ? { Allow: "GET, HEAD" } : {}
  response.writeHead(status, { "Content-Length": 0, ...allow }).end()
}

/** How many bytes of it were sent; undefined when the client went away before. */
const send = async (
  response: ServerResponse,
  { method }: Asked,
  { file, type, script }: Answer,
  header: string | undefined,
): Promise<number | undefined> => {
  const size = file.sizeBytes
  // A script is made anew each time, so parts of it do not fit together.
  const range = script || method === "HEAD" ? "whole" : rangeOf(header, size)
  if (range === "unsatisfiable") {
    response.writeHead(416, { "Content-Range": `bytes */${size}`, "Content-Length": 0 }).end()
    return 0
  }
  const { start, length }: Range = range === "whole" ? { start: 0, length: size } : range
  response.writeHead(range === "whole" ? 200 : 206, {
    "Content-Type": type,
    "Content-Length": length,
    ...(script ? { "Cache-Control": "no-store" } : { "Accept-Ranges": "bytes" }),
    ...(range === "whole" ? {} : { "Content-Range": `bytes ${start}-${start + length - 1}/${size}` }),
  })
  if (method === "HEAD") {
    response.end()
    return 0
  }
  for (let at = 0; at < length; at += limits.httpReadBytes) {
    const piece = await file.read(start + at, Math.min(limits.httpReadBytes, length - at))
    if (response.destroyed) return undefined
    if (!response.write(piece) && !(await drained(response))) return undefined
  }
  response.end()
  return length
}

/** Whether the client took what was written, or went away. */
const drained = (response: ServerResponse): Promise<boolean> =>
  new Promise((resolve) => {
    if (response.destroyed) return resolve(false)
    const end = (took: boolean) => () => {
      response.off("drain", onDrain)
      response.off("close", onClose)
      resolve(took)
    }
    const onDrain = end(true)
    const onClose = end(false)
    response.on("drain", onDrain)
    response.on("close", onClose)
  })
