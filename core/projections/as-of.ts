/** Looking back: where the log stood at a time, and a projection folded up to a position. */
import * as Effect from "effect/Effect"
import type { ImagelinkError } from "../errors.ts"
import { type AnyProjection, type Cell, freshCell } from "./cell.ts"
import { fold } from "./fold.ts"
import type { Marks } from "./marks.ts"
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

/** The states of several projections after the event at `position` (or at the head, if that comes first), read in one go. */
export const cellsAsOf = (
  log: ReadableLog,
  projections: ReadonlyArray<AnyProjection>,
  position: number,
  marks?: Marks,
): Effect.Effect<ReadonlyArray<Cell>, ImagelinkError> =>
  Effect.gen(function* () {
    const end = Math.min(position, log.head())
    const cells = yield* Effect.forEach(projections, (p) =>
      marks === undefined ? Effect.succeed(freshCell(p)) : marks.nearest(p, end),
    )
    yield* fold(log, cells, () => end, marks)
    for (const cell of cells) if (cell.stopped) return yield* Effect.fail(cell.stopped)
    return cells
  })

/** A projection's state after the event at `position` (or at the head, if that comes first). */
export const foldAsOf = <S>(
  log: ReadableLog,
  projection: Projection<S>,
  position: number,
  marks?: Marks,
): Effect.Effect<S, ImagelinkError> =>
  Effect.map(cellsAsOf(log, [projection], position, marks), ([cell]) => cell!.state as S)
