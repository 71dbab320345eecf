import { AssertionError } from "node:assert"
import { describe, expect, it } from "vitest"
import { errors, fail } from "../../../core/errors.ts"
import { contain } from "../../../core/storage/contain.ts"
import { guardVolume } from "../../../core/storage/guard.ts"
import type { Volume } from "../../../core/storage/volume.ts"
import { memoryVolume } from "../../plugins/memory.ts"

const where = { kind: "shelf", path: "/srv/a.raw", user: "imagelink" }
const zeros: Volume["read"] = async (into, at, _, length) => void into.fill(0, at, at + length)
const guard = (parts: { [K in keyof Volume]?: unknown } = {}) =>
  guardVolume({ sizeBytes: 1024, read: zeros, close: async () => {}, ...parts } as Volume, where)
const buffer = new Uint8Array(2048)

/** The error that something throws or rejects with. */
const caught = async (ask: () => unknown) => {
  try {
    await ask()
  } catch (error) {
    return error as { code?: string; reason?: string; offset?: number; message: string }
  }
  throw new Error("nothing was thrown")
}

describe("a volume with only read and close", () => {
  it("is completed: read-only, all data, identified by its size, never synchronous", async () => {
    const volume = guard()
    expect(volume.readSync(buffer, 0, 0, 1)).toBe(false)
    expect(volume.writeSync(buffer, 0, 0, 1)).toBe(false)
    expect((await caught(() => volume.write(buffer, 0, 512, 4))).message).toBe(
      "write at byte 512 (+4) to a read-only disk (/srv/a.raw)",
    )
    expect(await volume.punch(0, 1024)).toBe(false)
    expect(await volume.flush()).toBeUndefined()
    expect(await volume.extents(512, 512, 1)).toEqual([{ offset: 512, length: 512, kind: "data" }])
    expect(await volume.identity()).toEqual({ sizeBytes: "1024" })
    expect(volume.support).toEqual({
      readSync: "none",
      write: "none",
      writeSync: "none",
      flush: "emulated",
      punch: "none",
      extents: "emulated",
      identity: "emulated",
    })
  })

  it("is known as native in every part once it has them all", async () => {
    const volume = guardVolume(memoryVolume(new Uint8Array(1024)), where)
    expect(new Set(Object.values(volume.support))).toEqual(new Set(["native"]))
    expect(volume.writeSync(Uint8Array.of(7, 8), 1, 1023, 1)).toBe(true)
    expect(volume.readSync(buffer, 0, 1023, 1)).toBe(true)
    expect(buffer[0]).toBe(8)
    expect(await volume.punch(1023, 1)).toBe(true)
    expect(await volume.extents(1023, 1, 1)).toEqual([{ offset: 1023, length: 1, kind: "zero" }])
  })
})

describe("a request", () => {
  const native = () => guardVolume(memoryVolume(new Uint8Array(1024)), where)

  it.each([
    ["one past the end", 1024, 1],
    ["across the end", 1023, 2],
    ["before the start", -1, 1],
    ["of nothing", 0, 0],
    ["of less than nothing", 10, -1],
    ["at half a byte", 0.5, 1],
    ["of half a byte", 0, 0.5],
    ["at no number", Number.NaN, 1],
    ["so long that it wraps", 0, Number.MAX_SAFE_INTEGER],
    ["infinitely far", Number.POSITIVE_INFINITY, 1],
  ])("%s is refused with OUT_OF_RANGE at every door", async (_, offset, length) => {
    const volume = native()
    for (const ask of [
      () => volume.readSync(buffer, 0, offset, length),
      () => volume.read(buffer, 0, offset, length),
      () => volume.writeSync(buffer, 0, offset, length),
      () => volume.write(buffer, 0, offset, length),
      () => volume.punch(offset, length),
      () => volume.extents(offset, length, 1),
    ])
      expect((await caught(ask)).code).toBe("OUT_OF_RANGE")
  })

  it("for the whole volume is carried out", async () => {
    await native().read(buffer, 1024, 0, 1024)
    expect(native().readSync(buffer, 1024, 0, 1024)).toBe(true)
  })

  it("with a buffer one byte too small is a programmer's mistake", async () => {
    const volume = native()
    expect(() => volume.readSync(new Uint8Array(7), 0, 0, 8)).toThrow(AssertionError)
    expect(() => volume.writeSync(new Uint8Array(8), 1, 0, 8)).toThrow(AssertionError)
    await expect(volume.read(new Uint8Array(8), -1, 0, 8)).rejects.toThrow(AssertionError)
  })

  it("that was aborted before it began never reaches the plugin", async () => {
    const volume = guard({ read: () => expect.unreachable() })
    expect((await caught(() => volume.read(buffer, 0, 0, 1, AbortSignal.abort()))).code).toBe("CANCELLED")
  })

  it("that is aborted on the way settles only when the plugin is done with the buffer", async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const controller = new AbortController()
    let settled = false
    const reading = guard({ read: (...request: Parameters<Volume["read"]>) => promise.then(() => zeros(...request)) })
      .read(buffer, 0, 0, 1, controller.signal)
      .finally(() => {
        settled = true
      })
    controller.abort()
    await new Promise((turn) => setImmediate(turn))
    expect(settled).toBe(false)
    resolve()
    await reading
  })
})

