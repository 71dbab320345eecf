/** Looking back: where the log stood at a time, and a projection folded up to a position. */
import * as Effect from "effect/Effect"
import type { ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import { feed, freshCell } from "./cell.ts"
import type { Projection } from "./projection.ts"
import { type ReadableLog, readPage } from "./read.ts"

/** The last position whose `at` is not after `time`; 0 when all are later. Times in the log never go back, so halving finds it. */
export const positionAt = (log: ReadableLog, time: number): Effect.Effect<number, ImagelinkError> =>
  Effect.gen(function* () {
    let low = 0
    let high = log.head()
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      const page = yield* readPage(log, middle - 1, 1)
      if (page[0]!.at <= time) low = middle
      else high = middle - 1
    }
    return low
  })

/** A projection's state after the event at `position` (or at the head, if that comes first). */
export const foldAsOf = <S>(
  log: ReadableLog,
  projection: Projection<S>,
  position: number,
): Effect.Effect<S, ImagelinkError> =>
  Effect.gen(function* () {
    const cell = freshCell(projection)
    const end = Math.min(position, log.head())
    while (cell.position < end) {
      const page = yield* readPage(log, cell.position, Math.min(limits.pageEventsMax, end - cell.position))
      for (const recorded of page) feed(cell, recorded)
      if (cell.stopped) return yield* Effect.fail(cell.stopped)
      if (page.length === 0) break
    }
    return cell.state as S
  })
