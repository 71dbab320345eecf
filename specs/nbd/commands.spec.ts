/** Each command and aspect by itself, over simple and structured replies; replies are written out. */
import { describe, expect, it } from "vitest"
import { FAST_ONLY, FUA, MAY_UNMAP } from "../../core/block/device.ts"
import { fail } from "../../core/errors.ts"
import {
  CMD,
  chunk,
  ERRNO,
  errorOf,
  FLAG,
  offsetData,
  openSession,
  request,
  settle,
  simple,
} from "../support/nbd-session.ts"

const sizeBytes = 1024 * 1024
const fill = (byte: string, length: number): string => byte.repeat(length)

describe("READ", () => {
  it("simple", () => {
    const { device, wire, feed } = openSession()
    device.put(512, Buffer.alloc(512, 0xa5))
    feed(request(CMD.read, 512, 512, { cookie: 7 }))
    expect(wire.hex).toBe(simple(0, 7, fill("a5", 512)))
  })
  it("structured, in one chunk that says where and is the last", () => {
    const { device, wire, feed } = openSession({ structured: true })
    device.put(512, Buffer.alloc(512, 0xa5))
    feed(request(CMD.read, 512, 512, { cookie: 7 }))
    expect(wire.hex).toBe(offsetData(512, fill("a5", 512), 7))
  })
  it("keeps all 64 bits of the cookie", () => {
    const { wire, session } = openSession()
    session.receive(Buffer.from(request(CMD.read, 0, 512).replace("0000000000000001", "fedcba9876543210"), "hex"))
    expect(wire.hex.slice(16, 32)).toBe("fedcba9876543210")
  })
  it.each([false, true])("first and last block (structured %s)", (structured) => {
    const { wire, feed } = openSession({ structured })
    feed(request(CMD.read, 0, 512) + request(CMD.read, sizeBytes - 512, 512))
    const one = structured ? 28 + 512 : 16 + 512
    expect(wire.bytes.length).toBe(2 * one)
  })
  it.each([
    ["one block past the end", sizeBytes, 512],
    ["reaching past the end", sizeBytes - 512, 1024],
    ["at 2^63", 2n ** 63n, 512],
    ["at 2^64 - 512", 2n ** 64n - 512n, 512],
    ["at 2^53 + 512", 2n ** 53n + 512n, 512],
    ["with an odd offset", 1, 512],
    ["with an odd length", 0, 513],
  ])("%s is EINVAL and the next request is served", (_why, offset, length) => {
    for (const structured of [false, true]) {
      const { wire, feed } = openSession({ structured })
      feed(request(CMD.read, offset, length))
      expect(errorOf(wire.bytes)).toBe(ERRNO.inval)
      const before = wire.hex
      feed(request(CMD.flush, 1, 0, { cookie: 9 }))
      expect(wire.hex.length).toBeGreaterThan(before.length)
    }
  })
  it("of nothing is answered with nothing", () => {
    const a = openSession()
    a.feed(request(CMD.read, 0, 0))
    expect(a.wire.hex).toBe(simple(0))
    const b = openSession({ structured: true })
    b.feed(request(CMD.read, 0, 0))
    expect(b.wire.hex).toBe(chunk(0, ""))
  })
  it("of nothing past the end is EINVAL", () => {
    const { wire, feed } = openSession()
    feed(request(CMD.read, sizeBytes + 512, 0))
    expect(errorOf(wire.bytes)).toBe(ERRNO.inval)
  })
  it("longer than the largest payload is EINVAL, or EOVERFLOW once replies are structured", () => {
    const big = 64 * 1024 * 1024
    for (const [structured, error] of [
      [false, ERRNO.inval],
      [true, ERRNO.overflow],
    ] as const) {
      const { wire, feed } = openSession({ structured, sizeBytes: big })
      feed(request(CMD.read, 0, 32 * 1024 * 1024 + 512))
      expect(errorOf(wire.bytes)).toBe(error)
    }
  })
  it("of exactly the largest payload is served", async () => {
    const { wire, feed } = openSession({ sizeBytes: 64 * 1024 * 1024 })
    feed(request(CMD.read, 0, 32 * 1024 * 1024))
    await settle()
    expect(wire.bytes.length).toBe(16 + 32 * 1024 * 1024)
  })
  it("DF is served once replies are structured and EINVAL before", () => {
    const a = openSession({ structured: true })
    a.feed(request(CMD.read, 0, 65_536, { flags: FLAG.df }))
    expect(a.wire.hex).toBe(offsetData(0, fill("00", 65_536)))
    const b = openSession()
    b.feed(request(CMD.read, 0, 512, { flags: FLAG.df }))
    expect(errorOf(b.wire.bytes)).toBe(ERRNO.inval)
  })
  it("FUA is accepted, unknown flags are EINVAL", () => {
    for (const [flags, error] of [
      [FLAG.fua, 0],
      [FLAG.noHole, ERRNO.inval],
      [FLAG.one, ERRNO.inval],
      [32, ERRNO.inval],
      [0x8000, ERRNO.inval],
    ] as const) {
      const { wire, feed } = openSession()
      feed(request(CMD.read, 0, 512, { flags }))
      expect([flags, errorOf(wire.bytes)]).toEqual([flags, error])
    }
  })
  it("a miss is answered by the asynchronous door", async () => {
    for (const structured of [false, true]) {
      const { device, wire, feed } = openSession({ structured, missRate: 1 })
      device.put(0, Buffer.alloc(512, 0x5a))
      feed(request(CMD.read, 0, 512))
      expect(wire.hex).toBe("")
      await settle()
      expect(wire.hex).toBe(structured ? offsetData(0, fill("5a", 512)) : simple(0, 1, fill("5a", 512)))
    }
  })
  it.each([0, 1])(
    "an unreadable range is EIO, with its offset when that is inside (miss rate %d)",
    async (missRate) => {
      const { device, wire, feed } = openSession({ structured: true, missRate })
      device.failNext(fail("MEDIUM_ERROR", { offset: 1024, length: 512 }))
      feed(request(CMD.read, 512, 1024))
      await settle()
      const b = wire.bytes
      expect([b.readUInt16BE(6), b.readUInt32BE(20)]).toEqual([0x8002, ERRNO.io])
      const words = b.readUInt16BE(24)
      expect(b.subarray(26, 26 + words).toString()).toContain("unreadable at byte 1024")
      expect([b.readBigUInt64BE(26 + words), b.length]).toEqual([1024n, 34 + words])
    },
  )
  it("an error that lies outside the request carries no offset", () => {
    const { device, wire, feed } = openSession({ structured: true })
    device.failNext(fail("MEDIUM_ERROR", { offset: 4096 }))
    feed(request(CMD.read, 512, 1024))
    expect([wire.bytes.readUInt16BE(6), errorOf(wire.bytes)]).toEqual([0x8001, ERRNO.io])
  })
  it("anything else that is thrown is EIO and the session goes on", () => {
    const { device, wire, feed } = openSession()
    device.failNext(new TypeError("broken") as never)
    feed(request(CMD.read, 0, 512) + request(CMD.read, 0, 512, { cookie: 2 }))
    expect(wire.hex).toBe(simple(ERRNO.io) + simple(0, 2, fill("00", 512)))
  })
})

