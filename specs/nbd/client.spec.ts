/** Our client: against our server with misses at random, and its reply sorter against what other servers may send. */
import { afterEach, describe, expect, it } from "vitest"
import { connectNbd, type NbdClient } from "../../adapters/nbd/client.ts"
import { Replies, type Waiting } from "../../adapters/nbd/client-replies.ts"
import { listenNbd } from "../../adapters/nbd/server.ts"
import { MemoryDevice, MemoryDisks, seeded } from "../support/memory-disks.ts"
import { chunk, offsetData, simple } from "../support/nbd-session.ts"

const open: Array<() => Promise<void>> = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

const pair = async (device: MemoryDevice, structured: boolean): Promise<NbdClient> => {
  const disks = new MemoryDisks().add("client/a/0", device)
  const server = await listenNbd({ address: "127.0.0.1", port: 0, disks, limits: { refusalMillis: 1 } })
  open.push(() => server.close())
  const client = await connectNbd({ host: "127.0.0.1", port: server.port, export: "client/a/0", structured })
  open.push(async () => client.destroy())
  return client
}

describe.each([true, false])("with structured replies: %s", (structured) => {
  it("500 writes and reads in flight at once agree with a plain array, whatever misses", async () => {
    const seed = 20_261
    const random = seeded(seed)
    const sizeBytes = 2 * 1024 * 1024
    const client = await pair(new MemoryDevice({ sizeBytes, missRate: 0.3, seed }), structured)
    const model = Buffer.alloc(sizeBytes)
    // Regions do not overlap within a round, so that order does not matter.
    for (let round = 0; round < 4; round++) {
      const work: Array<Promise<void>> = []
      const regionBytes = sizeBytes / 125
      for (let region = 0; region < 125; region++) {
        const from = Math.floor((region * regionBytes) / 512) * 512
        const length = 512 * (1 + Math.floor(random() * 31))
        const value = Math.floor(random() * 256)
        if (random() < 0.5) {
          model.fill(value, from, from + length)
          work.push(client.write(from, Buffer.alloc(length, value)))
        } else {
          const expected = Buffer.from(model.subarray(from, from + length))
          work.push(
            client.read(from, length).then((b) => expect(b.equals(expected), `seed ${seed} round ${round}`).toBe(true)),
          )
        }
      }
      await Promise.all(work)
    }
    expect((await client.read(0, sizeBytes)).equals(model), `seed ${seed}`).toBe(true)
  })
  it("trims, zeroes, flushes and prefetches", async () => {
    const device = new MemoryDevice({ sizeBytes: 65_536 })
    const client = await pair(device, structured)
    await client.write(0, Buffer.alloc(16_384, 1), { fua: true })
    await client.zero(0, 4096, { fua: true, noHole: true, fast: true })
    await client.trim(4096, 4096, { fua: true })
    await client.flush()
    await client.prefetch(0, 65_536)
    const expected = Buffer.alloc(65_536)
    expected.fill(1, 8192, 16_384)
    expect((await client.read(0, 65_536)).equals(expected)).toBe(true)
  })
  it("block status needs structured replies", async () => {
    const device = new MemoryDevice({ sizeBytes: 65_536 })
    device.put(4096, Buffer.alloc(4096, 1))
    const client = await pair(device, structured)
    expect(client.canBlockStatus).toBe(structured)
    if (!structured) await expect(client.blockStatus(0, 65_536)).rejects.toMatchObject({ code: "EINVAL" })
    else {
      expect(await client.blockStatus(0, 65_536)).toEqual([
        { length: 4096, state: 3 },
        { length: 4096, state: 0 },
        { length: 57_344, state: 3 },
      ])
      expect(await client.blockStatus(4096, 8192, { one: true })).toEqual([{ length: 4096, state: 0 }])
    }
  })
  it("errors carry the errno, and words when replies are structured", async () => {
    const client = await pair(new MemoryDevice({ sizeBytes: 4096 }), structured)
    await expect(client.read(4096, 512)).rejects.toMatchObject({ name: "NbdError", code: "EINVAL" })
    await expect(client.write(4096, Buffer.alloc(512))).rejects.toMatchObject({ code: "ENOSPC" })
    const words = await client.read(4096, 512).catch((e: Error) => e.message)
    expect(words).toBe(
      structured
        ? "EINVAL: the request is not valid here: outside the disk, not aligned, or with a flag or command that was not agreed"
        : "EINVAL",
    )
  })
})

