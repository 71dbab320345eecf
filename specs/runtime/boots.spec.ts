import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { Lease } from "../../core/block/lease.ts"
import type { ClientEntry } from "../../core/domain/catalogue.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { makeChange } from "../../core/runtime/operations/change.ts"
import { scratch } from "../support/cli.ts"
import { codeOf } from "../support/committing.ts"
import { rawImage } from "../support/images.ts"
import { loopback, operator, readAll, type ServingSite, serveHere, write } from "../support/serving.ts"

const folder = scratch("boots")
const data = join(folder, "data")
const size = 128 * 1024
const win11 = rawImage(folder, "win11.raw", size, 1)
const linux = rawImage(folder, "linux.raw", size, 2)
const games = rawImage(folder, "games.raw", size, 3)
const written = Buffer.alloc(4096, "written")
let here: ServingSite
let clients = 0

const entry = async (name: string): Promise<ClientEntry> =>
  (await here.parts.views.state(catalogueProjection)).clientsByName.get(name.toLowerCase())!

/** A client of its own for each spec, linked to win11 in slot 0. */
const client = async (overlay: "discard" | "keep" = "discard"): Promise<ClientEntry> => {
  const name = `PC-${++clients}`
  await here.do("client.add", { mac: `52:54:00:00:00:${clients.toString(16).padStart(2, "0")}`, name })
  await here.do("client.link", { clients: [name], image: "win11", slot: 0, overlay })
  return entry(name)
}
const login = (c: ClientEntry, bootId: string, slot = 0): Promise<Lease> =>
  here.disks.attach(c.name, slot, bootId, { ...loopback, protocol: "iscsi" })
const issue = (c: ClientEntry) => here.bootIds.issue(c)
const generations = (c: ClientEntry, slot = 0) => {
  const at = join(here.overlays, c.id, String(slot))
  return existsSync(at) ? readdirSync(at).sort() : []
}
const start = async (lease: Lease) => (await readAll(lease)).subarray(0, 4096)
/** Logs in, writes, and leaves. */
const work = async (c: ClientEntry, bootId: string, slot = 0) => {
  const lease = await login(c, bootId, slot)
  await write(lease, 0, written)
  await lease.release()
}
/** What a login finds at the disk's start. */
const found = async (
  c: ClientEntry,
  bootId: string,
  slot = 0,
): Promise<"written" | "win11" | "linux" | "games" | string> => {
  const lease = await login(c, bootId, slot)
  const bytes = await start(lease)
  await lease.release()
  if (bytes.equals(written)) return "written"
  const images = { win11, linux, games }
  return Object.entries(images).find(([, image]) => bytes.equals(image.bytes.subarray(0, 4096)))?.[0] ?? "other bytes"
}

beforeAll(async () => {
  here = await serveHere(data)
  await here.do("image.add", { name: "win11", path: win11.path, check: true })
  await here.do("image.add", { name: "linux", path: linux.path, check: false })
  await here.do("image.add", { name: "games", path: games.path, check: false })
})
afterAll(() => here.close())

describe("a new boot id", () => {
  it("gets a fresh disk, and the one before is refused from then on", async () => {
    const c = await client()
    const [first, second] = [await issue(c), await issue(c)]
    await work(c, first)
    expect(await found(c, second)).toBe("win11")
    expect(await codeOf(login(c, first))).toBe("OVERLAY_RETIRED")
    expect(generations(c)).toEqual([`g${c.links.get(0)!.epoch}-b2`])
  })

  it("ends the sessions of the boot before at every slot, and of those that showed none", async () => {
    const c = await client("keep")
    await here.do("client.link", { clients: [c.name], image: "games", slot: 1 })
    const first = await issue(c)
    const leases = [
      await login(c, first),
      await login(c, first, 1),
      await here.attach(c.name),
      await here.attach(c.name, 1),
    ]
    let told = 0
    for (const lease of leases) lease.onRevoked(() => told++)
    const second = await login(c, await issue(c))
    expect(told).toBe(4)
    for (const lease of leases) expect(await codeOf(write(lease, 0, written))).toBe("OVERLAY_RETIRED")
    await write(second, 0, written)
    for (const lease of [...leases, second]) await lease.release()
  })

  it("finds what a kept overlay held, on the version that it was made on", async () => {
    const c = await client("keep")
    await work(c, await issue(c))
    expect(await found(c, await issue(c))).toBe("written")
    expect(generations(c)).toEqual([`g${c.links.get(0)!.epoch}`])
  })

  it("renews each slot at the boot's first login there, and not again", async () => {
    const c = await client()
    await here.do("client.link", { clients: [c.name], image: "games", slot: 1 })
    const first = await issue(c)
    await work(c, first)
    await work(c, first, 1)
    const second = await issue(c)
    expect([await found(c, second), await found(c, second, 1)]).toEqual(["win11", "games"])
    await work(c, second, 1)
    expect([await found(c, second), await found(c, second, 1)]).toEqual(["win11", "written"])
    expect(await codeOf(login(c, first, 1))).toBe("OVERLAY_RETIRED")
  })

  it("is recorded by its first half, once, with slot 0", async () => {
    const c = await client()
    await here.do("client.link", { clients: [c.name], image: "games", slot: 1 })
    const boot = await issue(c)
    await work(c, boot, 1)
    await Promise.all([work(c, boot), work(c, boot)])
    const mine = here.boots.filter((b) => b.client.id === c.id)
    expect(mine.map((b) => [b.boot, b.slot, b.version, b.overlay, b.protocol, b.generation])).toEqual([
      [boot.slice(0, 24), 0, 1, "discard", "iscsi", c.links.get(0)!.epoch],
    ])
  })
})