describe("WRITE", () => {
  it("simple", () => {
    const { device, wire, feed } = openSession()
    feed(request(CMD.write, 512, 512, { payload: fill("a5", 512) }))
    expect(wire.hex).toBe(simple(0))
    expect(device.bytes.subarray(0, 1536).toString("hex")).toBe(fill("00", 512) + fill("a5", 512) + fill("00", 512))
  })
  it("success is a simple reply even when replies are structured", () => {
    const { wire, feed } = openSession({ structured: true })
    feed(request(CMD.write, 0, 512, { payload: fill("a5", 512) }))
    expect(wire.hex).toBe(simple(0))
  })
  it.each([
    ["one block past the end", sizeBytes, 512, ERRNO.nospc],
    ["reaching past the end", sizeBytes - 512, 1024, ERRNO.nospc],
    ["with an odd offset", 511, 512, ERRNO.inval],
    ["with an odd length", 512, 511, ERRNO.inval],
  ])("%s is refused, its payload skipped, and the next request served", (_why, offset, length, error) => {
    const { device, wire, feed } = openSession()
    device.recording = true
    feed(request(CMD.write, offset, length, { payload: fill("a5", length) }) + request(CMD.read, 0, 512, { cookie: 2 }))
    expect(wire.hex).toBe(simple(error) + simple(0, 2, fill("00", 512)))
    expect(device.calls.map((c) => c.op)).toEqual(["read"])
  })
  it("of nothing is success without a write", () => {
    const { device, wire, feed } = openSession()
    device.recording = true
    feed(request(CMD.write, 0, 0) + request(CMD.write, sizeBytes, 0, { cookie: 2 }))
    expect(wire.hex).toBe(simple(0) + simple(0, 2))
    expect(device.calls).toEqual([])
  })
  it("to a read-only export is EPERM, its payload skipped", () => {
    const { device, wire, feed } = openSession({ features: { writable: false } })
    feed(request(CMD.write, 0, 512, { payload: fill("a5", 512) }) + request(CMD.write, 0, 0, { cookie: 2 }))
    expect(wire.hex).toBe(simple(ERRNO.perm) + simple(ERRNO.perm, 2))
    expect(device.bytes[0]).toBe(0)
  })
  it("FUA reaches the device, through either door", async () => {
    for (const missRate of [0, 1]) {
      const { device, feed } = openSession({ missRate })
      device.recording = true
      feed(request(CMD.write, 0, 512, { flags: FLAG.fua, payload: fill("a5", 512) }))
      await settle()
      expect(device.calls).toEqual([{ op: "write", sync: missRate === 0, offset: 0, length: 512, flags: FUA }])
    }
  })
  it("longer than the largest payload is EINVAL after its payload was skipped", () => {
    const { wire, session, feed } = openSession({ sizeBytes: 64 * 1024 * 1024 })
    feed(request(CMD.write, 0, 32 * 1024 * 1024 + 512))
    for (let i = 0; i < 512; i++) session.receive(Buffer.alloc(65_536, 0xa5))
    expect(wire.hex).toBe("")
    session.receive(Buffer.alloc(512, 0xa5))
    expect(wire.hex).toBe(simple(ERRNO.inval))
  })
  it("no space is ENOSPC", () => {
    const { device, wire, feed } = openSession()
    device.failNext(fail("NO_SPACE", { offset: 0 }))
    feed(request(CMD.write, 0, 512, { payload: fill("a5", 512) }))
    expect(wire.hex).toBe(simple(ERRNO.nospc))
  })
  it("a byte-granular disk takes a single byte, at its end too", () => {
    const { device, wire, feed } = openSession({ sizeBytes: 1000, features: { byteGranular: true } })
    feed(request(CMD.write, 999, 1, { payload: "a5" }) + request(CMD.write, 1000, 1, { cookie: 2, payload: "a5" }))
    expect(wire.hex).toBe(simple(0) + simple(ERRNO.nospc, 2))
    expect(device.bytes[999]).toBe(0xa5)
  })
  it("of exactly the largest synchronous size, and one block more", async () => {
    const { device, wire, session, feed } = openSession({ sizeBytes: 1024 * 1024 })
    device.recording = true
    for (const length of [256 * 1024, 256 * 1024 + 512]) {
      feed(request(CMD.write, 0, length))
      session.receive(Buffer.alloc(length, 0x77))
      await settle()
    }
    expect(wire.hex).toBe(simple(0) + simple(0))
    expect(device.calls.map((c) => c.sync)).toEqual([true, false])
    expect(device.bytes.subarray(0, 256 * 1024 + 512).every((b) => b === 0x77)).toBe(true)
  })
})

