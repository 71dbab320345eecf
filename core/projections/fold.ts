/** Folding the log into cells, page by page; marks are made where the fold passes them. */
import * as Effect from "effect/Effect"
import type { ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import { type Cell, feed } from "./cell.ts"
import type { Marks } from "./marks.ts"
import { type ReadableLog, readPage } from "./read.ts"

/** Position that all cells have reached; those that stopped for good do not hold the others up. */
export const lowest = (cells: ReadonlyArray<Cell>): number =>
  cells.reduce((least, cell) => (cell.stopped ? least : Math.min(least, cell.position)), Number.POSITIVE_INFINITY)

/** Folds the cells up to `end()`, which may move meanwhile. @throws STORE_DAMAGED */
export const fold = (
  log: ReadableLog,
  cells: ReadonlyArray<Cell>,
  end: () => number,
  marks: Marks | undefined,
): Effect.Effect<void, ImagelinkError> =>
  Effect.gen(function* () {
    while (lowest(cells) < end()) {
      const after = lowest(cells)
      const every = marks?.every() ?? Number.POSITIVE_INFINITY
      const toMark = every - (after % every)
      const page = yield* readPage(log, after, Math.min(limits.pageEventsMax, end() - after, toMark))
      if (page.length === 0) return
      const last = page[page.length - 1]!.position
      for (const cell of cells) {
        if (cell.position >= last) continue
        for (const recorded of page) feed(cell, recorded)
        if (marks && last % every === 0 && cell.position === last) yield* marks.make(cell)
      }
    }
  })
