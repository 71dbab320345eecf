import { existsSync, mkdirSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { Lease, Peer } from "../../core/block/lease.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { scratch } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"
import { operator, readAll, type ServingSite, serveHere, write } from "../support/serving.ts"

const folder = scratch("disks")
const data = join(folder, "data")
const size = 128 * 1024
const win11 = rawImage(folder, "win11.raw", size, 1)
const linux = rawImage(folder, "linux.raw", size, 2)
const written = Buffer.alloc(4096, "written")
let here: ServingSite
let clients = 0

/** A client of its own for each spec, linked to win11. */
const client = async (overlay: "discard" | "keep" = "discard") => {
  const name = `PC-${++clients}`
  const mac = `52:54:00:00:00:${clients.toString(16).padStart(2, "0")}`
  await here.do("client.add", { mac, name, address: `10.0.0.${clients}` })
  await here.do("client.link", { clients: [name], image: "win11", slot: 0, overlay })
  return { name, address: `10.0.0.${clients}` }
}
const idOf = async (name: string) =>
  (await here.parts.views.state(catalogueProjection)).clientsByName.get(name.toLowerCase())!.id
const generations = async (name: string) => {
  const slot = join(here.overlays, await idOf(name), "0")
  return existsSync(slot) ? readdirSync(slot).sort() : []
}
const code = (asked: Promise<unknown>) =>
  asked.then(
    () => "accepted",
    (e) => e.code,
  )

beforeAll(async () => {
  here = await serveHere(data)
  await here.do("image.add", { name: "win11", path: win11.path, check: true })
  await here.do("image.add", { name: "linux", path: linux.path, check: false })
})
afterAll(() => here.close())

describe("the sessions of a client's slot", () => {
  it("share one overlay, which is closed after the last of them and opens again with what was written", async () => {
    const { name } = await client()
    const id = await idOf(name)
    const [a, b] = await Promise.all([here.attach(name), here.attach(name.toLowerCase())])
    expect(here.disks.sessions({ clientId: id, slot: 0 })).toBe(2)
    await write(a, 0, written)
    expect((await readAll(b)).subarray(0, 4096)).toEqual(written)
    await a.release()
    await a.release()
    expect(here.disks.sessions({ clientId: id, slot: 0 })).toBe(1)
    expect((await readAll(b)).subarray(0, 4096)).toEqual(written)
    await b.release()
    expect(here.disks.sessions({ clientId: id, slot: 0 })).toBe(0)
    expect(await code(readAll(b))).toBe("CLOSED")
    const c = await here.attach(name)
    expect((await readAll(c)).subarray(0, 4096)).toEqual(written)
    await c.release()
  })

  it("come and go a hundred times at once without an error", async () => {
    const { name } = await client()
    await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const lease = await here.attach(name)
        await write(lease, (i % 32) * 4096, written)
        await lease.release()
      }),
    )
    const lease = await here.attach(name)
    expect(await readAll(lease)).toEqual(Buffer.alloc(size, written))
    await lease.release()
    expect(await generations(name)).toHaveLength(1)
  })

  it("are told when the server stops, and end", async () => {
    const other = await serveHere(join(folder, "stopping"))
    await other.do("image.add", { name: "win11", path: win11.path, check: false })
    await other.do("client.add", { mac: "52:54:00:00:01:01", name: "A" })
    await other.do("client.link", { clients: ["A"], image: "win11", slot: 0 })
    const lease = await other.attach("A")
    let told = 0
    lease.onRevoked(() => told++)
    lease.onRevoked(() => told++)()
    await other.close()
    expect(told).toBe(1)
    expect(await code(write(lease, 0, written))).toBe("OVERLAY_RETIRED")
    await lease.release()
    expect(await code(other.attach("A"))).toBe("CLOSED")
  })
})

