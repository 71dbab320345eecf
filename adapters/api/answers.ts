/** One request of an operation: who may, in which of the three forms it is answered (JSON, events, later), and with what. */
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { fail, type ImagelinkError } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import type { CallOptions, OperationName, Site } from "../../core/runtime/site.ts"
import type { StatusFeed } from "../../core/runtime/status-feed.ts"
import { type Admitted, judge, type WithinGroups } from "./caller.ts"
import { asError, type Calls } from "./calls.ts"
import { PROBLEM_TYPE, problemOf } from "./contract/problem.ts"
import { routes } from "./contract/routes.ts"
import { EventStream } from "./event-stream.ts"

export interface ApiSite {
  readonly site: Site
  readonly calls: Calls
  readonly feed: StatusFeed
  readonly within: WithinGroups
  readonly now: () => number
  readonly newId: () => string
  /** A call that was refused for who asked. */
  readonly onDenied: (who: string, what: string) => void
}

/** What of a request is not its input. */
export interface Asked {
  readonly admitted: Admitted
  readonly dryRun: boolean
  readonly accept: string
  readonly prefer: string
  readonly idempotencyKey: string | undefined
  /** An entity tag: a position, quoted. */
  readonly ifMatch: string | undefined
}

type Response = HttpServerResponse.HttpServerResponse

export const problemResponse = (error: ImagelinkError): Response => {
  const problem = problemOf(error.toJSON())
  const headers = problem.status === 401 ? { "www-authenticate": "Bearer" } : {}
  return HttpServerResponse.text(JSON.stringify(problem), {
    status: problem.status,
    contentType: PROBLEM_TYPE,
    headers,
  })
}

export const answer = async (api: ApiSite, op: OperationName, input: unknown, asked: Asked): Promise<Response> => {
  const { caller, gone } = asked.admitted
  const { actor } = caller
  try {
    await judge(caller, op, input, api.within)
    const commandId = asked.idempotencyKey ?? api.newId()
    const options: CallOptions<never> = {
      actor,
      commandId,
      ...(asked.dryRun ? { dryRun: true } : {}),
      ...(asked.ifMatch === undefined ? {} : { expectedPosition: Number(asked.ifMatch.slice(1, -1)) }),
    }
    const run = (more: Partial<CallOptions<never>>): Promise<unknown> =>
      api.site.call(op, input as never, { ...options, ...more } as never)
    if (op === "job.cancel" && api.calls.cancel((input as { readonly id: string }).id)) return json({ cancelled: true })
    // Who follows is never done.
    const follows = (input as { readonly follow?: boolean }).follow === true
    if (follows || asked.accept.includes("text/event-stream")) return streamed(run, gone)
    // A preference may be passed over (RFC 7240 §2): what is secret is not kept.
    if (asked.prefer.includes("respond-async") && op !== "token.create") {
      const about = { id: commandId, operation: op, actor: actor.name, startedAt: api.now() }
      const shown = api.calls.begin(about, run)
      return json(shown, { status: 202, headers: { location: `/api/v1/jobs/${commandId}` } })
    }
    return routes[op].items ? await listed(run, gone) : json(await run({ signal: gone }))
  } catch (e) {
    const error = asError(e)
    if (error.code === "PERMISSION_DENIED") api.onDenied(actor.name, op)
    return problemResponse(error)
  }
}

/** A result that says how far the log is has that as its entity tag. */
const json = (result: unknown, options: { status?: number; headers?: Record<string, string> } = {}): Response => {
  const position = (result as { readonly position?: unknown } | null)?.position
  const tag = typeof position === "number" ? { etag: `"${position}"` } : {}
  return HttpServerResponse.text(JSON.stringify(result), {
    status: options.status ?? 200,
    contentType: "application/json",
    headers: { ...tag, ...options.headers },
  })
}

type Run = (more: Partial<CallOptions<never>>) => Promise<unknown>

/** As many items as one answer holds; the operation is stopped there. */
const listed = async (run: Run, gone: AbortSignal): Promise<Response> => {
  const items: Array<unknown> = []
  const enough = new AbortController()
  const onItem = (item: unknown) => {
    if (items.length < limits.apiItemsMax) items.push(item)
    else enough.abort()
  }
  const signal = AbortSignal.any([gone, enough.signal])
  const result = await run({ signal, onItem } as never).catch((e: unknown) => {
    if (!enough.signal.aborted) throw e
    return undefined
  })
  const position = (result as { readonly position: number } | undefined)?.position ?? lastPosition(items)
  return json({ items, position, more: enough.signal.aborted })
}

const lastPosition = (items: ReadonlyArray<unknown>): number => {
  const last = items.at(-1)
  return (typeof last === "string" ? (JSON.parse(last) as { position: number }) : (last as { position: number }))
    .position
}

const streamed = (run: Run, gone: AbortSignal): Response => {
  const stream = new EventStream(limits.apiHeartbeatMillis)
  const send = (name: string, value: unknown) => stream.send(name, JSON.stringify(value))
  const onProgress = (progress: unknown) => void send("progress", progress)
  const onItem = (item: unknown) => send("item", item)
  run({ signal: gone, onProgress, onItem } as never)
    .then(
      (result) => send("result", result),
      (e: unknown) => send("error", asError(e).toJSON()),
    )
    .finally(() => stream.end())
  return HttpServerResponse.raw(stream.body, {
    contentType: "text/event-stream",
    headers: { "cache-control": "no-store" },
  })
}

/** The log as it grows: the id of each event is its position. */
export const followed = (api: ApiSite, admitted: Admitted, after: number): Response => {
  const stream = new EventStream(limits.apiHeartbeatMillis)
  const onItem = (text: string) => {
    const { position } = JSON.parse(text) as { readonly position: number }
    return stream.send("event", text, position)
  }
  const { caller, gone } = admitted
  api.site
    .call("log", { after, follow: true }, { actor: caller.actor, signal: gone, onItem })
    .catch((e: unknown) => (gone.aborted ? undefined : stream.send("error", JSON.stringify(asError(e).toJSON()))))
    .finally(() => stream.end())
  return HttpServerResponse.raw(stream.body, {
    contentType: "text/event-stream",
    headers: { "cache-control": "no-store" },
  })
}

/** A JSON body that is no JSON, a key that nobody knows, a number that is none: named by where it is. */
export const undecoded = (where: string, issues: ReadonlyArray<string>): Response =>
  problemResponse(fail("REQUEST_INVALID", { where, issues: issues.join("; ") }))
