/** The API's endpoints bound to a site, as one function of Node's request and response. Loaded when a server starts, never by a command. */
import type { IncomingMessage, ServerResponse } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { toIncomingMessage } from "@effect/platform-node/NodeHttpServerRequest"
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpRouter from "effect/http/HttpRouter"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiScalar from "effect/http-api/HttpApiScalar"
import * as Layer from "effect/Layer"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Scope from "effect/Scope"
import { fail } from "../../core/errors.ts"
import { limits } from "../../core/limits.ts"
import type { OperationName } from "../../core/runtime/site.ts"
import { type ApiSite, type Asked, answer, followed, problemResponse, undecoded } from "./answers.ts"
import { admittedAs } from "./caller.ts"
import { api, Judged } from "./contract/api.ts"
import { allows } from "./contract/routes.ts"
import { shownCall } from "./shown-call.ts"
import { statusStream } from "./status-stream.ts"

/** What a handler is given: the decoded parts of a request. */
interface Parts {
  readonly request: HttpServerRequest
  readonly endpoint: { readonly identifier: string }
  readonly params?: Readonly<Record<string, unknown>>
  readonly query?: Readonly<Record<string, unknown>> & { readonly dryRun?: boolean }
  readonly payload?: Readonly<Record<string, unknown>>
  readonly headers?: Readonly<Record<string, string | undefined>>
}

const asked = ({ request, query = {}, headers = {} }: Parts): Asked => ({
  admitted: admittedAs(toIncomingMessage(request) as IncomingMessage),
  dryRun: query.dryRun === true,
  accept: request.headers.accept ?? "",
  prefer: request.headers.prefer ?? "",
  idempotencyKey: headers["idempotency-key"],
  ifMatch: headers["if-match"],
})

const inputOf = ({ params, query, payload }: Parts): unknown => {
  const { dryRun: _, ...rest } = query ?? {}
  return { ...rest, ...payload, ...params }
}

const slots: Readonly<Record<string, string>> = { Payload: "body", Params: "path", Query: "query", Headers: "head" }

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1()

/** Body that is too large, no JSON, or not as described. */
const JudgedLive = HttpApiMiddleware.layerSchemaErrorTransform(Judged, (error) => {
  const { issues } = issuesOf(error.cause.issue)
  const texts = issues.map(({ path, message }) =>
    path === undefined || path.length === 0 ? message : `${path.map(String).join(".")}: ${message}`,
  )
  return Effect.succeed(undecoded(slots[error.kind] ?? "request", texts))
})

type Handle = (parts: Parts) => Effect.Effect<unknown>
type Handlers = { handle(identifier: string, handler: Handle): Handlers }
type Build = (api: unknown, group: string, build: (handlers: Handlers) => Handlers) => Layer.Layer<never>

const groupsOf = (site: ApiSite): ReadonlyArray<Layer.Layer<never>> => {
  const build = HttpApiBuilder.group as unknown as Build
  const groups = api.groups as unknown as Readonly<
    Record<string, { readonly endpoints: Readonly<Record<string, unknown>> }>
  >
  return Object.entries(groups).map(([name, { endpoints }]) =>
    build(api, name, (handlers) =>
      Object.keys(endpoints).reduce(
        (all, op) =>
          all.handle(op, (parts) =>
            op === "events"
              ? Effect.sync(() => eventsAnswer(site, parts))
              : op === "status.events"
                ? Effect.sync(() =>
                    statusStream(site.feed, parts.headers?.["last-event-id"], asked(parts).admitted.gone),
                  )
                : op === "job.show"
                  ? Effect.promise(() => shownCall(site, String(parts.params?.id), asked(parts)))
                  : Effect.promise(() => answer(site, op as OperationName, inputOf(parts), asked(parts))),
          ),
        handlers,
      ),
    ),
  )
}

const eventsAnswer = (site: ApiSite, parts: Parts) => {
  const { admitted } = asked(parts)
  const { actor, role } = admitted.caller
  if (!allows(role, "auditor")) {
    site.onDenied(actor.name, "events")
    return problemResponse(fail("PERMISSION_DENIED", { who: actor.name, role, what: "events", need: "an auditor" }))
  }
  const last = parts.headers?.["last-event-id"]
  const after = last !== undefined && /^\d{1,15}$/.test(last) ? Number(last) : ((parts.query?.after as number) ?? 0)
  return followed(site, admitted, after)
}

export interface Router {
  handle(request: IncomingMessage, response: ServerResponse): void
  close(): Promise<void>
}

/** Whatever has no endpoint. */
const elsewhere = HttpRouter.add("*", "/*", (request) =>
  Effect.sync(() => problemResponse(fail("ENDPOINT_NOT_FOUND", { method: request.method, path: request.url }))),
)

const limitBody = HttpRouter.middleware(
  (effect) => Effect.provideService(effect, HttpIncomingMessage.MaxBodySize, ByteSize.bytes(limits.apiBodyBytesMax)),
  { global: true },
)

export const makeRouter = async (site: ApiSite): Promise<Router> => {
  const layer = HttpApiBuilder.layer(api as never, { openapiPath: "/openapi.json" }).pipe(
    Layer.provide(groupsOf(site) as never),
  )
  const app = Layer.mergeAll(
    layer as Layer.Layer<never>,
    HttpApiScalar.layer(api as never, { path: "/docs" }),
    elsewhere,
    limitBody,
  ).pipe(Layer.provide(JudgedLive), Layer.provide(NodeHttpServer.layerHttpServices))
  const scope = Scope.makeUnsafe()
  const make = Effect.gen(function* () {
    const effect = yield* HttpRouter.toHttpEffect(app as never)
    return yield* NodeHttpServer.makeHandler(effect as never, { scope })
  })
  const handle = (await Effect.runPromise(Scope.provide(make as never, scope))) as Router["handle"]
  return { handle, close: () => Effect.runPromise(Scope.close(scope, { _tag: "Success", value: undefined } as never)) }
}