describe("a generation", () => {
  it("is made for the event that linked the slot, and a reset makes the next", async () => {
    const { name } = await client()
    expect(await generations(name)).toEqual([])
    const lease = await here.attach(name)
    const linked = here.parts.log.head()
    expect(await generations(name)).toEqual([`g${linked}`])
    await write(lease, 0, written)
    await lease.release()
    await here.do("client.reset", { clients: [name], slot: 0 })
    expect(await generations(name)).toEqual([])
    const fresh = await here.attach(name)
    expect(await generations(name)).toEqual([`g${linked + 1}`])
    expect(await readAll(fresh)).toEqual(win11.bytes)
    await fresh.release()
  })

  it("of a session that goes on over a new link stays until that session has left", async () => {
    const { name } = await client()
    const before = await here.attach(name)
    await here.do("client.link", { clients: [name], image: "linux", slot: 0 })
    const after = await here.attach(name)
    expect(await generations(name)).toHaveLength(2)
    expect([await readAll(before), await readAll(after)]).toEqual([win11.bytes, linux.bytes])
    expect(before.description).toBe(`${name} slot 0 over win11@1`)
    await before.release()
    expect(await generations(name)).toHaveLength(1)
    await after.release()
    expect(await generations(name)).toHaveLength(1)
  })

  it("that nobody uses goes with the link that an import or a copy renews", async () => {
    const [{ name }, pattern] = [await client(), await client()]
    await (await here.attach(name)).release()
    expect(await generations(name)).toHaveLength(1)
    const mac = (await here.do("client.list", {})).find((c) => c.name === name)!.mac
    await here.do("client.import", { rows: [{ line: 2, mac, image: "linux" }], file: "clients.csv" })
    expect(await generations(name)).toEqual([])
    await (await here.attach(name)).release()
    await here.do("client.copy", { from: pattern.name, to: [{ mac }] })
    expect(await generations(name)).toEqual([])
  })

  it("goes with its link, and a dry run throws nothing away", async () => {
    const { name } = await client()
    await (await here.attach(name)).release()
    await here.site.call("client.unlink", { clients: [name], slot: 0 }, { actor: operator, dryRun: true })
    await here.site.call("client.reset", { clients: [name], slot: 0 }, { actor: operator, dryRun: true })
    expect(await generations(name)).toHaveLength(1)
    await here.do("client.unlink", { clients: [name], slot: 0 })
    expect(await generations(name)).toEqual([])
  })

  it("newer than the log knows is left alone, because then the log is the one that is behind; older ones go at a start", async () => {
    const { name } = await client("keep")
    const lease = await here.attach(name)
    await write(lease, 0, written)
    await lease.release()
    const [current = ""] = await generations(name)
    const slot = join(here.overlays, await idOf(name), "0")
    const stranger = join(here.overlays, "01935b00-0000-7000-8000-000000000001", "3")
    const head = here.parts.log.head()
    for (const name of ["g1", `g${head + 50}`, "notes"]) mkdirSync(join(slot, name))
    for (const name of ["g1", `g${head + 50}`]) mkdirSync(join(stranger, name), { recursive: true })
    await here.disks.sweep()
    expect(await generations(name)).toEqual([current, `g${head + 50}`, "notes"].sort())
    expect(readdirSync(stranger)).toEqual([`g${head + 50}`])
    const again = await here.attach(name)
    expect((await readAll(again)).subarray(0, 4096)).toEqual(written)
    await again.release()
  })
})