describe("WRITE_ZEROES", () => {
  it.each([
    [0, MAY_UNMAP],
    [FLAG.noHole, 0],
    [FLAG.fua, FUA | MAY_UNMAP],
    [FLAG.fast, FAST_ONLY | MAY_UNMAP],
    [FLAG.fua | FLAG.noHole | FLAG.fast, FUA | FAST_ONLY],
  ])("flags %d reach the device as %d", async (flags, expected) => {
    for (const missRate of [0, 1]) {
      const { device, wire, feed } = openSession({ missRate })
      device.put(0, Buffer.alloc(4096, 0xa5))
      device.recording = true
      feed(request(CMD.zero, 0, 4096, { flags }))
      await settle()
      expect(wire.hex).toBe(simple(0))
      expect(device.calls).toEqual([{ op: "zero", sync: missRate === 0, offset: 0, length: 4096, flags: expected }])
      expect(device.bytes.subarray(0, 4096).every((b) => b === 0)).toBe(true)
    }
  })
  it("fast where the disk is not fast is ENOTSUP and changes nothing", () => {
    const { device, wire, feed } = openSession({ features: { fastZero: false } })
    device.put(0, Buffer.alloc(512, 0xa5))
    feed(request(CMD.zero, 0, 512, { flags: FLAG.fast }))
    expect(wire.hex).toBe(simple(ERRNO.notsup))
    expect(device.bytes[0]).toBe(0xa5)
  })
  it("not supported without FAST_ZERO is EINVAL, for ENOTSUP would be a lie", () => {
    const { device, wire, feed } = openSession()
    device.failNext(fail("NOT_SUPPORTED", {}))
    feed(request(CMD.zero, 0, 512))
    expect(wire.hex).toBe(simple(ERRNO.inval))
  })
  it("may be longer than the largest payload", async () => {
    const { wire, feed } = openSession({ sizeBytes: 64 * 1024 * 1024 })
    feed(request(CMD.zero, 0, 64 * 1024 * 1024))
    await settle()
    expect(wire.hex).toBe(simple(0))
  })
  it.each([
    ["past the end", { offset: sizeBytes, features: {} }, ERRNO.nospc],
    ["to a read-only export", { offset: 0, features: { writable: false } }, ERRNO.perm],
  ])("%s is refused", (_why, { offset, features }, error) => {
    const { wire, feed } = openSession({ features })
    feed(request(CMD.zero, offset, 512))
    expect(wire.hex).toBe(simple(error))
  })
})

