/** How requests arrive and replies leave: in bursts, in pieces, out of order, too many, too fast, and while closing. */
import { describe, expect, it } from "vitest"
import { defaultBudget } from "../../adapters/nbd/session.ts"
import { fail } from "../../core/errors.ts"
import { CMD, ERRNO, offsetData, openSession, request, settle, simple } from "../support/nbd-session.ts"

const fill = (byte: string, length: number): string => byte.repeat(length)
const MiB = 1024 * 1024

describe("many requests in one chunk", () => {
  it("are answered in one write, in order", () => {
    const { wire, feed } = openSession()
    const cookies = Array.from({ length: 100 }, (_, i) => i + 1)
    feed(cookies.map((cookie) => request(CMD.read, cookie * 512, 512, { cookie })).join(""))
    expect(wire.sends.length).toBe(1)
    expect(wire.hex).toBe(cookies.map((cookie) => simple(0, cookie, fill("00", 512))).join(""))
  })
  it("leave in several writes when they fill the slab, and nothing is lost", () => {
    const { device, wire, feed } = openSession({ slabBytes: 4096 + 64 })
    for (let i = 0; i < 16; i++) device.put(i * 4096, Buffer.alloc(4096, i + 1))
    feed(Array.from({ length: 16 }, (_, i) => request(CMD.read, i * 4096, 4096, { cookie: i + 1 })).join(""))
    expect(wire.sends.length).toBe(16)
    expect(wire.hex).toBe(
      Array.from({ length: 16 }, (_, i) => simple(0, i + 1, fill((i + 1).toString(16).padStart(2, "0"), 4096))).join(
        "",
      ),
    )
  })
  it("misses that settle together leave together", async () => {
    const { device, wire, feed } = openSession()
    device.hold()
    feed([1, 2, 3, 4].map((cookie) => request(CMD.read, 0, 512, { cookie })).join(""))
    device.letGo()
    await settle()
    expect(wire.sends.length).toBe(1)
    expect(wire.bytes.length).toBe(4 * 528)
  })
  it("a hit overtakes a miss", async () => {
    const { device, wire, feed } = openSession({ structured: true })
    device.hold()
    feed(request(CMD.flush, 0, 0, { cookie: 1 }))
    device.readSync = (into, at, _offset, length) => {
      into.fill(9, at, at + length)
      return true
    }
    feed(request(CMD.read, 0, 512, { cookie: 2 }))
    expect(wire.hex).toBe(offsetData(0, fill("09", 512), 2))
    device.letGo()
    await settle()
    expect(wire.hex).toBe(offsetData(0, fill("09", 512), 2) + simple(0, 1))
  })
})

describe("a chunk cut anywhere", () => {
  const conversation =
    request(CMD.write, 512, 512, { cookie: 1, payload: fill("a5", 512) }) +
    request(CMD.write, MiB, 512, { cookie: 2, payload: fill("ff", 512) }) +
    request(CMD.read, 512, 512, { cookie: 3 }) +
    request(CMD.write, 512, 0, { cookie: 4 })
  const expected = simple(0, 1) + simple(ERRNO.nospc, 2) + simple(0, 3, fill("a5", 512)) + simple(0, 4)

  it("in two, at every byte, gives the same replies", () => {
    const bytes = conversation.length / 2
    for (let cut = 1; cut < bytes; cut++) {
      const { wire, feed } = openSession()
      feed(conversation.slice(0, cut * 2))
      feed(conversation.slice(cut * 2))
      expect([cut, wire.hex]).toEqual([cut, expected])
    }
  })
  it("into single bytes gives the same replies", () => {
    const { wire, feed } = openSession()
    for (let i = 0; i < conversation.length; i += 2) feed(conversation.slice(i, i + 2))
    expect(wire.hex).toBe(expected)
  })
  it("gives the same replies when every request misses", async () => {
    const { wire, feed } = openSession({ missRate: 1 })
    for (let i = 0; i < conversation.length; i += 14) {
      feed(conversation.slice(i, i + 14))
      await settle(2)
    }
    expect(wire.hex).toBe(expected)
  })
  it("a write of 1 MiB arrives whole from chunks of 64 KiB", async () => {
    const { device, wire, session, feed } = openSession()
    const bytes = Buffer.alloc(MiB)
    for (let i = 0; i < MiB; i++) bytes[i] = (i * 31) % 251
    feed(request(CMD.write, 0, MiB))
    for (let at = 0; at < MiB; at += 65_536) session.receive(Buffer.from(bytes.subarray(at, at + 65_536)))
    await settle()
    expect(wire.hex).toBe(simple(0))
    expect(device.bytes.equals(bytes)).toBe(true)
  })
})

