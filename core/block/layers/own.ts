/**
 * What one layer alone brought to a version: its own runs, as its map says, from the first grain to the last.
 *
 * **Details** They adjoin and cover the disk: data and zero where the layer changed something, absent where what lies below shows through.
 * That is what a sealed file's tables are written from. Pages that the layer did not touch are passed by without a look inside.
 */
import type { Extent, ExtentKind } from "../device.ts"
import type { LayerMap } from "./map.ts"
import { codeIn, GRAIN, isZeroCode, layerOfCode, PAGE_GRAINS, runEndIn } from "./page.ts"

/** The runs of `map.layer`. */
export function* ownRuns(map: LayerMap): Generator<Extent> {
  let from = 0
  let kind: ExtentKind = "absent"
  for (let number = 0; number * PAGE_GRAINS < map.grains; number++) {
    const start = number * PAGE_GRAINS
    const page = map.pageAt(number)
    const limit = Math.min(PAGE_GRAINS, map.grains - start)
    for (let g = 0; g < limit; ) {
      const here = page.newest < map.layer ? "absent" : kindOf(codeIn(page, g), map.layer)
      if (here !== kind) {
        const at = (start + g) * GRAIN
        if (at > from) yield { offset: from, length: at - from, kind }
        from = at
        kind = here
      }
      g = page.newest < map.layer ? limit : runEndIn(page, g, limit)
    }
  }
  yield { offset: from, length: map.sizeBytes - from, kind }
}

const kindOf = (code: number, layer: number): ExtentKind => {
  if (layerOfCode(code) !== layer) return "absent"
  return isZeroCode(code) ? "zero" : "data"
}
