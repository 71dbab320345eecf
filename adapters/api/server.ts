/** Serves a site on a unix socket that only this user may open. */
import { chmodSync, rmSync } from "node:fs"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import { createConnection } from "node:net"
import { fail, type ImagelinkError, isImagelinkError } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import type { CallOptions, OperationName, Site } from "../../core/runtime/site.ts"
import { CALL_PATH, type CallReply, type CallRequest } from "./messages.ts"

export interface ControlListener {
  readonly path: string
  close(): Promise<void>
}

/** @throws DATA_IN_USE when another server answers there, LISTEN_FAILED */
export const listenControl = async (
  path: string,
  site: Site,
  operations: ReadonlySet<string>,
): Promise<ControlListener> => {
  if (await answers(path)) throw fail("DATA_IN_USE", { path, holder: "another server" })
  rmSync(path, { force: true })
  const server = createServer((req, res) => void handle(req, res, site, operations))
  await new Promise<void>((resolve, reject) => {
    server.once("error", (e) =>
      reject(fail("LISTEN_FAILED", { protocol: "control", address: path, port: 0, why: e.message })),
    )
    server.listen(path, resolve)
  })
  chmodSync(path, 0o600)
  return { path, close: () => closeServer(server) }
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

const closeServer = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })

const handle = async (req: IncomingMessage, res: ServerResponse, site: Site, operations: ReadonlySet<string>) => {
  if (req.url === "/v1/ping") return void res.end()
  if (req.method !== "POST" || req.url !== CALL_PATH) return void res.writeHead(404).end()
  const cancel = new AbortController()
  res.on("close", () => cancel.abort())
  res.writeHead(200, { "content-type": "application/x-ndjson" })
  const send = (reply: CallReply) => res.write(`${JSON.stringify(reply)}\n`)
  try {
    const call = parse(await bodyOf(req), operations)
    const options = {
      ...pick(call),
      actor: call.actor,
      signal: cancel.signal,
      onProgress: (progress) => send({ progress }),
      onItem: (item) => (send({ item }) ? undefined : drained(res)),
    } as CallOptions
    send({ result: await site.call(call.operation as OperationName, call.input as never, options as never) })
  } catch (e) {
    send({ error: asError(e).toJSON() })
  }
  res.end()
}

/** The peer has taken what it was sent, or is gone. */
const drained = (res: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      res.off("drain", done)
      res.off("close", done)
      resolve()
    }
    if (res.destroyed) return resolve()
    res.on("drain", done)
    res.on("close", done)
  })

const pick = (call: CallRequest) => ({
  ...(call.dryRun === undefined ? {} : { dryRun: call.dryRun }),
  ...(call.commandId === undefined ? {} : { commandId: call.commandId }),
  ...(call.expectedPosition === undefined ? {} : { expectedPosition: call.expectedPosition }),
})

const bodyOf = async (req: IncomingMessage): Promise<string> => {
  const chunks: Array<Buffer> = []
  let bytes = 0
  for await (const chunk of req) {
    bytes += (chunk as Buffer).length
    if (bytes > limits.controlRequestBytesMax)
      throw usage(`a request is at most ${limits.controlRequestBytesMax} bytes`)
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks).toString("utf8")
}

const parse = (body: string, operations: ReadonlySet<string>): CallRequest => {
  let call: Partial<CallRequest>
  try {
    call = JSON.parse(body) as Partial<CallRequest>
  } catch {
    throw usage("the request is not JSON")
  }
  if (
    typeof call !== "object" ||
    call === null ||
    typeof call.operation !== "string" ||
    !operations.has(call.operation)
  )
    throw usage(`this server has no operation ${JSON.stringify((call as CallRequest | null)?.operation ?? null)}`)
  const actor = call.actor
  if (typeof actor !== "object" || actor === null || actor.kind !== "cli" || typeof actor.name !== "string")
    throw usage("a request over the control socket comes from a cli actor")
  return { ...call, operation: call.operation, input: call.input ?? {}, actor: { kind: "cli", name: actor.name } }
}

const usage = (why: string) => fail("USAGE", { why, see: "adapters/api/README.md" })

const asError = (e: unknown): ImagelinkError =>
  isImagelinkError(e) ? e : fail("INTERNAL_ERROR", { what: "the server", why: String((e as Error)?.stack ?? e) })