describe("a payload in use", () => {
  it("is not touched by the next request, when its write misses", async () => {
    const { device, wire, feed } = openSession()
    device.hold()
    // The first comes in two pieces and sits in a slab; the second must not get the same slab.
    const [a, b] = [
      request(CMD.write, 0, 512, { payload: fill("aa", 512) }),
      request(CMD.write, 512, 512, { cookie: 2, payload: fill("bb", 512) }),
    ]
    for (const hex of [a, b]) {
      feed(hex.slice(0, 200))
      feed(hex.slice(200))
    }
    device.letGo()
    await settle()
    expect(wire.hex).toBe(simple(0, 1) + simple(0, 2))
    expect(device.bytes.subarray(0, 1024).toString("hex")).toBe(fill("aa", 512) + fill("bb", 512))
  })
})

describe("a chunk, which is used for something else once it was handed over", () => {
  const writes = [1, 2, 3].map((n) => request(CMD.write, n * 512, 512, { cookie: n, payload: fill(`a${n}`, 512) }))
  const written = fill("a1", 512) + fill("a2", 512) + fill("a3", 512)

  it("may hold writes that miss: they write what it held then", async () => {
    const { device, wire, feed } = openSession({ missRate: 1 })
    device.hold()
    feed(writes.join(""))
    device.letGo()
    await settle()
    expect(wire.hex).toBe(simple(0, 1) + simple(0, 2) + simple(0, 3))
    expect(device.bytes.subarray(512, 2048).toString("hex")).toBe(written)
  })
  it("may be longer than the budget allows: the rest, and chunks after it, wait as they were", async () => {
    const { device, wire, feed } = openSession({ missRate: 1, budget: { ...defaultBudget, inFlightRequestsMax: 1 } })
    device.hold()
    feed(writes[0]! + writes[1]!)
    feed(writes[2]!)
    expect(wire.paused).toBe(true)
    device.letGo()
    await settle(20)
    expect(wire.hex).toBe(simple(0, 1) + simple(0, 2) + simple(0, 3))
    expect(device.bytes.subarray(512, 2048).toString("hex")).toBe(written)
    expect(wire.paused).toBe(false)
  })
})

describe("back-pressure", () => {
  it("a peer that does not read is not served beyond the pause, and gets everything later", () => {
    const budget = { ...defaultBudget, outputPauseBytes: 64 * 1024 }
    const { wire, session, feed } = openSession({ budget, slabBytes: 64 * 1024 })
    wire.stuck = true
    const cookies = Array.from({ length: 1000 }, (_, i) => i + 1)
    feed(cookies.map((cookie) => request(CMD.read, 0, 4096, { cookie })).join(""))
    expect(wire.paused).toBe(true)
    // At most the pause, the slab that crossed it and the one being filled.
    expect(wire.queuedBytes()).toBeLessThanOrEqual(3 * 64 * 1024)
    let rounds = 0
    for (; wire.queuedBytes() > 0 && rounds < 100; rounds++) {
      wire.drain()
      wire.stuck = true
      session.drained()
    }
    expect(rounds).toBeGreaterThan(10)
    expect(wire.paused).toBe(false)
    expect(wire.hex).toBe(cookies.map((cookie) => simple(0, cookie, fill("00", 4096))).join(""))
  })
  it("takes no more than the allowed requests in flight, and the rest when some settle", async () => {
    const budget = { ...defaultBudget, inFlightRequestsMax: 3 }
    const { device, wire, feed } = openSession({ budget })
    device.hold()
    device.recording = true
    feed([1, 2, 3, 4, 5, 6, 7].map((cookie) => request(CMD.read, 0, 512, { cookie })).join(""))
    expect(wire.paused).toBe(true)
    device.letGo()
    await settle(10)
    expect(wire.paused).toBe(false)
    expect(wire.bytes.length).toBe(7 * 528)
  })
  it("takes no more than the allowed bytes in flight, but always one request", async () => {
    const budget = { ...defaultBudget, inFlightBytesMax: 32 * MiB }
    const { device, wire, feed } = openSession({ budget, sizeBytes: 32 * MiB })
    device.hold()
    feed([1, 2].map((cookie) => request(CMD.read, 0, 32 * MiB, { cookie })).join(""))
    expect(wire.paused).toBe(true)
    device.letGo()
    await settle(10)
    expect(wire.bytes.length).toBe(2 * (32 * MiB + 16))
  })
  it("chunks that still arrive while paused keep their order", async () => {
    const budget = { ...defaultBudget, inFlightRequestsMax: 1 }
    const { device, wire, feed } = openSession({ budget })
    device.hold()
    const all = [1, 2, 3, 4].map((cookie) => request(CMD.read, 0, 512, { cookie })).join("")
    for (let i = 0; i < all.length; i += 34) feed(all.slice(i, i + 34))
    device.letGo()
    await settle(12)
    expect(wire.hex).toBe([1, 2, 3, 4].map((c) => simple(0, c, fill("00", 512))).join(""))
  })
})