describe("TRIM", () => {
  it("reaches the device with its FUA", async () => {
    const { device, wire, feed } = openSession()
    device.recording = true
    feed(request(CMD.trim, 4096, 8192, { flags: FLAG.fua }))
    await settle()
    expect(wire.hex).toBe(simple(0))
    expect(device.calls).toEqual([{ op: "trim", sync: false, offset: 4096, length: 8192, flags: FUA }])
  })
  it.each([
    ["past the end", sizeBytes, 512, {}, ERRNO.inval],
    ["to a read-only export", 0, 512, { writable: false }, ERRNO.perm],
    ["with an odd offset", 1, 512, {}, ERRNO.inval],
  ])("%s is refused", (_why, offset, length, features, error) => {
    const { wire, feed } = openSession({ features })
    feed(request(CMD.trim, offset, length))
    expect(wire.hex).toBe(simple(error))
  })
})

describe("FLUSH", () => {
  it("reaches the device and is answered when it is done", async () => {
    const { device, wire, feed } = openSession()
    device.hold()
    device.recording = true
    feed(request(CMD.flush, 0, 0))
    await settle()
    expect(wire.hex).toBe("")
    device.letGo()
    await settle()
    expect(wire.hex).toBe(simple(0))
    expect(device.calls.map((c) => c.op)).toEqual(["flush"])
  })
  it("succeeds on a read-only export", async () => {
    const { wire, feed } = openSession({ features: { writable: false } })
    feed(request(CMD.flush, 0, 0))
    await settle()
    expect(wire.hex).toBe(simple(0))
  })
  it("with an offset or a length is EINVAL", () => {
    const { wire, feed } = openSession()
    feed(request(CMD.flush, 512, 0) + request(CMD.flush, 0, 512, { cookie: 2 }))
    expect(wire.hex).toBe(simple(ERRNO.inval) + simple(ERRNO.inval, 2))
  })
})

