/** A page of a layer map answers the same in whatever form it is kept. */
import { describe, expect, it } from "vitest"
import { PageCanvas } from "../../../core/block/layers/canvas.ts"
import { codeIn, newestIn, PAGE_GRAINS, runEndIn } from "../../../core/block/layers/page.ts"
import { random } from "../../support/random.ts"

/** Runs of equal codes: as many as `runs`, of as many codes as `count`. */
const codesOf = (count: number, runs: number, scale: number, seed: number): Uint16Array => {
  const dice = random(seed)
  const codes = new Uint16Array(PAGE_GRAINS)
  const starts = Array.from({ length: runs }, (_, i) => Math.floor((i * PAGE_GRAINS) / runs))
  for (const [i, start] of starts.entries()) {
    const code = i < count ? i : (codes[start - 1]! / scale + 1 + dice.below(Math.max(1, count - 1))) % count
    codes.fill(code * scale, start)
  }
  return codes
}

describe.each([
  // codes, runs, what a code is multiplied by, bytes but for what every page costs
  [1, 1, 5, 0],
  [2, 256, 5, 4 * 256],
  [2, 257, 5, 4 * 257],
  [2, 258, 5, 2 * (2 + 512)],
  [2, 8192, 5, 2 * (2 + 512)],
  [3, 514, 5, 4 * 514],
  [3, 515, 5, 2 * (4 + 1024)],
  [3, 1025, 5, 2 * (4 + 1024)],
  [4, 8192, 65_535 / 5, 2 * (4 + 1024)],
  [5, 2000, 5, 2 * (16 + 2048)],
  [16, 8192, 5, 2 * (16 + 2048)],
  [17, 1024, 5, 4 * 1024],
  [17, 1025, 5, 8192],
  [17, 8192, 50, 16_384],
])("%d codes in %d runs, in steps of %d", (count, runs, scale, bytes) => {
  it("is looked up as it was painted", () => {
    const codes = codesOf(count, runs, scale, count)
    const canvas = new PageCanvas()
    canvas.begin(99)
    // Every other one first, so that what is painted later lies between.
    for (const odd of [1, 0])
      for (let g = 0, n = 0; g < PAGE_GRAINS; n++) {
        const from = g
        while (g < PAGE_GRAINS && codes[g] === codes[from]) g++
        if (n % 2 === odd) canvas.paint(from, g - 1, codes[from]!)
      }
    const page = canvas.page()
    expect(page.bytes).toBe(bytes === 0 ? 0 : 136 + 240 + bytes)
    for (let g = 0; g < PAGE_GRAINS; g++) {
      if (codeIn(page, g) !== codes[g]) expect([g, codeIn(page, g)]).toEqual([g, codes[g]])
      let end = g + 1
      while (end < PAGE_GRAINS && codes[end] === codes[g]) end++
      if (runEndIn(page, g, PAGE_GRAINS) !== end) expect([g, runEndIn(page, g, PAGE_GRAINS)]).toEqual([g, end])
      const limit = Math.min(PAGE_GRAINS, g + 3)
      if (runEndIn(page, g, limit) !== Math.min(end, limit)) expect([g, runEndIn(page, g, limit)]).toEqual([g, end])
    }
    for (let g = 0; g < PAGE_GRAINS; g += 16)
      expect(newestIn(page, g, g + 16), `grain ${g}`).toBe(Math.max(...codes.subarray(g, g + 16)) >> 1)
    expect(page.newest).toBe(Math.max(...codes) >> 1)
  })
})
