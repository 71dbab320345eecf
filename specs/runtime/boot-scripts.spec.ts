/** Scripts of a serving site: who gets a boot id, what it opens, and what is shown in place of a disk. */
import { mkdtempSync, renameSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { Peer } from "../../core/block/lease.ts"
import { fail } from "../../core/errors.ts"
import { catalogueProjection } from "../../core/projections/catalogue.ts"
import { type BootScripts, inSameSubnet, makeBootScripts, type ScriptAsked } from "../../core/runtime/boot-scripts.ts"
import type { BootSign } from "../../core/runtime/boot-signs.ts"
import { makeChange } from "../../core/runtime/operations/change.ts"
import { makeRegistrar, type NewClient, type Registration } from "../../core/runtime/registration.ts"
import { codeOf } from "../support/committing.ts"
import { rawImage } from "../support/images.ts"
import { readAll, type ServingSite, serveHere, write } from "../support/serving.ts"

const folder = mkdtempSync(join(tmpdir(), "imagelink-scripts-"))
const size = 256 * 1024
const win11 = rawImage(folder, "win11.raw", size, 1)
const linux = rawImage(folder, "linux.raw", size, 2)
let here: ServingSite
let scripts: BootScripts
let iscsiOff: BootScripts
let asking: BootScripts
let adding: BootScripts
let now = 0
let secretive: BootScripts
let refusing: BootScripts
const nobody = makeRegistrar({
  mode: () => "closed",
  defaultImage: () => undefined,
  add: async () => {},
  now: () => now,
})
const problems: Array<string> = []
const signs: Array<BootSign> = []
const mac = (n: number) => `52:54:00:00:00:0${n}`
const address = (n: number) => `192.0.2.10${n}`

beforeAll(async () => {
  here = await serveHere(join(folder, "data"))
  await here.do("image.add", { name: "win11", path: win11.path, check: true })
  await here.do("image.add", { name: "linux", path: linux.path, check: true })
  const projector = await here.parts.views.projector(catalogueProjection)
  const change = makeChange(here.parts)
  const options = {
    catalogue: () => projector.state(catalogueProjection),
    stacks: here.stacks,
    boots: here.bootIds,
    iscsiPort: 3260,
    prefixOf: (at: string) => (at === "192.0.2.1" ? 24 : undefined),
    setNextBoot: (client: { readonly mac: string }, image: string | null) =>
      change(
        { type: "SetNextBoot", clients: [client.mac], to: image === null ? null : { kind: "image", image } },
        { actor: { kind: "server", name: "here" } },
      ),
    signs: { take: (sign: BootSign) => void signs.push(sign) },
    twins: here.twins,
    onProblem: (text: string) => void problems.push(text),
  }
  const registering = (mode: Registration): BootScripts => {
    const add = (one: NewClient) =>
      change(
        { type: "ImportClients", rows: [{ line: 1, clientId: here.parts.newId(), ...one }], file: "registration" },
        { actor: { kind: "server", name: "here" } },
      )
    const registrar = makeRegistrar({ mode: () => mode, defaultImage: () => "win11", add, now: () => now })
    return makeBootScripts({ ...options, registrar })
  }
  scripts = registering("closed")
  asking = registering("ask")
  adding = registering("auto")
  const full = fail("LOG_CONFLICT", { expected: 1, actual: 2 })
  refusing = makeBootScripts({ ...options, registrar: nobody, setNextBoot: () => Promise.reject(full) })
  secretive = makeBootScripts({ ...options, registrar: nobody, asksForSecret: ({ name }) => name === "PC-1" })
  iscsiOff = makeBootScripts({ ...options, registrar: nobody, iscsiPort: undefined })
})
afterAll(async () => {
  await here.close()
  rmSync(folder, { recursive: true, force: true })
  expect(problems).toEqual([])
})

const client = async (n: number, overlay: "discard" | "keep" = "discard"): Promise<string> => {
  const name = `PC-${n}`
  await here.do("client.add", { mac: mac(n), name, address: address(n) })
  await here.do("client.link", { clients: [name], image: "win11", slot: 0, overlay })
  return name
}
const fetched = (n: number, more: Partial<ScriptAsked> = {}, from = scripts): Promise<string> => {
  const asked = {
    mac: mac(n),
    peer: address(n),
    local: "192.0.2.1",
    server: "192.0.2.1",
    http: "http://192.0.2.1",
    choice: "",
    head: false,
  }
  return from.script({ ...asked, ...more })
}
const idOf = async (name: string): Promise<string> =>
  [...(await here.parts.views.state(catalogueProjection)).clients.values()].find((c) => c.name === name)!.id
const bootIdIn = (script: string): string | undefined => /imagelink:pc-\d:(\S+)/.exec(script)?.[1]
const peer = (n: number): Peer => ({ address: address(n), loopback: false, protocol: "iscsi" })
const bytesOf = async (n: number, boot: string | undefined, from = peer(n)) => {
  const lease = await here.disks.attach(`PC-${n}`, 0, boot, from)
  const bytes = await readAll(lease)
  await lease.release()
  return bytes
}
const eventually = async <A>(ask: () => Promise<A>, good: (answer: A) => boolean): Promise<A> => {
  for (let i = 0; ; i++) {
    const answer = await ask()
    if (good(answer) || i === 500) return answer
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

describe("a script that a client fetches", () => {
  it("has a boot id that opens the client's disk, and a new one each time", async () => {
    await client(1)
    const [one, two] = [await fetched(1), await fetched(1)]
    expect(one).toContain("sanboot iscsi:192.0.2.1::::iqn.2026-11.io.imagelink:pc-1:")
    expect(bootIdIn(one)).not.toBe(bootIdIn(two))
    expect((await bytesOf(1, bootIdIn(one))).equals(win11.bytes)).toBe(true)
    expect((await bytesOf(1, bootIdIn(two))).equals(win11.bytes)).toBe(true)
    await expect(bytesOf(1, bootIdIn(one))).rejects.toMatchObject({ code: "OVERLAY_RETIRED" })
  })

  it("takes the gateway away where client and server are in one subnet, unless the client is to keep it", async () => {
    expect(await fetched(1)).toContain("\nset netX/gateway 0.0.0.0\n")
    expect(await fetched(1, { local: "198.51.100.1" })).not.toContain("gateway")
    await here.do("client.set", { client: "PC-1", options: { gateway: "keep" } })
    expect(await fetched(1)).not.toContain("gateway")
    await here.do("client.set", { client: "PC-1", options: { gateway: "clear" } })
    expect(await fetched(1, { local: "198.51.100.1" })).toContain("\nset netX/gateway 0.0.0.0\n")
    expect(inSameSubnet("192.0.2.129", 25, "192.0.2.127")).toBe(false)
    expect(inSameSubnet("192.0.2.129", 25, "192.0.2.128")).toBe(true)
    expect(inSameSubnet("fd00::1", 64, "fd00::2")).toBe(false)
  })

  it("is as long as its head says", async () => {
    expect((await fetched(1, { head: true })).length).toBe((await fetched(1)).length)
    await expect(bytesOf(1, bootIdIn(await fetched(1, { head: true })))).rejects.toMatchObject({
      code: "BOOT_ID_INVALID",
    })
  })

  it("says a password of that boot to a client whose target asks for one, and to a super client", async () => {
    const passwordIn = (script: string) => /^set password ([a-z2-7]{24})$/mu.exec(script)?.[1]
    const [one, two] = [await fetched(1, {}, secretive), await fetched(1, {}, secretive)]
    expect(one).toContain("\nset username pc-1\n")
    expect(passwordIn(one)).toBe(here.bootIds.password({ id: await idOf("PC-1"), name: "PC-1" }, bootIdIn(one)!))
    expect(passwordIn(one)).not.toBe(passwordIn(two))
    expect(here.bootIds.password({ id: "another", name: "PC-2" }, bootIdIn(one)!)).toBeUndefined()
    expect((await fetched(1, { head: true }, secretive)).length).toBe(one.length)
    const plain = await fetched(1)
    expect([passwordIn(plain), plain.includes("\nclear username ||\n")]).toEqual([undefined, true])
    await here.do("client.set-super", { client: "PC-1", image: "win11" })
    expect(passwordIn(await fetched(1))).toBeDefined()
    await here.do("client.clear-super", { client: "PC-1" })
    expect(passwordIn(await fetched(1))).toBeUndefined()
  })

  it("is given to the recorded address and to loopback alone; where none is recorded, to anyone", async () => {
    expect(bootIdIn(await fetched(1, { peer: "127.0.0.1" }))).toBeDefined()
    const denied = await fetched(1, { peer: "192.0.2.200" })
    expect(bootIdIn(denied)).toBeUndefined()
    expect(denied).toContain("[SCRIPT_DENIED]")
    expect(denied).toContain("imagelink client set PC-1 --ip 192.0.2.200")
    await here.do("client.set", { client: "PC-1", address: null })
    const boot = bootIdIn(await fetched(1, { peer: "192.0.2.200" }))
    const stranger = { ...peer(1), address: "192.0.2.200" }
    expect((await bytesOf(1, boot, stranger)).equals(win11.bytes)).toBe(true)
    await expect(bytesOf(1, undefined, stranger)).rejects.toMatchObject({ code: "EXPORT_DENIED" })
    await here.do("client.set", { client: "PC-1", address: address(1) })
    await expect(bytesOf(1, boot, stranger)).rejects.toMatchObject({ code: "EXPORT_DENIED" })
  })

  it("is told to whoever follows boots: by the client itself or by another, with its boot id's name, and not for its head", async () => {
    const about = { type: "script", mac: mac(1), problem: undefined }
    signs.length = 0
    const boot = bootIdIn(await fetched(1))!.slice(0, 24)
    expect(signs).toEqual([{ ...about, address: address(1), own: true, plan: "disk", boot }])
    const seen = bootIdIn(await fetched(1, { peer: "127.0.0.1" }))!.slice(0, 24)
    expect(signs.at(-1)).toEqual({ ...about, address: "127.0.0.1", own: false, plan: "disk", boot: seen })
    await fetched(1, { head: true })
    expect(signs).toHaveLength(2)
    await fetched(1, { peer: "192.0.2.200" })
    expect(signs.at(-1)).toMatchObject({
      type: "problem",
      mac: mac(1),
      text: expect.stringMatching(/\[SCRIPT_DENIED\]$/),
    })
    await fetched(1, {}, iscsiOff)
    expect(signs.at(-1)).toMatchObject({
      plan: "refused",
      boot: undefined,
      problem: expect.stringMatching(/\[ISCSI_NOT_SERVED\]$/),
    })
    await fetched(9, {}, scripts)
    expect(signs.at(-1)).toMatchObject({ mac: mac(9), plan: "unregistered", problem: "nobody registered it" })
  })

  it("discards nothing, however often it is fetched while the client runs", async () => {
    await client(2)
    const boot = bootIdIn(await fetched(2))
    const lease = await here.disks.attach("PC-2", 0, boot, peer(2))
    for (let i = 0; i < 10; i++) await fetched(2, { head: i % 2 === 0 })
    expect((await readAll(lease)).equals(win11.bytes)).toBe(true)
    expect(here.disks.sessions({ clientId: here.boots.at(-1)!.client.id, slot: 0 })).toBe(1)
    await lease.release()
    expect((await bytesOf(2, boot)).equals(win11.bytes)).toBe(true)
  })
})

describe("a script in place of a disk", () => {
  it("says that nobody registered the computer", async () => {
    expect(await fetched(9)).toContain("echo To add it: imagelink client add 52:54:00:00:00:09 --name NAME")
  })

  it("says that the client is not linked, or that disks are not served", async () => {
    await here.do("client.add", { mac: mac(3), name: "PC-3", address: address(3) })
    expect(await fetched(3)).toContain("LINK_NOT_FOUND")
    expect(await fetched(1, {}, iscsiOff)).toContain("[ISCSI_NOT_SERVED]")
  })

  it("says which file of the image is not there, until it is back", async () => {
    await here.do("client.link", { clients: ["PC-3"], image: "linux", slot: 0 })
    renameSync(linux.path, `${linux.path}.away`)
    expect(await fetched(3)).toContain("[IMAGE_FILE_NOT_FOUND]")
    renameSync(`${linux.path}.away`, linux.path)
    expect(await fetched(3)).toContain("[IMAGE_CHANGED]")
    await here.do("image.check", { name: "linux" })
    expect(bootIdIn(await fetched(3))).toBeDefined()
  })
})

describe("two computers with one MAC", () => {
  it("the second one is refused and told why, and the first one's bytes are intact; when that is off, it boots", async () => {
    await client(8)
    const boot = bootIdIn(await fetched(8))
    const first = await here.disks.attach("PC-8", 0, boot, peer(8))
    first.onAsked?.(() => Promise.resolve(true))
    await write(first, 0, Buffer.alloc(4096, "first"))
    const copied = bootIdIn(await fetched(8))
    for (let i = 0; i < 2; i++) expect(await codeOf(bytesOf(8, copied))).toBe("CLIENT_TWICE")
    expect(here.seconds).toEqual([
      { client: "PC-8", boot: boot!.slice(0, 24), address: address(8), second: address(8) },
    ])
    const shown = await fetched(8)
    // Its screen has 80 columns.
    expect(shown).toContain("PC-8 cannot boot: PC-8 runs at 192.0.2.108, so its disk is not\necho given to another")
    expect(shown).toContain("fix: switch one of them off, or give it a MAC of its own")
    expect(bootIdIn(shown)).toBe(undefined)
    // The first one goes on, also with another session.
    expect((await bytesOf(8, boot)).subarray(0, 5).toString()).toBe("first")
    expect((await readAll(first)).subarray(0, 5).toString()).toBe("first")
    await first.release()
    const again = bootIdIn(await fetched(8))
    expect((await bytesOf(8, again)).equals(win11.bytes)).toBe(true)
    expect(await codeOf(bytesOf(8, boot))).toBe("OVERLAY_RETIRED")
  })
})

describe("a next boot", () => {
  const nextBootOf = async (name: string) => {
    const { clientsByName } = await here.parts.views.state(catalogueProjection)
    return clientsByName.get(name.toLowerCase())?.nextBoot
  }

  it("from another image has a disk of its own, is recorded as the one that was meant, and is followed by the linked one", async () => {
    await client(4)
    await here.do("client.next-boot", { clients: ["PC-4"], to: { kind: "image", image: "linux" } })
    const script = await fetched(4)
    expect(script).toContain("echo Imagelink: PC-4 boots linux@1 from")
    const boot = bootIdIn(script)
    expect((await bytesOf(4, boot)).equals(linux.bytes)).toBe(true)
    expect(here.boots.at(-1)).toMatchObject({ image: { name: "linux" }, nextBoot: true })
    const change = makeChange(here.parts)
    await change({ type: "RecordBoots", boots: [here.boots.at(-1)!] }, { actor: { kind: "server", name: "here" } })
    expect((await bytesOf(4, boot)).equals(linux.bytes)).toBe(true)
    const after = await fetched(4)
    expect(after).toContain("PC-4 boots win11@1 from")
    expect((await bytesOf(4, bootIdIn(after))).equals(win11.bytes)).toBe(true)
    expect(here.boots.at(-1)).toMatchObject({ image: { name: "win11" }, nextBoot: false })
  })

  it("from another image is refused where what the client writes is kept", async () => {
    await client(5, "keep")
    await here.do("client.next-boot", { clients: ["PC-5"], to: { kind: "image", image: "linux" } })
    expect(await fetched(5)).toContain("[NEXT_BOOT_REFUSED]")
  })

  it("from the computer's own disk is over when its script was fetched, and not when its head was", async () => {
    await client(6)
    await here.do("client.next-boot", { clients: ["PC-6"], to: { kind: "local" } })
    expect(await fetched(6, { head: true })).toContain("PC-6 boots from its own disk")
    expect(await fetched(6)).toContain("PC-6 boots from its own disk")
    expect(
      await eventually(
        () => nextBootOf("PC-6"),
        (to) => to === null,
      ),
    ).toBe(null)
    expect(await fetched(6)).toContain("PC-6 boots win11@1")
  })

  it("from a menu offers what may be chosen, and what was chosen is booted once", async () => {
    await client(7)
    await here.do("client.set", { client: "PC-7", options: { menu: "linux, nothing,win11", "menu-timeout": "5" } })
    const menu = await fetched(7)
    expect(menu).toContain("item image=win11 win11\nitem image=linux linux\nitem local ")
    expect(menu).toContain("--timeout 5000 choice")
    expect(await fetched(7, { choice: "image=nothing" })).toBe(menu)
    expect(await fetched(7, { choice: "image=win11" })).toContain("PC-7 boots win11@1")
    expect(await fetched(7, { choice: "local" })).toContain("PC-7 boots from its own disk")
    expect(await nextBootOf("PC-7")).toBe(null)
    await here.do("client.next-boot", { clients: ["PC-7"], to: { kind: "menu" } })
    expect(await fetched(7)).toBe(menu)
    expect(await fetched(7, { choice: "local" })).toContain("PC-7 boots from its own disk")
    expect(await nextBootOf("PC-7")).toBe(null)
    expect(await fetched(7, { choice: "image=linux" })).toContain("PC-7 boots linux@1")
    expect(await fetched(7, { choice: "image=linux" }, refusing)).toContain("[LOG_CONFLICT]")
    const again = await fetched(7)
    expect(again).toContain("PC-7 boots linux@1")
    expect((await bytesOf(7, bootIdIn(again))).equals(linux.bytes)).toBe(true)
    expect(here.boots.at(-1)).toMatchObject({ image: { name: "linux" }, nextBoot: true })
  })
})

describe("a boot option", () => {
  const timeout = async (said: string) => {
    await here.do("client.set", { client: "PC-7", options: { "menu-timeout": said } })
    return /--timeout (\d+) /.exec(await fetched(7))?.[1]
  }

  it("says how long a menu waits, from a second to an hour; what says neither leaves ten seconds", async () => {
    await here.do("client.next-boot", { clients: ["PC-7"], to: null })
    expect([await timeout("1"), await timeout("3600")]).toEqual(["1000", "3600000"])
    for (const said of ["0", "-1", "3601", "1.5", "soon"]) expect(await timeout(said)).toBe("10000")
  })

  it("leads to the computer's own disk also when nothing can be booted, and only where it says so", async () => {
    await here.do("client.set", { client: "PC-7", options: { fallback: "local" } })
    const refused = await fetched(7, { choice: "image=win11" }, iscsiOff)
    expect(refused).toContain("[ISCSI_NOT_SERVED]")
    expect(refused).toContain(" 3 && goto local ||\n")
    expect(refused).toContain("\n:local\necho Imagelink: booting from the computer's own disk instead\n")
    await here.do("client.set", { client: "PC-7", options: { fallback: "network" } })
    expect(await fetched(7, { choice: "image=win11" }, iscsiOff)).not.toContain("local")
  })
})

describe("a computer that nobody registered", () => {
  const from = (script: BootScripts, mac: string, more: Partial<ScriptAsked> = {}) =>
    fetched(0, { mac, ...more }, script)
  const count = async () => (await here.parts.views.state(catalogueProjection)).clients.size

  it("is added with the next free number and the default image when it fetches its script, and not when its head is asked for", async () => {
    const before = await count()
    expect(await from(adding, "52:54:00:00:01:01", { head: true })).toContain("is not registered")
    expect(await count()).toBe(before)
    const [one, two] = await Promise.all([from(adding, "52:54:00:00:01:01"), from(adding, "52:54:00:00:01:02")])
    expect([one, two].map((s) => /Imagelink: (\S+) boots win11@1/.exec(s)?.[1]).sort()).toEqual(["PC-001", "PC-002"])
    expect(await count()).toBe(before + 2)
    expect(await from(adding, "52:54:00:00:01:01")).toContain("boots win11@1")
    expect(await count()).toBe(before + 2)
  })

  it("is given the name that was typed, or told why it cannot have it", async () => {
    const mac = "52:54:00:00:02:01"
    expect(await from(asking, mac)).toContain("\nread name ||")
    expect(await from(asking, mac, { choice: "register=no name" })).toContain("no name")
    const lost = problems.splice(0)
    expect(lost).toEqual([expect.stringContaining(`${mac} was not registered: `)])
    expect(await from(asking, mac)).toContain("\nread name ||")
    expect(await from(asking, mac, { choice: "register=Reception" })).toContain("Reception boots win11@1")
    expect(await from(asking, mac)).toContain("Reception boots win11@1")
    expect(await from(scripts, "52:54:00:00:02:02", { choice: "register=Other" })).toContain("is not registered")
  })

  it("waits for the next minute when too many came in this one", async () => {
    let added = 0
    const registrar = makeRegistrar({
      mode: () => "auto",
      defaultImage: () => undefined,
      add: async () => added++,
      now: () => now,
    })
    for (let i = 0; i < 240; i++) expect(await registrar.register(mac(1), "")).toBe(true)
    expect(await registrar.register(mac(1), "")).toBe(false)
    now = 60_000
    expect(await registrar.register(mac(1), "")).toBe(true)
    expect(added).toBe(241)
  })
})