describe("closing", () => {
  it("waits for requests in flight, happens once, and refuses what comes later", async () => {
    const order: Array<string> = []
    const { promise, resolve } = Promise.withResolvers<void>()
    const volume = guard({
      read: async (...request: Parameters<Volume["read"]>) => {
        await promise
        await zeros(...request)
        order.push("read")
      },
      close: async () => order.push("close"),
    })
    const reads = [volume.read(buffer, 0, 0, 1), volume.read(buffer, 0, 0, 1)]
    const closing = volume.close()
    expect(volume.close()).toBe(closing)
    for (const ask of [
      () => volume.read(buffer, 0, 0, 1),
      () => volume.readSync(buffer, 0, 0, 1),
      () => volume.writeSync(buffer, 0, 0, 1),
      () => volume.flush(),
      () => volume.identity(),
    ])
      expect((await caught(ask)).code).toBe("CLOSED")
    expect(order).toEqual([])
    resolve()
    await Promise.all([...reads, closing])
    expect(order).toEqual(["read", "read", "close"])
  })

  it("waits also for a request that fails", async () => {
    const { promise, reject } = Promise.withResolvers<void>()
    const volume = guard({ read: () => promise })
    const reading = caught(() => volume.read(buffer, 0, 0, 1))
    const closing = volume.close()
    reject(new Error("gone"))
    expect((await reading).code).toBe("IO_ERROR")
    await closing
  })

  it("reports what the plugin's close threw, as one of ours", async () => {
    expect(await caught(() => guard({ close: () => Promise.reject("stuck") }).close())).toMatchObject({
      code: "IO_ERROR",
      reason: "the plugin shelf failed: stuck",
    })
  })
})

describe("an answer", () => {
  const why = async (ask: () => unknown) => {
    const error = await caught(ask)
    expect(error.code).toBe("PLUGIN_BROKE_CONTRACT")
    return error.reason
  }

  it.each([
    ["no list", undefined, "the answer is not a list"],
    ["no extent", [], "the answer is empty"],
    ["null", [null], "an entry is not an extent"],
    [
      "too many",
      Array(3).fill({ offset: 0, length: 1, kind: "data" }),
      "3 extents were answered, at most 2 were asked for",
    ],
    ["an unknown kind", [{ offset: 0, length: 1, kind: "hole" }], '"hole" is not a kind of extent'],
    ["no length", [{ offset: 0, length: 0, kind: "data" }], "the extent at 0 has length 0"],
    ["half a byte", [{ offset: 0, length: 0.5, kind: "data" }], "an extent's offset or length is not a whole number"],
    [
      "a late start",
      [{ offset: 1, length: 1, kind: "data" }],
      "an extent begins at 1, but 0 comes next: extents adjoin and do not overlap",
    ],
    [
      "an overlap",
      [
        { offset: 0, length: 512, kind: "data" },
        { offset: 511, length: 1, kind: "zero" },
      ],
      "an extent begins at 511, but 512 comes next: extents adjoin and do not overlap",
    ],
    [
      "one byte too many",
      [{ offset: 0, length: 1025, kind: "data" }],
      "the extents end at 1025, past the end of the request",
    ],
  ])("with extents of %s is refused", async (_, answer, reason) => {
    const volume = guard({ extents: async () => answer })
    expect(await why(() => volume.extents(0, 1024, 2))).toBe(`extents(0, 1024, 2): ${reason}`)
  })

  it("that is neither true nor false is refused at the synchronous doors and for punch", async () => {
    const full = memoryVolume(new Uint8Array(1024))
    const volume = guard({
      ...full,
      readSync: async () => Promise.reject("late"),
      writeSync: () => 1,
      punch: async () => {},
    })
    expect(await why(() => volume.readSync(buffer, 0, 0, 1))).toBe("readSync answered a promise, not true or false")
    expect(await why(() => volume.writeSync(buffer, 0, 0, 1))).toBe("writeSync answered number, not true or false")
    expect(await why(() => volume.punch(0, 1))).toBe("punch answered undefined, not true or false")
  })

  it("with an identity that does not fit the log is refused", async () => {
    const identity = (answer: unknown) => why(() => guard({ identity: async () => answer }).identity())
    expect(await identity({ etag: 7 })).toBe("identity: etag is not a string")
    expect(await identity({})).toBe("identity: the answer is empty")
    expect(await identity(["a"])).toBe("identity: the answer is not an object of strings")
    expect(await identity({ a: "x".repeat(256) })).toBe("identity: a is longer than 256 characters")
    expect(await identity(Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, ""])))).toBe(
      "identity: more than 16 keys",
    )
  })

  it.each([
    [{ read: undefined }, "the volume has no function read"],
    [{ close: 1 }, "the volume has no function close"],
    [{ extents: {} }, "the volume's extents is not a function"],
    [{ sizeBytes: -1 }, "sizeBytes is -1, not a whole number of bytes"],
    [{ sizeBytes: 2 ** 53 }, "sizeBytes is 9007199254740992, not a whole number of bytes"],
    [{ sizeBytes: "512" }, "sizeBytes is 512, not a whole number of bytes"],
    [{ write: async () => {} }, "the volume has write but no flush"],
    [{ writeSync: () => true }, "the volume has writeSync but no write"],
  ])("that is no volume is refused: %o", async (parts, reason) => {
    expect(await why(() => guard(parts))).toBe(reason)
  })
})