describe("a session that begins while its slot is being changed", () => {
  it("waits for the reset to be decided, and gets the fresh disk", async () => {
    const { name } = await client()
    const clientId = await idOf(name)
    const before = await here.attach(name)
    await write(before, 0, written)
    await before.release()
    const release = await here.disks.hold([{ clientId, slot: 0 }])
    let attached: Lease | undefined
    const attaching = here.attach(name).then((lease) => (attached = lease))
    await here.attach(name, 1).catch((e) => expect(e.code).toBe("LINK_NOT_FOUND"))
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
    expect(attached).toBe(undefined)
    release()
    expect((await readAll(await attaching)).subarray(0, 4096)).toEqual(written)
    await attached!.release()
  })

  it("is counted by a reset that came after it, however early it is", async () => {
    const { name } = await client()
    for (let i = 0; i < 10; i++) {
      const attaching = here.attach(name)
      const reset = code(here.do("client.reset", { clients: [name], slot: 0 }))
      const lease = await attaching
      expect(await reset).toBe("OVERLAY_IN_USE")
      await lease.release()
    }
  })

  it("never gets the old disk once a reset was answered", async () => {
    const { name } = await client()
    for (let i = 0; i < 10; i++) {
      const before = await here.attach(name)
      await write(before, 0, written)
      await before.release()
      const resetting = here.do("client.reset", { clients: [name], slot: 0 })
      await new Promise((resolve) => setImmediate(resolve))
      const lease = await here.attach(name)
      await resetting
      expect(await readAll(lease)).toEqual(win11.bytes)
      await lease.release()
    }
  })

  it("gets one image or the other while links change under it, and never an error", async () => {
    const { name } = await client()
    const seen = new Set<string>()
    let changing = true
    const change = async () => {
      for (let i = 0; i < 24 || (seen.size < 2 && i < 2000); i++)
        await here.do("client.link", { clients: [name], image: i % 2 === 0 ? "linux" : "win11", slot: 0 })
      changing = false
    }
    const visit = async () => {
      while (changing) {
        const lease = await here.attach(name)
        const bytes = await readAll(lease)
        seen.add(bytes.equals(win11.bytes) ? "win11" : bytes.equals(linux.bytes) ? "linux" : "neither")
        await lease.release()
      }
    }
    await Promise.all([change(), visit(), visit(), visit()])
    expect([...seen].sort()).toEqual(["linux", "win11"])
    await here.do("client.link", { clients: [name], image: "win11", slot: 0 })
    const last = await here.attach(name)
    expect(await readAll(last)).toEqual(win11.bytes)
    await last.release()
    expect(await generations(name)).toHaveLength(1)
  })
})

describe("a client that is removed", () => {
  it("goes with its overlays, and its name and MAC may be another's", async () => {
    const { name } = await client("keep")
    const id = await idOf(name)
    await (await here.attach(name)).release()
    expect(await generations(name)).toHaveLength(1)
    const mac = (await here.do("client.list", {})).find((c) => c.name === name)!.mac
    expect(await code(here.do("client.remove", { clients: [name] }))).toBe("OVERLAY_KEPT")
    await here.do("client.remove", { clients: [name], discardKept: true })
    expect(existsSync(join(here.overlays, id))).toBe(false)
    expect(await code(here.attach(name))).toBe("CLIENT_NOT_FOUND")
    await here.do("client.add", { mac, name })
    expect(await code(here.attach(name))).toBe("LINK_NOT_FOUND")
    expect(await idOf(name)).not.toBe(id)
  })

  it("leaves what was put beside its overlays by others, and generations newer than the log", async () => {
    for (const strange of ["0/g999999", "notes"]) {
      const { name } = await client()
      const folderOfClient = join(here.overlays, await idOf(name))
      await (await here.attach(name)).release()
      mkdirSync(join(folderOfClient, strange), { recursive: true })
      await here.do("client.remove", { clients: [name] })
      expect(existsSync(join(folderOfClient, strange))).toBe(true)
    }
  })

  it("is not, while it runs from any slot, linked or not any more", async () => {
    const { name } = await client()
    await here.do("client.link", { clients: [name], image: "linux", slot: 15 })
    for (const slot of [0, 15]) {
      const lease = await here.attach(name, slot)
      expect(await code(here.do("client.remove", { clients: [name] }))).toBe("OVERLAY_IN_USE")
      await here.do("client.unlink", { clients: [name], slot })
      expect(await code(here.do("client.remove", { clients: [name] }))).toBe("OVERLAY_IN_USE")
      await lease.release()
    }
    await here.do("client.remove", { clients: [name] })
  })

  it("gives a session that waited meanwhile nothing of its own", async () => {
    const { name } = await client()
    const clientId = await idOf(name)
    const release = await here.disks.hold([{ clientId, slot: 0 }])
    const attaching = code(here.attach(name))
    await here.do("client.unlink", { clients: [name], slot: 0 })
    const head = here.parts.log.head()
    release()
    expect(await attaching).toBe("LINK_NOT_FOUND")
    const again = await here.disks.hold([{ clientId, slot: 0 }])
    const waiting = code(here.attach(name))
    const removing = here.do("client.remove", { clients: [name] })
    await removing
    again()
    expect([await waiting, here.parts.log.head()]).toEqual(["CLIENT_NOT_FOUND", head + 1])
  })
})

