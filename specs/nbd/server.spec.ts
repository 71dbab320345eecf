/** The server over real sockets: leases, limits, refusals, and every way to close. */
import { connect, type Socket } from "node:net"
import { afterEach, describe, expect, it } from "vitest"
import { connectNbd, listNbd, type NbdClient } from "../../adapters/nbd/client.ts"
import { listenNbd, type NbdEvent, type NbdServer, type NbdServerLimits } from "../../adapters/nbd/server.ts"
import { fail } from "../../core/errors.ts"
import { MemoryDevice, MemoryDisks } from "../support/memory-disks.ts"
import { CMD, request } from "../support/nbd-session.ts"

const name = "client/PC-001/0"
const open: Array<{ close(): Promise<void> }> = []
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close()
})

const serve = async (limits: Partial<NbdServerLimits> = {}) => {
  const device = new MemoryDevice({ sizeBytes: 4 * 1024 * 1024 })
  const disks = new MemoryDisks()
    .add(name, device, "PC-001 slot 0 over win11@1")
    .add("image/win11@1", new MemoryDevice({ sizeBytes: 8192, features: { writable: false } }))
  const events: Array<NbdEvent> = []
  const server = await listenNbd({
    address: "127.0.0.1",
    port: 0,
    disks,
    onEvent: (e) => events.push(e),
    limits: { refusalMillis: 20, closeSeconds: 1, ...limits },
  })
  open.push(server)
  return { device, disks, events, server, host: "127.0.0.1", port: server.port }
}

const dial = async (to: { host: string; port: number }, exportName = name, structured = true): Promise<NbdClient> => {
  const client = await connectNbd({ host: to.host, port: to.port, export: exportName, structured })
  open.push({ close: async () => client.destroy() })
  return client
}

const until = async (holds: () => boolean, what: string): Promise<void> => {
  for (let i = 0; i < 400 && !holds(); i++) await new Promise((r) => setTimeout(r, 10))
  expect(holds(), what).toBe(true)
}

/** A bare socket that has sent `hex` after the greeting. */
const raw = async (
  server: NbdServer,
  hex: string,
): Promise<{ socket: Socket; got: () => Buffer; closed: () => boolean }> => {
  let got = Buffer.alloc(0)
  let closed = false
  const socket = connect(server.port, "127.0.0.1")
  socket.on("data", (b: Buffer) => (got = Buffer.concat([got, b]))).on("error", () => undefined)
  socket.on("close", () => (closed = true))
  open.push({ close: async () => void socket.destroy() })
  await until(() => got.length >= 18, "the greeting came")
  socket.write(Buffer.from(hex, "hex"))
  return { socket, got: () => got, closed: () => closed }
}

/** Flags and EXPORT_NAME: straight to transmission with simple replies. */
const enter = `0000000349484156454f5054000000010000000f${Buffer.from(name).toString("hex")}`