describe("connecting", () => {
  it("where nothing listens is ECONNREFUSED", async () => {
    await expect(connectNbd({ host: "127.0.0.1", port: 1, export: "x" })).rejects.toMatchObject({
      code: "ECONNREFUSED",
    })
  })
})

describe("replies of any server", () => {
  const sorter = () => {
    const replies = new Replies()
    const settled: Array<unknown> = []
    const expectReply = (cookie: number, offset: number, length: number, into?: Buffer): void => {
      const w: Waiting = {
        offset,
        length,
        into,
        at: 0,
        filled: 0,
        runs: undefined,
        error: undefined,
        resolve: () => settled.push(cookie),
        reject: (e) => settled.push(e.code),
      }
      replies.expect(cookie, w)
    }
    return { replies, settled, expectReply, feed: (hex: string) => replies.feed(Buffer.from(hex, "hex")) }
  }
  const notDone = (hex: string): string => hex.replace(/^668e33ef0001/u, "668e33ef0000")

  it("a read in three chunks, a hole among them, out of order", () => {
    const s = sorter()
    const into = Buffer.alloc(12, 0xee)
    s.expectReply(1, 100, 12, into)
    s.feed(notDone(offsetData(108, "aabbccdd")) + notDone(chunk(2, `${"64".padStart(16, "0")}00000004`)))
    s.feed(offsetData(104, "11223344"))
    expect([into.toString("hex"), s.settled]).toEqual(["0000000011223344aabbccdd", [1]])
  })
  it("cut at every byte gives the same", () => {
    const hex =
      notDone(offsetData(0, "a1a2")) +
      notDone(offsetData(2, "a3a4")) +
      chunk(0, "") +
      simple(0, 2) +
      simple(0, 3, "b1b2")
    for (let cut = 1; cut < hex.length / 2; cut++) {
      const s = sorter()
      const [a, b] = [Buffer.alloc(4), Buffer.alloc(2)]
      s.expectReply(1, 0, 4, a)
      s.expectReply(2, 0, 0)
      s.expectReply(3, 0, 2, b)
      s.feed(hex.slice(0, cut * 2))
      s.feed(hex.slice(cut * 2))
      expect([cut, a.toString("hex"), b.toString("hex"), s.settled]).toEqual([cut, "a1a2a3a4", "b1b2", [1, 2, 3]])
    }
  })
  it("an error chunk after data fails the read", () => {
    const s = sorter()
    s.expectReply(1, 0, 4, Buffer.alloc(4))
    s.feed(notDone(offsetData(0, "a1a2a3a4")) + chunk(0x8002, `00000005${"0000"}${"0".repeat(16)}`))
    expect(s.settled).toEqual(["EIO"])
  })
  it("an error chunk of a kind that is not known fails the request and no more", () => {
    const s = sorter()
    s.expectReply(1, 0, 4, Buffer.alloc(4))
    s.expectReply(2, 0, 0)
    s.feed(chunk(0x8fff, "00000016000000ff") + simple(0, 2))
    expect(s.settled).toEqual(["EINVAL", 2])
  })
  it("success without all of the data is PROTOCOL", () => {
    const s = sorter()
    s.expectReply(1, 0, 4, Buffer.alloc(4))
    s.feed(offsetData(0, "a1a2"))
    expect(s.settled).toEqual(["PROTOCOL"])
  })
  it.each([
    ["a reply nobody asked for", simple(0, 9)],
    ["a wrong magic", "0".repeat(32)],
    ["data before the request", offsetData(99, "aa")],
    ["data past the request", offsetData(100, "aabbccddee")],
    ["data of no length", offsetData(100, "")],
    ["a hole past the request", chunk(2, `${"64".padStart(16, "0")}00000005`)],
    ["a chunk of an unknown kind", chunk(77, "00")],
    ["a chunk too short for its kind", chunk(2, "00")],
    ["an error chunk too short", chunk(0x8001, "00")],
    ["a chunk longer than anything", "668e33ef00010005000000000000000100900000"],
  ])("%s ends the connection", (_what, hex) => {
    const s = sorter()
    s.expectReply(1, 100, 4, Buffer.alloc(4))
    expect(() => s.feed(hex)).toThrow(expect.objectContaining({ name: "NbdError", code: "PROTOCOL" }))
  })
})
