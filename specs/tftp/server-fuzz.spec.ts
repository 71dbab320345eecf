/** The server over real sockets: transfer identifiers, retries, limits, ends; and a fuzzer that it must outlive. */
import { createSocket, type Socket } from "node:dgram"
import { once } from "node:events"
import { afterEach, describe, expect, it } from "vitest"
import { fetchTftp, TftpError } from "../../adapters/tftp/client.ts"
import { describeTftpEvent, type TftpEvent } from "../../adapters/tftp/events.ts"
import { decode, encode, type Packet, type TftpOption, type Unknown } from "../../adapters/tftp/packet.ts"
import { listenTftp, type TftpServerInput } from "../../adapters/tftp/server.ts"
import { type BootFiles, FileRefused } from "../../core/runtime/boot-files.ts"
import { patterned, random } from "../support/random.ts"

const content: Readonly<Record<string, Buffer>> = { small: Buffer.from("small"), large: patterned(300_000, 7) }
let opened = 0
let closed = 0
const memoryFiles: BootFiles = {
  async open(name) {
    if (name === "refused") throw new FileRefused("not for you")
    if (name === "broken") throw Object.assign(new Error("/secret/path"), { code: "EIO" })
    const file = content[name]
    if (file === undefined) return undefined
    opened++
    return {
      sizeBytes: file.length,
      read: async (offset, length) => file.subarray(offset, offset + length),
      close: async () => void closed++,
    }
  },
}

const closers: Array<() => Promise<void>> = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  await until(() => opened === closed, "every file that was opened is closed")
})
const until = async (holds: () => boolean, what: string): Promise<void> => {
  for (let i = 0; i < 1000 && !holds(); i++) await new Promise((r) => setTimeout(r, 10))
  expect(holds(), what).toBe(true)
}

const serve = async (more: Partial<TftpServerInput> = {}) => {
  const events: Array<TftpEvent> = []
  const onEvent = (e: TftpEvent) => void events.push(e)
  const server = await listenTftp({ address: "127.0.0.1", port: 0, files: memoryFiles, onEvent, ...more })
  closers.push(server.close)
  return { server, events, to: { host: "127.0.0.1", port: server.port }, types: () => events.map((e) => e.type) }
}

interface Heard {
  readonly packet: Packet | Unknown
  readonly port: number
}
/** A bare socket that remembers what it was sent. */
const peer = async () => {
  const socket: Socket = createSocket("udp4")
  const heard: Array<Heard> = []
  socket.on("message", (bytes, from) => void heard.push({ packet: decode(bytes), port: from.port }))
  socket.bind(0, "127.0.0.1")
  await once(socket, "listening")
  closers.push(() => new Promise((resolve) => socket.close(() => resolve())))
  const send = (packet: Packet | Buffer, port: number) =>
    new Promise<void>((resolve) =>
      socket.send(Buffer.isBuffer(packet) ? packet : encode(packet), port, "127.0.0.1", () => resolve()),
    )
  return { heard, send, port: socket.address().port }
}
const rrq = (file: string, options: ReadonlyArray<TftpOption> = [], mode = "octet"): Packet => ({
  type: "RRQ",
  file,
  mode,
  options,
})

