/** Datagrams through the C library, on loopback. */

import { spawnSync } from "node:child_process"
import { createSocket, type Socket } from "node:dgram"
import { once } from "node:events"
import { readdirSync } from "node:fs"
import { createRequire } from "node:module"
import { constants } from "node:os"
import { afterEach, describe, expect, it } from "vitest"
import { loadLibc } from "../../../adapters/host/libc.ts"
import { fetchTftp } from "../../../adapters/tftp/client.ts"
import { Pump } from "../../../adapters/tftp/pump.ts"
import { listenTftp } from "../../../adapters/tftp/server.ts"
import type { DatagramExchange } from "../../../core/host.ts"
import { limits } from "../../../core/limits.ts"
import { bindDatagram, fileDescriptor } from "../../../core/runtime/datagram-socket.ts"
import { patterned } from "../../support/random.ts"

const libc = loadLibc()
const LOOPBACK = 0x7f000001
const here = describe.skipIf(process.platform !== "linux")

const open: Array<Socket> = []
afterEach(() => {
  for (const socket of open.splice(0)) socket.close()
})

/** Bound, and not read by Node: nothing comes to it while a spec runs, which never waits. */
const bound = async () => {
  const socket = createSocket("udp4")
  socket.bind(0, "127.0.0.1")
  await once(socket, "listening")
  open.push(socket)
  return { fd: fileDescriptor(socket), port: socket.address().port }
}

const never = () => {
  throw new Error("it was to be sent")
}

here("datagrams", () => {
  it("go together and come together, each with its bytes and its sender", async () => {
    const [from, to] = [await bound(), await bound()]
    const batch = libc!.datagrams(3, 100)
    for (const text of ["one", "", "x".repeat(100)]) expect(batch.put(Buffer.from(text), LOOPBACK, to.port)).toBe(true)
    batch.send(from.fd, never)
    expect(batch.receive(to.fd)).toBe(3)
    expect([0, 1, 2].map((n) => Buffer.from(batch.bytes(n)).toString())).toEqual(["one", "", "x".repeat(100)])
    expect([batch.address(2), batch.port(2)]).toEqual([LOOPBACK, from.port])
    expect(batch.receive(to.fd)).toBe(0)
  })

  it("are taken one by one when that is asked for, and cut where they do not fit", async () => {
    const [from, to] = [await bound(), await bound()]
    const sends = libc!.datagrams(2, 100)
    for (const text of ["first", "second"]) sends.put(Buffer.from(text), LOOPBACK, to.port)
    sends.send(from.fd, never)
    const takes = libc!.datagrams(2, 4)
    const taken = () => [takes.receive(to.fd, 1), Buffer.from(takes.bytes(0)).toString()]
    expect([taken(), taken()]).toEqual([
      [1, "firs"],
      [1, "seco"],
    ])
    expect(takes.receive(to.fd, 1)).toBe(0)
  })

  it("wait in a line that is full at its size and empty when it was sent; one that is too long never gets in", async () => {
    const [from, to] = [await bound(), await bound()]
    const batch = libc!.datagrams(1, 10)
    expect(batch.put(Buffer.alloc(11), LOOPBACK, to.port)).toBe(false)
    expect([batch.full, batch.put(Buffer.alloc(10), LOOPBACK, to.port), batch.full]).toEqual([false, true, true])
    expect(batch.put(Buffer.alloc(1), LOOPBACK, to.port)).toBe(false)
    batch.send(from.fd, never)
    expect([batch.full, batch.receive(to.fd)]).toEqual([false, 1])
  })

  it("that the system does not take are told by their place, and the others go", async () => {
    const [from, to] = [await bound(), await bound()]
    const batch = libc!.datagrams(3, 10)
    // Nothing can be sent to port 0.
    for (const port of [to.port, 0, to.port]) batch.put(Buffer.from("x"), LOOPBACK, port)
    const failed: Array<unknown> = []
    batch.send(from.fd, (n, why) => failed.push([n, why]))
    expect(failed).toEqual([[1, "EINVAL"]])
    expect(batch.receive(to.fd)).toBe(2)
  })

  it("neither come from nor go to a socket that is closed", () => {
    const batch = libc!.datagrams(2, 10)
    batch.put(Buffer.from("x"), LOOPBACK, 9)
    const failed: Array<unknown> = []
    batch.send(-1, (n, why) => failed.push([n, why]))
    expect([failed, batch.receive(-1), batch.receive(-1, 1)]).toEqual([[[0, "EBADF"]], 0, 0])
  })
})

/** One datagram, from a program that runs on one processor; false where there is none of that number. */
const sendOn = (processor: number, port: number): boolean => {
  const program = `require("node:dgram").createSocket("udp4").send("${processor}", ${port}, "127.0.0.1", () => process.exit())`
  return spawnSync("taskset", ["-c", `${processor}`, process.execPath, "-e", program]).status === 0
}

