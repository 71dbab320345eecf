import { expect, it } from "vitest"
import { ReadCache } from "../../core/block/cache.ts"
import { MemoryVolume } from "../support/memory-volume.ts"
import { patterned } from "../support/random.ts"

const C = 65_536
const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

const setup = (clusters: number, sizeBytes: number, more: { verify?: (n: number, b: Uint8Array) => boolean } = {}) => {
  const bytes = patterned(sizeBytes, 5)
  const gates: Array<() => void> = []
  let hold = false
  const volume = MemoryVolume.of(bytes, {
    waits: () => (hold ? new Promise<void>((open) => gates.push(open)) : undefined),
  })
  const cache = new ReadCache({ bytes: clusters * C })
  const touched: Array<number> = []
  const content = cache.open({
    contentId: "a",
    sizeBytes,
    read: (into, at, offset, length) => volume.read(into, at, offset, length),
    touched: (_, cluster) => touched.push(cluster),
    ...more,
  })
  const holdReads = () => {
    hold = true
  }
  return { bytes, volume, cache, content, touched, gates, holdReads }
}

it("answers a hit at once, and a miss not at all", async () => {
  const { bytes, content, cache } = setup(4, 3 * C)
  const into = Buffer.alloc(100)
  expect(content.readSync(into, 0, 10, 100)).toBe(false)
  expect(into.every((b) => b === 0)).toBe(true)
  await content.read(into, 0, 10, 100)
  into.fill(0)
  expect(content.readSync(into, 0, 10, 100)).toBe(true)
  expect(into.equals(bytes.subarray(10, 110))).toBe(true)
  expect(cache.stats).toMatchObject({ hits: 1, misses: 1, loads: 1, bytes: C })
})

it("answers a read over two clusters at once only when it holds both, and leaves the buffer alone otherwise", async () => {
  const { bytes, content } = setup(4, 3 * C)
  const into = Buffer.alloc(20)
  await content.read(into, 0, 0, 1)
  into.fill(0)
  expect(content.readSync(into, 0, C - 10, 20)).toBe(false)
  expect(into.every((b) => b === 0)).toBe(true)
  await content.read(into, 0, C, 1)
  expect(content.readSync(into, 0, C - 10, 20)).toBe(true)
  expect(into.equals(bytes.subarray(C - 10, C + 10))).toBe(true)
})

it("loads a cluster once however many ask for it", async () => {
  const { bytes, content, volume, holdReads, gates } = setup(4, 3 * C)
  holdReads()
  const buffers = Array.from({ length: 50 }, () => Buffer.alloc(64))
  const reads = buffers.map((b, i) => content.read(b, 0, i * 100, 64))
  await settle()
  expect(gates.length).toBe(1)
  gates[0]!()
  await Promise.all(reads)
  expect(volume.counts.read).toBe(1)
  for (const [i, b] of buffers.entries()) expect(b.equals(bytes.subarray(i * 100, i * 100 + 64))).toBe(true)
})

it("loads the clusters of a long read side by side, sixteen at a time", async () => {
  const { bytes, content, holdReads, gates } = setup(64, 40 * C)
  holdReads()
  const into = Buffer.alloc(40 * C)
  const reading = content.read(into, 0, 0, into.length)
  await settle()
  expect(gates.length).toBe(16)
  for (let i = 0; i < 40; i++) {
    gates[i]!()
    await settle()
  }
  await reading
  expect(into.equals(bytes)).toBe(true)
})

it("reads more than it can hold, one cluster of room being enough", async () => {
  const { bytes, content, cache } = setup(1, 20 * C)
  const into = Buffer.alloc(20 * C)
  await content.read(into, 0, 0, into.length)
  expect(into.equals(bytes)).toBe(true)
  expect(cache.stats).toMatchObject({ loads: 20, evictions: 19, bytes: C })
})

it("evicts what was not used since the hand last came by", async () => {
  const { content } = setup(3, 10 * C)
  const into = Buffer.alloc(1)
  const held = () => [0, 1, 2, 3, 4].filter((n) => content.readSync(Buffer.alloc(1), 0, n * C, 1))
  for (const n of [0, 1, 2, 3]) await content.read(into, 0, n * C, 1)
  expect(content.readSync(into, 0, C, 1)).toBe(true)
  await content.read(into, 0, 4 * C, 1)
  expect(held()).toEqual([1, 3, 4])
})

it("fails only the part whose checksum does not match, and tries again the next time", async () => {
  let bad = true
  const { bytes, content, cache } = setup(8, 3 * C, { verify: (n) => !(bad && n === 1) })
  const into = Buffer.alloc(3 * C)
  await expect(content.read(into, 0, C - 512, 3 * 512)).rejects.toMatchObject({ code: "MEDIUM_ERROR", offset: C })
  await content.read(into, 0, 0, C)
  await content.read(into, 0, 2 * C, C)
  expect(content.readSync(into, 0, C, 1)).toBe(false)
  bad = false
  await content.read(into, 0, 0, 3 * C)
  expect(into.equals(bytes)).toBe(true)
  expect(cache.stats.mismatches).toBe(1)
})

it("shows the verifier whole clusters, the last one padded with zeros even where older bytes were", async () => {
  const seen: Array<[number, number, boolean]> = []
  const { content } = setup(1, C + 512, {
    verify: (n, b) => {
      seen.push([n, b.length, b.subarray(512).every((x) => x === 0)])
      return true
    },
  })
  const into = Buffer.alloc(C)
  await content.read(into, 0, 0, C)
  await content.read(into, 0, C, 512)
  expect(seen).toEqual([
    [0, C, false],
    [1, C, true],
  ])
})