describe("a transfer", () => {
  it("has a port of its own; a stranger there is told so (5) and the transfer goes on", async () => {
    const { server } = await serve()
    const [client, stranger] = [await peer(), await peer()]
    await client.send(rrq("large"), server.port)
    await until(() => client.heard.length === 1, "the first block")
    const tid = client.heard[0]!.port
    expect(tid).not.toBe(server.port)
    await stranger.send({ type: "ACK", blockNumber: 1 }, tid)
    await until(() => stranger.heard.length === 1, "an answer to the stranger")
    expect(stranger.heard[0]!.packet).toMatchObject({ type: "ERROR", code: 5 })
    await stranger.send({ type: "ERROR", code: 0, message: "" }, tid)
    await client.send({ type: "ACK", blockNumber: 1 }, tid)
    await until(() => client.heard.length === 2, "the second block")
    expect(client.heard[1]).toMatchObject({ packet: { type: "DATA", blockNumber: 2 }, port: tid })
    expect(stranger.heard).toHaveLength(1)
  })

  it("is one, however often its request comes; a different request from there begins anew", async () => {
    const { server, types } = await serve()
    const client = await peer()
    const probe = rrq("large", [["tsize", "0"]])
    for (let n = 0; n < 3; n++) await client.send(probe, server.port)
    await until(() => client.heard.length >= 1, "an OACK")
    await client.send(probe, server.port)
    expect(server.transfers()).toBe(1)
    await client.send(rrq("small", [["blksize", "1468"]]), server.port)
    await until(() => new Set(client.heard.map(({ port }) => port)).size === 2, "a second OACK")
    // What answers a request comes again where it seems lost, but out of the one port.
    const heard = new Map(client.heard.map((h) => [h.port, h.packet]))
    expect([...heard.values()]).toEqual([
      { type: "OACK", options: [["tsize", "300000"]] },
      { type: "OACK", options: [["blksize", "1468"]] },
    ])
    expect([server.transfers(), types()]).toEqual([1, ["started", "stopped", "started"]])
  })

  it("whose file is being opened is given up when its client begins anew: that is served at once, and not told of the other's end", async () => {
    const opening = new Map<string, PromiseWithResolvers<void>>()
    const slow: BootFiles = {
      async open(name, from) {
        const wait = Promise.withResolvers<void>()
        opening.set(name, wait)
        if (name !== "small") await wait.promise
        return memoryFiles.open(name, from)
      },
    }
    const { server, types } = await serve({ files: slow })
    for (const name of ["large", "none", "broken"]) {
      const client = await peer()
      await client.send(rrq(name), server.port)
      await until(() => opening.has(name), "the file is being opened")
      await client.send(rrq("small"), server.port)
      await until(() => client.heard.length === 1, "what it asked for last")
      expect(client.heard[0]!.packet).toMatchObject({ type: "DATA", data: content.small })
      opening.get(name)!.resolve()
      await until(() => types().at(-1) === "stopped", "the first one's end")
      await client.send({ type: "ACK", blockNumber: 1 }, client.heard[0]!.port)
      await until(() => types().at(-1) === "done", "the end")
      expect(client.heard).toHaveLength(1)
    }
  })

  it("whose client asks again is answered again, long before time would do it, out of the same port", async () => {
    const { server } = await serve({ limits: { timeoutMillis: 600_000, timeoutMillisMax: 600_000 } })
    const client = await peer()
    const asked = rrq("large", [["tsize", "0"]])
    await client.send(asked, server.port)
    await until(() => client.heard.length === 1, "an OACK")
    for (let n = 0; n < 100 && client.heard.length < 2; n++) {
      await client.send(asked, server.port)
      await new Promise((r) => setTimeout(r, 50))
    }
    expect(client.heard[1]).toEqual(client.heard[0])
    expect(server.transfers()).toBe(1)
  })

  it("ends when the client refuses the options (8), which is no error in the log", async () => {
    const { server, events, types } = await serve()
    const client = await peer()
    await client.send(rrq("large", [["tsize", "0"]]), server.port)
    await until(() => client.heard.length === 1, "an OACK")
    await client.send({ type: "ERROR", code: 8, message: "User aborted\n" }, client.heard[0]!.port)
    await until(() => server.transfers() === 0, "the end")
    expect(types()).toEqual(["started", "aborted"])
    const line = describeTftpEvent(events[1]!)
    expect(line).toEqual({
      level: "debug",
      text: `tftp 127.0.0.1:${client.port} large: ended by the client: User aborted? (8)`,
    })
  })

  it("without an answer is reported as TFTP_TIMEOUT, with the client, the file and the last block", async () => {
    const soon = {
      timeoutMillis: 5,
      timeoutMillisMin: 5,
      probeMillisMin: 5,
      timeoutMillisMax: 10,
      retriesMax: 3,
      silenceMillisMin: 0,
    }
    const { server, events } = await serve({ limits: soon })
    const client = await peer()
    await client.send(rrq("large"), server.port)
    await until(() => server.transfers() === 0 && events.length === 2, "the end")
    const { level, text } = describeTftpEvent(events[1]!)
    expect(level).toBe("error")
    expect(text).toContain(`client 127.0.0.1:${client.port} stopped answering while large was sent (block 0 of 586)`)
    expect(text).toContain("[TFTP_TIMEOUT]")
    expect(text).toContain("ports 67, 69 and 4011")
    await until(() => client.heard.length === 5, "four times the block, and a last word")
    expect(client.heard.map((h) => h.packet.type)).toEqual(["DATA", "DATA", "DATA", "DATA", "ERROR"])
  })
})

describe("a request", () => {
  it.each([
    ["for what is not there", rrq("none"), 1],
    ["for what is not for it", rrq("refused"), 2],
    ["for what cannot be opened", rrq("broken"), 0],
    ["in netascii", rrq("small", [], "netascii"), 0],
    ["to write", { type: "WRQ", file: "small", mode: "octet", options: [] } as Packet, 2],
    ["that is broken", Buffer.from("\0\x01small\0octet", "latin1"), 4],
  ])("%s is answered with an error, which names no path", async (_, request, code) => {
    const { server } = await serve()
    const client = await peer()
    await client.send(request, server.port)
    await until(() => client.heard.length === 1, "an answer")
    const { packet } = client.heard[0]!
    expect(packet).toMatchObject({ type: "ERROR", code })
    expect(JSON.stringify(packet)).not.toContain("secret")
    expect(server.transfers()).toBe(0)
  })

  it("that is none is not answered", async () => {
    const { server, types } = await serve()
    const client = await peer()
    await client.send({ type: "ERROR", code: 4, message: "" }, server.port)
    await client.send({ type: "ACK", blockNumber: 0 }, server.port)
    await client.send(Buffer.from("x"), server.port)
    await client.send(rrq("none"), server.port)
    await until(() => client.heard.length === 1, "an answer to the last one")
    expect(types()).toEqual(["malformed", "malformed", "malformed", "refused"])
  })

  it("beyond the limits waits until another transfer has ended, and that is said once", async () => {
    const { server, to, types } = await serve({ limits: { transfersPerPeerMax: 2, transfersMax: 3 } })
    const clients = [await peer(), await peer(), await peer()]
    for (const client of clients) await client.send(rrq("large"), server.port)
    await clients[2]!.send(rrq("large"), server.port)
    await until(() => types().filter((t) => t === "started").length === 2 && types().includes("busy"), "two run")
    await until(() => clients[0]!.heard.length > 0, "the first is answered")
    const late = fetchTftp({ ...to, file: "small", patienceMillis: 50, retriesMax: 8 })
    await clients[0]!.send({ type: "ERROR", code: 0, message: "" }, clients[0]!.heard[0]!.port)
    expect((await late).bytes.toString()).toBe("small")
    expect(clients[2]!.heard).toEqual([])
  })
})

