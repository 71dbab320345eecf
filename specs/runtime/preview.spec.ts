/** What a client's next boot would be given, looked at: nothing is made, nothing begins, and who runs is not disturbed. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { Peer } from "../../core/block/lease.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { PREVIEW } from "../../core/runtime/boot-ids.ts"
import { makeBootScripts, type ScriptAsked } from "../../core/runtime/boot-scripts.ts"
import type { BootSign } from "../../core/runtime/boot-signs.ts"
import { makeRegistrar } from "../../core/runtime/registration.ts"
import { rawImage } from "../support/images.ts"
import { readAll, type ServingSite, serveHere, write } from "../support/serving.ts"

const folder = mkdtempSync(join(tmpdir(), "imagelink-preview-"))
const win11 = rawImage(folder, "win11.raw", 256 * 1024, 1)
const linux = rawImage(folder, "linux.raw", 128 * 1024, 2)
const own: Peer = { address: "192.0.2.101", loopback: false, protocol: "iscsi" }
const mac = "52:54:00:00:00:01"
const signs: Array<BootSign> = []
const changes: Array<unknown> = []
let here: ServingSite
let scriptOf: (more?: Partial<ScriptAsked>) => Promise<string>

beforeAll(async () => {
  here = await serveHere(join(folder, "data"))
  for (const [name, { path }] of Object.entries({ win11, linux }))
    await here.do("image.add", { name, path, check: true })
  await here.do("client.add", { mac, name: "PC-1", address: own.address })
  await here.do("client.add", { mac: "52:54:00:00:00:02", name: "PC-2" })
  await here.do("client.link", { clients: ["PC-1", "PC-2"], image: "win11", slot: 0, overlay: "discard" })
  const projector = await here.parts.views.projector(catalogueProjection)
  const scripts = makeBootScripts({
    ...{ catalogue: () => projector.state(catalogueProjection), stacks: here.stacks, boots: here.bootIds },
    ...{
      iscsiPort: 3260,
      prefixOf: () => 24,
      signs: { take: (sign) => void signs.push(sign) },
      onProblem: () => {},
      twins: here.twins,
    },
    setNextBoot: async (...change) => void changes.push(change),
    registrar: makeRegistrar({
      ...{ mode: () => "auto", defaultImage: () => "win11", now: () => 0 },
      add: async (client) => void changes.push(client),
    }),
  })
  const asked = { mac, peer: own.address, local: "192.0.2.1", server: "192.0.2.1", http: "http://192.0.2.1" }
  scriptOf = (more = {}) => scripts.script({ ...asked, choice: "", head: false, preview: true, ...more })
})
afterAll(async () => {
  await here.close()
  rmSync(folder, { recursive: true, force: true })
})

const look = async (client = "PC-1", peer = own, name = PREVIEW): Promise<Buffer> => {
  const lease = await here.disks.attach(client, 0, name, peer)
  try {
    return await readAll(lease)
  } finally {
    await lease.release()
  }
}

describe("a script that is only looked at", () => {
  it("names the target that shows the disk, tells nobody, and makes no boot id", async () => {
    expect(await scriptOf()).toContain("sanboot iscsi:192.0.2.1::::iqn.2026-11.io.imagelink:pc-1:PREVIEW ||")
    expect(await scriptOf({ peer: "192.0.2.200" })).toContain("[SCRIPT_DENIED]")
    expect(signs).toEqual([])
  })

  it("registers nobody, and takes no choice from a menu", async () => {
    expect(await scriptOf({ mac: "52:54:00:00:00:77" })).toContain("is not registered")
    await scriptOf({ choice: "image=linux" })
    expect(changes).toEqual([])
  })

  it("leaves a next boot from the own disk as it is", async () => {
    await here.do("client.next-boot", { clients: ["PC-1"], to: { kind: "local" } })
    expect(await scriptOf()).toContain("boots from its own disk")
    expect(changes).toEqual([])
    await here.do("client.next-boot", { clients: ["PC-1"], to: null })
  })
})

describe("a disk that is only looked at", () => {
  it("is the version that the next boot begins on, in any case of its name, and makes no overlay and no boot", async () => {
    for (const name of [PREVIEW, "preview"]) expect((await look("PC-1", own, name)).equals(win11.bytes)).toBe(true)
    expect(existsSync(here.overlays) ? readdirSync(here.overlays) : []).toEqual([])
    expect(here.boots).toEqual([])
  })

  it("cannot be written", async () => {
    const lease = await here.disks.attach("PC-1", 0, PREVIEW, own)
    expect(lease.device.features.writable).toBe(false)
    await expect(write(lease, 0, Buffer.alloc(512))).rejects.toMatchObject({ code: "READ_ONLY" })
    await lease.release()
  })

  it("is the image of the next boot, where one is set, and leaves that set", async () => {
    await here.do("client.next-boot", { clients: ["PC-1"], to: { kind: "image", image: "linux" } })
    expect((await look()).equals(linux.bytes)).toBe(true)
    expect((await look()).equals(linux.bytes)).toBe(true)
    await here.do("client.next-boot", { clients: ["PC-1"], to: null })
  })

  it("takes nothing from a PC that runs: its session, its writes and its boot stay", async () => {
    const client = [...(await here.parts.views.state(catalogueProjection)).clients.values()].find(
      (c) => c.name === "PC-1",
    )!
    const boot = await here.bootIds.issue(client)
    const running = await here.disks.attach("PC-1", 0, boot, own)
    let ended = false
    running.onRevoked(() => (ended = true))
    await write(running, 0, Buffer.alloc(4096, 7))
    const began = here.boots.length
    expect((await look()).equals(win11.bytes)).toBe(true)
    expect((await readAll(running)).subarray(0, 4096).equals(Buffer.alloc(4096, 7))).toBe(true)
    expect([ended, here.boots.length]).toEqual([false, began])
    expect(await here.bootIds.judge(client, boot)).toBe("current")
    await running.release()
  })

  it("is for the recorded address and for loopback, and not for whoever names a client without one", async () => {
    const stranger = { ...own, address: "192.0.2.200" }
    await expect(look("PC-1", stranger)).rejects.toMatchObject({ code: "EXPORT_DENIED" })
    await expect(look("PC-2", stranger)).rejects.toMatchObject({ code: "EXPORT_DENIED" })
    expect((await look("PC-2", { ...own, address: "127.0.0.1", loopback: true })).equals(win11.bytes)).toBe(true)
    await expect(look("PC-9", own)).rejects.toMatchObject({ code: "CLIENT_NOT_FOUND" })
    await here.do("client.unlink", { clients: ["PC-2"], slot: 0 })
    await expect(look("PC-2", { ...own, loopback: true })).rejects.toMatchObject({ code: "LINK_NOT_FOUND" })
  })
})
