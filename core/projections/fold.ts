/**
 * Folding the log into cells, from mark to mark; marks are made where the fold passes them.
 *
 * **Details** All of a stretch is read in one go (`EventLog.each`), because beginning to read anywhere costs as much as dozens of events, and
 * leaves garbage that outlives a page.
 */
import * as Effect from "effect/Effect"
import type { ImagelinkError } from "../errors.ts"
import type { Recorded } from "../log/event-log.ts"
import { type Cell, feed } from "./cell.ts"
import type { Marks } from "./marks.ts"
import { type ReadableLog, readEach } from "./read.ts"

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
    const take = (events: ReadonlyArray<Recorded>): boolean => {
      for (const cell of cells) for (const recorded of events) feed(cell, recorded)
      return cells.some((cell) => !cell.stopped)
    }
    while (lowest(cells) < end()) {
      const after = lowest(cells)
      const toMark = marks === undefined ? Number.POSITIVE_INFINITY : marks.every() - (after % marks.every())
      const last = Math.min(end(), after + toMark)
      yield* readEach(log, after, last, take)
      if (lowest(cells) === after) return
      for (const cell of cells) if (cell.position === last) yield* makeMark(cell, marks)
    }
  })

const makeMark = (cell: Cell, marks: Marks | undefined): Effect.Effect<void> =>
  marks !== undefined && cell.position % marks.every() === 0 ? marks.make(cell) : Effect.void