it("hands a failing load to every caller, and gives its room back", async () => {
  const cache = new ReadCache({ bytes: C })
  let broken = true
  const content = cache.open({
    contentId: "a",
    sizeBytes: 2 * C,
    read: async () => {
      if (broken) throw new Error("cable out")
    },
  })
  const reads = [0, 1].map(() => content.read(Buffer.alloc(1), 0, 0, 1))
  for (const r of await Promise.allSettled(reads)) expect(r).toMatchObject({ reason: { message: "cable out" } })
  broken = false
  await content.read(Buffer.alloc(1), 0, C, 1)
  expect(cache.stats.bytes).toBe(C)
})

it("leaves the buffer of a caller that gave up alone, and loads for the others", async () => {
  const { bytes, content, holdReads, gates } = setup(4, C)
  holdReads()
  const [gone, stays] = [Buffer.alloc(10), Buffer.alloc(10)]
  const impatient = new AbortController()
  const given = content.read(gone, 0, 0, 10, impatient.signal)
  const kept = content.read(stays, 0, 0, 10)
  await settle()
  impatient.abort()
  await expect(given).rejects.toMatchObject({ code: "CANCELLED" })
  gates[0]!()
  await kept
  expect(gone.every((b) => b === 0)).toBe(true)
  expect(stays.equals(bytes.subarray(0, 10))).toBe(true)
})

it("holds what two openings share once, and keeps it while closed", async () => {
  const cache = new ReadCache({ bytes: 4 * C })
  const volume = MemoryVolume.of(patterned(C, 1))
  const open = () =>
    cache.open({ contentId: "same", sizeBytes: C, read: (into, at, offset, n) => volume.read(into, at, offset, n) })
  const [one, two] = [open(), open()]
  await one.read(Buffer.alloc(1), 0, 0, 1)
  expect(two.readSync(Buffer.alloc(1), 0, 0, 1)).toBe(true)
  await one.close()
  await two.close()
  expect(open().readSync(Buffer.alloc(1), 0, 0, 1)).toBe(true)
  expect(volume.counts.read).toBe(1)
})

it("forgets a content on request: only when it is closed, its clusters and no others, and gives the room back", async () => {
  const cache = new ReadCache({ bytes: 4 * C })
  const volume = MemoryVolume.of(patterned(2 * C, 1))
  const open = (contentId: string) =>
    cache.open({ contentId, sizeBytes: 2 * C, read: (into, at, offset, n) => volume.read(into, at, offset, n) })
  const [going, staying] = [open("going"), open("staying")]
  for (const content of [going, staying]) await content.read(Buffer.alloc(2 * C), 0, 0, 2 * C)
  cache.forget("going")
  cache.forget("unknown")
  expect([going.readSync(Buffer.alloc(1), 0, 0, 1), cache.stats.bytes]).toEqual([true, 4 * C])
  await going.close()
  cache.forget("going")
  cache.forget("going")
  expect([staying.readSync(Buffer.alloc(2 * C), 0, 0, 2 * C), cache.stats.bytes]).toEqual([true, 2 * C])
  const again = open("going")
  expect(again.readSync(Buffer.alloc(1), 0, 0, 1)).toBe(false)
  await again.read(Buffer.alloc(2 * C), 0, 0, 2 * C)
  expect([staying.readSync(Buffer.alloc(1), 0, 0, 1), cache.stats.evictions]).toEqual([true, 0])
})

it("waits for its loads when it closes, also for one that nobody waits for any more", async () => {
  const { content, holdReads, gates } = setup(4, C)
  holdReads()
  const impatient = new AbortController()
  const read = content.read(Buffer.alloc(1), 0, 0, 1, impatient.signal)
  await settle()
  impatient.abort()
  await expect(read).rejects.toMatchObject({ code: "CANCELLED" })
  let closed = false
  const closing = content.close().then(() => {
    closed = true
  })
  await settle()
  expect(closed).toBe(false)
  gates[0]!()
  await closing
})

it("reports heat for reads, hit or miss, and not for prefetches", async () => {
  const { content, touched } = setup(8, 4 * C)
  await content.prefetch(0, 2 * C)
  expect(touched).toEqual([])
  content.readSync(Buffer.alloc(2), 0, C - 1, 2)
  await content.read(Buffer.alloc(1), 0, 3 * C, 1)
  expect(touched).toEqual([0, 1, 3])
})

it("finds clusters beyond four tebibytes", async () => {
  const size = 5 * 2 ** 40
  const volume = new MemoryVolume(size)
  const bytes = patterned(4096, 3)
  volume.put(bytes, 0, size - 4096, 4096)
  const cache = new ReadCache({ bytes: 2 * C })
  const content = cache.open({ contentId: "a", sizeBytes: size, read: (i, a, o, l) => volume.read(i, a, o, l) })
  const into = Buffer.alloc(4096)
  await content.read(into, 0, size - 4096, 4096)
  expect(into.equals(bytes)).toBe(true)
  expect(content.readSync(into, 0, size - 4096, 4096)).toBe(true)
  expect(content.readSync(into, 0, size - 4096 - 2 ** 32 * 512, 4096)).toBe(false)
})
