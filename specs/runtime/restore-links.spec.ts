/** Going back to a moment while disks are served. */
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import type { CallOptions, Input } from "../../core/runtime/site.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { operator, type ServingSite, serveHere } from "../support/serving.ts"

const folder = scratch("restore-links")
let here: ServingSite
const back = (input: Input<"links.restore">, more: Partial<CallOptions> = {}) =>
  here.site.call("links.restore", input, { actor: operator, ...more })
const refused = (asked: Promise<unknown>) =>
  asked.then(
    () => expect.fail("it was not refused"),
    (e: { code: string }) => e.code,
  )

beforeAll(async () => {
  here = await serveHere(join(folder, "data"))
  await here.do("image.add", { name: "win11", path: rawImage(folder, "win11.raw", 64 * 1024).path, check: true })
  await here.do("client.add", { mac: "52:54:00:00:00:01" })
  await here.do("client.link", { clients: ["PC-001"], image: "win11", slot: 0, overlay: "keep" })
})
afterAll(() => here.close())

it("does not take a running client away, and does once it stopped", async () => {
  const { position } = await here.do("client.add", { mac: "52:54:00:00:00:02" })
  await here.do("client.link", { clients: ["PC-002"], image: "win11", slot: 0 })
  const lease = await here.attach("PC-002")
  expect(await refused(back({ position: position - 1 }))).toBe("OVERLAY_IN_USE")
  expect((await here.do("client.list", {})).length).toBe(2)
  await lease.release()
  expect((await back({ position: position - 1 })).events.map(({ type }) => type)).toEqual(["ClientRemoved"])
})

it("appends once for a command id, and nothing in a dry run", async () => {
  const then = here.parts.log.head()
  await here.do("client.unlink", { clients: ["PC-001"], slot: 0, discardKept: true })
  const head = here.parts.log.head()
  expect((await back({ position: then }, { dryRun: true })).events).toHaveLength(1)
  expect(here.parts.log.head()).toBe(head)
  const commandId = "0190b3a4-5c6d-7000-8000-000000000001"
  const asked = { position: then }
  expect((await back(asked, { commandId })).repeated).toBe(false)
  expect((await back(asked, { commandId })).repeated).toBe(true)
  expect(here.parts.log.head()).toBe(head + 1)
})

it("keeps what a client keeps unless that may be discarded", async () => {
  expect(await refused(back({ position: 3 }))).toBe("OVERLAY_KEPT")
  const { events, asOf } = await back({ position: 3, discardKept: true })
  expect([events.map(({ type }) => type), asOf.position]).toEqual([["ClientUnlinked"], 3])
})

it("refuses a moment that is not there, or two", async () => {
  expect(await refused(back({ position: 999 }))).toBe("POSITION_NOT_FOUND")
  expect(await refused(back({ position: 1, at: 1 }))).toBe("USAGE")
})

it("lets go of links that were made to an image which is gone", async () => {
  const then = here.parts.log.head()
  await here.do("client.link", { clients: ["PC-001"], image: "win11", slot: 3 })
  const linked = here.parts.log.head()
  await back({ position: then })
  await here.do("image.remove", { name: "win11" })
  expect(await refused(back({ position: linked }))).toBe("LINK_NOT_RESTORABLE")
  expect((await back({ position: then })).events).toEqual([])
})
