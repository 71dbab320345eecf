/** TFTP in a thread of its own, as `serve` has it: the same as without, but that other work does not hold it up. */
import { createSocket, type Socket } from "node:dgram"
import { once } from "node:events"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, expect, it } from "vitest"
import { fetchTftp } from "../../adapters/tftp/client.ts"
import type { TftpEvent } from "../../adapters/tftp/events.ts"
import { listenTftpInThread, type TftpThread } from "../../adapters/tftp/thread.ts"
import { limits } from "../../core/limits.ts"
import { patterned } from "../support/random.ts"

const entry = new URL("../../adapters/compose-transfers.ts", import.meta.url)
const folder = mkdtempSync(join(tmpdir(), "imagelink-tftp-thread-"))
const file = patterned(3 * limits.bootPieceBytes + 77, 5)
mkdirSync(join(folder, "sub"))
writeFileSync(join(folder, "file"), file)
writeFileSync(join(folder, "empty"), "")
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const opened: Array<TftpThread> = []
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close()
})

const start = async (port = 0) => {
  const events: Array<TftpEvent> = []
  const input = { address: "127.0.0.1", port, folder, autoexec: "#!ipxe\n" }
  const server = await listenTftpInThread(entry, input, (e) => void events.push(e))
  opened.push(server)
  const fetch = async (name: string, options: { readonly blksize?: number; readonly windowsize?: number } = {}) =>
    (await fetchTftp({ host: "127.0.0.1", port: server.port, file: name, ...options })).bytes
  return { server, events, fetch }
}

it("files come whole, one after the other and many at once, with blocks and windows of any size", async () => {
  const { fetch, events } = await start()
  expect(await fetch("empty")).toEqual(Buffer.alloc(0))
  expect((await fetch("sub/autoexec.ipxe")).toString()).toBe("#!ipxe\n")
  const sizes = [
    {},
    { blksize: 1468 },
    { blksize: 1468, windowsize: 16 },
    { blksize: 65464 },
    { blksize: 8192, windowsize: 3 },
  ]
  const all = await Promise.all([...sizes, ...sizes, ...sizes].map((options) => fetch("file", options)))
  for (const bytes of all) expect(Buffer.compare(bytes, file)).toBe(0)
  // The client has its last block before the server has the last ACK.
  const done = () => events.filter(({ type }) => type === "done").length
  await expect.poll(done, { timeout: 20_000 }).toBe(2 + all.length)
}, 60_000)

it("what is refused is told here and to the client", async () => {
  const { fetch, events } = await start()
  await expect(fetch("none")).rejects.toThrow(/there is no such file/u)
  await expect(fetch("../none")).rejects.toThrow(/leads out/u)
  await expect.poll(() => events.map(({ type }) => type)).toEqual(["refused", "refused"])
})

it("files of another folder come as soon as it is told so", async () => {
  const { server, fetch } = await start()
  expect(server.listens()).toBe(true)
  expect((await fetch("file")).length).toBe(file.length)
  server.serve(join(folder, "sub"))
  await expect.poll(() => fetch("file").catch((e: Error) => e.message), { timeout: 20_000 }).toMatch(/no such file/u)
  expect((await fetch("autoexec.ipxe")).toString()).toBe("#!ipxe\n")
  await server.close()
  expect(server.listens()).toBe(false)
})

it("hundreds of files one after the other come for one request each: none is lost while the transfer before it ends", async () => {
  const { server } = await start()
  for (let n = 0; n < 400; n++) {
    const socket: Socket = createSocket("udp4")
    socket.bind(0, "127.0.0.1")
    await once(socket, "listening")
    const answer = once(socket, "message", { signal: AbortSignal.timeout(20_000) })
    socket.send("\0\x01empty\0octet\0", server.port, "127.0.0.1")
    const [bytes, from] = (await answer) as [Buffer, { port: number }]
    expect(bytes.toString("latin1")).toBe("\0\x03\0\x01")
    // The next request is under way before this is taken.
    socket.send("\0\x04\0\x01", from.port, "127.0.0.1", () => socket.close())
  }
}, 60_000)

/** Sockets of this machine that are bound to a port. */
const socketsAt = (port: number): number => {
  const place = `:${port.toString(16).toUpperCase().padStart(4, "0")} `
  return readFileSync("/proc/net/udp", "utf8").split(place).length - 1
}

/** The processors that threads of this process may run on, as the kernel writes them. */
const processorsOfThreads = (): ReadonlySet<string> => {
  const of = (thread: string) => {
    try {
      return /Cpus_allowed:\s*(\S+)/u.exec(readFileSync(`/proc/self/task/${thread}/status`, "utf8"))?.[1]
    } catch {
      return undefined // It has ended.
    }
  }
  return new Set(readdirSync("/proc/self/task").flatMap((thread) => of(thread) ?? []))
}

