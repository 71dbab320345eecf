/** Pieces of boot files: read once for everybody, a bounded number of them, and never another file's. */
import { describe, expect, it } from "vitest"
import { PieceCache, type PieceFile } from "../../core/runtime/boot-file-cache.ts"

const fileOf = (text: string, identity = text) => {
  const loads: Array<readonly [number, number]> = []
  const file: PieceFile = {
    identity,
    sizeBytes: text.length,
    load: async (offset, length) => {
      loads.push([offset, length])
      return Buffer.from(text.slice(offset, offset + length))
    },
  }
  return { file, loads }
}
const cacheOf = (pieces: number) => new PieceCache({ pieceBytes: 4, bytesMax: 4 * pieces })
const read = async (cache: PieceCache, file: PieceFile, offset: number, length: number) =>
  Buffer.from(await cache.read(file, offset, length)).toString()

describe("a read", () => {
  it.each([
    ["of nothing", 0, 0, ""],
    ["of nothing at the end", 10, 0, ""],
    ["of the first byte", 0, 1, "0"],
    ["of a piece", 4, 4, "4567"],
    ["over a border", 3, 2, "34"],
    ["of the last byte", 9, 1, "9"],
    ["of all", 0, 10, "0123456789"],
  ])("%s is what the file has there", async (_, offset, length, expected) => {
    expect(await read(cacheOf(8), fileOf("0123456789").file, offset, length)).toBe(expected)
  })

  it("loads each piece once, with the one after it, however many ask", async () => {
    const [cache, { file, loads }] = [cacheOf(8), fileOf("0123456789")]
    await Promise.all([read(cache, file, 0, 4), read(cache, file, 1, 2), read(cache, { ...file }, 0, 4)])
    expect(loads).toEqual([
      [0, 4],
      [4, 4],
    ])
    await read(cache, file, 8, 2)
    expect(loads).toHaveLength(3)
    expect(loads[2]).toEqual([8, 2])
  })

  it("at once has what is needed, up to the end of the piece; over a border no more than that; and nothing where a piece is not there", async () => {
    const [cache, { file }] = [cacheOf(8), fileOf("0123456789")]
    const now = (offset: number, least: number) => cache.readNow(file, offset, least)?.toString()
    expect(now(0, 1)).toBeUndefined()
    await cache.read(file, 0, 4)
    await cache.read(file, 4, 4)
    expect([now(0, 1), now(1, 3), now(5, 1)]).toEqual(["0123", "123", "567"])
    expect([now(3, 2), now(2, 5)]).toEqual(["34", "23456"])
    expect([now(7, 3), now(9, 1)]).toEqual(["789", "9"])
    cache.readNow(fileOf("0123456789", "another").file, 0, 1)
    expect(cache.readNow(fileOf("0123456789", "another").file, 3, 2)).toBeUndefined()
  })

  it("of a changed file is of that one", async () => {
    const cache = cacheOf(8)
    expect(await read(cache, fileOf("aaaa", "file of Monday").file, 0, 4)).toBe("aaaa")
    expect(await read(cache, fileOf("bbbb", "file of Tuesday").file, 0, 4)).toBe("bbbb")
  })

  it("that fails is tried again by the next, and so is one that was read ahead", async () => {
    const cache = cacheOf(8)
    let fails = true
    const { file } = fileOf("01234567")
    const broken: PieceFile = { ...file, load: (o, n) => (fails ? Promise.reject(new Error("EIO")) : file.load(o, n)) }
    await expect(cache.read(broken, 0, 8)).rejects.toThrow("EIO")
    fails = false
    expect(await read(cache, broken, 0, 8)).toBe("01234567")
  })
})

describe("a cache of two pieces", () => {
  it("has two at most, those used last", async () => {
    const [cache, { file, loads }] = [cacheOf(2), fileOf("0123456789abcdef")]
    await read(cache, file, 0, 16)
    expect(cache.size).toBe(2)
    await read(cache, file, 8, 8)
    expect(loads).toHaveLength(4)
    await read(cache, file, 0, 4)
    expect(loads.slice(4)).toEqual([
      [0, 4],
      [4, 4],
    ])
  })
})
