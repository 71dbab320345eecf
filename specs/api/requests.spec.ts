import { randomUUID } from "node:crypto"
import { describe, expect, it } from "vitest"
import { routes } from "../../adapters/api/contract/routes.ts"
import type { OperationName } from "../../core/runtime/site.ts"
import { random as seeded } from "../support/random.ts"
import { eventsIn, serveApi } from "./support.ts"

const site = await serveApi("api-requests")
const admin = await site.token("admin")
await site.do("image.add", { name: "win11", path: site.image, check: true })

describe("a changing request", () => {
  const add = (n: number, headers: Readonly<Record<string, string>> = {}, query = "") =>
    site.ask(admin, "POST", `/api/v1/clients${query}`, { body: { mac: `52540000100${n}`, name: `PC-${n}` }, headers })

  it("with one idempotency key appends once, and says so", async () => {
    const headers = { "idempotency-key": randomUUID() }
    const first = await add(1, headers)
    const second = await add(1, headers)
    expect(first.json).toMatchObject({ repeated: false })
    expect(second.json).toMatchObject({ repeated: true, position: (first.json as { position: number }).position })
  })

  it("holds only at the position that it names, and the answer's tag is the next one", async () => {
    const { headers } = await add(2)
    const tag = headers.get("etag")!
    expect(tag).toMatch(/^"\d+"$/)
    const taken = await add(3, { "if-match": tag })
    expect(taken.status).toBe(200)
    const late = await add(4, { "if-match": tag })
    expect([late.status, (late.json as { code: string }).code]).toEqual([412, "LOG_CONFLICT"])
  })

  it("that is a dry run answers the events and appends none", async () => {
    const before = (await site.do("audit.checkpoint", {})).size
    const { json } = await add(5, {}, "?dryRun=true")
    expect(json).toMatchObject({ dryRun: true, events: [{ type: "ClientRegistered" }] })
    expect((await site.do("audit.checkpoint", {})).size).toBe(before)
  })
})

describe("long work", () => {
  it("asked for events, tells its progress and then its result", async () => {
    const headers = { accept: "text/event-stream" }
    const { text, type } = await site.ask(admin, "POST", "/api/v1/images/win11/check", { body: {}, headers })
    expect(type).toContain("text/event-stream")
    const events = eventsIn(text)
    expect(events.at(-1)).toMatchObject({ name: "result", data: { image: "win11", result: "verified" } })
    expect(events.slice(0, -1).every(({ name }) => name === "progress")).toBe(true)
  })

  it("asked to be answered later, is found again by its id, with what came of it", async () => {
    const id = randomUUID()
    const headers = { prefer: "respond-async", "idempotency-key": id }
    const begun = await site.ask(admin, "POST", "/api/v1/images/win11/check", { body: {}, headers })
    expect([begun.status, begun.headers.get("location")]).toEqual([202, `/api/v1/jobs/${id}`])
    const followed = await site.ask(admin, "GET", `/api/v1/jobs/${id}`, { headers: { accept: "text/event-stream" } })
    expect(eventsIn(followed.text).at(-1)!.data).toMatchObject({ state: "done", result: { result: "verified" } })
    expect((await site.ask(admin, "GET", `/api/v1/jobs/${id}`)).json).toMatchObject({ id, state: "done" })
    expect((await site.ask(admin, "GET", `/api/v1/jobs/${randomUUID()}`)).json).toMatchObject({ code: "JOB_NOT_FOUND" })
  })

  it("can be stopped, by whoever may, and says that it was", async () => {
    const body = { label: "game", seconds: 600 }
    const begun = await site.ask(admin, "POST", "/api/v1/images/win11/record", {
      body,
      headers: { prefer: "respond-async" },
    })
    const at = begun.headers.get("location")!
    expect((await site.ask(await site.token("auditor"), "DELETE", at)).status).toBe(403)
    const operator = await site.token("operator")
    expect((await site.ask(operator, "DELETE", at)).json).toEqual({ cancelled: true })
    const followed = await site.ask(operator, "GET", at, { headers: { accept: "text/event-stream" } })
    expect(eventsIn(followed.text).at(-1)!.data).toMatchObject({ state: "failed", problem: { code: "CANCELLED" } })
    expect((await site.ask(operator, "DELETE", at)).json).toEqual({ cancelled: false })
  })

  it("that fails later says why", async () => {
    const id = randomUUID()
    const headers = { prefer: "respond-async", "idempotency-key": id }
    await site.ask(admin, "POST", "/api/v1/images/none/check", { body: {}, headers })
    const followed = await site.ask(admin, "GET", `/api/v1/jobs/${id}`, { headers: { accept: "text/event-stream" } })
    expect(eventsIn(followed.text).at(-1)!.data).toMatchObject({ state: "failed", problem: { status: 404 } })
  })
})