/** So many clients that have got the first block of a file and wait. What they ask for tells them from a client that had one of their ports before. */
const waitingClients = async (count: number, port: number, name = "file") => {
  const request = `\0\x01${name}\0octet\0`
  const heard: Array<Array<string>> = []
  const sockets: Array<Socket> = []
  for (let n = 0; n < count; n++) {
    const socket = createSocket("udp4")
    socket.bind(0, "127.0.0.1")
    await once(socket, "listening")
    const said: Array<string> = []
    socket.on("message", (bytes) => said.push(bytes.toString("latin1", 0, 40)))
    socket.send(request, port, "127.0.0.1")
    sockets.push(socket)
    heard.push(said)
  }
  const close = () => {
    for (const socket of sockets) socket.close()
  }
  const names = () => sockets.map((socket) => `127.0.0.1:${socket.address().port}`)
  const askAgain = () => {
    for (const socket of sockets) socket.send(request, port, "127.0.0.1")
  }
  return { heard, close, names, askAgain }
}

it.skipIf(process.platform !== "linux" || availableParallelism() < 2)(
  "many at once are served by a second thread too, which has the same folder, knows who asked, and ends with the first",
  async () => {
    const { server, events, fetch } = await start()
    const many = limits.tftpThreadTransfers + 2
    const first = await waitingClients(many, server.port)
    await expect.poll(() => socketsAt(server.port), { timeout: 20_000 }).toBe(2)
    // Each by the thread of its processors, and all others as before.
    await expect.poll(() => processorsOfThreads().size, { timeout: 20_000 }).toBe(3)
    for (let turn = 0; turn < 5; turn++) {
      const all = await Promise.all(Array.from({ length: 20 }, () => fetch("file", { blksize: 8192 })))
      for (const bytes of all) expect(Buffer.compare(bytes, file)).toBe(0)
    }
    await expect(fetch("none")).rejects.toThrow(/there is no such file/u)
    const clients = await waitingClients(30, server.port, "/file")
    const begun = () => clients.heard.filter((said) => said[0]?.startsWith("\0\x03\0\x01")).length
    await expect.poll(begun, { timeout: 20_000 }).toBe(30)
    clients.askAgain()
    server.serve(join(folder, "sub"))
    const without = () =>
      Promise.all(
        Array.from({ length: 10 }, () => fetch("file").catch((e: Error) => e.message.includes("no such file"))),
      )
    await expect.poll(without, { timeout: 20_000 }).toEqual(Array.from({ length: 10 }, () => true))
    await server.close()
    const starts = events.flatMap((e) => (e.type === "started" && e.file === "/file" ? [e.client] : []))
    expect(starts.sort()).toEqual(clients.names().sort())
    const told = () =>
      [...first.heard, ...clients.heard].filter((said) => said.at(-1)?.includes("server is stopping")).length
    await expect.poll(told, { timeout: 20_000 }).toBe(many + 30)
    expect(socketsAt(server.port)).toBe(0)
    first.close()
    clients.close()
  },
  60_000,
)

it("a port that somebody has is refused with its code", async () => {
  const { server } = await start()
  await expect(start(server.port)).rejects.toMatchObject({ code: "PORT_IN_USE" })
  // Also when it has a second socket, which shares the port.
  const clients = await waitingClients(limits.tftpThreadTransfers, server.port)
  if (availableParallelism() > 1) await expect.poll(() => socketsAt(server.port), { timeout: 20_000 }).toBe(2)
  await expect(start(server.port)).rejects.toMatchObject({ code: "PORT_IN_USE" })
  clients.close()
})

it("a client that is not heard any more is told as TFTP_TIMEOUT, also from there", async () => {
  const { server, events } = await start()
  const socket: Socket = createSocket("udp4")
  socket.bind(0, "127.0.0.1")
  await once(socket, "listening")
  // With a timeout of one second that was agreed, there is no more patience than the retries.
  socket.send("\0\x01file\0octet\0timeout\x001\0", server.port, "127.0.0.1")
  await expect.poll(() => events.at(-1)?.type, { timeout: 30_000, interval: 100 }).toBe("timeout")
  socket.close()
  const last = events.at(-1)
  expect(last?.type === "timeout" && [last.error.code, last.error.message.includes("file")]).toEqual([
    "TFTP_TIMEOUT",
    true,
  ])
}, 40_000)

it("closing ends what runs and tells its client; a second close is the first", async () => {
  const { server, events } = await start()
  const socket: Socket = createSocket("udp4")
  socket.bind(0, "127.0.0.1")
  await once(socket, "listening")
  const heard: Array<string> = []
  socket.on("message", (bytes) => heard.push(bytes.toString("latin1")))
  socket.send("\0\x01file\0octet\0", server.port, "127.0.0.1")
  await expect.poll(() => heard.length, { timeout: 20_000 }).toBeGreaterThan(0)
  expect(server.close()).toBe(server.close())
  await server.close()
  await expect.poll(() => heard.at(-1), { timeout: 20_000 }).toMatch(/^\0\x05\0\0the server is stopping/u)
  socket.close()
  expect(events.at(-1)?.type).toBe("stopped")
})
