/**
 * An HTTP server of objects in memory, with ranges and validators as RFC 9110 has them, and faults on demand.
 *
 *     const server = await objectServer()
 *     server.put("/disk.raw", bytes)            an object with a strong ETag
 *     server.fault = (request) => "reset"       what happens to the next requests; undefined for none
 */
import * as http from "node:http"
import type { AddressInfo, Socket } from "node:net"

export type Fault =
  | undefined
  /** The connection is reset before anything is said. */
  | "reset"
  /** Nothing is ever answered. */
  | "silent"
  /** Range is ignored. */
  | "whole"
  /** The body ends after so many bytes. */
  | { readonly cut: number }
  /** Only so many bytes are answered, and told rightly. */
  | { readonly short: number }
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** Other bytes than asked for, and told rightly. */
  | { readonly shift: number }
  /** Answered later, in real time. */
  | { readonly delayMillis: number }

export interface ServedObject {
  bytes: Uint8Array
  /** Any headers; `etag` and `last-modified` are what conditions are judged by. */
  headers: Readonly<Record<string, string>>
}

export interface ObjectServer {
  readonly origin: string
  readonly objects: Map<string, ServedObject>
  put(path: string, bytes: Uint8Array, headers?: Readonly<Record<string, string>>): ServedObject
  fault: (request: http.IncomingMessage) => Fault
  /** Every request, in order: `GET /disk.raw bytes=0-0`. */
  readonly requests: Array<string>
  readonly headersSeen: Array<http.IncomingHttpHeaders>
  /** Requests answered at the same time, at most. */
  atOnceMax: number
  connections: number
  /** Refuses connections until `start`, which takes the same port. */
  stop(): Promise<void>
  start(): Promise<void>
}

export const objectServer = async (): Promise<ObjectServer> => {
  const sockets = new Set<Socket>()
  let atOnce = 0
  let port = 0
  const self: ObjectServer = {
    get origin() {
      return `http://127.0.0.1:${port}`
    },
    objects: new Map(),
    put(path, bytes, headers = { etag: `"${path}-1"` }) {
      const object = { bytes, headers }
      self.objects.set(path, object)
      return object
    },
    fault: () => undefined,
    requests: [],
    headersSeen: [],
    atOnceMax: 0,
    connections: 0,
    async stop() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
    start: () =>
      new Promise((resolve) =>
        server.listen(port, "127.0.0.1", () => {
          port = (server.address() as AddressInfo).port
          resolve()
        }),
      ),
  }
  const server = http.createServer((request, response) => {
    self.requests.push(`${request.method} ${request.url} ${request.headers.range ?? "-"}`)
    self.headersSeen.push(request.headers)
    self.atOnceMax = Math.max(self.atOnceMax, ++atOnce)
    response.on("close", () => atOnce--)
    const fault = self.fault(request)
    const answered = () => answer(self.objects.get(request.url ?? ""), request, response, fault)
    if (typeof fault === "object" && "delayMillis" in fault) setTimeout(answered, fault.delayMillis)
    else answered()
  })
  server.on("connection", (socket) => {
    self.connections++
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
    socket.on("error", () => undefined)
  })
  await self.start()
  return self
}

const answer = (
  object: ServedObject | undefined,
  request: http.IncomingMessage,
  response: http.ServerResponse,
  fault: Fault,
): void => {
  if (fault === "silent") return
  if (fault === "reset") {
    ;(request.socket as Socket).resetAndDestroy()
    return
  }
  if (typeof fault === "object" && "status" in fault) {
    response.writeHead(fault.status, fault.headers).end("no")
    return
  }
  if (object === undefined) {
    response.writeHead(404).end()
    return
  }
  const { bytes, headers } = object
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "")
  const condition = request.headers["if-range"]
  const holds = condition === undefined || condition === headers.etag || condition === headers["last-modified"]
  if (range === null || !holds || fault === "whole") {
    response.writeHead(200, { ...headers, "content-length": bytes.length }).end(bytes)
    return
  }
  const shift = typeof fault === "object" && "shift" in fault ? fault.shift : 0
  const first = Number(range[1]) + shift
  if (first >= bytes.length) {
    response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end()
    return
  }
  const asked = Math.min(Number(range[2]) + shift, bytes.length - 1)
  const last = typeof fault === "object" && "short" in fault ? Math.min(asked, first + fault.short - 1) : asked
  const body = bytes.subarray(first, last + 1)
  const contentRange = `bytes ${first}-${last}/${bytes.length}`
  response.writeHead(206, { ...headers, "content-range": contentRange, "content-length": body.length })
  if (typeof fault === "object" && "cut" in fault && fault.cut < body.length)
    response.write(body.subarray(0, fault.cut), () => (request.socket as Socket).destroy())
  else response.end(body)
}
