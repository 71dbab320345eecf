/** What an operator does to running clients: disconnects them, wakes them, asks them to boot anew. */
import { describe, expect, it } from "vitest"
import { connectIscsi } from "../../adapters/iscsi/client.ts"
import * as pdu from "../../adapters/iscsi/pdu.ts"
import { connectNbd } from "../../adapters/nbd/client.ts"
import type { Status } from "../../core/runtime/status.ts"
import { until } from "../support/committing.ts"
import { serveApi } from "./support.ts"

const site = await serveApi("api-actions", { "iscsi-port": 0, "http-port": 0 })
const token = await site.token("operator")
await site.do("image.add", { name: "win11", path: site.image, check: false })
for (const n of [1, 2]) await site.do("client.add", { mac: `52:54:00:00:00:0${n}`, name: `PC-00${n}` })
await site.do("client.link", { clients: ["PC-{001..002}"], image: "win11", slot: 0 })
await site.do("client.link", { clients: ["PC-001"], image: "win11", slot: 1, overlay: "keep" })
await site.do("group.create", { name: "lab", clients: ["PC-002"] })

const at = (listener: "nbd" | "iscsi") => {
  const [host = "", port = ""] = site.server.listeners[listener]!.split(":")
  return { host, port: Number(port) }
}
const nbd = (client: string) => connectNbd({ ...at("nbd"), export: `client/${client}/0` })
const iscsi = (client: string) => connectIscsi({ ...at("iscsi"), target: `iqn.2026-11.io.imagelink:${client}` })
const act = (what: string, body: object, as = token) => site.ask(as, "POST", `/api/v1/clients/${what}`, { body })
const row = async (client: string) => {
  const { clients } = (await site.ask(token, "GET", "/api/v1/status")).json as Status
  return clients.find((one) => one.client === client)!
}

describe("disconnecting a client", () => {
  it("says in a dry run how many sessions it has, and leaves them", async () => {
    const disk = await nbd("PC-001")
    const { status, json } = await act("disconnect?dryRun=true", { clients: ["PC-001", "PC-002"] })
    const rows = [
      { client: "PC-001", sessions: 1, left: 0 },
      { client: "PC-002", sessions: 0, left: 0 },
    ]
    expect([status, json]).toEqual([200, { dryRun: true, clients: rows }])
    await disk.read(0, 512)
    await disk.disconnect()
  })

  it("ends its session over NBD, and it may come back to what it wrote", async () => {
    const disk = await nbd("PC-001")
    await disk.write(0, Buffer.alloc(4096, 7))
    const { json } = await act("disconnect", { clients: ["PC-001"] })
    expect(json).toEqual({ dryRun: false, clients: [{ client: "PC-001", sessions: 1, left: 0 }] })
    await expect(disk.read(0, 512)).rejects.toThrow()
    disk.destroy()
    expect((await row("PC-001")).sessions).toBe(0)
    expect(site.said.join("\n")).toMatch(/api:operator-\d ended 1 sessions of PC-001/)
    const again = await nbd("PC-001")
    await again.read(0, 512)
    await again.disconnect()
  })

  it("asks an iSCSI initiator to log out, and ends all its disks at once", async () => {
    const disk = await iscsi("pc-001")
    expect((await row("PC-001")).sessions).toBe(2)
    const asked = act("disconnect", { clients: ["pc-001"] })
    await until(() =>
      disk.unasked.some(({ opcode, head }) => opcode === pdu.ASYNC_MESSAGE && head[36] === pdu.ASYNC_LOGOUT),
    )
    await disk.logout()
    expect((await asked).json).toEqual({ dryRun: false, clients: [{ client: "PC-001", sessions: 2, left: 0 }] })
    expect(site.said.join("\n")).toMatch(/closed iqn.*: an operator disconnected the client/)
  })

  it("closes an iSCSI session that does not log out by itself", async () => {
    const disk = await iscsi("pc-002")
    expect((await act("disconnect", { clients: ["PC-002"] })).json).toMatchObject({
      clients: [{ sessions: 1, left: 0 }],
    })
    disk.destroy()
  })
})

describe("asking a client to boot anew", () => {
  const polled = async (mac: string, method = "GET") => {
    const response = await fetch(`http://${site.server.listeners.http}/boot/${mac}/reboot`, { method })
    return [response.status, await response.text()]
  }
  it("is seen in its status and by its guest, until its next boot begins", async () => {
    expect(await polled("52-54-00-00-00-01")).toEqual([200, "no\n"])
    expect((await act("request-reboot?dryRun=true", { clients: ["PC-001"] })).json).toEqual({
      dryRun: true,
      clients: [{ client: "PC-001", requestedAt: null }],
    })
    expect((await row("PC-001")).rebootRequested).toBeNull()
    await act("request-reboot", { clients: ["PC-001"] })
    const { rebootRequested } = await row("PC-001")
    expect(rebootRequested).toBeGreaterThan(0)
    expect(await polled("525400000001")).toEqual([200, "yes\n"])
    expect(await polled("525400000001", "HEAD")).toEqual([200, ""])
    expect(await polled("52-54-00-00-00-09")).toEqual([200, "no\n"])
    await site.do("client.reset", { clients: ["PC-001"], slot: 0 })
    const disk = await nbd("PC-001")
    await disk.read(0, 512)
    expect(await polled("525400000001")).toEqual([200, "no\n"])
    await disk.disconnect()
  })

  it("can be taken back", async () => {
    await act("request-reboot", { clients: ["PC-{001..002}"] })
    expect((await act("request-reboot", { clients: ["PC-002"], cancel: true })).json).toEqual({
      dryRun: false,
      clients: [{ client: "PC-002", requestedAt: null }],
    })
    expect([await polled("525400000001"), await polled("525400000002")]).toEqual([
      [200, "yes\n"],
      [200, "no\n"],
    ])
  })
})

describe("waking a client", () => {
  it("says where its packet goes", async () => {
    const { status, json } = await act("wake?dryRun=true", { clients: ["PC-001"] })
    const sentTo = ["127.255.255.255 by lo"]
    expect([status, json]).toEqual([
      200,
      { dryRun: true, clients: [{ client: "PC-001", mac: "52:54:00:00:00:01", sentTo }] },
    ])
    expect((await act("wake", { clients: ["PC-001"] })).status).toBe(200)
  })
})

describe("who may", () => {
  it("is an operator, of these clients, and a client that nobody knows is named", async () => {
    for (const role of ["viewer", "auditor"] as const)
      for (const what of ["disconnect", "wake", "request-reboot"])
        expect((await act(what, { clients: ["PC-001"] }, await site.token(role))).status).toBe(403)
    const bound = await site.token("operator", ["lab"])
    expect((await act("disconnect", { clients: ["PC-002"] }, bound)).status).toBe(200)
    expect((await act("disconnect", { clients: ["PC-001"] }, bound)).status).toBe(403)
    const unknown = await act("wake", { clients: ["PC-009"] })
    expect([unknown.status, unknown.json]).toEqual([404, expect.objectContaining({ code: "CLIENT_NOT_FOUND" })])
  })
})
