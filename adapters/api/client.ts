/** The site behind a running server's control socket. */
import { type IncomingMessage, request } from "node:http"
import { fail, ImagelinkError } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import type { CallOptions, Input, Item, OperationName, Result, Site } from "../../core/runtime/site.ts"
import { CALL_PATH, type CallReply, type CallRequest } from "./messages.ts"

/** Nobody listens there: no such socket, or one left behind by a server that was killed. */
const absent = new Set(["ENOENT", "ECONNREFUSED", "ENOTSOCK"])

/** The running server's site, or undefined when there is none. @throws SERVER_NOT_REACHABLE when one is there and does not answer */
export const connectSite = async (socketPath: string): Promise<Site | undefined> => {
  const late = AbortSignal.timeout(limits.controlAnswerSecondsMax * 1000)
  try {
    await exchange(socketPath, "GET", "/v1/ping", undefined, () => {}, late)
  } catch (e) {
    const code = (e as NodeJS.ErrnoException).code ?? ""
    if (absent.has(code)) return undefined
    const why = late.aborted ? `no answer within ${limits.controlAnswerSecondsMax} s` : (e as Error).message
    throw fail("SERVER_NOT_REACHABLE", { path: socketPath, why }, { underlying: e })
  }
  return {
    via: "server",
    call: (name, input, options) => call(socketPath, name, input, options),
    close: async () => {},
  }
}

const call = async <N extends OperationName>(
  socketPath: string,
  operation: N,
  input: Input<N>,
  { signal, onProgress, onItem, ...rest }: CallOptions<Item<N>>,
): Promise<Result<N>> => {
  let reply: { result: unknown } | { error: ConstructorParameters<typeof ImagelinkError>[0] } | undefined
  const body: CallRequest = { operation, input, ...rest }
  const onLine = (line: string): void | Promise<void> => {
    const message = JSON.parse(line) as CallReply
    if ("item" in message) return onItem?.(message.item as Item<N>)
    if ("progress" in message) onProgress?.(message.progress)
    else reply = message
  }
  try {
    await exchange(socketPath, "POST", CALL_PATH, body, onLine, signal)
  } catch (e) {
    if (signal?.aborted) throw fail("CANCELLED", { what: operation })
    throw fail("SERVER_NOT_REACHABLE", { path: socketPath, why: (e as Error).message }, { underlying: e })
  }
  if (reply === undefined) throw fail("SERVER_NOT_REACHABLE", { path: socketPath, why: "it ended the answer early" })
  if ("error" in reply) throw new ImagelinkError(reply.error)
  return reply.result as Result<N>
}

const exchange = (
  socketPath: string,
  method: string,
  path: string,
  body: CallRequest | undefined,
  onLine: (line: string) => void | Promise<void>,
  signal?: AbortSignal,
): Promise<void> =>
  new Promise((resolve, reject) => {
    const req = request({ socketPath, method, path, ...(signal ? { signal } : {}) }, (res) => {
      const ok = res.statusCode === 200
      readLines(res, onLine).then(() => (ok ? resolve() : reject(new Error(`HTTP ${res.statusCode}`))), reject)
    })
    req.on("error", reject)
    req.end(body === undefined ? undefined : JSON.stringify(body))
  })

/** Calls `onLine` with each line; what it answers is awaited, and meanwhile nothing more is read. */
const readLines = async (res: IncomingMessage, onLine: (line: string) => void | Promise<void>): Promise<void> => {
  let rest = ""
  res.setEncoding("utf8")
  for await (const chunk of res as AsyncIterable<string>) {
    const lines = (rest + chunk).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) {
      const taken = line === "" ? undefined : onLine(line)
      if (taken) await taken
    }
  }
}
