/** The cache on disk: what it keeps, what it never believes, and what is served while the server is away. */
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { openDiskCache } from "../../../plugins/remote/cache/disk-cache.ts"
import { memoryCache } from "../../../plugins/remote/cache/memory-cache.ts"
import { decodeRecord, encodeRecord } from "../../../plugins/remote/cache/record.ts"
import { Slots } from "../../../plugins/remote/cache/slots.ts"
import { randomFrom, sampleBytes } from "../../conformance/support/bytes.ts"
import { type ObjectServer, objectServer } from "../../support/object-server.ts"
import { bytesAt, openRemoteVolume, refusalOf } from "../../support/remote.ts"

const MiB = 1024 * 1024
const BLOCK = 65_536
const BUDGET = 16 * MiB
const bytes = sampleBytes(2 * MiB)
let server: ObjectServer
let temporary: string
let cache: string
let made = 0

beforeAll(async () => {
  temporary = await fs.mkdtemp(join(tmpdir(), "imagelink-cache-"))
})
afterAll(() => fs.rm(temporary, { recursive: true, force: true }))
beforeEach(async () => {
  cache = join(temporary, `cache-${made++}`)
  server = await objectServer()
  server.put("/disk.raw", bytes)
})
afterEach(() => server.stop().catch(() => undefined))

const open = (config: object = {}) =>
  openRemoteVolume({ url: `${server.origin}/disk.raw`, cache, cacheBytes: BUDGET, readMillis: 1000, ...config })
const ranges = () => server.requests.filter((line) => !line.endsWith("bytes=0-0"))
const readAll = async (expected = bytes) => {
  const volume = await open()
  expect(Buffer.compare(await bytesAt(volume, 0, expected.length), expected)).toBe(0)
  await volume.close()
}

describe("what was read once", () => {
  it("is not asked for again, in this opening or the next", async () => {
    await readAll()
    const before = ranges().length
    await readAll()
    await readAll()
    expect(ranges().length).toBe(before)
  })

  it("is nobody else's to read", async () => {
    await readAll()
    for (const name of ["blocks", "index"]) expect((await fs.stat(join(cache, name))).mode & 0o777).toBe(0o600)
    expect((await fs.stat(cache)).mode & 0o777).toBe(0o700)
  })

  it("is thrown away when the object has another validator, and the new one is read", async () => {
    await readAll()
    const other = sampleBytes(2 * MiB, { seed: 9 })
    server.put("/disk.raw", other, { etag: '"other"' })
    await readAll(other)
    server.put("/disk.raw", bytes)
    const before = ranges().length
    await readAll()
    expect(ranges().length).toBeGreaterThan(before)
  })

  it("is not mixed with another object's", async () => {
    const other = sampleBytes(2 * MiB, { seed: 8 })
    server.put("/other.raw", other, { etag: '"/disk.raw-1"' })
    await readAll()
    const volume = await open({ url: `${server.origin}/other.raw` })
    expect(Buffer.compare(await bytesAt(volume, 0, 2 * MiB), other)).toBe(0)
    await volume.close()
  })

  it("is fetched again where a bit of it has rotted, and then kept", async () => {
    await readAll()
    const path = join(cache, "blocks")
    const file = await fs.open(path, "r+")
    const { size } = await file.stat()
    expect(size).toBe(2 * MiB)
    await file.write(Buffer.from([0xff, 0x01]), 0, 2, 5 * BLOCK + 77)
    await file.close()
    const before = ranges().length
    await readAll()
    expect(ranges().length).toBe(before + 1)
    await readAll()
    expect(ranges().length).toBe(before + 1)
  })

  it("is fetched again where its file was cut short, its index is gone, or is somebody else's", async () => {
    const damages: ReadonlyArray<() => Promise<void>> = [
      () => fs.truncate(join(cache, "blocks"), 3 * BLOCK + 5),
      () => fs.rm(join(cache, "index")),
      () => fs.rm(join(cache, "blocks")),
      () => fs.truncate(join(cache, "index"), 4096 + 32 * 3 + 7),
      () => fs.writeFile(join(cache, "index"), "somebody else's"),
      () => fs.writeFile(join(cache, "index"), Buffer.alloc(8192, 0xff)),
    ]
    for (const damage of damages) {
      await readAll()
      await damage()
      await readAll()
    }
  })

  it("is kept in memory where the folder cannot be used", async () => {
    await fs.writeFile(cache, "a file")
    await readAll()
    expect(await fs.readFile(cache, "utf8")).toBe("a file")
  })
})