describe("CACHE", () => {
  it("is rounded out to whole blocks, and never past the end", async () => {
    const { device, wire, feed } = openSession()
    device.recording = true
    feed(request(CMD.cache, 1, 512) + request(CMD.cache, sizeBytes - 1, 1, { cookie: 2 }))
    await settle()
    expect(wire.hex).toBe(simple(0) + simple(0, 2))
    expect(device.calls.map((c) => [c.offset, c.length])).toEqual([
      [0, 1024],
      [sizeBytes - 512, 512],
    ])
  })
  it("past the end is EINVAL", () => {
    const { wire, feed } = openSession()
    feed(request(CMD.cache, sizeBytes, 1))
    expect(wire.hex).toBe(simple(ERRNO.inval))
  })
})

describe("BLOCK_STATUS", () => {
  const agreed = { structured: true, allocation: true }
  const status = (...runs: ReadonlyArray<readonly [number, number]>): string =>
    chunk(5, `00000001${runs.map((r) => r.map((n) => n.toString(16).padStart(8, "0")).join("")).join("")}`)

  it("shows data as allocated, zeros as hole and zero", async () => {
    const { device, wire, feed } = openSession(agreed)
    device.put(8192, Buffer.alloc(4096, 1))
    feed(request(CMD.status, 0, 65_536))
    await settle()
    expect(wire.hex).toBe(status([8192, 3], [4096, 0], [53_248, 3]))
  })
  it("REQ_ONE shows one run, inside what was asked", async () => {
    const { device, wire, feed } = openSession(agreed)
    device.put(8192, Buffer.alloc(4096, 1))
    feed(request(CMD.status, 4096, 65_536, { flags: FLAG.one }))
    await settle()
    expect(wire.hex).toBe(status([4096, 3]))
  })
  it("absent and zero are one run, clipped to the request", async () => {
    const { device, wire, feed } = openSession(agreed)
    device.extents = async () => [
      { offset: 0, length: 4096, kind: "absent" },
      { offset: 4096, length: 4096, kind: "zero" },
      { offset: 8192, length: 1 << 20, kind: "data" },
    ]
    feed(request(CMD.status, 512, 16_384))
    await settle()
    expect(wire.hex).toBe(status([7680, 3], [8704, 0]))
  })
  it("a disk that knows nothing is all data", async () => {
    const { device, wire, feed } = openSession(agreed)
    device.extents = async () => []
    feed(request(CMD.status, 0, 4096))
    await settle()
    expect(wire.hex).toBe(status([4096, 0]))
  })
  it.each([
    ["without the context", { structured: true }, 0, 512],
    ["without structured replies", {}, 0, 512],
    ["of nothing", agreed, 0, 0],
    ["past the end", agreed, sizeBytes, 512],
  ])("%s is EINVAL", (_why, setup, offset, length) => {
    const { wire, feed } = openSession(setup)
    feed(request(CMD.status, offset, length))
    expect(errorOf(wire.bytes)).toBe(ERRNO.inval)
  })
})

describe("anything else", () => {
  it.each([8, 9, 255, 65_535])("the unknown command %d is EINVAL and the next request is served", (type) => {
    const { wire, feed } = openSession()
    feed(request(type, 0, 512) + request(CMD.read, 0, 512, { cookie: 2 }))
    expect(wire.hex).toBe(simple(ERRNO.inval) + simple(0, 2, fill("00", 512)))
  })
  it("a request without its magic closes the connection, after what was answered before it", () => {
    const { wire, ends, feed } = openSession()
    feed(request(CMD.read, 0, 512) + request(CMD.read, 0, 512).replace("25609513", "25609514"))
    expect(wire.hex).toBe(simple(0, 1, fill("00", 512)))
    expect([wire.destroyed, ends]).toEqual([true, ["a request without its magic"]])
  })
})
