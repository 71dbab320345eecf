/**
 * The projector: keeps a set of projections at the head of the log, from checkpoints where there are good ones.
 *
 * **Details** Order of calls: `start` once, then `applyNew` with whatever is appended, `catchUp` where something may have been missed,
 * `checkpoint` now and then. States are changed in place and belong to the projector; a reader takes what it needs before it awaits
 * anything. `rebuild` folds aside and swaps at the end, so readers never see half a state; ask for `state` again after it.
 */
import * as Effect from "effect/Effect"
import type { ImagelinkError } from "../errors.ts"
import type { Recorded } from "../log/event-log.ts"
import { type AnyProjection, type Cell, feed, freshCell, saveCell } from "./cell.ts"
import { fold, lowest } from "./fold.ts"
import type { Marks } from "./marks.ts"
import type { Projection } from "./projection.ts"
import { type CheckpointStore, type ProjectedLog, restore } from "./restore.ts"

export interface ProjectionReport {
  readonly name: string
  readonly position: number
  /** Unknown events skipped: `["ClientRenamed v1", 3]`. */
  readonly unknown: ReadonlyArray<readonly [event: string, count: number]>
  readonly stopped: ImagelinkError | undefined
}

export interface StartReport {
  /** Events folded beyond the checkpoints, by the projection that had to fold most. */
  readonly folded: number
  /** Checkpoints not used, and why. */
  readonly ignored: ReadonlyArray<{ readonly name: string; readonly why: string }>
}

export interface Projector {
  /** Loads the checkpoints and folds the tail. @throws STORE_DAMAGED */
  start(): Effect.Effect<StartReport, ImagelinkError>
  /** Folds up to the head of the log. @throws STORE_DAMAGED */
  catchUp(): Effect.Effect<void, ImagelinkError>
  /** Takes what was just appended; what it has already is skipped. */
  applyNew(events: ReadonlyArray<Recorded>): void
  /** Saves every projection where it is. */
  checkpoint(): Effect.Effect<void, ImagelinkError>
  /** Folds everything from zero, and makes all marks anew. @throws STORE_DAMAGED */
  rebuild(): Effect.Effect<void, ImagelinkError>
  /** Fresh cells for all its projections, and what puts them in the place of those at work: for `rebuildAll`. */
  anew(): { readonly cells: ReadonlyArray<Cell>; readonly takeOver: () => void }
  state<S>(projection: Projection<S>): S
  report(): ReadonlyArray<ProjectionReport>
}

export interface ProjectorOptions {
  readonly log: ProjectedLog
  readonly projections: ReadonlyArray<AnyProjection>
  readonly checkpoints?: CheckpointStore | undefined
  /** Made along the log while folding. */
  readonly marks?: Marks | undefined
}

export const makeProjector = ({ log, projections, checkpoints, marks }: ProjectorOptions): Projector => {
  let cells = projections.map(freshCell)
  const head = () => log.head()
  /** Marks that were passed by `applyNew`, which cannot wait for them. */
  const due: Array<Effect.Effect<void>> = []

  const start = Effect.fnUntraced(function* () {
    const ignored: Array<{ name: string; why: string }> = []
    for (const [i, projection] of projections.entries()) {
      const restored = checkpoints && (yield* restore(log, checkpoints, projection))
      if (typeof restored === "string") ignored.push({ name: projection.name, why: restored })
      else if (restored) cells[i] = restored
    }
    const before = lowest(cells)
    yield* fold(log, cells, head, marks)
    return { folded: cells.length === 0 ? 0 : log.head() - before, ignored }
  })

  const anew = () => {
    const fresh = projections.map(freshCell)
    const takeOver = () => {
      cells = fresh
    }
    return { cells: fresh, takeOver }
  }

  const feedNew = (cell: Cell, recorded: Recorded): void => {
    feed(cell, recorded)
    if (marks && cell.position === recorded.position && cell.position % marks.every() === 0) due.push(marks.take(cell))
  }
  const saveDue = Effect.suspend(() => Effect.all(due.splice(0), { discard: true }))

  const save = (cell: Cell) => checkpoints?.save(cell.projection.name, saveCell(cell, log.site.storeId)) ?? Effect.void

  return {
    start,
    anew,
    rebuild: () => rebuildAll(log, [{ anew }], marks),
    catchUp: () => Effect.andThen(fold(log, cells, head, marks), saveDue),
    applyNew: (events) => {
      for (const cell of cells) for (const recorded of events) feedNew(cell, recorded)
    },
    checkpoint: () => Effect.andThen(saveDue, () => Effect.forEach(cells, save, { discard: true })),
    state: <S>(projection: Projection<S>) => cells.find((cell) => cell.projection === projection)!.state as S,
    report: () =>
      cells.map(({ projection, position, unknown, stopped }) => ({
        name: projection.name,
        position,
        unknown: Array.from(unknown, ([event, { count }]) => [event, count] as const),
        stopped,
      })),
  }
}

/** Folds all projections of several projectors from zero in one reading of the log, and makes all marks anew. @throws STORE_DAMAGED */
export const rebuildAll = Effect.fnUntraced(function* (
  log: ProjectedLog,
  projectors: ReadonlyArray<Pick<Projector, "anew">>,
  marks: Marks | undefined,
) {
  const fresh = projectors.map((projector) => projector.anew())
  const cells = fresh.flatMap((one) => one.cells)
  if (marks) for (const { projection } of cells) yield* marks.clear(projection)
  const head = () => log.head()
  // what is appended while the fold ends is fed to the old cells, so the new ones must have it before they take over
  do yield* fold(log, cells, head, marks)
  while (lowest(cells) < head())
  for (const { takeOver } of fresh) takeOver()
})
