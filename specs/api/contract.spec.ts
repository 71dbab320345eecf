import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { describe, expect, it } from "vitest"
import { items, results } from "../../adapters/api/contract/results.ts"
import { hasBody, pathKeys, routes } from "../../adapters/api/contract/routes.ts"
import { operationNames } from "../../core/runtime/local-site.ts"
import type { Input, OperationName } from "../../core/runtime/site.ts"
import { serveApi } from "./support.ts"

interface Described {
  readonly openapi: string
  readonly paths: Record<string, Record<string, { operationId: string; responses: Record<string, unknown> }>>
}

const site = await serveApi("api-contract")
const document = (await site.ask(undefined, "GET", "/openapi.json")).json as Described

describe("the OpenAPI document", () => {
  it("has every operation at the place that the table says, with each error that it may answer", () => {
    expect(document.openapi).toBe("3.1.0")
    for (const op of operationNames as ReadonlySet<OperationName>) {
      const { method, path } = routes[op]
      const described = document.paths[path]?.[method.toLowerCase()]
      expect(described?.operationId, op).toMatch(new RegExp(`(^|\\.)${op.replaceAll(".", "\\.")}$`))
      const statuses = Object.keys(described!.responses).sort()
      expect(statuses, op).toEqual("200 400 401 403 404 409 412 413 422 429 500 503 507".split(" "))
    }
  })

  it("has no place twice, and nothing that the table does not know but following", () => {
    const places = Object.values(routes).map(({ method, path }) => `${method} ${path}`)
    expect(new Set(places).size).toBe(places.length)
    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )
    const more = described.filter((place) => !places.includes(place)).sort()
    expect(more).toEqual(["GET /api/v1/events", "GET /api/v1/jobs/{id}", "GET /api/v1/status/events"])
  })

  it("is shown as a page that needs nothing from elsewhere", async () => {
    const { status, type, text } = await site.ask(undefined, "GET", "/docs")
    expect([status, type]).toEqual([200, expect.stringContaining("text/html")])
    expect(text).not.toMatch(/<script[^>]+src="http/)
  })
})

/** One after another: each input, where it is not empty, and the operations in an order in which all of them have something to work on. */
const walk: ReadonlyArray<readonly { [N in OperationName]: [N, Input<N>] }[OperationName][]> = [
  [
    ["image.add", { name: "win11", path: site.image, check: true }],
    ["image.list", {}],
    ["image.show", { name: "win11" }],
    ["image.check", { name: "win11", version: 1 }],
    ["client.add", { mac: "52:54:00:00:00:01", name: "PC-001", address: "10.0.0.1" }],
    ["client.import", { rows: [{ line: 1, mac: "52:54:00:00:00:02", name: "PC-002", image: "win11" }], file: "a.csv" }],
    ["client.copy", { from: "PC-002", to: [{ mac: "52:54:00:00:00:03", name: "PC-003" }] }],
    ["client.link", { clients: ["PC-001"], image: "win11", slot: 0, overlay: "keep" }],
    ["client.set", { client: "PC-001", options: { "menu-timeout": "5" } }],
    ["client.show", { client: "PC-001" }],
    ["client.list", {}],
    ["group.create", { name: "lab", clients: ["PC-00{2..3}"] }],
    ["group.change", { group: "lab", add: ["PC-001"] }],
    ["group.show", { group: "lab" }],
    ["group.list", {}],
    ["client.next-boot", { clients: ["PC-002"], to: { kind: "local" } }],
    ["client.request-reboot", { clients: ["PC-002"] }],
    ["client.wake", { clients: ["PC-002"] }],
    ["client.disconnect", { clients: ["PC-002"] }],
    ["client.reset", { clients: ["PC-002"], slot: 0 }],
    ["client.set-super", { client: "PC-002", image: "win11" }],
    ["client.clear-super", { client: "PC-002", image: "win11" }],
    ["links", {}],
    ["links.at", { position: 3 }],
    ["links.diff", { from: { position: 3 }, to: {} }],
    ["boots", {}],
    ["boots.live", {}],
    ["status", {}],
    ["history", {}],
    ["log", { after: 2 }],
    ["audit.key", {}],
    ["audit.checkpoint", {}],
    ["audit.verify", {}],
    ["audit.prove", { position: 2 }],
    ["rebuild", {}],
    ["rebuild.check", {}],
    ["image.heat", { name: "win11" }],
    ["token.create", { name: "desk", role: "viewer", groups: ["lab"], days: 30 }],
    ["token.list", {}],
    ["token.revoke", { name: "desk" }],
    ["image.create", { name: "empty", sizeBytes: 65_536 }],
    ["image.remove", { name: "empty" }],
    ["group.remove", { group: "lab" }],
    ["client.unlink", { clients: ["PC-003"], slot: 0 }],
    ["client.remove", { clients: ["PC-003"] }],
    ["links.restore", { position: 6, discardKept: true }],
    ["jobs", {}],
  ],
]

const decodes = (schema: Schema.Top, value: unknown): string => {
  const decoded = Schema.decodeUnknownResult(schema as Schema.Codec<unknown>, {
    onExcessProperty: "error",
    errors: "all",
  })(value)
  return Result.isSuccess(decoded) ? "as described" : decoded.failure.message
}

describe("an answer of a running server", () => {
  it("is what its schema says, key for key", async () => {
    const token = await site.token("admin")
    for (const [op, input] of walk[0]!) {
      const route = routes[op]
      const keys = pathKeys(route.path)
      const given = input as Readonly<Record<string, unknown>>
      const path = route.path.replaceAll(/\{(\w+)\}/g, (_, key: string) => encodeURIComponent(String(given[key])))
      const rest = Object.fromEntries(Object.entries(given).filter(([key]) => !keys.includes(key)))
      const query = hasBody(route) ? "" : `?${new URLSearchParams(rest as Record<string, string>)}`
      const answer = await site.ask(token, route.method, `${path}${query}`, hasBody(route) ? { body: rest } : {})
      expect([op, answer.status, answer.status === 200 ? "" : answer.text]).toEqual([op, 200, ""])
      const schema: Schema.Top =
        op in items
          ? Schema.Struct({
              items: Schema.Array(items[op as keyof typeof items]),
              position: Schema.Natural,
              more: Schema.Boolean,
            })
          : results[op]
      expect([op, decodes(schema, answer.json)]).toEqual([op, "as described"])
    }
  })
})