describe("a connection", () => {
  it("reads back what it wrote, and leaves its lease when it says goodbye", async () => {
    const s = await serve()
    const client = await dial(s)
    expect([client.sizeBytes, client.readOnly, client.description]).toEqual([
      4_194_304,
      false,
      "PC-001 slot 0 over win11@1",
    ])
    expect(s.disks.leases(name)).toBe(1)
    await client.write(512, Buffer.alloc(1024, 0xa5))
    expect(
      (await client.read(0, 2048)).equals(
        Buffer.concat([Buffer.alloc(512), Buffer.alloc(1024, 0xa5), Buffer.alloc(512)]),
      ),
    ).toBe(true)
    await client.disconnect()
    await until(() => s.server.connections() === 0, "the connection is gone")
    expect(s.disks.leases(name)).toBe(0)
    expect(s.events.map((e) => e.type)).toEqual(["connected", "opened", "closed"])
    expect(s.events.at(-1)).toMatchObject({ export: name, why: "the client disconnected", peer: "127.0.0.1" })
  })
  it("hands peer, client and slot to whoever leases disks", async () => {
    const s = await serve()
    await dial(s)
    expect(s.disks.attached).toEqual([{ name, peer: { address: "127.0.0.1", loopback: true, protocol: "nbd" } }])
  })
  it("to an image is read-only", async () => {
    const client = await dial(await serve(), "image/win11@1")
    expect(client.readOnly).toBe(true)
    await expect(client.write(0, Buffer.alloc(512))).rejects.toMatchObject({ code: "EPERM" })
    expect((await client.read(0, 8192)).length).toBe(8192)
  })
  it("is refused with the words of the error, and reported", async () => {
    const s = await serve()
    await expect(dial(s, "client/PC-002/0")).rejects.toMatchObject({
      code: "ERR_UNKNOWN",
      message: expect.stringContaining("there is no client PC-002"),
    })
    s.disks.refusal = fail("EXPORT_DENIED", { name, peer: "127.0.0.1" })
    await expect(dial(s)).rejects.toMatchObject({ code: "ERR_POLICY" })
    expect(s.events.filter((e) => e.type === "refused").map((e) => e.code)).toEqual([
      "CLIENT_NOT_FOUND",
      "EXPORT_DENIED",
    ])
  })
  it("lists what may be opened", async () => {
    const list = await listNbd(await serve())
    expect(list).toEqual([
      { name, description: "PC-001 slot 0 over win11@1" },
      { name: "image/win11@1", description: "memory behind image/win11@1" },
    ])
  })
  it("two at once share the disk and hold a lease each", async () => {
    const s = await serve()
    const [a, b] = [await dial(s), await dial(s)]
    await a.write(0, Buffer.alloc(512, 7))
    expect((await b.read(0, 512))[511]).toBe(7)
    expect(s.disks.leases(name)).toBe(2)
  })
  it("lost while its disk is being opened gives the lease back", async () => {
    const s = await serve()
    let go = (): void => undefined
    s.disks.gate = new Promise<void>((resolve) => (go = resolve))
    const { socket } = await raw(s.server, enter)
    await new Promise((r) => setTimeout(r, 50))
    socket.destroy()
    await new Promise((r) => setTimeout(r, 50))
    go()
    await until(() => s.server.connections() === 0, "the connection is gone")
    expect(s.disks.leases(name)).toBe(0)
    expect(s.disks.attached.length).toBe(1)
  })
  it("dropped in the middle of a write changes nothing and gives the lease back", async () => {
    const s = await serve()
    const { socket, got } = await raw(s.server, enter)
    await until(() => got().length === 28, "the export is open")
    socket.write(Buffer.from(request(CMD.write, 0, 4096, { payload: "ff".repeat(4000) }), "hex"))
    await new Promise((r) => setTimeout(r, 50))
    socket.destroy()
    await until(() => s.server.connections() === 0, "the connection is gone")
    expect([s.device.bytes[0], s.disks.leases(name)]).toEqual([0, 0])
  })
  it("half-closed after its requests still gets its replies", async () => {
    const s = await serve()
    s.device.hold()
    const { socket, got, closed } = await raw(s.server, enter)
    await until(() => got().length === 28, "the export is open")
    socket.end(Buffer.from(request(CMD.read, 0, 512), "hex"))
    await new Promise((r) => setTimeout(r, 50))
    s.device.letGo()
    await until(() => closed(), "the connection is closed")
    expect(got().length).toBe(28 + 16 + 512)
  })
})

describe("limits", () => {
  it("a handshake that takes too long is closed", async () => {
    const s = await serve({ handshakeSeconds: 0.1 })
    const { closed } = await raw(s.server, "000000")
    await until(() => closed(), "the connection is closed")
    await until(() => s.server.connections() === 0, "and forgotten")
    expect(s.events.at(-1)).toMatchObject({ type: "closed", why: "the handshake took too long" })
  })
  it("a session outlives the time a handshake may take", async () => {
    const s = await serve({ handshakeSeconds: 0.1 })
    const client = await dial(s)
    await new Promise((r) => setTimeout(r, 250))
    expect((await client.read(0, 512)).length).toBe(512)
  })
  it("one connection too many is dropped and reported, and there is room again when one leaves", async () => {
    const s = await serve({ connectionsMax: 1 })
    const first = await dial(s)
    await expect(dial(s)).rejects.toMatchObject({ name: "NbdError" })
    await until(
      () => s.events.some((e) => e.type === "closed" && e.why === "more than 1 connections"),
      "it is reported",
    )
    await first.disconnect()
    await until(() => s.server.connections() === 0, "the first is gone")
    expect((await dial(s)).sizeBytes).toBe(4_194_304)
  })
  it("a client that asks for much and reads nothing costs bounded memory, and is served when it reads", async () => {
    const s = await serve()
    const { socket, got } = await raw(s.server, enter)
    await until(() => got().length === 28, "the export is open")
    socket.pause()
    const asks = 4000
    const length = 64 * 1024
    const before = process.memoryUsage()
    const burst = Array.from({ length: asks }, (_, i) => request(CMD.read, 0, length, { cookie: i + 1 })).join("")
    socket.write(Buffer.from(burst, "hex"))
    await new Promise((r) => setTimeout(r, 500))
    const after = process.memoryUsage()
    // 250 MiB were asked for; the pause is at 1 MiB.
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(16 * 1024 * 1024)
    let received = 0
    socket.removeAllListeners("data")
    socket.on("data", (b: Buffer) => (received += b.length)).resume()
    await until(() => received >= asks * (length + 16) - 28, "all of it came")
  })
})