describe("the event stream", () => {
  /** Reads until so many events came. */
  const take = async (count: number, last: number | undefined) => {
    const headers = last === undefined ? {} : { "last-event-id": String(last) }
    const response = await fetch(`http://${site.server.listeners.api}/api/v1/events`, {
      headers: { authorization: `Bearer ${admin}`, ...headers },
    })
    const reader = response.body!.getReader()
    let text = ""
    while (eventsIn(text.slice(0, text.lastIndexOf("\n\n"))).length < count) {
      const { value, done } = await reader.read()
      if (done) break
      text += Buffer.from(value).toString()
    }
    await reader.cancel()
    return eventsIn(text.slice(0, text.lastIndexOf("\n\n"))).slice(0, count)
  }

  it("goes on where it was left, without a gap and without one twice, while more are appended", async () => {
    const seen: Array<number> = []
    for (let round = 0; round < 5; round++) {
      const more = site.do("client.add", { mac: `5254000020${10 + round}`, name: `EV-${round}` })
      for (const { id, data } of await take(1, seen.at(-1))) {
        expect((data as { position: number }).position).toBe(Number(id))
        seen.push(Number(id))
      }
      await more
    }
    expect(seen).toEqual([1, 2, 3, 4, 5])
  })

  it("waits for what comes", async () => {
    const { size } = await site.do("audit.checkpoint", {})
    const next = take(1, size)
    await site.do("client.add", { mac: "525400003001", name: "LATER" })
    expect((await next)[0]).toMatchObject({ id: String(size + 1), data: { type: "ClientRegistered" } })
  })
})

describe("whatever is sent", () => {
  const junk = [null, true, -1, 1e308, "", "win11", "PC-1", "\u0000", "x".repeat(5000), [], [[]], {}, { a: { b: [1] } }]

  it("is answered with a status that is no 5xx, and with code, cause and fix where it is refused", async () => {
    const random = seeded(8)
    const operations = (Object.keys(routes) as ReadonlyArray<OperationName>).filter(
      // These are right for anything, and take long or change this machine.
      (op) => !["rebuild", "rebuild.check", "audit.verify", "backup", "audit.export", "image.record"].includes(op),
    )
    const one = () => junk[random.int(junk.length)]
    for (let round = 0; round < 600; round++) {
      const op = operations[random.int(operations.length)]!
      const { method, path } = routes[op]
      const place = path.replaceAll(/\{\w+\}/g, () => encodeURIComponent(String(one()).slice(0, 200) || "x"))
      const query =
        random.int(3) === 0 ? `?${new URLSearchParams({ position: String(one()), slot: "1", dryRun: "maybe" })}` : ""
      const keys = ["name", "clients", "client", "image", "slot", "path", "check", "from", "to", "version", "mac"]
      const body = Object.fromEntries(keys.filter(() => random.int(2) === 0).map((key) => [key, one()]))
      const text = random.int(6) === 0 ? '{"a":' : JSON.stringify(random.int(8) === 0 ? one() : body)
      const sends = method !== "GET" && method !== "DELETE"
      const headers = random.int(4) === 0 ? { "if-match": "x", "idempotency-key": "y" } : {}
      const answer = await site.ask(admin, method, `${place}${query}`, { ...(sends ? { text } : {}), headers })
      const about = `round ${round}: ${method} ${place.slice(0, 80)}${query} ${text.slice(0, 200)} -> ${answer.status} ${answer.text.slice(0, 300)}`
      expect(answer.status, about).toBeLessThan(500)
      if (answer.status < 400) continue
      expect(answer.type, about).toBe("application/problem+json")
      expect(answer.json, about).toMatchObject({
        code: expect.any(String),
        cause: expect.any(String),
        fix: expect.any(String),
      })
    }
  })

  it("is refused when it is too long, and when it is nothing of this API", async () => {
    const long = await site.ask(admin, "POST", "/api/v1/clients/import", { text: "x".repeat(33 * 2 ** 20) })
    expect([long.status, (long.json as { code: string }).code]).toEqual([413, "REQUEST_TOO_LARGE"])
    const nothing = await site.ask(admin, "GET", "/api/v1/nothing")
    expect([nothing.status, (nothing.json as { code: string }).code]).toEqual([404, "ENDPOINT_NOT_FOUND"])
  })
})
