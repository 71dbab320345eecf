/** A running server: commands reach it over its socket and take effect at once, on disks that are open meanwhile. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { userInfo } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { connectSite } from "../../adapters/api/client.ts"
import { openSite } from "../../adapters/compose.ts"
import { connectNbd, listNbd, type NbdClient } from "../../adapters/nbd/client.ts"
import type { Actor, Recorded } from "../../core/log/event-log.ts"
import type { Site } from "../../core/runtime/site.ts"
import { events, imagelink, refusal, type Served, scratch, startServe } from "../support/cli.ts"
import { rawImage } from "../support/images.ts"

const folder = scratch("serve")
const data = join(folder, "data")
const actor: Actor = { kind: "cli", name: "operator" }
const size = 256 * 1024
const win11 = rawImage(folder, "win11.raw", size, 1)
const linux = rawImage(folder, "linux.raw", size, 2)

const disks: Array<NbdClient> = []
const open = async (server: Served, name: string): Promise<NbdClient> => {
  const disk = await connectNbd({ host: "127.0.0.1", port: server.nbdPort, export: name })
  disks.push(disk)
  return disk
}
const ok = async (args: ReadonlyArray<string>, at = data): Promise<string> => {
  const { status, stdout, stderr } = await imagelink(args, { data: at })
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.anything() })
  return stdout
}
const refused = async (args: ReadonlyArray<string>) => {
  const run = await imagelink([...args, "--json"], { data })
  return { status: run.status, ...refusal(run) }
}
const written = Buffer.alloc(8192, "what this client wrote; ")

/** Waits until the server has noticed what the closing of a connection means, a bounded number of times. */
const eventually = async <A>(ask: () => Promise<A>, good: (answer: A) => boolean): Promise<A> => {
  for (let i = 0; ; i++) {
    const answer = await ask()
    if (good(answer) || i === 100) return answer
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

afterAll(() => {
  for (const disk of disks) disk.destroy()
})

describe("a server", () => {
  let server: Served
  let site: Site
  beforeAll(async () => {
    server = await startServe(data)
    const control = server.listeners.control!
    site = (await connectSite(control))!
    await site.call("image.add", { name: "win11", path: win11.path, check: true }, { actor })
    await site.call("image.add", { name: "linux", path: linux.path, check: true }, { actor })
  })
  afterAll(async () => {
    await site.close()
    await server.stop()
  })
  const client = async (name: string, image = "win11", overlay: "discard" | "keep" = "discard") => {
    const mac = `52:54:00:00:00:${Buffer.from(name).at(-1)!.toString(16)}`
    await site.call("client.add", { mac, name }, { actor })
    await site.call("client.link", { clients: [name], image, slot: 0, overlay }, { actor })
  }

  it("says where it listens in one line, on loopback unless it is told otherwise", () => {
    expect(server.listeners).toEqual({
      nbd: `127.0.0.1:${server.nbdPort}`,
      control: join(data, "control.sock"),
    })
    expect(server.nbdPort).toBeGreaterThan(0)
    expect(site.via).toBe("server")
  })

  it("carries out the commands of others, who could not open the store themselves", async () => {
    const alone = await openSite({ dataDir: data, create: false })
    await expect(alone.call("log", {}, { actor: { kind: "cli", name: "spec" } })).rejects.toMatchObject({
      code: "DATA_IN_USE",
    })
    await alone.close()
    expect(await ok(["client", "add", "52-54-00-00-00-41", "--name", "A"])).toBe(
      "A registered: 52:54:00:00:00:41, no address\n",
    )
    expect(await ok(["client", "link", "A", "win11"])).toBe("A linked: win11@1, follows, discard\n")
    expect((await events(data)).at(-1)).toMatchObject({ type: "ClientLinked", actor: { kind: "cli" } })
  })

  it("serves a client's disk from the moment it is linked, without a restart", async () => {
    const disk = await open(server, "client/A/0")
    expect([disk.sizeBytes, disk.readOnly]).toEqual([size, false])
    expect((await disk.read(0, size)).equals(win11.bytes)).toBe(true)
    await disk.disconnect()
    const names = (await listNbd({ host: "127.0.0.1", port: server.nbdPort })).map((d) => d.name)
    expect(names).toEqual(["client/A/0", "image/linux@1", "image/win11@1"])
  })

  it("serves a version read-only", async () => {
    const disk = await open(server, "image/linux")
    expect([disk.readOnly, (await disk.read(0, size)).equals(linux.bytes)]).toEqual([true, true])
    await expect(disk.write(0, written)).rejects.toThrow()
    await disk.disconnect()
  })

  it("keeps what a client wrote over a reconnect, and forgets it at a reset", async () => {
    await client("B")
    const first = await open(server, "client/B/0")
    await first.write(4096, written)
    await first.disconnect()
    const again = await open(server, "client/B/0")
    expect((await again.read(4096, 8192)).equals(written)).toBe(true)

    const inUse = await refused(["client", "reset", "B"])
    expect([inUse.code, inUse.status]).toEqual(["OVERLAY_IN_USE", 1])
    expect(inUse.message).toBe("B slot 0 is in use (1 session)")
    expect((await again.read(4096, 8192)).equals(written)).toBe(true)

    await again.disconnect()
    const reset = () => imagelink(["client", "reset", "B"], { data })
    expect(await eventually(reset, (run) => run.status === 0)).toMatchObject({ status: 0 })
    const fresh = await open(server, "client/B/0")
    expect((await fresh.read(0, size)).equals(win11.bytes)).toBe(true)
    await fresh.disconnect()
  })

  it("names every client that a reset of many finds running", async () => {
    await client("C")
    await client("D")
    const [c, d] = [await open(server, "client/C/0"), await open(server, "client/D/0")]
    const said = await refused(["client", "reset", "A", "C", "D"])
    expect([said.code, said.details]).toEqual(["OVERLAY_IN_USE", ["C is running", "D is running"]])
    await c.disconnect()
    await d.disconnect()
  })

  it("leaves a running session its disk when its client is linked elsewhere, and gives the next one the new image", async () => {
    await client("E")
    const before = await open(server, "client/E/0")
    await before.write(0, written)
    await ok(["client", "link", "E", "linux"])
    const after = await open(server, "client/E/0")
    expect((await after.read(0, size)).equals(linux.bytes)).toBe(true)
    expect((await before.read(0, 8192)).equals(written)).toBe(true)
    expect((await before.read(8192, size - 8192)).equals(win11.bytes.subarray(8192))).toBe(true)
    await before.write(16384, written)
    expect((await after.read(16384, 8192)).equals(linux.bytes.subarray(16384, 24576))).toBe(true)
    await Promise.all([before.disconnect(), after.disconnect()])
  })

  it("throws a retired generation away when its last session has left", async () => {
    // Named one by one: a recursive listing stumbles over a folder that the server is just taking away.
    const overlays = join(data, "overlays")
    const slots = () => readdirSync(overlays).flatMap((id) => readdirSync(join(overlays, id)).map((s) => join(id, s)))
    const generations = () =>
      slots().flatMap((slot) => readdirSync(join(overlays, slot)).filter((name) => /^g\d+$/.test(name))).length
    await client("F")
    const before = await open(server, "client/F/0")
    const one = generations()
    await ok(["client", "link", "F", "linux"])
    const after = await open(server, "client/F/0")
    expect(generations()).toBe(one + 1)
    await before.disconnect()
    expect(
      await eventually(
        async () => generations(),
        (n) => n === one,
      ),
    ).toBe(one)
    await after.disconnect()
  })

  it("refuses new sessions of an unlinked client, and lets the running one go on", async () => {
    await client("G")
    const disk = await open(server, "client/G/0")
    await ok(["client", "unlink", "G"])
    await expect(open(server, "client/G/0")).rejects.toThrow(/no link in slot 0/)
    expect((await disk.read(0, 512)).equals(win11.bytes.subarray(0, 512))).toBe(true)
    await disk.disconnect()
  })

  it("does not strand kept writes under another image, unless it is told to", async () => {
    await client("H", "win11", "keep")
    const disk = await open(server, "client/H/0")
    await disk.write(0, written)
    await disk.flush()
    await disk.disconnect()
    expect(await refused(["client", "link", "H", "linux"])).toMatchObject({
      code: "OVERLAY_KEPT",
      message: "H slot 0 keeps its writes over win11@1",
    })
    const kept = await open(server, "client/H/0")
    expect((await kept.read(0, 8192)).equals(written)).toBe(true)
    await kept.disconnect()
    await ok(["client", "link", "H", "linux", "--discard-kept"])
    const fresh = await open(server, "client/H/0")
    expect((await fresh.read(0, size)).equals(linux.bytes)).toBe(true)
    await fresh.disconnect()
  })

  it("carries out twenty commands at once, each exactly once", async () => {
    const before = (await site.call("log", {}, { actor })).position
    const runs = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        imagelink(["client", "add", `52:54:00:00:01:${(i + 16).toString(16)}`, "--json"], { data }),
      ),
    )
    expect(runs.map((r) => r.status)).toEqual(runs.map(() => 0))
    const all = (await events(data)).slice(before)
    expect(all.map((e) => e.position)).toEqual(all.map((_, i) => before + 1 + i))
    // Boots of the specs before are recorded a moment later, so perhaps among these.
    const made = all.filter((e) => e.type !== "ClientBooted")
    const registered = made.map((e) => e.data.client as { mac: string; name: string })
    expect(made.every((e) => e.type === "ClientRegistered")).toBe(true)
    expect(new Set(registered.map((c) => c.mac)).size).toBe(20)
    expect(registered.map((c) => c.name)).toEqual(registered.map((_, i) => `PC-${String(i + 1).padStart(3, "0")}`))
    expect((await site.call("rebuild.check", {}, { actor })).every((p) => p.equal)).toBe(true)
  })

  it("refuses over the socket what it refuses on the terminal, in the same words", async () => {
    const here = await openSite({ dataDir: join(folder, "other"), create: true })
    const said = (asked: Site) => asked.call("client.add", { mac: "hello" }, { actor }).catch((e) => e.toJSON())
    expect(await said(site)).toEqual(await said(here))
    await here.close()
  })

  it("says who asked as the kernel sees it, whatever the caller says of itself", async () => {
    const posing = { actor: { kind: "server", name: "somebody" } } as const
    const { events: made } = await site.call("client.add", { mac: "52:54:00:00:09:01", name: "POSED" }, posing)
    expect((made[0] as Recorded).actor).toEqual({ kind: "cli", name: userInfo().username })
  })

  it("lets nobody else start a server on its folder", async () => {
    const second = await imagelink(["serve", "--json", "--nbd-port", "0"], { data })
    expect([second.status, refusal(second).code]).toEqual([1, "DATA_IN_USE"])
    expect(refusal(second).cause).toContain(`process ${server.pid} `)
    expect((await site.call("client.list", {}, { actor })).length).toBeGreaterThan(0)
  })

  it("stops at SIGTERM with sessions open and writes acknowledged, with exit 0 and its socket gone", async () => {
    await client("I", "win11", "keep")
    const disk = await open(server, "client/I/0")
    await disk.write(0, written)
    const begun = Date.now()
    expect(await server.kill("SIGTERM")).toBe(0)
    expect(Date.now() - begun).toBeLessThan(5000)
    expect(existsSync(join(data, "control.sock"))).toBe(false)
    await expect(disk.read(0, 512)).rejects.toThrow()
  })
})