describe("our client", () => {
  it("fetches with and without options", async () => {
    const { to } = await serve()
    for (const more of [{}, { blksize: 8 }, { blksize: 65_464, windowsize: 9 }, { windowsize: 64, timeoutSeconds: 3 }])
      expect((await fetchTftp({ ...to, file: "large", ...more })).bytes.equals(content.large!)).toBe(true)
  })
  it("fails with the server's code, by its own limit, and where nobody answers", async () => {
    const { to } = await serve()
    const code = (e: unknown) => (e instanceof TftpError ? e.code : e)
    expect(await fetchTftp({ ...to, file: "none" }).catch(code)).toBe(1)
    expect(await fetchTftp({ ...to, file: "large", bytesMax: 299_999 }).catch(code)).toBe(3)
    const silent = await peer()
    const nobody = { ...to, port: silent.port, file: "x", patienceMillis: 1, retriesMax: 2 }
    expect(await fetchTftp(nobody).catch(code)).toBe(undefined)
    await until(() => silent.heard.length === 3, "it asked three times")
  })
})

describe("closing", () => {
  it("tells the clients of running transfers, and twice is once", async () => {
    const { server, types } = await serve()
    const client = await peer()
    await client.send(rrq("large"), server.port)
    await until(() => client.heard.length === 1, "the first block")
    await Promise.all([server.close(), server.close()])
    await until(() => client.heard.length === 2, "a last word")
    expect(client.heard[1]!.packet).toMatchObject({ type: "ERROR", code: 0 })
    expect([server.transfers(), types()]).toEqual([0, ["started", "stopped"]])
  })
  it("frees the port; while it is taken, a second server is refused", async () => {
    const { server } = await serve()
    const again = { address: "127.0.0.1", port: server.port, files: memoryFiles }
    await expect(listenTftp(again)).rejects.toMatchObject({ code: "PORT_IN_USE" })
    await server.close()
    await (await listenTftp(again)).close()
    await expect(listenTftp({ ...again, address: "203.0.113.7" })).rejects.toMatchObject({ code: "LISTEN_FAILED" })
  })
})

const seeds = process.env.IMAGELINK_SEED
  ? [Number(process.env.IMAGELINK_SEED)]
  : Array.from({ length: Math.min(200, Number(process.env.IMAGELINK_SEEDS ?? 20)) }, (_, i) => i + 1)

describe("whatever comes", () => {
  it("the server goes on, and holds nothing afterwards", async () => {
    // A seed may leave one transfer behind, with a timeout of minutes.
    const limits = { timeoutMillis: 5, timeoutMillisMax: 10, retriesMax: 1, transfersPerPeerMax: 300 }
    const { server, to } = await serve({ limits })
    for (const seed of seeds) {
      const r = random(seed)
      const client = await peer()
      for (let n = 0; n < 30; n++) {
        const base = encode(
          r.pick<Packet>([
            rrq(r.pick(["small", "large", "none", "../x", "refused", "broken"]), [["blksize", `${r.int(70_000)}`]]),
            rrq("large", [
              ["windowsize", `${r.int(70_000)}`],
              ["timeout", `${r.int(300)}`],
            ]),
            { type: "ACK", blockNumber: r.int(4) },
            { type: "DATA", blockNumber: 1, data: Buffer.alloc(r.int(40)) },
            { type: "OACK", options: [["tsize", "1"]] },
          ]),
        ).subarray(0, r.chance(0.2) ? r.int(30) : 600)
        if (r.chance(0.5) && base.length > 0) base[r.int(base.length)] = r.int(256)
        await client.send(Buffer.from(base), r.chance(0.5) ? server.port : (client.heard.at(-1)?.port ?? server.port))
      }
      const { bytes } = await fetchTftp({ ...to, file: "small", patienceMillis: 100, retriesMax: 9 })
      expect(bytes.toString(), `IMAGELINK_SEED=${seed}`).toBe("small")
      await client.send({ type: "ERROR", code: 0, message: "" }, client.heard.at(-1)?.port ?? server.port)
    }
  })
})
