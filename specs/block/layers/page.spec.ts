/** A page of a layer map answers the same in whatever form it is kept. */
import { describe, expect, it } from "vitest"
import { LeafBuilder } from "../../../core/block/layers/leaf-builder.ts"
import { codeIn, type LayerPage, newestIn, PAGE_GRAINS, runEndIn } from "../../../core/block/layers/page.ts"
import { random } from "../../support/random.ts"

const pageOf = (codes: ArrayLike<number>): LayerPage => {
  const builder = new LeafBuilder()
  for (let g = 0; g < PAGE_GRAINS; g++) builder.push(g, codes[g]!)
  const pages: Array<LayerPage> = []
  builder.endPage(pages, 0)
  builder.finish(pages)
  return pages[0]!
}

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
  // codes, runs, what a code is multiplied by, bytes but for the slab
  [1, 1, 5, 0],
  [2, 256, 5, 104],
  [2, 512, 5, 104 + 240 + 2 * (2 + 512)],
  [2, 8192, 5, 104 + 240 + 2 * (2 + 512)],
  [3, 574, 5, 104],
  [3, 575, 5, 104 + 240 + 2 * (4 + 1024)],
  [3, 1025, 5, 104 + 240 + 2 * (4 + 1024)],
  [4, 8192, 65_535 / 5, 104 + 240 + 2 * (4 + 1024)],
  [5, 2000, 5, 104 + 240 + 2 * (16 + 2048)],
  [16, 8192, 5, 104 + 240 + 2 * (16 + 2048)],
  [17, 8192, 5, 104 + 240 + 8192],
  [17, 8192, 50, 104 + 240 + 16_384],
])("%d codes in %d runs, in steps of %d", (count, runs, scale, bytes) => {
  it("is looked up as it was pushed", () => {
    const codes = codesOf(count, runs, scale, count)
    const page = pageOf(codes)
    expect(page.bytes).toBe(bytes)
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
