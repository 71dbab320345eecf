/** Datagrams and waiting through the C library, on loopback. */
import { createSocket, type Socket } from "node:dgram"
import { once } from "node:events"
import { afterEach, describe, expect, it } from "vitest"
import { loadLibc } from "../../../adapters/host/libc.ts"
import { fileDescriptor } from "../../../core/runtime/datagram-socket.ts"

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

here("waiting", () => {
  it("tells the sockets that have something, until it is taken, and none that is forgotten or closed", async () => {
    const [a, b] = [await bound(), await bound()]
    const batch = libc!.datagrams(2, 10)
    const readiness = libc!.readiness()
    expect([readiness.watch(a.fd), readiness.watch(b.fd), readiness.watch(-1)]).toEqual([true, true, false])
    expect(readiness.wait(0)).toBe(0)
    for (const { port } of [a, b]) batch.put(Buffer.from("x"), LOOPBACK, port)
    batch.send(a.fd, never)
    expect(readiness.wait(1000)).toBe(2)
    expect([readiness.fd(0), readiness.fd(1)].toSorted()).toEqual([a.fd, b.fd].toSorted())
    batch.receive(a.fd)
    expect([readiness.wait(0), readiness.fd(0)]).toEqual([1, b.fd])
    readiness.forget(b.fd)
    expect(readiness.wait(0)).toBe(0)
    readiness.close()
    expect([readiness.wait(0), readiness.watch(a.fd)]).toEqual([0, false])
  })
})