here("sockets that share a port", () => {
  it("hear each what its processor took, and keep others out who do not share", async (context) => {
    const first = await bound()
    const [socket] = open
    expect(libc!.sharePort(first.fd)).toBe(true)
    const place = { protocol: "tftp", address: "127.0.0.1", port: first.port }
    const second = await bindDatagram({ ...place, besideAnother: true })
    open.push(second)
    expect(libc!.shareByProcessor(first.fd, 2)).toBe(true)
    const heard: ReadonlyArray<Array<string>> = [[], []]
    for (const [n, one] of [socket!, second].entries()) one.on("message", (bytes) => heard[n]!.push(bytes.toString()))
    for (const processor of [0, 1, 1, 0, 1]) if (!sendOn(processor, first.port)) return context.skip("one processor")
    await expect
      .poll(() => heard)
      .toEqual([
        ["0", "0"],
        ["1", "1", "1"],
      ])
    await expect(bindDatagram(place)).rejects.toMatchObject({ code: "PORT_IN_USE" })
    expect([libc!.sharePort(-1), libc!.shareByProcessor(-1, 2)]).toEqual([false, false])
  })
})

/** As in most containers, where io_uring is forbidden. */
const withoutUring = loadLibc("linux", "x64", () => {
  const koffi = createRequire(import.meta.url)("koffi")
  const library = koffi.load(null)
  const func = (declared: string) => (declared.includes(" syscall(") ? () => -1 : library.func(declared))
  return { ...koffi, address: koffi.address, load: () => ({ func }) }
})

const openFiles = (): number => readdirSync("/proc/self/fd").length

const send = (exchange: DatagramExchange, fd: number, bytes: Uint8Array, address: number, port: number) => {
  const at = exchange.line()
  exchange.memory.set(bytes, at)
  exchange.sendLine(fd, bytes.length, address, port)
}