describe("losing the disk", () => {
  it("answers ESHUTDOWN for a moment, then closes and gives the lease back", async () => {
    const s = await serve({ refusalMillis: 100 })
    const client = await dial(s)
    s.disks.revoke(name)
    await expect(client.read(0, 512)).rejects.toMatchObject({ code: "ESHUTDOWN" })
    await until(() => s.server.connections() === 0, "the connection is gone")
    expect(s.events.at(-1)).toMatchObject({ type: "closed", why: "the disk was taken away" })
    await expect(client.read(0, 512)).rejects.toMatchObject({ code: "DISCONNECTED" })
  })
})

describe("stopping the server", () => {
  it("without connections is at once, and twice is once", async () => {
    const s = await serve()
    await Promise.all([s.server.close(), s.server.close()])
    await expect(dial(s)).rejects.toMatchObject({ code: "ECONNREFUSED" })
  })
  it("lets a write in flight end, and closes idle clients", async () => {
    const s = await serve()
    const client = await dial(s)
    s.device.hold()
    const write = client.write(0, Buffer.alloc(512, 0xa5))
    await new Promise((r) => setTimeout(r, 50))
    const closed = s.server.close()
    await new Promise((r) => setTimeout(r, 50))
    s.device.letGo()
    await write
    await closed
    expect([s.device.bytes[0], s.disks.leases(name)]).toEqual([0xa5, 0])
  })
  it("cuts off a client that does not take its replies", async () => {
    const s = await serve({ closeSeconds: 0.2 })
    const { socket, got } = await raw(s.server, enter)
    await until(() => got().length === 28, "the export is open")
    socket.pause()
    socket.write(Buffer.from(Array.from({ length: 400 }, () => request(CMD.read, 0, 65_536)).join(""), "hex"))
    await new Promise((r) => setTimeout(r, 200))
    await s.server.close()
    expect(s.server.connections()).toBe(0)
  })
  it("while a client is reading all the time fails its reads and closes", async () => {
    const s = await serve()
    const client = await dial(s)
    const codes: Array<string> = []
    const reading = (async () => {
      for (let i = 0; i < 100_000 && codes.length < 1; i++) {
        await client.read(0, 4096).catch((e) => codes.push(e.code))
      }
    })()
    await new Promise((r) => setTimeout(r, 50))
    await s.server.close()
    await reading
    expect(["ESHUTDOWN", "DISCONNECTED", "ECONNRESET", "EPIPE"]).toContain(codes[0])
    expect(s.disks.leases(name)).toBe(0)
  })
  it("during a handshake closes it", async () => {
    const s = await serve()
    const { closed } = await raw(s.server, "00000003")
    await s.server.close()
    await until(() => closed(), "the socket is closed")
  })
})

describe("listening", () => {
  it("on a port in use is PORT_IN_USE, naming it", async () => {
    const s = await serve()
    const again = listenNbd({ address: "127.0.0.1", port: s.port, disks: s.disks })
    await expect(again).rejects.toMatchObject({
      code: "PORT_IN_USE",
      message: `cannot listen for nbd on 127.0.0.1:${s.port}`,
    })
  })
  it("on an address that is not here is LISTEN_FAILED", async () => {
    const s = await serve()
    await expect(listenNbd({ address: "192.0.2.1", port: 0, disks: s.disks })).rejects.toMatchObject({
      code: "LISTEN_FAILED",
    })
  })
})