describe("a client that is changed", () => {
  it("keeps its disk under its new name, and is admitted from its new address alone", async () => {
    const { name, address } = await client("keep")
    const lease = await here.attach(name)
    await write(lease, 0, written)
    const before = await generations(name)
    await here.do("client.set", { client: name, name: `${name}-b`, address: "10.1.0.1" })
    expect((await readAll(lease)).subarray(0, 4096)).toEqual(written)
    await lease.release()
    const at = (from: string): Peer => ({ address: from, loopback: false, protocol: "nbd" })
    expect(await code(here.disks.attach(`${name}-b`, 0, undefined, at(address)))).toBe("EXPORT_DENIED")
    const moved = await here.disks.attach(`${name}-b`, 0, undefined, at("10.1.0.1"))
    expect((await readAll(moved)).subarray(0, 4096)).toEqual(written)
    await moved.release()
    expect(await generations(`${name}-b`)).toEqual(before)
    expect(await code(here.attach(name))).toBe("CLIENT_NOT_FOUND")
  })
})

describe("a peer", () => {
  const at = (address: string): Peer => ({ address, loopback: false, protocol: "nbd" })

  it("opens its own disks from the address in the link table, and no one else's", async () => {
    const mine = await client()
    const other = await client()
    const lease = await here.disks.attach(mine.name, 0, undefined, at(mine.address))
    expect(await readAll(lease)).toEqual(win11.bytes)
    await lease.release()
    const denied = (name: string, peer: Peer) => code(here.disks.attach(name, 0, undefined, peer))
    expect(await denied(other.name, at(mine.address))).toBe("EXPORT_DENIED")
    expect(await denied(mine.name, at("192.0.2.1"))).toBe("EXPORT_DENIED")
    expect(await denied(mine.name, at("unix"))).toBe("EXPORT_DENIED")
    expect(await denied("PC-999", at(mine.address))).toBe("CLIENT_NOT_FOUND")
    expect(await denied(mine.name, { address: "192.0.2.1", loopback: true, protocol: "nbd" })).toBe("accepted")
  })

  it("opens the images it is linked to, read-only, and sees in a list what it may open", async () => {
    const { name, address } = await client()
    const image = (imageName: string, peer: Peer) => here.disks.attachImage(imageName, undefined, peer)
    const lease = await image("win11", at(address))
    expect([await readAll(lease), lease.device.features.writable]).toEqual([win11.bytes, false])
    await lease.release()
    expect(await code(image("linux", at(address)))).toBe("EXPORT_DENIED")
    expect(await code(image("win11", at("192.0.2.1")))).toBe("EXPORT_DENIED")
    expect(here.disks.list(at(address)).map((d) => d.name)).toEqual([`client/${name}/0`, "image/win11@1"])
    expect(here.disks.list(at("192.0.2.1"))).toEqual([])
    expect(here.disks.list({ address: "127.0.0.1", loopback: true, protocol: "nbd" }).length).toBeGreaterThan(10)
  })

  it("without an address in the link table is not matched by an empty one", async () => {
    await here.do("client.add", { mac: "52:54:00:00:02:01", name: "no-address" })
    await here.do("client.link", { clients: ["no-address"], image: "linux", slot: 0 })
    expect(await code(here.disks.attach("no-address", 0, undefined, at("")))).toBe("EXPORT_DENIED")
    expect(here.disks.list(at(""))).toEqual([])
  })
})