describe("the budget", () => {
  it("is never passed, and what is read stays right, also when it was less than before", async () => {
    const large = sampleBytes(20 * MiB)
    server.put("/disk.raw", large, { etag: '"large"' })
    const read = async (cacheBytes: number) => {
      const volume = await open({ cacheBytes, readMillis: 30_000 })
      for (let offset = 0; offset < large.length; offset += 4 * MiB)
        expect(Buffer.compare(await bytesAt(volume, offset, 4 * MiB), large.subarray(offset, offset + 4 * MiB))).toBe(0)
      await volume.close()
      const sizes = await Promise.all(["blocks", "index"].map(async (name) => (await fs.stat(join(cache, name))).size))
      return sizes[0]! + sizes[1]!
    }
    expect(await read(18 * MiB)).toBeLessThanOrEqual(18 * MiB + 4096)
    expect(await read(BUDGET)).toBeLessThanOrEqual(BUDGET + 4096)
    expect(await read(BUDGET)).toBeGreaterThan(BUDGET - MiB)
  })

  it("goes to blocks that are read again, not to those of one long scan", async () => {
    const slots = new Slots(4)
    const put = (block: number) => slots.settle(slots.take()!, { object: "a", block, length: 1, crc: 0 })
    for (const block of [0, 1, 2, 3]) put(block)
    slots.touch(0)
    for (const block of [10, 11, 12]) put(block)
    expect([0, 1, 2, 3, 10, 11, 12].filter((block) => slots.slotOf("a", block) !== undefined)).toEqual([0, 10, 11, 12])
  })

  it("gives a slot to one block at a time, and none that is being written", () => {
    const slots = new Slots(2)
    expect([slots.take(), slots.take(), slots.take()]).toEqual([0, 1, undefined])
    slots.settle(0, { object: "a", block: 7, length: 1, crc: 0 })
    expect(slots.take()).toBe(0)
    expect(slots.slotOf("a", 7)).toBeUndefined()
  })

  it("is what there is room for, once the disk is full", () => {
    const slots = new Slots(100)
    for (const block of [0, 1, 2]) slots.settle(slots.take()!, { object: "a", block, length: 1, crc: 0 })
    slots.stopGrowing(slots.take()!)
    expect(slots.max).toBe(3)
    expect(slots.take()).toBe(0)
    const none = new Slots(100)
    none.stopGrowing(none.take()!)
    expect(none.take()).toBeUndefined()
  })

  it("of memory drops what was used least recently", async () => {
    const memory = memoryCache(3 * BLOCK)
    for (const block of [0, 1, 2]) await memory.put("a", block, new Uint8Array(BLOCK).fill(block))
    await memory.get("a", 0)
    await memory.put("a", 3, new Uint8Array(BLOCK))
    expect([0, 1, 2, 3].map((block) => memory.has("a", block))).toEqual([true, false, true, true])
    memory.forget("a")
    expect(memory.has("a", 3)).toBe(false)
  })
})

describe("a record", () => {
  it("is read back, and is none with any bit turned", () => {
    const record = { object: "00112233445566778899aabbccddeeff", block: 0xfffffffe, length: 65_536, crc: 0xdeadbeef }
    const encoded = encodeRecord(record)
    expect(encoded.toString("hex")).toBe(
      `00112233445566778899aabbccddeefffffffffe00010000deadbeef${encoded.toString("hex", 28)}`,
    )
    expect(decodeRecord(encoded, 0)).toEqual(record)
    for (let bit = 0; bit < 256; bit++) {
      const turned = Buffer.from(encoded)
      turned[bit >> 3]! ^= 1 << (bit & 7)
      expect(decodeRecord(turned, 0)).toBeUndefined()
    }
    expect(decodeRecord(Buffer.alloc(32), 0)).toBeUndefined()
  })
})