here.each([
  ["io_uring", libc],
  ["epoll", withoutUring],
])("an exchange over %s", (name, calls) => {
  const opened: Array<DatagramExchange> = []
  afterEach(() => {
    for (const exchange of opened.splice(0)) exchange.close()
  })
  const open = (sockets = 8, bytesMax = 70_000) => {
    const exchange = calls!.datagramExchange(sockets, bytesMax)
    expect(exchange.constructor.name).toBe(name === "epoll" ? "EpollExchange" : "UringExchange")
    opened.push(exchange)
    return exchange
  }
  /** Which socket has what, from whom, of one wait. */
  const come = (exchange: DatagramExchange, millis = 1000) =>
    Array.from({ length: exchange.wait(millis) }, (_, n) => {
      expect(exchange.take(n)).toBe(true)
      expect(exchange.address).toBe(LOOPBACK)
      return { fd: exchange.fd(n), text: Buffer.from(exchange.bytes).toString(), port: exchange.port }
    })
  const inOrder = <A extends { readonly fd: number }>(found: ReadonlyArray<A>) => found.toSorted((a, b) => a.fd - b.fd)

  it("tells what comes to each socket, one by one, and from whom", async () => {
    const exchange = open()
    const [a, b, from] = [await bound(), await bound(), await bound()]
    expect([exchange.watch(a.fd), exchange.watch(b.fd), exchange.watch(-1)]).toEqual([true, true, false])
    expect(come(exchange, 0)).toEqual([])
    for (const text of ["first", "second"]) send(exchange, from.fd, Buffer.from(text), LOOPBACK, a.port)
    send(exchange, from.fd, Buffer.from("x".repeat(1468)), LOOPBACK, b.port)
    expect(inOrder(come(exchange))).toEqual(
      inOrder([
        { fd: a.fd, text: "first", port: from.port },
        { fd: b.fd, text: "x".repeat(1468), port: from.port },
      ]),
    )
    expect(come(exchange)).toEqual([{ fd: a.fd, text: "second", port: from.port }])
    expect(come(exchange, 0)).toEqual([])
  })

  it("sends more than it has lines for, in order, and at once when that is asked for", async () => {
    const [exchange, other] = [open(), open()]
    const [from, to] = [await bound(), await bound()]
    other.watch(to.fd)
    const sent = Array.from({ length: limits.exchangeSendLines + 1 }, (_, n) => `${n}`)
    for (const text of sent) send(exchange, from.fd, Buffer.from(text), LOOPBACK, to.port)
    exchange.flush()
    const heard: Array<string> = []
    for (let turn = 0; turn < sent.length; turn++) heard.push(...come(other).map(({ text }) => text))
    expect(heard).toEqual(sent)
  })

  it("goes on after what cannot be sent", async () => {
    const exchange = open(8, 100)
    const [from, to] = [await bound(), await bound()]
    exchange.watch(to.fd)
    send(exchange, from.fd, Buffer.from("x"), LOOPBACK, 0)
    send(exchange, -1, Buffer.from("x"), LOOPBACK, to.port)
    send(exchange, from.fd, Buffer.from("last"), LOOPBACK, to.port)
    expect(come(exchange)).toEqual([{ fd: to.fd, text: "last", port: from.port }])
  })

  it("lets go of a socket, whose port is free when it is closed, and takes others in its place", async () => {
    const exchange = open(1)
    const from = await bound()
    for (let turn = 0; turn < 5; turn++) {
      const socket = createSocket("udp4")
      socket.bind(0, "127.0.0.1")
      await once(socket, "listening")
      const [fd, { port }] = [fileDescriptor(socket), socket.address()]
      expect(exchange.watch(fd)).toBe(true)
      send(exchange, from.fd, Buffer.from("one"), LOOPBACK, port)
      expect(exchange.wait(1000)).toBe(1)
      if (turn % 2 === 0) expect(exchange.take(0)).toBe(true)
      exchange.forget(fd)
      send(exchange, from.fd, Buffer.from("two"), LOOPBACK, port)
      exchange.flush()
      socket.close()
      await once(socket, "close")
      expect(come(exchange, 0)).toEqual([])
      const again = createSocket("udp4")
      again.bind(port, "127.0.0.1")
      await once(again, "listening")
      again.close()
    }
  })

  it("has sockets of its own, which are gone when they were shut and what they sent has left", async () => {
    const exchange = open(4)
    const [to, own] = [await bound(), exchange.open(LOOPBACK)]
    expect(own).toBeGreaterThanOrEqual(0)
    exchange.watch(to.fd)
    for (let turn = 0; turn < 10; turn++) {
      send(exchange, own, Buffer.from("to"), LOOPBACK, to.port)
      const [heard] = come(exchange)
      send(exchange, to.fd, Buffer.from("back"), LOOPBACK, heard!.port)
      expect([heard?.text, come(exchange)]).toEqual(["to", [{ fd: own, text: "back", port: to.port }]])
    }
    const others = [exchange.open(LOOPBACK), exchange.open(LOOPBACK)]
    send(exchange, own, Buffer.from("last"), LOOPBACK, to.port)
    for (const fd of [own, ...others]) exchange.shut(fd)
    const [last] = come(exchange)
    expect(last?.text).toBe("last")
    const again = createSocket("udp4")
    again.bind(last!.port, "127.0.0.1")
    await once(again, "listening")
    again.close()
    // Places are free again, and no descriptor is left.
    for (let turn = 0; turn < 50; turn++) {
      const fd = exchange.open(LOOPBACK)
      expect(fd).toBeGreaterThanOrEqual(0)
      exchange.shut(fd)
      exchange.wait(0)
    }
    const [before, kept] = [openFiles(), [exchange.open(LOOPBACK), exchange.open(LOOPBACK)]]
    expect(openFiles()).toBe(before + kept.length)
    exchange.close()
    expect(openFiles()).toBeLessThan(before)
  })

  it("has no socket at an address that is not this machine's", () => {
    // 192.0.2.1 (RFC 5737)
    expect(open().open(0xc000_0201)).toBe(-constants.errno.EADDRNOTAVAIL)
  })

  it("does nothing any more when it is closed, twice as well", async () => {
    const exchange = open()
    const { fd, port } = await bound()
    exchange.watch(fd)
    exchange.close()
    exchange.close()
    send(exchange, fd, Buffer.from("x"), LOOPBACK, port)
    exchange.flush()
    exchange.forget(fd)
    expect(exchange.wait(0)).toBe(0)
  })

  it("serves files over TFTP in a thread that has other work", async () => {
    const pump = new Pump(calls!.datagramExchange)
    const bytes = patterned(300_000, 3)
    const file = {
      sizeBytes: bytes.length,
      read: async (offset: number, length: number) => bytes.subarray(offset, offset + length),
      close: async () => {},
    }
    const files = { open: async () => file }
    const server = await listenTftp({ address: "127.0.0.1", port: 0, files, pump })
    const asked = [{}, { blksize: 1468 }, { blksize: 65_464 }, { blksize: 1468, windowsize: 16 }]
    const fetched = asked.map((options) => fetchTftp({ host: "127.0.0.1", port: server.port, file: "x", ...options }))
    for (const one of await Promise.all(fetched)) expect(Buffer.compare(one.bytes, bytes)).toBe(0)
    await server.close()
    pump.close()
  })
})