describe("closing", () => {
  it("DISC is not answered, waits for what is in flight, and ends", async () => {
    const { device, wire, ends, feed } = openSession()
    device.hold()
    feed(request(CMD.write, 0, 512, { payload: fill("a5", 512) }) + request(CMD.disc, 0, 0, { cookie: 2 }))
    expect([wire.ended, ends]).toEqual([false, []])
    device.letGo()
    await settle()
    expect(wire.hex).toBe(simple(0))
    expect([wire.ended, ends]).toEqual([true, ["the client disconnected"]])
  })
  it("what follows DISC is not looked at", () => {
    const { wire, ends, feed } = openSession()
    feed(request(CMD.disc, 0, 0) + request(CMD.read, 0, 512))
    feed("00")
    expect([wire.hex, ends.length]).toEqual(["", 1])
  })
  it("a connection lost in the middle of a payload writes nothing", () => {
    const { device, ends, session, feed } = openSession()
    device.recording = true
    feed(request(CMD.write, 0, 512, { payload: fill("a5", 511) }))
    session.lost("gone")
    expect([device.calls, ends]).toEqual([[], ["gone"]])
  })
  it("a connection lost with a write in flight ends after that write, once", async () => {
    const { device, ends, wire, session, feed } = openSession()
    device.hold()
    feed(request(CMD.write, 0, 512, { payload: fill("a5", 512) }))
    session.lost("gone")
    session.lost("gone again")
    expect(ends).toEqual([])
    device.letGo()
    await settle()
    expect([device.bytes[0], ends, wire.hex]).toEqual([0xa5, ["gone"], ""])
  })
  it("a connection lost with a read in flight gives the read up", async () => {
    const { device, ends, wire, session, feed } = openSession()
    device.hold()
    device.recording = true
    feed(request(CMD.read, 0, 512))
    session.lost("gone")
    device.letGo()
    await settle()
    expect([device.calls, ends, wire.hex]).toEqual([[], ["gone"], ""])
  })
  it("refusing answers ESHUTDOWN to everything, payloads included", async () => {
    const { device, session, wire, feed } = openSession()
    device.recording = true
    session.refuse()
    feed(
      request(CMD.write, 0, 512, { payload: fill("a5", 512) }) +
        request(CMD.read, 0, 512, { cookie: 2 }) +
        request(CMD.flush, 0, 0, { cookie: 3 }),
    )
    await settle()
    expect(wire.hex).toBe(simple(ERRNO.shutdown, 1) + simple(ERRNO.shutdown, 2) + simple(ERRNO.shutdown, 3))
    expect(device.calls).toEqual([])
  })
  it("a retired overlay is ESHUTDOWN", () => {
    const { device, wire, feed } = openSession()
    device.failNext(fail("OVERLAY_RETIRED", { client: "PC-001", slot: 0 }))
    feed(request(CMD.read, 0, 512))
    expect(wire.hex).toBe(simple(ERRNO.shutdown))
  })
  it("finishing while the backlog waits drops the backlog and ends", async () => {
    const budget = { ...defaultBudget, inFlightRequestsMax: 1 }
    const { device, ends, wire, session, feed } = openSession({ budget })
    device.hold()
    feed([1, 2, 3].map((cookie) => request(CMD.read, 0, 512, { cookie })).join(""))
    session.finish("enough")
    device.letGo()
    await settle()
    expect(wire.hex).toBe(simple(0, 1, fill("00", 512)))
    expect([ends, wire.ended, wire.paused]).toEqual([["enough"], true, false])
  })
})