describe("the current boot id", () => {
  it("is recorded by the next server, once, where the one that it was shown first was killed before", async () => {
    const c = await client()
    const boot = await issue(c)
    await work(c, boot)
    const recordable = here.boots.filter((b) => b.client.id === c.id)
    await here.close()
    // Nothing of it is in the log.
    here = await serveHere(data)
    await Promise.all([work(c, boot), work(c, boot)])
    await work(c, boot)
    const again = here.boots.filter((b) => b.client.id === c.id)
    expect(again).toEqual(recordable)
    await makeChange(here.parts)({ type: "RecordBoots", boots: again }, { actor: operator })
    await here.close()
    here = await serveHere(data)
    await work(c, boot)
    expect(here.boots).toEqual([])
  })

  it("that was a next boot is told from one that was set for the boot after it", async () => {
    const [c, d] = [await client(), await client()]
    await here.do("client.next-boot", { clients: [c.name], to: { kind: "image", image: "linux" } })
    const [first, second] = [await issue(c), await issue(d)]
    await work(c, first)
    await work(d, second)
    await here.do("client.next-boot", { clients: [d.name], to: { kind: "image", image: "linux" } })
    await here.close()
    here = await serveHere(data)
    await work(c, first)
    await work(d, second)
    expect(here.boots.map((b) => [b.client.name, b.image.name, b.nextBoot])).toEqual([
      [c.name, "linux", true],
      [d.name, "win11", false],
    ])
  })

  it("gets its own disk back after every session has gone, and after the server was started again", async () => {
    const c = await client()
    const boot = await issue(c)
    await work(c, boot)
    expect(await found(c, boot)).toBe("written")
    await here.close()
    here = await serveHere(data)
    expect(await found(c, boot)).toBe("written")
    expect(await found(c, boot.toUpperCase())).toBe("written")
  })

  it("gets it back though its client was linked elsewhere meanwhile: that is for the next boot", async () => {
    const c = await client()
    const boot = await issue(c)
    await work(c, boot)
    await here.do("client.link", { clients: [c.name], image: "linux", slot: 0 })
    expect(await found(c, boot)).toBe("written")
    expect(await found(c, await issue(c))).toBe("linux")
    expect(generations(c)).toHaveLength(1)
  })

  it("is refused once its disk was reset, and the next gets a fresh one", async () => {
    const c = await client("keep")
    const boot = await issue(c)
    await work(c, boot)
    await here.do("client.reset", { clients: [c.name], slot: 0 })
    expect(await codeOf(login(c, boot))).toBe("OVERLAY_RETIRED")
    expect(await found(c, await issue(c))).toBe("win11")
  })

  it("is refused once its link was taken away, also when it is linked again", async () => {
    const c = await client()
    const boot = await issue(c)
    await work(c, boot)
    await here.do("client.unlink", { clients: [c.name], slot: 0 })
    expect(await codeOf(login(c, boot))).toBe("LINK_NOT_FOUND")
    await here.do("client.link", { clients: [c.name], image: "win11", slot: 0 })
    expect(await codeOf(login(c, boot))).toBe("OVERLAY_RETIRED")
  })

  it("never gets a fresh disk in place of one that is gone", async () => {
    for (const overlay of ["discard", "keep"] as const) {
      const c = await client(overlay)
      const boot = await issue(c)
      await work(c, boot)
      rmSync(join(here.overlays, c.id, "0"), { recursive: true })
      expect(await codeOf(login(c, boot))).toBe("OVERLAY_LOST")
      expect(await codeOf(here.attach(c.name))).toBe("OVERLAY_LOST")
      const next = await issue(c)
      // What was kept is missed by the next boot too.
      expect(await codeOf(login(c, next))).toBe(overlay === "keep" ? "OVERLAY_LOST" : "accepted")
      await here.disks.end({ clientId: c.id, slot: 0 })
      await here.do("client.reset", { clients: [c.name], slot: 0 })
      expect(await found(c, await issue(c))).toBe("win11")
    }
  })

  it("is shared by sessions without a boot id", async () => {
    const c = await client()
    const boot = await issue(c)
    await work(c, boot)
    const plain = await here.attach(c.name)
    expect(await start(plain)).toEqual(written)
    await write(plain, 0, Buffer.alloc(4096, 7))
    const lease = await login(c, boot)
    expect(await start(lease)).toEqual(Buffer.alloc(4096, 7))
    await Promise.all([plain.release(), lease.release()])
  })

  it("gets the disk that a session without one began in a slot where it had not been", async () => {
    const c = await client()
    await here.do("client.link", { clients: [c.name], image: "games", slot: 1 })
    const boot = await issue(c)
    await work(c, boot)
    const plain = await here.attach(c.name, 1)
    await write(plain, 0, written)
    expect(await found(c, boot, 1)).toBe("written")
    await plain.release()
  })
})