describe("what a plugin throws", () => {
  const node = (code: string) => Object.assign(new Error(`${code}: it failed`), { code })

  it.each([
    [node("ENOENT"), "IMAGE_FILE_NOT_FOUND"],
    [node("ENOTDIR"), "IMAGE_FILE_NOT_FOUND"],
    [node("EACCES"), "IMAGE_ACCESS_DENIED"],
    [node("EPERM"), "IMAGE_ACCESS_DENIED"],
    [node("ENOSPC"), "NO_SPACE"],
    [node("EDQUOT"), "NO_SPACE"],
    [node("EROFS"), "READ_ONLY"],
    [node("EIO"), "IO_ERROR"],
    [new DOMException("stop", "AbortError"), "CANCELLED"],
    [node("ABORT_ERR"), "CANCELLED"],
    [fail("MEDIUM_ERROR", { offset: 7 }), "MEDIUM_ERROR"],
    [fail("STORE_DAMAGED", { file: "x", why: "no" }), "IO_ERROR"],
    [new TypeError("x is undefined"), "IO_ERROR"],
    ["a string", "IO_ERROR"],
    [undefined, "IO_ERROR"],
    [null, "IO_ERROR"],
    [Symbol("s"), "IO_ERROR"],
    [Object.create(null), "IO_ERROR"],
  ])("becomes one of ours: %o", async (thrown, code) => {
    const sync = guard({
      readSync: () => {
        throw thrown
      },
    })
    expect((await caught(() => sync.readSync(buffer, 0, 0, 1))).code).toBe(code)
    const unasked = code === "CANCELLED" ? "IO_ERROR" : code
    expect((await caught(() => guard({ read: () => Promise.reject(thrown) }).read(buffer, 0, 0, 1))).code).toBe(unasked)
  })

  it("is CANCELLED only if its caller had cancelled", async () => {
    const caller = new AbortController()
    const aborted = guard({
      read: async () => {
        caller.abort()
        throw new DOMException("stop", "AbortError")
      },
    })
    expect((await caught(() => aborted.read(buffer, 0, 0, 1, caller.signal))).code).toBe("CANCELLED")
    const unasked = await caught(() => guard({ read: () => Promise.reject(node("ABORT_ERR")) }).read(buffer, 0, 0, 1))
    expect([unasked.code, unasked.reason]).toEqual(["IO_ERROR", "the plugin shelf gave up by itself"])
  })

  it("becomes IO_ERROR when even looking at it throws", () => {
    const trap = new Proxy(new Error("trap"), {
      get: () => {
        throw new Error("sprung")
      },
    })
    expect(contain(trap, where)).toMatchObject({
      code: "IO_ERROR",
      reason: "the plugin shelf threw something unreadable",
    })
  })

  it("keeps where it happened, what it said in one short line, and the underlying error", () => {
    const thrown = new Error(`first\nsecond ${"x".repeat(1000)}`)
    const error = contain(thrown, where, { need: "read", offset: 512, length: 4096 })
    expect(error.message).toBe("input/output error at byte 512 (+4096) on /srv/a.raw")
    expect(error.reason).toBe(`the plugin shelf failed: first second ${"x".repeat(287)}`)
    expect(error.offset).toBe(512)
    expect(error.cause).toBe(thrown)
  })

  it("names the user who lacks the permission, and which one", () => {
    const error = contain(node("EACCES"), where, { need: "write" })
    expect(error.reason).toBe("the server runs as imagelink, which may not write it")
  })

  it("is understood when another copy of this package made it", () => {
    class Copy extends Error {
      override readonly name = "ImagelinkError"
      readonly code = "NO_SPACE"
      readonly reason = "the bucket is full"
      readonly fix = "buy a larger one"
      readonly details = []
      readonly offset = 4096
    }
    const error = contain(new Copy("no space in the bucket"), where)
    expect(error.toJSON()).toEqual({
      code: "NO_SPACE",
      message: "no space in the bucket",
      cause: "the bucket is full",
      fix: "buy a larger one",
    })
    expect([error.offset, error.exit]).toEqual([4096, 1])
    expect(Object.hasOwn(errors, error.code)).toBe(true)
  })
})
