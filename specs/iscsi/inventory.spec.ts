/** Slots that are linked, unlinked and taken away while a session runs. */
import { afterEach, expect, it } from "vitest"
import type { IscsiClient } from "../../adapters/iscsi/client.ts"
import { fail } from "../../core/errors.ts"
import { startIscsi, until } from "../support/iscsi-server.ts"
import { MemoryDevice } from "../support/memory-disks.ts"

const KiB = 1024
let s: Awaited<ReturnType<typeof startIscsi>> | undefined
afterEach(async () => {
  await s?.stop()
  s = undefined
})
const start = async (slots: ReadonlyArray<number> = []) => {
  const server = (s = await startIscsi({ server: { limits: { lookSeconds: 0.02 } } }))
  for (const slot of slots) link(server, slot)
  return server
}
const link = (server: Awaited<ReturnType<typeof start>>, slot: number) =>
  server.disks.add(`client/PC-001/${slot}`, new MemoryDevice({ sizeBytes: 64 * KiB, id: `PC-001/${slot}/1` }))

/** What TEST UNIT READY says: 0, or the additional sense code. */
const told = async (client: IscsiClient, lun = 0): Promise<number> =>
  (await client.command({ cdb: [0], lun })).sense?.readUInt16BE(12) ?? 0
const luns = async (client: IscsiClient, lun = 0): Promise<ReadonlyArray<number>> => {
  const { data } = await client.good({ cdb: [0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0], reads: 256, lun })
  return Array.from({ length: data.readUInt32BE(0) / 8 }, (_, i) => data[8 + 8 * i + 1]!)
}
const POWER_ON = 0x2900
const LUNS_CHANGED = 0x3f0e
const NO_SUCH_LUN = 0x2500
const logged = async (server: Awaited<ReturnType<typeof start>>, slots: ReadonlyArray<number> = [0]) => {
  const client = await server.connect()
  for (const slot of slots) expect(await told(client, slot)).toBe(0)
  return client
}
const tellsOf = async (client: IscsiClient, code: number, lun = 0) => {
  let last = await told(client, lun)
  for (let i = 0; i < 2000 && last !== code; i++) {
    await new Promise((r) => setTimeout(r, 5))
    last = await told(client, lun)
  }
  expect(last).toBe(code)
}

it("a slot that is linked is told, and is there without a new login", async () => {
  const server = await start()
  const client = await logged(server)
  expect(await luns(client)).toEqual([0])
  expect(await told(client, 2)).toBe(NO_SUCH_LUN)
  link(server, 2)
  await tellsOf(client, LUNS_CHANGED)
  expect(await told(client)).toBe(0)
  expect(await luns(client)).toEqual([0, 2])
  expect(await told(client, 2)).toBe(POWER_ON)
  await client.good({ cdb: [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], reads: 8, lun: 2 })
  expect(server.events.find((e) => e.type === "linked")).toMatchObject({ lun: 2 })
  await client.logout()
  await until(() => server.disks.leases("client/PC-001/2") === 0, "the lease of the new one went with the session")
})

it("REPORT LUNS to any unit tells it for all of them", async () => {
  const server = await start([1])
  const client = await logged(server, [0, 1])
  link(server, 2)
  await until(() => server.events.some((e) => e.type === "linked"), "it was linked")
  expect(await luns(client, 1)).toEqual([0, 1, 2])
  expect([await told(client, 0), await told(client, 1)]).toEqual([0, 0])
})

it("a slot that is unlinked is reported no more, and goes on for whoever uses it", async () => {
  const server = await start([1])
  const client = await logged(server, [0, 1])
  server.disks.remove("client/PC-001/1")
  await tellsOf(client, LUNS_CHANGED)
  expect(await luns(client)).toEqual([0])
  expect(await told(client, 1)).toBe(0)
  const later = await logged(server)
  expect(await told(later, 1)).toBe(NO_SUCH_LUN)
})

it("slot 0 stays reported: the computer runs from it", async () => {
  const server = await start([1])
  const client = await logged(server, [0, 1])
  server.disks.remove("client/PC-001/0")
  link(server, 3)
  await tellsOf(client, LUNS_CHANGED)
  expect(await luns(client)).toEqual([0, 1, 3])
})

it("a data disk that is taken away leaves the session its others, and does not come back in it", async () => {
  const server = await start([1])
  const client = await logged(server, [0, 1])
  server.disks.revoke("client/PC-001/1")
  expect(await told(client)).toBe(LUNS_CHANGED)
  expect(await luns(client)).toEqual([0])
  expect(await told(client, 1)).toBe(NO_SUCH_LUN)
  link(server, 1)
  link(server, 2)
  await tellsOf(client, LUNS_CHANGED)
  expect(await luns(client)).toEqual([0, 2])
  expect(await luns(await logged(server))).toEqual([0, 1, 2])
})

it("the disk in slot 0 that is taken away ends the session", async () => {
  const server = await start([1])
  const client = await logged(server, [0, 1])
  server.disks.revoke("client/PC-001/0")
  await client.closed
})

it("a slot whose disk cannot be opened is reported, and not ready until it can", async () => {
  const server = await start()
  const client = await logged(server)
  server.disks.refusal = fail("IMAGE_FILE_NOT_FOUND", { path: "disk.raw" })
  link(server, 1)
  await tellsOf(client, LUNS_CHANGED)
  expect(await luns(client)).toEqual([0, 1])
  expect(await told(client, 1)).toBe(0x3a00)
  server.disks.refusal = undefined
  await tellsOf(client, 0x2800, 1)
  expect(await told(client, 1)).toBe(0)
})

it("a slot that this boot may not open is not reported", async () => {
  const server = await start()
  const client = await logged(server)
  let asked = 0
  const attach = server.disks.attach.bind(server.disks)
  server.disks.attach = async (name, slot, boot, peer) => {
    asked++
    if (slot === 1) throw fail("OVERLAY_RETIRED", { client: name, slot })
    return attach(name, slot, boot, peer)
  }
  link(server, 1)
  await until(() => asked > 0, "it was asked for")
  link(server, 2)
  await tellsOf(client, LUNS_CHANGED)
  expect([await luns(client), asked]).toEqual([[0, 2], 2])
})