describe("a boot id that is older than the current one", () => {
  it("is refused though nobody ever showed it, and each is reported once, by client and time", async () => {
    const c = await client()
    const [never, current] = [await issue(c), await issue(c)]
    await work(c, current)
    for (let i = 0; i < 3; i++) expect(await codeOf(login(c, never))).toBe("OVERLAY_RETIRED")
    expect(here.stale.filter((s) => s.client === c.name).map((s) => s.boot)).toEqual([never.slice(0, 24)])
    await expect(login(c, never)).rejects.toThrow(`the overlay that ${c.name} slot 0 was using has been retired`)
    expect(await found(c, current)).toBe("written")
  })

  it("ends nobody's session", async () => {
    const c = await client()
    const [old, current] = [await issue(c), await issue(c)]
    const lease = await login(c, current)
    expect(await codeOf(login(c, old))).toBe("OVERLAY_RETIRED")
    await write(lease, 0, written)
    await lease.release()
  })
})

describe("a boot id", () => {
  it("of another client, or made up, is refused and changes nothing", async () => {
    const [c, other] = [await client(), await client()]
    const boot = await issue(c)
    await work(c, boot)
    for (const wrong of [
      await issue(other),
      "",
      "x",
      `${boot.slice(0, -1)}?`,
      boot.slice(0, -1),
      `${boot.slice(0, -1)}${boot.endsWith("a") ? "b" : "a"}`,
    ])
      expect(await codeOf(login(c, wrong))).toBe("BOOT_ID_INVALID")
    expect(await found(c, boot)).toBe("written")
  })

  it("that was only fetched discards nothing", async () => {
    const c = await client()
    const boot = await issue(c)
    await work(c, boot)
    for (let i = 0; i < 5; i++) await issue(c)
    expect(await here.bootIds.judge(c, boot)).toBe("current")
    expect(await here.bootIds.judge(c, await issue(c))).toBe("new")
    expect(await found(c, boot)).toBe("written")
  })

  it("is needed for nothing by a client that has no disk there", async () => {
    const c = await client()
    const boot = await issue(c)
    expect(await codeOf(login(c, boot, 3))).toBe("LINK_NOT_FOUND")
    expect(await here.bootIds.judge(c, boot)).toBe("new")
    expect(generations(c, 3)).toEqual([])
  })

  it("whose disk cannot be made leaves the boot before as it is", async () => {
    const c = await client()
    await here.do("image.add", { name: "moved", path: rawImage(folder, "moved.raw", size, 4).path, check: false })
    const boot = await issue(c)
    await work(c, boot)
    await here.do("client.link", { clients: [c.name], image: "moved", slot: 0 })
    renameSync(join(folder, "moved.raw"), join(folder, "elsewhere.raw"))
    const next = await issue(c)
    const lease = await login(c, boot)
    expect(await codeOf(login(c, next))).toBe("IMAGE_FILE_NOT_FOUND")
    expect(await start(lease)).toEqual(written)
    await lease.release()
    expect(await found(c, boot)).toBe("written")
    await here.do("client.link", { clients: [c.name], image: "linux", slot: 0 })
    expect(await found(c, next)).toBe("linux")
    expect(await codeOf(login(c, boot))).toBe("OVERLAY_RETIRED")
  })
})