describe("after a server was killed", () => {
  it("its stale socket is in nobody's way, and acknowledged writes are there", async () => {
    const at = join(folder, "killed")
    const first = await startServe(at)
    const site = (await connectSite(first.listeners.control!))!
    await site.call("image.add", { name: "win11", path: win11.path, check: false }, { actor })
    await site.call("client.add", { mac: "52:54:00:00:00:01", name: "A" }, { actor })
    await site.call("client.link", { clients: ["A"], image: "win11", slot: 0 }, { actor })
    const disk = await open(first, "client/A/0")
    await disk.write(4096, written)
    expect(await first.kill("SIGKILL")).toBe("SIGKILL")
    expect(existsSync(join(at, "control.sock"))).toBe(true)

    expect(await ok(["links", "--json"], at)).toContain('"client":"A"')
    const second = await startServe(at)
    const again = await open(second, "client/A/0")
    expect((await again.read(4096, 8192)).equals(written)).toBe(true)
    await again.disconnect()
    expect(await second.stop()).toBe(0)
  })
})

describe("how a server is told where to listen", () => {
  it("serves no NBD where it is off, and stops at once", async () => {
    const server = await startServe(join(folder, "off"), ["--nbd-port", "off"])
    expect(Object.keys(server.listeners)).toEqual(["control"])
    expect(await server.kill("SIGINT")).toBe(0)
  })

  it("takes flags before the environment before the file", async () => {
    const at = join(folder, "told")
    mkdirSync(at)
    writeFileSync(join(at, "imagelink.toml"), 'nbd-port = "off"\naddress = "127.0.0.2"\nlog-level = "debug"\n')
    const server = await startServe(at, ["--nbd-port", "0"], {
      env: { IMAGELINK_ADDRESS: "127.0.0.3", IMAGELINK_NBD_PORT: "off" },
    })
    expect(server.listeners.nbd).toMatch(/^127\.0\.0\.3:[1-9]\d*$/)
    await expect
      .poll(() => server.stderr(), { timeout: 10_000 })
      .toMatch(/effective configuration: \{\\"address\\":\\"127\.0\.0\.3\\",\\"nbdPort\\":0,/)
    expect(await server.stop()).toBe(0)
  })

  it("prints a line for each listener when a person asks", async () => {
    const server = await startServe(join(folder, "words"), [], { lines: 2 })
    expect(server.said).toMatch(/^nbd {6}127\.0\.0\.1:\d+\ncontrol {2}\/.*control\.sock\n$/)
    expect(await server.stop()).toBe(0)
  })

  it("puts its socket elsewhere when the folder's path is too long for one, and is found there", async () => {
    const at = join(folder, "x".repeat(60), "y".repeat(60))
    const server = await startServe(at)
    expect(server.listeners.control).not.toContain(at)
    expect(Buffer.byteLength(server.listeners.control!)).toBeLessThanOrEqual(107)
    expect(await ok(["client", "add", "52:54:00:00:00:01"], at)).toContain("PC-001 registered")
    expect(await server.stop()).toBe(0)
    expect(existsSync(server.listeners.control!)).toBe(false)
  })

  it.each(["107", "108"])("works with a socket path of %s bytes with its closing NUL", async (total) => {
    const left = Number(total) - Buffer.byteLength(join(folder, "/control.sock")) - 2
    const at = join(folder, "z".repeat(left))
    const server = await startServe(at)
    expect(await ok(["client", "add", "52:54:00:00:00:01"], at)).toContain("PC-001 registered")
    expect(await server.stop()).toBe(0)
  })
})
