/** Reads of files whose bytes the host has in memory: at once where it can tell, the rest by threads, and never so much that nobody else has a turn. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, it } from "vitest"
import type { Host } from "../../core/host.ts"
import { limits } from "../../core/limits.ts"
import { openImage } from "../../plugins/file/image.ts"
import { rawImage } from "../support/images.ts"

const folder = mkdtempSync(join(tmpdir(), "imagelink-cached-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const { path } = rawImage(folder, "disk.raw", 4 * 2 ** 20)
const whole = readFileSync(path)
const PIECE = limits.readAtOnceBytesMax
const signal = new AbortController().signal

/** A host that has so many bytes of whatever is asked for; what it was asked. */
const having = (bytes: (length: number) => number) => {
  const asked: Array<number> = []
  const readCached: NonNullable<Host["readCached"]> = (_, into, at, length, offset) => {
    asked.push(length)
    const had = bytes(length)
    if (had > 0) into.set(whole.subarray(offset, offset + had), at)
    return had
  }
  return { host: { readCached }, asked }
}
const turn = () => new Promise((resolve) => setImmediate(resolve))

it.each([
  ["all", (length: number) => length],
  ["half", (length: number) => length >> 1],
  ["nothing", () => 0],
  ["no answer", () => -1],
])("gives the bytes of the file where the host has %s of them", async (_, bytes) => {
  await turn()
  const { host, asked } = having(bytes)
  const volume = await openImage(path, host, signal)
  const into = Buffer.alloc(PIECE + 20, 0xee)
  await volume.read(into, 7, 12_345, PIECE)
  expect(asked).toEqual([PIECE])
  expect(into.subarray(7, 7 + PIECE).equals(whole.subarray(12_345, 12_345 + PIECE))).toBe(true)
  expect([into[6], into[7 + PIECE]]).toEqual([0xee, 0xee])
  await volume.close()
})

it("leaves long reads to the threads, and refuses one that nobody waits for", async () => {
  await turn()
  const { host, asked } = having((length) => length)
  const volume = await openImage(path, host, signal)
  const into = Buffer.alloc(PIECE + 1)
  await volume.read(into, 0, 0, PIECE + 1)
  expect(into.equals(whole.subarray(0, PIECE + 1))).toBe(true)
  await expect(volume.read(into, 0, 0, 512, AbortSignal.abort())).rejects.toMatchObject({ code: "CANCELLED" })
  expect(asked).toEqual([])
  await volume.close()
})

it("copies no more than so much in one turn of the event loop", async () => {
  await turn()
  const { host, asked } = having((length) => length)
  const volume = await openImage(path, host, signal)
  const most = limits.readAtOnceTurnBytesMax / PIECE
  const read = async () => {
    const into = Buffer.alloc(PIECE)
    await volume.read(into, 0, 0, PIECE)
    expect(into.equals(whole.subarray(0, PIECE))).toBe(true)
  }
  await Promise.all(Array.from({ length: most + 5 }, read))
  expect(asked).toHaveLength(most)
  await turn()
  await read()
  expect(asked).toHaveLength(most + 1)
  await volume.close()
})
