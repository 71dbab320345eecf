/**
 * The API as a value: every operation is an endpoint, and the OpenAPI 3.1 document, the server's router and derived clients are made from it.
 *
 * **Details** An answer is JSON; asked for `text/event-stream` (WHATWG HTML §9.2) it is `progress` and `item` events and then one `result`
 * or `error`. A changing operation takes `?dryRun=true`, `Idempotency-Key` (a UUID: a retry appends once) and `If-Match` (a position of the
 * log, quoted: it is carried out only while that is the head). `Prefer: respond-async` (RFC 7240) is answered 202 and where to look.
 */

import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import type { OperationName } from "../../../core/runtime/site.ts"
import { inputs } from "./inputs.ts"
import { ErrorBody, Event, items, Job, results, StatusChanged } from "./results.ts"
import { hasBody, pathKeys, type Route, routes } from "./routes.ts"

const opt = Schema.optionalKey
const Problem = Schema.Struct({
  type: Schema.String,
  title: Schema.String,
  status: Schema.Natural,
  detail: Schema.String,
  ...ErrorBody.fields,
}).annotate({ identifier: "Problem" })

const problem = (status: number) =>
  Problem.pipe(HttpApiSchema.status(status), HttpApiSchema.asJson({ contentType: "application/problem+json" }))

/** What any operation may answer; `description` of each is in the reference. */
const problems = [400, 401, 403, 404, 409, 412, 413, 422, 429, 500, 503, 507].map(problem)

/** What cannot be decoded is a problem like any other. */
export class Judged extends HttpApiMiddleware.Service<Judged>()("imagelink/api/Judged", { error: problems }) {}

const Progress = Job.fields.progress

/** One event of a streamed answer: its name is the key. */
const Streamed = (op: OperationName) => {
  const item = op in items ? { item: opt(items[op as keyof typeof items]) } : {}
  return Schema.Struct({ progress: opt(Progress), ...item, result: opt(results[op]), error: opt(ErrorBody) })
}

const ItemsAnswer = (op: keyof typeof items) =>
  Schema.Struct({ items: Schema.Array(items[op]), position: Schema.Natural, more: Schema.Boolean })

const answerOf = (op: OperationName): Schema.Top => (op in items ? ItemsAnswer(op as keyof typeof items) : results[op])

const pick = (fields: Schema.Struct.Fields, keys: ReadonlyArray<string>): Schema.Struct.Fields =>
  Object.fromEntries(Object.entries(fields).filter(([key]) => keys.includes(key)))
const without = (fields: Schema.Struct.Fields, keys: ReadonlyArray<string>): Schema.Struct.Fields =>
  Object.fromEntries(Object.entries(fields).filter(([key]) => !keys.includes(key)))

const Headers = {
  "idempotency-key": opt(Schema.String.check(Schema.isUUID())),
  "if-match": opt(Schema.String.check(Schema.isPattern(/^"\d{1,15}"$/u))),
  prefer: opt(Schema.String),
}

/** Everything of an endpoint that is known only when the tables are read is typed here, once. */
type AnyEndpoint = HttpApiEndpoint.Top
type Make = (identifier: string, path: string, options: unknown) => AnyEndpoint

const endpointOf = (op: OperationName, route: Route): AnyEndpoint => {
  const keys = pathKeys(route.path)
  const fields: Schema.Struct.Fields = inputs[op].fields
  const rest = without(fields, keys)
  const dryRun = route.changes || route.acts ? { dryRun: opt(Schema.Boolean) } : {}
  const query = hasBody(route) ? dryRun : { ...rest, ...dryRun }
  const options = {
    ...(keys.length === 0 ? {} : { params: Schema.Struct(pick(fields, keys)) }),
    ...(Object.keys(query).length === 0 ? {} : { query: Schema.Struct(query) }),
    ...(hasBody(route) && Object.keys(rest).length > 0 ? { payload: Schema.Struct(rest) } : {}),
    ...(route.changes ? { headers: Schema.Struct(Headers) } : {}),
    success: [answerOf(op), HttpApiSchema.StreamSse({ data: Streamed(op) })],
    error: problems,
  }
  const path = route.path.replaceAll(/\{(\w+)\}/g, ":$1") as `/${string}`
  const make = HttpApiEndpoint.make(route.method) as unknown as Make
  const says = OpenApi.annotations({ identifier: op, summary: route.says, description: `Role: ${route.role}.` })
  return make(op, path, options).annotateMerge(says)
}

/** `image.add` is in `image`; `links` and `links.at` in `links`. */
const groupOf = (op: string): string => op.split(".")[0]!

