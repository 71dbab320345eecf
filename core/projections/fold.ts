/**
 * Folding the log into cells, page by page; marks are made where the fold passes them.
 *
 * **Details** The next page is read while this one is folded: the log reads on another thread, and folding is all this one has to do.
 */
import * as Effect from "effect/Effect"
import type { ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import type { Recorded } from "../log/event-log.ts"
import { type Cell, feed } from "./cell.ts"
import type { Marks } from "./marks.ts"
import { type ReadableLog, readPage } from "./read.ts"

/** Position that all cells have reached; those that stopped for good do not hold the others up. */
export const lowest = (cells: ReadonlyArray<Cell>): number =>
  cells.reduce((least, cell) => (cell.stopped ? least : Math.min(least, cell.position)), Number.POSITIVE_INFINITY)

type Page = Effect.Effect<ReadonlyArray<Recorded>, ImagelinkError>

/** Begins an effect now; what is answered ends with it. It may be dropped. */
const begun = (page: Page): Page => {
  const running = Effect.runPromise(Effect.result(page))
  running.catch(() => {})
  return Effect.flatMap(
    Effect.promise(() => running),
    Effect.fromResult,
  )
}

/** Folds the cells up to `end()`, which may move meanwhile. @throws STORE_DAMAGED */
export const fold = (
  log: ReadableLog,
  cells: ReadonlyArray<Cell>,
  end: () => number,
  marks: Marks | undefined,
): Effect.Effect<void, ImagelinkError> =>
  Effect.gen(function* () {
    const distance = () => marks?.every() ?? Number.POSITIVE_INFINITY
    const pageAfter = (after: number): Page =>
      readPage(log, after, Math.min(limits.pageEventsMax, end() - after, distance() - (after % distance())))
    let ahead: { readonly after: number; readonly page: Page } | undefined
    while (lowest(cells) < end()) {
      const after = lowest(cells)
      const page = yield* ahead?.after === after ? ahead.page : pageAfter(after)
      if (page.length === 0) return
      const last = page[page.length - 1]!.position
      ahead = last < end() ? { after: last, page: begun(pageAfter(last)) } : undefined
      for (const cell of cells) {
        if (cell.position >= last) continue
        for (const recorded of page) feed(cell, recorded)
        if (marks && last % distance() === 0 && cell.position === last) yield* marks.make(cell)
      }
    }
  })
