/** Every operation against every role, and every change against a dry run and a position that has passed: one table, complete by the compiler. */
import { chmodSync, statSync } from "node:fs"
import { request } from "node:http"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { allows, hasBody, pathKeys, type Role, routes } from "../../adapters/api/contract/routes.ts"
import { listenLocal } from "../../adapters/api/listen.ts"
import type { Input, OperationName } from "../../core/runtime/site.ts"
import { scratch } from "../support/cli.ts"
import { serveApi } from "./support.ts"

const site = await serveApi("api-matrix")
await site.do("image.add", { name: "win11", path: site.image, check: true })
for (const n of [1, 2]) await site.do("client.add", { mac: `52:54:00:00:00:0${n}`, name: `PC-00${n}` })
await site.do("client.link", { clients: ["PC-001"], image: "win11", slot: 0 })
await site.do("group.create", { name: "lab", clients: ["PC-002"] })
await site.do("group.link", { group: "lab", image: "win11", slot: 0 })

const [name, client, clients, group] = ["win11", "PC-001", ["PC-001"], "lab"] as const
const link = { image: name, slot: 1 }
const rows = [{ line: 2, mac: "525400000099" }]

/** What each can be asked of this site. */
const inputs: { readonly [N in OperationName]: Input<N> } = {
  ...{ "image.list": {}, "image.show": { name }, "image.heat": { name }, "heat.export": { name } },
  "image.add": { name: "other", path: site.image, check: false },
  ...{ "image.check": { name }, "image.relocate": { name, path: site.image }, "image.seal": { name } },
  ...{ "image.remove": { name }, "image.create": { name: "new", sizeBytes: 65_536 }, "image.commit": { name } },
  ...{ "image.place": { name, tier: "ramdisk" }, "image.rollback": { name }, "image.retire": { name, version: 1 } },
  ...{ "image.flatten": { name }, "image.record": { name, label: "x", seconds: 1 } },
  ...{ "heat.import": { name, bytes: "" }, "image.diff": { from: { name }, to: { name } } },
  ...{
    "client.list": {},
    "client.show": { client },
    "client.script": { client },
    "client.set": { client, options: { a: "b" } },
  },
  ...{ "client.add": { mac: "525400000098" }, "client.import": { rows, file: "x.csv" } },
  "client.copy": { from: client, to: [{ mac: "525400000097" }] },
  ...{ "client.set-super": { client, image: name }, "client.clear-super": { client } },
  ...{
    "client.link": { clients, ...link },
    "client.unlink": { clients, slot: 0 },
    "client.reset": { clients, slot: 0 },
  },
  ...{ "client.remove": { clients }, "client.next-boot": { clients, to: { kind: "local" } } },
  ...{ "client.disconnect": { clients }, "client.wake": { clients }, "client.request-reboot": { clients } },
  ...{
    "group.list": {},
    "group.show": { group },
    "group.create": { name: "more", clients },
    "group.change": { group, add: clients },
  },
  ...{ "group.remove": { group }, "group.link": { group, ...link }, "group.unlink": { group, slot: 0 } },
  ...{
    links: {},
    "links.at": {},
    "links.diff": { from: {}, to: {} },
    "links.restore": { position: 3, discardKept: true },
  },
  ...{ boots: {}, "boots.live": {}, status: {}, history: {}, log: {}, jobs: {}, "job.cancel": { id: "none" } },
  ...{ "audit.key": {}, "audit.checkpoint": {}, "audit.verify": {}, "audit.prove": { position: 1 } },
  ...{ "audit.consistency": { note: "", file: "x" }, "audit.export": { path: "/nonexistent/x" } },
  "config.reload": {},
  ...{ backup: { dir: "/nonexistent/x" }, rebuild: {}, "rebuild.check": {} },
  ...{ "token.create": { name: "x", role: "viewer" }, "token.list": {}, "token.revoke": { name: "x" } },
}
const operations = Object.keys(routes) as ReadonlyArray<OperationName>

const ask = (token: string, op: OperationName, query = "", headers: Readonly<Record<string, string>> = {}) => {
  const { method, path } = routes[op]
  const input = inputs[op] as Readonly<Record<string, unknown>>
  const keys = pathKeys(path)
  const place = path.replaceAll(/\{(\w+)\}/g, (_, key: string) => encodeURIComponent(String(input[key])))
  const body = Object.fromEntries(Object.entries(input).filter(([key]) => !keys.includes(key)))
  return site.ask(token, method, `${place}${query}`, { headers, ...(hasBody(routes[op]) ? { body } : {}) })
}
const head = async () => (await site.do("audit.checkpoint", {})).size
const codeOf = (json: unknown) => (json as { readonly code?: string } | undefined)?.code

describe("every operation", () => {
  it.each(["viewer", "auditor", "operator"] as const)(
    "is refused to a %s that is not enough, whatever is asked",
    async (role) => {
      const token = await site.token(role)
      const before = await head()
      for (const op of operations) {
        if (allows(role, routes[op].role)) continue
        const { status, json } = await ask(token, op)
        expect([op, status, codeOf(json)]).toEqual([op, 403, "PERMISSION_DENIED"])
      }
      expect(await head()).toBe(before)
    },
  )

  it("that is more than reading is refused to an operator of other groups", async () => {
    const token = await site.token("operator", ["lab"])
    const before = await head()
    for (const op of operations) {
      const needed: Role = routes[op].role
      if (needed === "viewer" || needed === "auditor") continue
      const { status } = await ask(token, op)
      expect([op, status]).toEqual([op, 403])
    }
    expect(await head()).toBe(before)
  })
})