const titles: Readonly<Record<string, string>> = {
  image: "Images, their versions and where they are served from",
  client: "Clients and their links",
  group: "Groups of clients",
  links: "The link table, now and then",
  heat: "What boots read",
  boots: "Boots",
  history: "Who changed what",
  log: "The events",
  audit: "Proofs",
  backup: "Backups",
  rebuild: "Views folded again",
  jobs: "Long work",
  job: "Long work",
  token: "Who may ask over the network",
}

const operationNames = Object.keys(routes) as ReadonlyArray<OperationName>

const operationGroups = [...new Set(operationNames.map(groupOf))].map((group) => {
  const endpoints = operationNames.filter((op) => groupOf(op) === group).map((op) => endpointOf(op, routes[op]))
  const made = HttpApiGroup.make(group).annotateMerge(OpenApi.annotations({ description: titles[group] ?? group }))
  return endpoints.reduce(
    (all, endpoint) => all.add(endpoint),
    made as unknown as HttpApiGroup.HttpApiGroup<string, AnyEndpoint>,
  )
})

/** Following what happens: each event's id is its position, so that a stream resumes by Last-Event-ID. */
const Events = HttpApiGroup.make("events").add(
  HttpApiEndpoint.get("events", "/api/v1/events", {
    query: Schema.Struct({ after: opt(Schema.Natural) }),
    headers: Schema.Struct({ "last-event-id": opt(Schema.String) }),
    success: HttpApiSchema.StreamSse({ data: Event }),
    error: problems,
  }).annotateMerge(
    OpenApi.annotations({ summary: "The events of the log as they happen", description: "Role: auditor." }),
  ),
)

/** Where everybody stands, as it changes: `status` whole, then `changes`. */
const LiveStatus = HttpApiGroup.make("live").add(
  HttpApiEndpoint.get("status.events", "/api/v1/status/events", {
    headers: Schema.Struct({ "last-event-id": opt(Schema.String) }),
    success: HttpApiSchema.StreamSse({ data: StatusChanged }),
    error: problems,
  }).annotateMerge(
    OpenApi.annotations({
      summary: "The status as it changes: whole once, then the rows that are others than before",
      description: "Role: viewer.",
    }),
  ),
)

/** A call that is answered later, or any job, by its id; asked for events, it is followed to its end. */
const Call = Schema.Struct({
  id: Schema.String,
  state: Job.fields.state,
  startedAt: Schema.Natural,
  operation: opt(Schema.String),
  title: opt(Schema.String),
  actor: opt(Schema.String),
  progress: opt(Progress),
  result: opt(Schema.Unknown),
  problem: opt(Problem),
  error: Job.fields.error,
}).annotate({ identifier: "Call" })

const Following = HttpApiGroup.make("calls").add(
  HttpApiEndpoint.get("job.show", "/api/v1/jobs/:id", {
    params: Schema.Struct({ id: Schema.String }),
    success: [Call, HttpApiSchema.StreamSse({ data: Call })],
    error: problems,
  }).annotateMerge(
    OpenApi.annotations({ summary: "One call or job, and what came of it", description: "Role: viewer." }),
  ),
)

const withOperations = operationGroups.reduce(
  (api, group) => api.add(group as never),
  HttpApi.make("imagelink") as unknown as HttpApi.HttpApi<"imagelink", HttpApiGroup.Top>,
)

/** Every endpoint takes a bearer token; over the socket the kernel says who asks. What only derived clients of one library read is left out. */
const secured = (document: Record<string, unknown>): Record<string, unknown> => {
  const plain = JSON.parse(JSON.stringify(document, (key, value) => (key === "x-effect-stream" ? undefined : value)))
  const { components, ...rest } = plain as { readonly components: Record<string, unknown> }
  const securitySchemes = { token: { type: "http", scheme: "bearer", description: "imagelink token create" } }
  for (const path of Object.values((rest as { paths?: Record<string, Record<string, object>> }).paths ?? {}))
    for (const operation of Object.values(path)) Object.assign(operation, { security: [{ token: [] }] })
  return { ...rest, components: { ...components, securitySchemes }, security: [{ token: [] }] }
}

export const api = withOperations
  .add(Events as never)
  .add(LiveStatus as never)
  .add(Following as never)
  .middleware(Judged)
  .annotate(HttpApi.ParseOptions, { errors: "all", onExcessProperty: "error" })
  .annotate(HttpApi.HeadersParseOptions, {})
  .annotateMerge(OpenApi.annotations({ title: "Imagelink", version: "1.0.0", transform: secured }))
