/** What is written into a new file: every byte that says something, and few that do not. */
import { expect, it } from "vitest"
import { sparseWriter } from "../../core/runtime/sparse-writer.ts"
import { random } from "../support/random.ts"

const BLOCK = 4096
const target = (isSync: boolean) => {
  const file = Buffer.alloc(64 * BLOCK)
  const writes: Array<readonly [number, number]> = []
  const put = (from: Uint8Array, at: number, offset: number, length: number) => {
    writes.push([offset, length])
    file.set(from.subarray(at, at + length), offset)
  }
  return {
    file,
    writes,
    writeSync: (...asked: Parameters<typeof put>) => {
      if (isSync) put(...asked)
      return isSync
    },
    write: async (...asked: Parameters<typeof put>) => put(...asked),
  }
}

it.each([true, false])("runs of blocks that are not zeros are written once each; at once: %s", async (isSync) => {
  const t = target(isSync)
  const bytes = Buffer.alloc(6 * BLOCK + 100)
  bytes[0] = 1
  bytes[BLOCK - 1] = 1
  bytes[3 * BLOCK - 1] = 1
  bytes[3 * BLOCK] = 1
  bytes[6 * BLOCK + 99] = 1
  await sparseWriter(t)(bytes, 2 * BLOCK)
  expect(t.writes).toEqual([
    [2 * BLOCK, BLOCK],
    [4 * BLOCK, 2 * BLOCK],
    [8 * BLOCK, 100],
  ])
  expect(t.file.subarray(2 * BLOCK, 8 * BLOCK + 100).equals(bytes)).toBe(true)
})

it("nothing is written of zeros, and nothing of nothing", async () => {
  const t = target(true)
  await sparseWriter(t)(Buffer.alloc(3 * BLOCK + 1), 0)
  await sparseWriter(t)(Buffer.alloc(0), 0)
  expect(t.writes).toEqual([])
})

it("any bytes are there afterwards", async () => {
  const r = random(1)
  for (let round = 0; round < 50; round++) {
    const t = target(r.chance(0.5))
    const bytes = Buffer.alloc(r.int(40 * BLOCK))
    for (let n = r.int(6); n > 0; n--) bytes.fill(1 + r.int(255), r.int(bytes.length + 1), r.int(bytes.length + 1))
    const offset = r.int(20) * BLOCK
    await sparseWriter(t)(bytes, offset)
    expect(t.file.subarray(offset, offset + bytes.length).equals(bytes), `round ${round}`).toBe(true)
  }
})
