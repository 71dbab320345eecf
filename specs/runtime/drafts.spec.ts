import { existsSync, statSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { Lease } from "../../core/block/lease.ts"
import { scratch } from "../support/cli.ts"
import { checked, clientBytes, codeOf, edit, imageOf, versionBytes } from "../support/committing.ts"
import { loopback, operator, readAll, type ServingSite, serveHere, write, zero } from "../support/serving.ts"

const folder = scratch("drafts")
const data = join(folder, "data")
const SIZE = 3 * 65_536 + 512
let here: ServingSite
let images = 0
let macs = 0

beforeAll(async () => {
  here = await serveHere(data)
})
afterAll(() => here.close())

const create = async (sizeBytes = SIZE) => {
  const name = `empty-${++images}`
  await here.do("image.create", { name, sizeBytes })
  return name
}
const open = (name: string, version?: number): Promise<Lease> => here.disks.attachImage(name, version, loopback)
const seal = (name: string) => here.do("image.seal", { name })
const fileOf = async (name: string) => join(data, "drafts", `${(await imageOf(here, name)).id}.raw`)
const client = async () => {
  const name = `PC-${++macs}`
  await here.do("client.add", { mac: `52:54:00:00:01:0${macs}`, name })
  return name
}

describe("a created image", () => {
  it("reads as zeros, is written to, and once sealed is version 1: linked, read-only, and committed to", async () => {
    const name = await create()
    const lease = await open(name)
    expect(lease.device.features.writable).toBe(true)
    expect(await readAll(lease)).toEqual(Buffer.alloc(SIZE))
    const bytes = await edit(lease, Buffer.alloc(SIZE))
    const names = () => here.disks.list(loopback).map((d) => d.name)
    expect(names().filter((n) => n.startsWith(`image/${name}`))).toEqual([`image/${name}`])
    await lease.release()
    const pc = await client()
    expect(await codeOf(here.do("client.link", { clients: [pc], image: name, slot: 0 }))).toBe("IMAGE_NOT_SEALED")
    expect((await seal(name)).events.map((e) => e.type)).toEqual(["ImageSealed"])
    expect(names().filter((n) => n.startsWith(`image/${name}`))).toEqual([`image/${name}@1`])
    const sealed = await open(name)
    expect([await readAll(sealed), sealed.device.features.writable]).toEqual([bytes, false])
    expect(await codeOf(write(sealed, 0, Buffer.alloc(512)))).toBe("READ_ONLY")
    await sealed.release()
    await checked(here, name, 1)
    await here.do("client.link", { clients: [pc], image: name, slot: 0 })
    await here.do("client.set-super", { client: pc, image: name })
    const writing = await here.attach(pc)
    const two = await edit(writing, bytes, 2)
    await writing.release()
    await here.do("image.commit", { name })
    expect([await versionBytes(here, name, 1), await versionBytes(here, name, 2)]).toEqual([bytes, two])
    await here.close()
    here = await serveHere(data)
    expect([await versionBytes(here, name, 1), await clientBytes(here, pc)]).toEqual([bytes, two])
  })

  it("is written to by several at once, and not sealed before all of them have left", async () => {
    const name = await create()
    const [a, b] = await Promise.all([open(name), open(name)])
    await write(a, 0, Buffer.alloc(4096, "a"))
    await write(b, SIZE - 512, Buffer.alloc(512, "b"))
    expect((await readAll(b)).subarray(0, 4096)).toEqual(Buffer.alloc(4096, "a"))
    await expect(seal(name)).rejects.toMatchObject({ code: "IMAGE_BUSY", message: expect.stringContaining(name) })
    await a.release()
    await a.release()
    expect(await codeOf(seal(name))).toBe("IMAGE_BUSY")
    await write(b, 4096, Buffer.alloc(4096, "c"))
    await zero(b, 0, 512)
    await b.release()
    expect(await codeOf(readAll(b))).toBe("CLOSED")
    await seal(name)
    const expected = Buffer.alloc(SIZE)
    expected
      .fill("a", 512, 4096)
      .fill("c", 4096, 8192)
      .fill("b", SIZE - 512)
    expect(await versionBytes(here, name, 1)).toEqual(expected)
  })

  it("is sealed at once with what the last session wrote, however late that left", async () => {
    for (let i = 0; i < 5; i++) {
      const name = await create()
      const lease = await open(name)
      const bytes = await edit(lease, Buffer.alloc(SIZE), 1)
      const leaving = lease.release()
      await seal(name)
      await leaving
      expect(await versionBytes(here, name, 1)).toEqual(bytes)
      await checked(here, name, 1)
    }
  })

  it("keeps what was written over a restart of the server, and opens to whoever comes again", async () => {
    const name = await create()
    const lease = await open(name)
    const bytes = await edit(lease, Buffer.alloc(SIZE), 3)
    await lease.release()
    await here.close()
    here = await serveHere(data)
    const again = await open(name)
    expect(await readAll(again)).toEqual(bytes)
    await again.release()
    await seal(name)
    expect(await versionBytes(here, name)).toEqual(bytes)
  })

  it("is sealed as it is, empty, and twice changes nothing", async () => {
    const name = await create(512)
    await seal(name)
    expect(await versionBytes(here, name)).toEqual(Buffer.alloc(512))
    const { events, repeated } = await seal(name)
    expect([events, repeated]).toEqual([[], false])
    expect(await codeOf(seal("nothing"))).toBe("IMAGE_NOT_FOUND")
  })

  it("asked for again under its id is the same, with what was written to it; and so is its sealing", async () => {
    const commandId = here.parts.newId()
    const name = `empty-${++images}`
    const ask = () => here.site.call("image.create", { name, sizeBytes: SIZE }, { actor: operator, commandId })
    const first = await ask()
    const lease = await open(name)
    const bytes = await edit(lease, Buffer.alloc(SIZE))
    await lease.release()
    expect(await ask()).toMatchObject({ repeated: true, events: first.events })
    const sealId = here.parts.newId()
    const sealing = () => here.site.call("image.seal", { name }, { actor: operator, commandId: sealId })
    const sealed = await sealing()
    expect(await sealing()).toMatchObject({ repeated: true, events: sealed.events })
    expect(await versionBytes(here, name)).toEqual(bytes)
  })

  it("is refused where the name is taken or the size is none, and as a dry run leaves no file", async () => {
    const name = await create()
    expect(await codeOf(here.do("image.create", { name, sizeBytes: SIZE }))).toBe("IMAGE_EXISTS")
    for (const sizeBytes of [0, 511, 513, -512, 2 ** 53])
      expect(await codeOf(here.do("image.create", { name: "odd", sizeBytes })), String(sizeBytes)).not.toBe("accepted")
    const dry = await here.site.call(
      "image.create",
      { name: "dry", sizeBytes: SIZE },
      { actor: operator, dryRun: true },
    )
    const { id } = (dry.events[0]!.data as { image: { id: string } }).image
    expect(existsSync(join(data, "drafts", `${id}.raw`))).toBe(false)
    await here.site.call("image.seal", { name }, { actor: operator, dryRun: true })
    expect((await imageOf(here, name)).draft).not.toBe(null)
    expect((await here.do("image.list", {})).map((i) => i.name)).not.toContain("dry")
    const lease = await open(name)
    await lease.release()
  })

  it("is removed with its file, sealed or not, but not while somebody writes to it", async () => {
    for (const isSealed of [false, true]) {
      const name = await create()
      const file = await fileOf(name)
      const lease = await open(name)
      expect(await codeOf(here.do("image.remove", { name }))).toBe("IMAGE_BUSY")
      await lease.release()
      if (isSealed) {
        await seal(name)
        await checked(here, name, 1)
      }
      expect(existsSync(file)).toBe(true)
      await here.do("image.remove", { name })
      expect(existsSync(file)).toBe(false)
    }
  })

  it("takes no space for what was zeroed or trimmed and never written", async () => {
    const MiB = 2 ** 20
    const name = await create(24 * MiB)
    const lease = await open(name)
    await zero(lease, 0, 24 * MiB)
    await lease.device.trim(0, 24 * MiB, 0)
    await write(lease, 8 * MiB + 512, Buffer.alloc(MiB, "x"))
    await zero(lease, 8 * MiB + 1024, 512)
    const bytes = Buffer.alloc(24 * MiB)
    bytes.fill("x", 8 * MiB + 512, 9 * MiB + 512).fill(0, 8 * MiB + 1024, 8 * MiB + 1536)
    expect((await readAll(lease)).equals(bytes)).toBe(true)
    await lease.release()
    const { size, blocks } = statSync(await fileOf(name))
    expect([size, blocks * 512 < 2 * MiB]).toEqual([24 * MiB, true])
  })
})