describe("while the server is away", () => {
  it("what is in the cache is served; the rest fails within the deadline, and is read when it is back", async () => {
    const volume = await open()
    const first = await bytesAt(volume, 0, 512)
    await server.stop()
    expect((await bytesAt(volume, 0, 512)).equals(first)).toBe(true)
    expect(await refusalOf(bytesAt(volume, MiB, 512))).toBe(
      `REMOTE_UNREACHABLE: cannot read ${server.origin}/disk.raw at byte 1048576 (+65536) now: its server refuses connections`,
    )
    await server.start()
    expect(Buffer.compare(await bytesAt(volume, MiB, 512), bytes.subarray(MiB, MiB + 512))).toBe(0)
    await volume.close()
  })

  it("an image that was read before opens as it was, and is the same to the log", async () => {
    const before = await open()
    await bytesAt(before, 0, 512)
    const identity = await before.identity()
    await before.close()
    await server.stop()
    const volume = await open()
    expect(volume.sizeBytes).toBe(2 * MiB)
    expect(await volume.identity()).toEqual(identity)
    expect(Buffer.compare(await bytesAt(volume, 0, 512), bytes.subarray(0, 512))).toBe(0)
    expect(await refusalOf(bytesAt(volume, MiB, 512))).toContain("REMOTE_UNREACHABLE")
    await server.start()
    expect(Buffer.compare(await bytesAt(volume, MiB, 512), bytes.subarray(MiB, MiB + 512))).toBe(0)
    await volume.close()
  })

  it("an image that was replaced meanwhile is refused when the server is back, not mixed", async () => {
    await readAll()
    await fs.truncate(join(cache, "blocks"), BLOCK)
    await server.stop()
    const volume = await open()
    await server.start()
    server.put("/disk.raw", sampleBytes(2 * MiB, { seed: 3 }), { etag: '"replaced"' })
    expect(Buffer.compare(await bytesAt(volume, 0, 512), bytes.subarray(0, 512))).toBe(0)
    expect(await refusalOf(bytesAt(volume, MiB, 512))).toContain("REMOTE_CHANGED")
    await volume.close()
  })

  it("an image that was never read does not open", async () => {
    await server.stop()
    expect(await refusalOf(open())).toContain("REMOTE_UNREACHABLE")
  })

  it("an image whose server forgot it is missing, not taken from the cache", async () => {
    await readAll()
    server.objects.delete("/disk.raw")
    expect(await refusalOf(open())).toContain("IMAGE_FILE_NOT_FOUND")
  })
})

