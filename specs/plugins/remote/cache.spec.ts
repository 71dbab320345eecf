/** The cache on disk: what it keeps, what it never believes, and what is served while the server is away. */
import node from "node:fs"
import * as fs from "node:fs/promises"
import { syncBuiltinESMExports } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { linuxHost } from "../../../adapters/host/linux.ts"
import type { Host } from "../../../core/host.ts"
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

  const put = (slots: Slots, block: number, object = "a") => {
    const slot = slots.take(object, block)!
    slots.settle(slot, { object, block, length: 1, crc: 0 })
    return slot
  }

  it("goes to blocks that are read again, not to those of one long scan", () => {
    const slots = new Slots(4)
    for (const block of [0, 1, 2, 3]) put(slots, block)
    slots.touch(0)
    for (const block of [10, 11, 12]) put(slots, block)
    expect([0, 1, 2, 3, 10, 11, 12].filter((block) => slots.slotOf("a", block) !== undefined)).toEqual([0, 10, 11, 12])
  })

  it("gives a slot to one block at a time, and none that is being written", () => {
    const slots = new Slots(2)
    expect([slots.take("a", 0), slots.take("a", 1), slots.take("a", 2)]).toEqual([0, 1, undefined])
    slots.settle(0, { object: "a", block: 7, length: 1, crc: 0 })
    expect(slots.take("a", 8)).toBe(0)
    expect(slots.slotOf("a", 7)).toBeUndefined()
  })

  it("lays what adjoins side by side, in whatever order it comes, until there is no room for another MiB", () => {
    const slots = new Slots(40)
    expect([17, 5, 16, 4, 31, 0].map((block) => put(slots, block))).toEqual([1, 21, 0, 20, 15, 16])
    expect(put(slots, 100, "b")).toBe(36)
    const places = new Set([1, 21, 0, 20, 15, 16, 36])
    for (let block = 0; block < 33; block++) places.add(put(slots, 1000 + 16 * block, "b"))
    expect(places.size).toBe(40)
    expect(slots.slotOf("a", 17)).toBe(1)
    expect([put(slots, 2000), slots.slotOf("a", 16)]).toEqual([0, undefined])
  })

  it("has a block's place again after a start", () => {
    const slots = new Slots(40)
    for (let slot = 0; slot < 17; slot++)
      slots.load(slot, slot === 3 ? { object: "a", block: 35, length: 1, crc: 0 } : undefined)
    expect([36, 47, 32].map((block) => put(slots, block))).toEqual([4, 15, 0])
  })

  it("goes first to the homes of an object that was forgotten", () => {
    const slots = new Slots(1000)
    for (let block = 0; block < 40; block++) put(slots, block)
    slots.forget("a")
    for (let block = 0; block < 48; block++) expect(put(slots, block, "b")).toBeLessThan(48)
    expect(put(slots, 48, "b")).toBe(48)
  })

  it("takes back what is dropped or forgotten, and tells who read it meanwhile", () => {
    const slots = new Slots(2)
    for (const block of [0, 1]) put(slots, block)
    const { takings } = slots
    slots.drop(1)
    slots.drop(1)
    expect([slots.isTakenSince(0, takings), slots.isTakenSince(1, takings)]).toEqual([false, false])
    expect(put(slots, 9, "b")).toBe(1)
    expect([slots.isTakenSince(0, takings), slots.isTakenSince(1, takings)]).toEqual([false, true])
    slots.forget("a")
    slots.forget("a")
    expect([put(slots, 0, "b"), slots.slotOf("a", 0)]).toEqual([0, undefined])
  })

  it("is what there is room for, once the disk is full, and what was forgotten; and grows again with the next image", () => {
    const slots = new Slots(100)
    for (const block of [0, 1, 2]) put(slots, block)
    slots.stopGrowing(slots.take("a", 3)!)
    expect([put(slots, 3), put(slots, 30)]).toEqual([0, 1])
    slots.forget("a")
    expect([7, 8, 9].map((block) => put(slots, block, "b")).sort()).toEqual([0, 1, 2])
    slots.grow(100)
    expect(put(slots, 48, "b")).toBe(16)
    const none = new Slots(100)
    none.stopGrowing(none.take("a", 0)!)
    expect(none.take("a", 1)).toBeUndefined()
  })

  it("holds whatever is put, dropped, forgotten and not written, by seed", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const random = randomFrom(seed)
      const any = (n: number) => Math.floor(random() * n)
      let max = 1 + any(80)
      const slots = new Slots(max)
      const held = new Map<number, string>()
      for (let step = 0; step < 300; step++) {
        const [name, block, choice] = ["abc"[any(3)]!, any(120), any(40)]
        const known = slots.slotOf(name, block)
        if (choice === 0) slots.forget(name)
        else if (choice === 1) slots.grow((max += any(9)))
        else if (choice < 6 && known !== undefined) slots.drop(known)
        else if (known === undefined) {
          const slot = slots.take(name, block)
          if (slot !== undefined && choice === 6) slots.stopGrowing(slot)
          else if (slot !== undefined) {
            slots.settle(slot, { object: name, block, length: 1, crc: 0 })
            expect(slots.slotOf(name, block), `seed ${seed}, step ${step}`).toBe(slot)
            expect(slot, `seed ${seed}, step ${step}`).toBeLessThan(max)
          }
        }
        held.clear()
        for (const object of "abc")
          for (let of = 0; of < 120; of++) {
            const slot = slots.slotOf(object, of)
            if (slot === undefined) continue
            expect(held.get(slot), `seed ${seed}, step ${step}`).toBeUndefined()
            expect(slots.recordIn(slot), `seed ${seed}, step ${step}`).toMatchObject({ object, block: of })
            held.set(slot, object)
          }
      }
    }
  })

  it("of memory drops what was used least recently", async () => {
    const memory = memoryCache(3 * BLOCK)
    for (const block of [0, 1, 2]) await memory.put("a", block, new Uint8Array(BLOCK).fill(block))
    const into = Buffer.alloc(BLOCK + 2)
    expect(memory.read("a", 2 * BLOCK, into, 1, BLOCK + 1)).toBeUndefined()
    expect(await memory.read("a", BLOCK - 1, into, 1, 2)).toBe(true)
    expect([...into.subarray(0, 4)]).toEqual([0, 0, 1, 0])
    await memory.read("a", 2 * BLOCK, into, 0, 1)
    await memory.read("a", 0, into, 0, 1)
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
      `REMOTE_UNREACHABLE: cannot read ${server.origin}/disk.raw at byte 1048576 (+262144) now: its server refuses connections`,
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

/** How often `fs.read` is called meanwhile. */
const countReads = async (work: () => unknown): Promise<number> => {
  const plain = node.read
  let count = 0
  const counting = (...call: ReadonlyArray<unknown>) => {
    count++
    return Reflect.apply(plain, node, call)
  }
  node.read = Object.assign(counting, plain) as typeof plain
  syncBuiltinESMExports()
  await work()
  node.read = plain
  syncBuiltinESMExports()
  return count
}

const object = "0".repeat(32)
/** One that cannot tell what is in memory: reads can be counted. */
const host = {}
type DiskCache = Awaited<ReturnType<typeof openDiskCache>>

/** A block, or part of it; undefined where it is missed. */
const blockOf = async (disk: DiskCache, name: string, block: number, from = 0, length = BLOCK) => {
  const into = Buffer.alloc(length + 2, 0xee)
  const isThere = (await disk.read(name, block * BLOCK + from, into, 1, length)) === true
  expect([into[0], into.at(-1)]).toEqual([0xee, 0xee])
  return isThere ? into.subarray(1, -1) : undefined
}

it("reads what the host has in memory at once, judges it all the same, and the rest by a thread", async () => {
  const name = "1".repeat(32)
  const block = Buffer.from(sampleBytes(BLOCK))
  const writing = await openDiskCache(cache, BUDGET, { isOwn: true, host })
  await writing.put(name, 0, block)
  await writing.close()
  let bytesHad = 0
  const seeing = (share: number): Host => ({
    readCached(fd, into, at, length, offset) {
      const had = linuxHost().readCached!(fd, into, at, Math.floor(length * share), offset)
      bytesHad += Math.max(0, had)
      return had
    },
  })
  for (const [share, reads] of [
    [1, 0],
    [0.5, 2],
  ] as const) {
    const disk = await openDiskCache(cache, BUDGET, { isOwn: true, host: seeing(share) })
    const counted = await countReads(async () => {
      expect(block.equals((await blockOf(disk, name, 0))!)).toBe(true)
      expect(block.subarray(100, 200).equals((await blockOf(disk, name, 0, 100, 100))!)).toBe(true)
    })
    expect(counted).toBe(reads)
    await disk.close()
  }
  expect(bytesHad).toBe(1.5 * (BLOCK + 100))
  const file = await fs.open(join(cache, "blocks"), "r+")
  await file.write(Buffer.from([block[5]! ^ 1]), 0, 1, 5)
  await file.close()
  const disk = await openDiskCache(cache, BUDGET, { isOwn: true, host: seeing(1) })
  expect(await blockOf(disk, name, 0)).toBeUndefined()
  await disk.close()
})

describe("a block that was judged", () => {
  const content = Buffer.alloc(BLOCK, "judged once")
  const isContent = (got: Uint8Array | undefined) => got && content.equals(got)
  const spoil = async () => {
    const file = await fs.open(join(cache, "blocks"), "r+")
    await file.write(Buffer.from([0xff]), 0, 1, 5)
    await file.close()
  }
  /** What is read in a first, second and third opening; the file is spoilt while the second has it open. */
  const seen = async (isOwn: boolean) => {
    const writing = await openDiskCache(cache, BUDGET, { isOwn, host })
    await writing.put(object, 0, content)
    await writing.close()
    const disk = await openDiskCache(cache, BUDGET, { isOwn, host })
    const before = isContent(await blockOf(disk, object, 0))
    await spoil()
    const after = isContent(await blockOf(disk, object, 0))
    await disk.close()
    const again = await openDiskCache(cache, BUDGET, { isOwn, host })
    const later = await blockOf(again, object, 0)
    await again.close()
    return [before, after, later === undefined]
  }

  it("is read as any file is until the next start, where nobody else has the folder", async () => {
    expect(await seen(true)).toEqual([true, false, true])
  })

  it("is judged again at each read where others may write to the folder", async () => {
    expect(await seen(false)).toEqual([true, undefined, true])
  })

  it.each([true, false])(
    "is read in part, to its last byte and over its end, and not after close (own: %s)",
    async (isOwn) => {
      const disk = await openDiskCache(cache, BUDGET, { isOwn, host })
      expect(await blockOf(disk, object, 0, 0, 512)).toBeUndefined()
      const last = Buffer.alloc(700, "the object's last block")
      const others = [Buffer.alloc(BLOCK, "the next"), Buffer.alloc(BLOCK, "far away"), last]
      for (const [i, block] of [0, 1, 17, 18].entries())
        await disk.put(object, block, i === 0 ? content : others[i - 1]!)
      for (let round = 0; round < 2; round++) {
        const at = (block: number, from: number, length: number) => blockOf(disk, object, block, from, length)
        expect((await at(0, BLOCK - 3, 3))?.equals(content.subarray(-3))).toBe(true)
        const over = await at(0, 5, BLOCK)
        expect(over?.equals(Buffer.concat([content.subarray(5), others[0]!.subarray(0, 5)]))).toBe(true)
        expect((await at(17, 1, BLOCK + 699))?.equals(Buffer.concat([others[1]!.subarray(1), last]))).toBe(true)
        expect(await at(1, BLOCK - 1, 2)).toBeUndefined()
        expect(await at(18, 699, 1)).toEqual(last.subarray(699))
      }
      expect(await blockOf(disk, object, 18, 699, 2)).toBeUndefined()
      await disk.close()
      expect(await blockOf(disk, object, 0, 0, 1)).toBeUndefined()
    },
  )

  it("that can be read no more is missed, and put again", async () => {
    const disk = await openDiskCache(cache, BUDGET, { isOwn: true, host })
    for (const block of [0, 1]) await disk.put(object, block, content)
    await fs.truncate(join(cache, "blocks"), BLOCK + 3)
    expect(await blockOf(disk, object, 0, 7, BLOCK)).toBeUndefined()
    expect([disk.has(object, 0), disk.has(object, 1)]).toEqual([false, false])
    for (const block of [0, 1]) await disk.put(object, block, content)
    expect((await blockOf(disk, object, 0, 7, BLOCK))?.length).toBe(BLOCK)
    await disk.close()
  })

  it("is read with one call of the operating system over all that lies side by side, and with two where it does not", async () => {
    const counted = async (blocks: ReadonlyArray<number>, from: number, length: number) => {
      const folder = join(temporary, `calls-${made++}`)
      const disk = await openDiskCache(folder, BUDGET, { isOwn: true, host })
      for (const block of blocks) await disk.put(object, block, content)
      const reads = await countReads(() => disk.read(object, from, Buffer.alloc(length), 0, length))
      await disk.close()
      return reads
    }
    const all = [...Array(16).keys()]
    expect(await counted(all, 5, 16 * BLOCK - 5)).toBe(1)
    expect(await counted(all.toReversed(), 5, 16 * BLOCK - 5)).toBe(1)
    // Each MiB has a home of its own.
    expect(await counted([16, 0, 15], 15 * BLOCK + 1, BLOCK)).toBe(2)
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
    const disk = await openDiskCache(cache, 2 * BLOCK, { isOwn: true, host })
    const other = Buffer.alloc(BLOCK, "another")
    for (let i = 0; i < 50; i++) {
      await disk.put(object, i, content)
      const reading = blockOf(disk, object, i)
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
      const disk = await openDiskCache(cache, 30 * BLOCK, { isOwn: false, host })
      for (const object of objects)
        for (let block = 0; block < 40; block++) {
          const got = await blockOf(disk, object, block)
          if (got !== undefined) expect(content(object, block).equals(got), `seed ${seed}, life ${life}`).toBe(true)
        }
      for (let i = 0; i < 40; i++) {
        const [object, block] = anything()
        await disk.put(object, block, content(object, block))
        const got = await blockOf(disk, object, block)
        expect(got !== undefined && content(object, block).equals(got), `seed ${seed}, life ${life}`).toBe(true)
      }
      await disk.close()
      for (const name of ["blocks", "index"] as const) await tear(name, before[name], random)
      before = { blocks: await fs.readFile(join(cache, "blocks")), index: await fs.readFile(join(cache, "index")) }
    }
    await fs.rm(cache, { recursive: true })
  }
})
