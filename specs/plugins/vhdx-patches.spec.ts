/** Ranges laid over a file in any order read as if each had been written to it, by seed. */
import { expect, it } from "vitest"
import { Patches, patchedVolume } from "../../plugins/formats/vhdx/patched.ts"
import { MemoryVolume } from "../support/memory-volume.ts"
import { patterned, random } from "../support/random.ts"

const SIZE = 400

it.each(Array.from({ length: 20 }, (_, i) => i + 1))("seed %d", async (seed) => {
  const r = random(seed)
  const file = patterned(300, seed)
  const expected = Buffer.concat([file, Buffer.alloc(SIZE - file.length)])
  const patches = new Patches()
  const volume = patchedVolume(MemoryVolume.of(file), patches, SIZE)
  for (let i = 0; i < 60; i++) {
    const at = r.int(SIZE)
    const length = 1 + r.int(Math.min(80, SIZE - at))
    const bytes = r.chance(0.6) ? patterned(length, seed * 100 + i) : undefined
    patches.lay(at, length, bytes)
    expected.set(bytes ?? Buffer.alloc(length), at)
    const from = r.int(SIZE)
    const into = Buffer.alloc(SIZE - from + 2, 0xee)
    await volume.read(into, 1, from, SIZE - from)
    expect(Buffer.compare(into.subarray(1, -1), expected.subarray(from))).toBe(0)
    expect([into[0], into.at(-1)]).toEqual([0xee, 0xee])
  }
})

it("is as long as the file where the log asks for less", () => {
  expect(patchedVolume(MemoryVolume.of(patterned(300, 1)), new Patches(), 100).sizeBytes).toBe(300)
})