describe("the record of a client's boots", () => {
  it("that is gone or damaged makes logins fail rather than begin anew, until the slot is reset", async () => {
    for (const harm of ["gone", "damaged", "empty"]) {
      const c = await client()
      const boot = await issue(c)
      await work(c, boot)
      await here.close()
      const record = join(here.overlays, c.id, "boot")
      if (harm === "gone") rmSync(record)
      else writeFileSync(record, harm === "empty" ? "" : `{"boot":null}`)
      here = await serveHere(data)
      const expected = harm === "gone" ? "OVERLAY_LOST" : "OVERLAY_DAMAGED"
      expect([await codeOf(login(c, boot)), await codeOf(here.attach(c.name))], harm).toEqual([expected, expected])
      expect(generations(c), harm).toEqual([`g${c.links.get(0)!.epoch}-b1`])
      await here.do("client.reset", { clients: [c.name], slot: 0 })
      const next = await issue(c)
      expect(await found(c, next), harm).toBe("win11")
      await work(c, next)
      expect(await found(c, next), harm).toBe("written")
      expect(await codeOf(login(c, boot)), harm).toBe("OVERLAY_RETIRED")
      expect(generations(c), harm).toHaveLength(1)
    }
  })

  it("that is damaged costs nobody what is kept", async () => {
    const c = await client("keep")
    await work(c, await issue(c))
    await here.close()
    writeFileSync(join(here.overlays, c.id, "boot"), "{}")
    here = await serveHere(data)
    const next = await issue(c)
    expect([await found(c, next), await found(c, next)]).toEqual(["written", "written"])
  })

  it("that cannot be read for the moment keeps everybody out until it can, and nobody is taken for a new boot", async () => {
    const c = await client("keep")
    const boot = await issue(c)
    await work(c, boot)
    await here.close()
    const record = join(here.overlays, c.id, "boot")
    renameSync(record, `${record}.aside`)
    mkdirSync(record)
    here = await serveHere(data)
    expect(await codeOf(login(c, await issue(c)))).toBe("IO_ERROR")
    expect(await codeOf(here.attach(c.name))).toBe("IO_ERROR")
    rmSync(record, { recursive: true })
    renameSync(`${record}.aside`, record)
    expect(await found(c, boot)).toBe("written")
  })

  it("goes with its client", async () => {
    const c = await client()
    await work(c, await issue(c))
    mkdirSync(join(here.overlays, c.id), { recursive: true })
    await here.do("client.remove", { clients: [c.name] })
    expect(existsSync(join(here.overlays, c.id))).toBe(false)
  })
})

