import { describe, expect, it } from "vitest"
import { hasBody, type Role, routes } from "../../adapters/api/contract/routes.ts"
import type { OperationName } from "../../core/runtime/site.ts"
import { serveApi } from "./support.ts"

const site = await serveApi("api-roles")
const operations = Object.keys(routes) as ReadonlyArray<OperationName>

/** By what each may do at least, and nothing else; `token.create` is last, for everything else is asked with what it makes. */
const expected: Readonly<Record<Role, (needed: Role) => boolean>> = {
  viewer: (needed) => needed === "viewer",
  auditor: (needed) => needed === "viewer" || needed === "auditor",
  operator: (needed) => needed !== "admin",
  admin: () => true,
}

describe("a role", () => {
  it.each(["viewer", "auditor", "operator", "admin"] as const)(
    "%s may do what it says and nothing else",
    async (role) => {
      const token = await site.token(role)
      const before = (await site.do("audit.checkpoint", {})).size
      for (const op of operations) {
        const { method, path, role: needed } = routes[op]
        // What is asked names nobody: whoever is let in is told so.
        const place = path.replaceAll(/\{position\}/g, "1").replaceAll(/\{\w+\}/g, "nobody")
        const asked = hasBody(routes[op]) ? { body: {} } : {}
        if (op === "rebuild" || op === "rebuild.check" || op === "audit.verify") continue
        const { status, json } = await site.ask(token, method, place, asked)
        const denied = status === 403 && (json as { readonly code: string }).code === "PERMISSION_DENIED"
        // A body that is not as described is refused before anybody asks who sent it.
        if (status === 400) continue
        expect([op, denied ? "denied" : "let in"]).toEqual([op, expected[role](needed) ? "let in" : "denied"])
      }
      if (role === "viewer" || role === "auditor")
        expect((await site.do("audit.checkpoint", {})).size, "nothing was changed").toBe(before)
    },
  )

  it("is refused with code, cause and fix, and the server says so in its log", async () => {
    const token = await site.token("auditor")
    const { status, type, json } = await site.ask(token, "POST", "/api/v1/clients", { body: { mac: "525400000009" } })
    expect([status, type]).toEqual([403, "application/problem+json"])
    expect(json).toMatchObject({
      code: "PERMISSION_DENIED",
      status: 403,
      cause: expect.any(String),
      fix: expect.any(String),
    })
    expect(site.said.join("\n")).toMatch(/auditor-\d was refused client\.add \[PERMISSION_DENIED\]/)
  })

  it("is named in the events of what was done", async () => {
    const token = await site.token("operator")
    const { json } = await site.ask(token, "POST", "/api/v1/clients", { body: { mac: "525400000010", name: "PC-010" } })
    const [event] = (json as { readonly events: ReadonlyArray<{ readonly actor: unknown }> }).events
    expect(event!.actor).toEqual({ kind: "api", name: expect.stringMatching(/^operator-/) })
  })
})

describe("a token for a group", () => {
  it("changes that group's clients, and nothing else", async () => {
    await site.do("image.add", { name: "lab-image", path: site.image, check: false })
    for (const n of [1, 2]) await site.do("client.add", { mac: `5254000001${n}0`, name: `LAB-${n}` })
    await site.do("group.create", { name: "lab", clients: ["LAB-1"] })
    const token = await site.token("operator", ["lab"])
    const link = (clients: ReadonlyArray<string>) =>
      site.ask(token, "POST", "/api/v1/clients/link", { body: { clients, image: "lab-image", slot: 0 } })
    const others = [["LAB-2"], ["LAB-1", "LAB-2"], ["LAB-{1..2}"]]
    for (const clients of others) expect((await link(clients)).status, clients.join()).toBe(403)
    expect((await link(["LAB-1"])).status).toBe(200)
    expect((await link(["group:lab"])).status).toBe(200)
    expect((await site.ask(token, "POST", "/api/v1/images/lab-image/rollback", { body: {} })).status).toBe(403)
    expect((await site.ask(token, "GET", "/api/v1/links")).status).toBe(200)
  })
})
