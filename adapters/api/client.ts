/**
 * The site behind a running server: over its unix socket, or over the network with a token.
 *
 * **Details** It is derived from the table of routes (contract/routes.ts), which the server and the OpenAPI document are made from too, and loads
 * nothing else: a command that asks one thing should not wait for a schema library. Every call asks for events, so progress and items come as
 * they happen.
 */
import { type IncomingMessage, type RequestOptions, request as requestHttp } from "node:http"
import { request as requestHttps } from "node:https"
import { fail, ImagelinkError } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import type { CallOptions, Input, Item, OperationName, Result, Site } from "../../core/runtime/site.ts"
import { hasBody, pathKeys, routes } from "./contract/routes.ts"

/** Where a server is: a unix socket's path, or a URL and what opens it. */
export type Server =
  | { readonly socketPath: string }
  | { readonly url: URL; readonly token: string; readonly ca?: Buffer | undefined }

/** Nobody listens there: no such socket, or one left behind by a server that was killed. */
const absent = new Set(["ENOENT", "ECONNREFUSED", "ENOTSOCK"])

/** The running server's site, or undefined when there is none. @throws SERVER_NOT_REACHABLE when one is there and does not answer */
export const connectSite = async (socketPath: string): Promise<Site | undefined> => {
  const late = AbortSignal.timeout(limits.controlAnswerSecondsMax * 1000)
  const server = { socketPath }
  try {
    const response = await send(server, { method: "GET", path: "/healthz", headers: {} }, undefined, late)
    await textOf(response)
  } catch (e) {
    const code = (e as NodeJS.ErrnoException).code ?? ""
    if (absent.has(code)) return undefined
    const why = late.aborted ? `no answer within ${limits.controlAnswerSecondsMax} s` : (e as Error).message
    throw fail("SERVER_NOT_REACHABLE", { path: socketPath, why }, { underlying: e })
  }
  return siteOf(server)
}

/** The site of a server elsewhere; whether it is there is seen by the first call. */
export const siteOf = (server: Server): Site => ({
  via: "server",
  call: (name, input, options) => call(server, name, input, options),
  close: async () => {},
})

const nameOf = (server: Server): string => ("url" in server ? server.url.origin : server.socketPath)

const call = async <N extends OperationName>(
  server: Server,
  op: N,
  input: Input<N>,
  options: CallOptions<Item<N>>,
): Promise<Result<N>> => {
  const unreachable = (why: string, underlying?: unknown) => {
    if (options.signal?.aborted) return fail("CANCELLED", { what: op })
    return fail("SERVER_NOT_REACHABLE", { path: nameOf(server), why }, { underlying })
  }
  try {
    const { head, body } = requestOf(op, input as Readonly<Record<string, unknown>>, options)
    const response = await send(server, head, body, options.signal)
    if (response.statusCode !== 200) throw refusalOf(await textOf(response), response.statusCode)
    return (await outcomeOf(response, options)) as Result<N>
  } catch (e) {
    throw e instanceof ImagelinkError ? e : unreachable((e as Error).message, e)
  }
}

interface Head {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

const requestOf = (
  op: OperationName,
  input: Readonly<Record<string, unknown>>,
  { dryRun, commandId, expectedPosition }: Pick<CallOptions, "dryRun" | "commandId" | "expectedPosition">,
): { readonly head: Head; readonly body: string | undefined } => {
  const route = routes[op]
  const keys = pathKeys(route.path)
  const rest = Object.entries(input).filter(([key, value]) => !keys.includes(key) && value !== undefined)
  const path = route.path.replaceAll(/\{(\w+)\}/g, (_, key: string) => encodeURIComponent(String(input[key])))
  const query = new URLSearchParams(
    hasBody(route) ? {} : Object.fromEntries(rest.map(([key, value]) => [key, String(value)])),
  )
  if (dryRun && (route.changes || route.acts)) query.set("dryRun", "true")
  const body = hasBody(route) ? JSON.stringify(Object.fromEntries(rest)) : undefined
  const headers = {
    accept: "text/event-stream",
    ...(body === undefined ? {} : { "content-type": "application/json" }),
    ...(commandId === undefined ? {} : { "idempotency-key": commandId }),
    ...(expectedPosition === undefined ? {} : { "if-match": `"${expectedPosition}"` }),
  }
  const search = query.size === 0 ? "" : `?${query}`
  return { head: { method: route.method, path: `${path}${search}`, headers }, body }
}

const send = (server: Server, head: Head, body?: string, signal?: AbortSignal): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const headers = {
      ...head.headers,
      ...(body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) }),
    }
    const options: RequestOptions = { method: head.method, path: head.path, headers, ...(signal ? { signal } : {}) }
    const req = "url" in server ? overNetwork(server, options) : requestHttp({ ...options, ...server })
    req.once("response", resolve)
    req.once("error", reject)
    req.end(body)
  })

const overNetwork = ({ url, token, ca }: Extract<Server, { readonly url: URL }>, options: RequestOptions) => {
  const { hostname: host, port } = url
  const all = { ...options, host, port, headers: { ...options.headers, authorization: `Bearer ${token}` } }
  return url.protocol === "https:" ? requestHttps({ ...all, ...(ca ? { ca } : {}) }) : requestHttp(all)
}

const textOf = async (response: IncomingMessage): Promise<string> => {
  let text = ""
  response.setEncoding("utf8")
  for await (const chunk of response as AsyncIterable<string>) text += chunk
  return text
}

/** What the server says of a refusal is an error as it would be here; anything else is not our server. */
const refusalOf = (text: string, status: number | undefined): Error => {
  try {
    const { code, message, cause, fix, details } = JSON.parse(text) as ConstructorParameters<typeof ImagelinkError>[0]
    if (typeof code === "string" && typeof fix === "string")
      return new ImagelinkError({ code, message, cause, fix, ...(details ? { details } : {}) })
  } catch {}
  return new Error(`HTTP ${status}`)
}

/** Follows the events to the last one. An item that is being dealt with holds back what comes after it. */
const outcomeOf = async <I>(response: IncomingMessage, { onProgress, onItem }: CallOptions<I>): Promise<unknown> => {
  for await (const [name, data] of eventsOf(response)) {
    if (name === "result") return data === "" ? undefined : JSON.parse(data)
    if (name === "error") throw new ImagelinkError(JSON.parse(data) as never)
    if (name === "progress") onProgress?.(JSON.parse(data) as never)
    if (name === "item") await onItem?.(JSON.parse(data) as I)
  }
  throw new Error("it ended the answer early")
}

/** WHATWG HTML §9.2.6, as far as this server uses it: `event` and one `data` line each. */
async function* eventsOf(response: IncomingMessage): AsyncGenerator<readonly [name: string, data: string]> {
  let rest = ""
  let name = ""
  response.setEncoding("utf8")
  for await (const chunk of response as AsyncIterable<string>) {
    const lines = (rest + chunk).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) {
      if (line.startsWith("event: ")) name = line.slice(7)
      else if (line.startsWith("data: ")) yield [name, line.slice(6)]
    }
  }
}