describe("a reset for the next boot", () => {
  const arm = (c: ClientEntry) => here.do("client.reset", { clients: [c.name], slot: 0, atNextBoot: true })

  it("leaves the running boot its disk, also after it lost its server, and gives the next a fresh one", async () => {
    for (const overlay of ["discard", "keep"] as const) {
      const c = await client(overlay)
      const boot = await issue(c)
      const lease = await login(c, boot)
      await write(lease, 0, written)
      await arm(c)
      await write(lease, 4096, written)
      await lease.release()
      await here.close()
      here = await serveHere(data)
      expect(await found(c, boot), overlay).toBe("written")
      expect(await found(c, await issue(c)), overlay).toBe("win11")
      expect(await codeOf(login(c, boot)), overlay).toBe("OVERLAY_RETIRED")
      expect(generations(c), overlay).toHaveLength(1)
    }
  })

  it("comes once: the boot after that keeps what is kept", async () => {
    const c = await client("keep")
    await work(c, await issue(c))
    await arm(c)
    await arm(c)
    await work(c, await issue(c))
    expect(await found(c, await issue(c))).toBe("written")
  })

  it("without boot ids waits until the last session has left", async () => {
    const c = await client("keep")
    const first = await here.attach(c.name)
    await write(first, 0, written)
    await arm(c)
    const second = await here.attach(c.name)
    expect(await start(second)).toEqual(written)
    await first.release()
    const third = await here.attach(c.name)
    expect(await start(third)).toEqual(written)
    await Promise.all([second.release(), third.release()])
    const fresh = await here.attach(c.name)
    expect(await start(fresh)).toEqual(win11.bytes.subarray(0, 4096))
    await fresh.release()
    expect(generations(c)).toHaveLength(1)
  })

  it("is recorded by an event of its own, and a reset at once goes before it", async () => {
    const c = await client("keep")
    const boot = await issue(c)
    await work(c, boot)
    const { events } = await arm(c)
    expect(events.map((e) => e.type)).toEqual(["OverlayResetArmed"])
    await here.do("client.reset", { clients: [c.name], slot: 0 })
    expect(await codeOf(login(c, boot))).toBe("OVERLAY_RETIRED")
    expect((await entry(c.name)).links.get(0)).not.toHaveProperty("armed")
  })

  it("is refused for a super client, whatever else is said", async () => {
    const c = await client()
    await here.do("client.set-super", { client: c.name, image: "linux" }).catch(() => {})
    await here.do("client.set-super", { client: c.name, image: "win11" })
    expect(await codeOf(arm(c))).toBe("SUPER_CLIENT_ACTIVE")
    const both = { clients: [c.name], slot: 0, atNextBoot: true, discardSuper: true }
    expect(await codeOf(here.do("client.reset", both))).toBe("COMMAND_INVALID")
    await here.do("client.clear-super", { client: c.name })
  })
})

describe("a super client", () => {
  it("begins with its next boot, is sealed, and boots the new version with the one after", async () => {
    const c = await client()
    const first = await issue(c)
    await work(c, first)
    await here.do("client.set-super", { client: c.name, image: "win11" })
    expect(await found(c, first)).toBe("written")
    const second = await issue(c)
    expect(await found(c, second)).toBe("win11")
    await work(c, second)
    expect(await found(c, await issue(c))).toBe("written")
    expect(await codeOf(login(c, second))).toBe("OVERLAY_RETIRED")
    const third = await issue(c)
    await work(c, third)
    const running = await login(c, third)
    expect(await codeOf(here.do("image.commit", { name: "win11" }))).toBe("OVERLAY_IN_USE")
    await here.do("image.commit", { name: "win11", fence: true })
    expect(await codeOf(write(running, 0, written))).toBe("OVERLAY_RETIRED")
    await running.release()
    expect(await codeOf(login(c, third))).toBe("OVERLAY_RETIRED")
    expect(await found(c, await issue(c))).toBe("written")
    expect(here.boots.filter((b) => b.client.id === c.id).map((b) => [b.version, b.overlay])).toEqual([
      [1, "discard"],
      [1, "super"],
      [1, "super"],
      [1, "super"],
      [2, "discard"],
    ])
    await here.do("image.rollback", { name: "win11" })
  })

  it("leaves a version that a running boot stands on, though its link names another by now", async () => {
    await here.do("image.rollback", { name: "win11", to: 2 })
    const c = await client()
    const boot = await issue(c)
    await work(c, boot)
    await here.do("image.rollback", { name: "win11", to: 1 })
    /** Whether this client is among those whose overlay keeps the version. */
    const keeps = async () => {
      const refused = await here.do("image.retire", { name: "win11", version: 2 }).catch((e) => e)
      return JSON.stringify(refused.details ?? []).includes(`"${c.name} slot 0, whose overlay was made on it"`)
    }
    expect(await keeps()).toBe(true)
    await here.do("client.link", { clients: [c.name], image: "linux", slot: 0 })
    expect(await keeps()).toBe(true)
    expect(await found(c, boot)).toBe("written")
    expect(await found(c, await issue(c))).toBe("linux")
    expect(await keeps()).toBe(false)
  })

  it("that is cleared and kept aside is refused, and goes on once it is resumed", async () => {
    const c = await client()
    await here.do("client.set-super", { client: c.name, image: "win11" })
    const boot = await issue(c)
    await work(c, boot)
    await here.do("client.clear-super", { client: c.name, keep: true })
    expect(await codeOf(login(c, boot))).toBe("OVERLAY_RETIRED")
    const between = await issue(c)
    expect(await found(c, between)).toBe("win11")
    await here.do("client.set-super", { client: c.name, image: "win11", resume: true })
    expect(await found(c, between)).toBe("win11")
    expect(await found(c, await issue(c))).toBe("written")
    await here.do("client.clear-super", { client: c.name })
  })
})
