/** Seeded bytes and exact comparison, so that every failure names one offset and can be run again. */
import assert from "node:assert/strict"

/** Numbers in [0, 1) from a seed (mulberry32): the same on every machine. */
export const randomFrom = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** Bytes that look like nothing else, with holes of zeros where given: what to put into a sample. */
export const sampleBytes = (
  sizeBytes: number,
  { seed = 1, holes = [] }: { readonly seed?: number; readonly holes?: ReadonlyArray<readonly [number, number]> } = {},
): Uint8Array => {
  const random = randomFrom(seed)
  const bytes = Uint8Array.from({ length: sizeBytes }, () => 1 + Math.floor(random() * 255))
  for (const [offset, length] of holes) bytes.fill(0, offset, offset + length)
  return bytes
}

/** Asserts that two ranges are equal, and names the first byte that is not. */
export const same = (actual: Uint8Array, expected: Uint8Array, what: string): void => {
  if (actual.length === expected.length && Buffer.compare(actual, expected) === 0) return
  assert.equal(actual.length, expected.length, `${what}: length`)
  const at = actual.findIndex((byte, i) => byte !== expected[i])
  assert.fail(`${what}: byte ${at} of ${expected.length} is ${actual[at]}, expected ${expected[at]}`)
}

/** Ranges around every boundary a plugin is likely to have, all inside `sizeBytes`. */
export const boundaryRanges = (sizeBytes: number): ReadonlyArray<readonly [offset: number, length: number]> => {
  const ranges: Array<readonly [number, number]> = []
  const boundaries = [0, 512, 4096, 65_536, 131_072, sizeBytes - 512, sizeBytes]
  for (const boundary of boundaries)
    for (const length of [1, 2, 511, 512, 513, 4096])
      for (const offset of [boundary - length, boundary - 1, boundary])
        if (offset >= 0 && offset + length <= sizeBytes) ranges.push([offset, length])
  return ranges
}

/** `count` ranges inside `sizeBytes`, of 1 to 16 KiB. */
export const randomRanges = (
  sizeBytes: number,
  count: number,
  seed: number,
): ReadonlyArray<readonly [offset: number, length: number]> => {
  const random = randomFrom(seed)
  return Array.from({ length: count }, () => {
    const length = 1 + Math.floor(random() * Math.min(16_384, sizeBytes))
    return [Math.floor(random() * (sizeBytes - length + 1)), length] as const
  })
}