describe("every change", () => {
  const changes = operations.filter((op) => routes[op].changes)
  it("is refused against a position that has passed", async () => {
    const token = await site.token("admin")
    const before = await head()
    const answered: Array<unknown> = []
    for (const op of changes) {
      const { status, json } = await ask(token, op, "", { "if-match": `"${before - 1}"` })
      answered.push([op, status, codeOf(json)])
    }
    // These two have nothing to do here, and say so first.
    const sooner: Readonly<Record<string, string>> = {
      "image.commit": "NO_SUPER_CLIENT",
      "image.flatten": "FLATTEN_NOTHING",
    }
    expect(answered).toEqual(
      changes.map((op) => [op, sooner[op] === undefined ? 412 : 409, sooner[op] ?? "LOG_CONFLICT"]),
    )
    expect(await head()).toBe(before)
  })

  it("and every action appends nothing as a dry run", async () => {
    const token = await site.token("admin")
    const before = await head()
    for (const op of operations.filter((one) => routes[one].changes || routes[one].acts)) {
      const { status, json } = await ask(token, op, "?dryRun=true")
      expect([op, status < 500]).toEqual([op, true])
      // A check answers what it found, and has nothing else to say.
      if (status === 200 && op !== "image.check")
        expect([op, (json as { readonly dryRun: boolean }).dryRun]).toEqual([op, true])
      expect([op, await head()]).toEqual([op, before])
    }
  })
})

describe("a call that is answered later", () => {
  const later = (id: string) => ({ prefer: "respond-async", "idempotency-key": id })
  it("is shown to those alone who could have asked for it", async () => {
    const { status, headers } = await ask(await site.token("auditor"), "audit.verify", "", {
      prefer: "respond-async",
    })
    expect(status).toBe(202)
    const shown = async (role: "viewer" | "auditor") =>
      (await site.ask(await site.token(role), "GET", headers.get("location")!)).status
    expect([await shown("viewer"), await shown("auditor")]).toEqual([404, 200])
  })

  it("is never one that makes a secret: that is answered at once, and this once", async () => {
    const id = "0192a4c4-0000-7000-8000-000000000002"
    const admin = await site.token("admin")
    const { status, json } = await ask(admin, "token.create", "", later(id))
    expect([status, typeof (json as { readonly token: string }).token]).toEqual([200, "string"])
    expect((await site.ask(admin, "GET", `/api/v1/jobs/${id}`)).status).toBe(404)
  })

  it("has an id that is nobody else's", async () => {
    const id = "0192a4c4-0000-7000-8000-000000000003"
    const [one, other] = [await site.token("admin"), await site.token("admin")]
    expect((await ask(one, "image.check", "", later(id))).status).toBe(202)
    expect((await ask(one, "image.check", "", later(id))).status).toBe(202)
    for (const again of [await ask(other, "image.check", "", later(id)), await ask(one, "client.add", "", later(id))])
      expect([again.status, codeOf(again.json)]).toEqual([409, "COMMAND_REUSED"])
  })
})

describe("a body", () => {
  it("that comes in pieces without its length is bounded too", async () => {
    const token = await site.token("admin")
    const status = await new Promise<number | string>((resolve) => {
      const url = `http://${site.server.listeners.api}/api/v1/clients/import`
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" }
      const sent = request(url, { method: "POST", headers }, (response) => {
        resolve(response.statusCode!)
        response.resume()
        sent.destroy()
      })
      // The server may hang up on what it does not read.
      sent.once("error", (e: NodeJS.ErrnoException) => resolve(e.code ?? e.message))
      const piece = Buffer.alloc(2 ** 20, 32)
      for (let i = 0; i < 33; i++) sent.write(piece)
      sent.end()
    })
    expect(status).toBe(413)
  })
})

describe("the socket", () => {
  it("is for its owner and its group, where there is such a group, and else for its owner alone", async () => {
    const dir = scratch("socket")
    chmodSync(dir, 0o755)
    const served = { router: { handle: () => {}, close: async () => {} }, watched: {} } as never
    const nobody = () => {
      throw new Error("not asked")
    }
    const mode = (path: string) => [(statSync(path).mode & 0o777).toString(8), statSync(path).gid]
    const own = await listenLocal(served, nobody, { path: join(dir, "own.sock"), gid: undefined })
    expect(mode(join(dir, "own.sock"))[0]).toBe("600")
    await own.close()
    // Root may give it to any group, others to their own.
    const gid = process.getuid?.() === 0 ? 54_321 : process.getgid!()
    const shared = await listenLocal(served, nobody, { path: join(dir, "shared.sock"), gid })
    expect(mode(join(dir, "shared.sock"))).toEqual(["660", gid])
    await shared.close()
  })
})