describe("a block that was judged", () => {
  const object = "0".repeat(32)
  const content = Buffer.alloc(BLOCK, "judged once")
  const isContent = (got: Uint8Array | undefined) => got && content.equals(got)
  const spoil = async () => {
    const file = await fs.open(join(cache, "blocks"), "r+")
    await file.write(Buffer.from([0xff]), 0, 1, 5)
    await file.close()
  }
  /** What is read in a first, second and third opening; the file is spoilt while the second has it open. */
  const seen = async (isOwn: boolean) => {
    const writing = await openDiskCache(cache, BUDGET, isOwn)
    await writing.put(object, 0, content)
    await writing.close()
    const disk = await openDiskCache(cache, BUDGET, isOwn)
    // Whole blocks are read into the caller's memory, so that none is remembered as read a moment ago.
    const read = async () => isContent(await disk.get(object, 0, Buffer.alloc(BLOCK)))
    const before = await read()
    await spoil()
    const after = await read()
    await disk.close()
    const again = await openDiskCache(cache, BUDGET, isOwn)
    const later = await again.get(object, 0)
    await again.close()
    return [before, after, later === undefined]
  }

  it("is read as any file is until the next start, where nobody else has the folder", async () => {
    expect(await seen(true)).toEqual([true, false, true])
  })

  it("is judged again at each read where others may write to the folder", async () => {
    expect(await seen(false)).toEqual([true, undefined, true])
  })

  it("is read in part from then on, to its last byte and not past it, and not where others may write", async () => {
    const read = async (isOwn: boolean, from: number, length: number) => {
      const disk = await openDiskCache(cache, BUDGET, isOwn)
      const into = Buffer.alloc(length + 2, 0xee)
      const part = () => disk.part?.(object, 0, from, into, 1, length)
      expect(part()).toBeUndefined()
      await disk.put(object, 0, content)
      await disk.get(object, 0, Buffer.alloc(BLOCK))
      const done = await part()
      await disk.close()
      expect(part()).toBeUndefined()
      const isIt = into.subarray(1, -1).equals(content.subarray(from, from + length))
      return [done, isIt, into[0], into.at(-1)]
    }
    expect(await read(false, 0, 512)).toEqual([undefined, false, 0xee, 0xee])
    await fs.rm(cache, { recursive: true })
    expect(await read(true, BLOCK - 3, 3)).toEqual([true, true, 0xee, 0xee])
    await fs.rm(cache, { recursive: true })
    expect(await read(true, BLOCK - 3, 4)).toEqual([undefined, false, 0xee, 0xee])
  })

  it("is read out of the server's own cache folder, whole and in part, as it was fetched", async () => {
    const host = { cacheFolder: () => cache }
    const url = `${server.origin}/disk.raw`
    for (let opening = 0; opening < 2; opening++) {
      const volume = await openRemoteVolume({ url }, { host })
      for (let round = 0; round < 2; round++)
        for (const [offset, length] of [
          [0, 2 * MiB],
          [BLOCK + 5, 700],
          [2 * MiB - 1, 1],
          [3 * BLOCK - 1, 2],
          [7 * BLOCK, BLOCK],
        ] as const)
          expect(
            Buffer.compare(await bytesAt(volume, offset, length), bytes.subarray(offset, offset + length)),
            `${offset}+${length}`,
          ).toBe(0)
      await volume.close()
    }
    expect(ranges().length).toBe(2)
  })

  it("is missed when its slot was given to another block while it was read", async () => {
    const disk = await openDiskCache(cache, 2 * BLOCK, true)
    const other = Buffer.alloc(BLOCK, "another")
    for (let i = 0; i < 50; i++) {
      await disk.put(object, i, content)
      const reading = disk.get(object, i, Buffer.alloc(BLOCK))
      const writing = disk.put(object, 1000 + i, other)
      const got = await reading
      await writing
      expect(isContent(got)).not.toBe(false)
    }
    await disk.close()
  })
})

/** A power loss keeps, of each 512 bytes that were written, what was there before or after; and of a file's growth, some. */
const tear = async (name: string, before: Buffer, random: () => number): Promise<void> => {
  const after = await fs.readFile(join(cache, name))
  const torn = Buffer.alloc(after.length)
  const older = Buffer.concat([before, Buffer.alloc(after.length)])
  for (let at = 0; at < after.length; at += 512) (random() < 0.5 ? after : older).copy(torn, at, at, at + 512)
  const kept = random() < 0.5 ? after.length : Math.floor(random() * after.length)
  await fs.writeFile(join(cache, name), torn.subarray(0, kept))
}

it("never answers a wrong byte after a power loss, whatever was kept of its files", async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const random = randomFrom(seed)
    cache = join(temporary, `torn-${seed}`)
    const content = (object: string, block: number) => Buffer.alloc(BLOCK, `${object} ${block} of seed ${seed}.`)
    const objects = ["0".repeat(32), "1".repeat(32)]
    const anything = () => [objects[Math.floor(random() * 2)]!, Math.floor(random() * 40)] as const
    const empty = Buffer.alloc(0)
    let before = { blocks: empty as Buffer, index: empty as Buffer }
    for (let life = 0; life < 4; life++) {
      const disk = await openDiskCache(cache, 30 * BLOCK)
      for (const object of objects)
        for (let block = 0; block < 40; block++) {
          const got = await disk.get(object, block)
          if (got !== undefined) expect(content(object, block).equals(got), `seed ${seed}, life ${life}`).toBe(true)
        }
      for (let i = 0; i < 40; i++) {
        const [object, block] = anything()
        await disk.put(object, block, content(object, block))
        const got = await disk.get(object, block)
        expect(got !== undefined && content(object, block).equals(got), `seed ${seed}, life ${life}`).toBe(true)
      }
      await disk.close()
      for (const name of ["blocks", "index"] as const) await tear(name, before[name], random)
      before = { blocks: await fs.readFile(join(cache, "blocks")), index: await fs.readFile(join(cache, "index")) }
    }
    await fs.rm(cache, { recursive: true })
  }
})
