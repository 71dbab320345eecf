/**
 * The projector: keeps a set of projections at the head of the log, from checkpoints where there are good ones.
 *
 * **Details** Order of calls: `start` once, then `applyNew` with whatever is appended, `catchUp` where something may have been missed,
 * `checkpoint` now and then. States are changed in place and belong to the projector; a reader takes what it needs before it awaits
 * anything. `rebuild` folds aside and swaps at the end, so readers never see half a state; ask for `state` again after it.
 */
import * as Effect from "effect/Effect"
import type { ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import type { EventLog, Recorded } from "../log/event-log.ts"
import { type AnyProjection, type Cell, feed, freshCell, restoreCell, saveCell } from "./cell.ts"
import { decodeCheckpoint } from "./checkpoint-file.ts"
import type { Projection } from "./projection.ts"
import { type ReadableLog, readPage } from "./read.ts"

/** Where checkpoints are kept, by projection name. A `save` replaces the whole file or leaves the old one. */
export interface CheckpointStore {
  load(name: string): Effect.Effect<Uint8Array | undefined, ImagelinkError>
  save(name: string, bytes: Uint8Array): Effect.Effect<void, ImagelinkError>
}

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
  /** Folds everything from zero. @throws STORE_DAMAGED */
  rebuild(): Effect.Effect<void, ImagelinkError>
  state<S>(projection: Projection<S>): S
  report(): ReadonlyArray<ProjectionReport>
}

export interface ProjectorOptions {
  readonly log: ReadableLog & Pick<EventLog, "site" | "headCommand">
  readonly projections: ReadonlyArray<AnyProjection>
  readonly checkpoints?: CheckpointStore | undefined
}

type Log = ProjectorOptions["log"]

/** Position that all cells have reached; those that stopped for good do not hold the others up. */
const lowest = (cells: ReadonlyArray<Cell>): number =>
  cells.reduce((least, cell) => (cell.stopped ? least : Math.min(least, cell.position)), Number.POSITIVE_INFINITY)

const fold = (log: Log, cells: ReadonlyArray<Cell>): Effect.Effect<void, ImagelinkError> =>
  Effect.gen(function* () {
    while (lowest(cells) < log.head()) {
      const page = yield* readPage(log, lowest(cells), limits.pageEventsMax)
      if (page.length === 0) return
      for (const cell of cells) for (const recorded of page) feed(cell, recorded)
    }
  })

/** Whether the log holds, at a cell's position, the event that the cell last folded. */
const onHistory = (log: Log, cell: Cell): Effect.Effect<boolean, ImagelinkError> => {
  if (cell.position === 0) return Effect.succeed(true)
  if (cell.position > log.head()) return Effect.succeed(false)
  if (cell.position === log.head()) return Effect.succeed(cell.command === log.headCommand())
  return Effect.map(readPage(log, cell.position - 1, 1), (page) => page[0]?.command === cell.command)
}

/** The cell that a projection's checkpoint gives, or why it gives none. */
const restore = (log: Log, store: CheckpointStore, projection: AnyProjection) =>
  Effect.gen(function* () {
    const bytes = yield* store.load(projection.name)
    if (bytes === undefined) return undefined
    const checkpoint = decodeCheckpoint(bytes)
    if (typeof checkpoint === "string") return checkpoint
    const cell = restoreCell(projection, checkpoint, log.site.storeId)
    if (typeof cell === "string") return cell
    return (yield* onHistory(log, cell)) ? cell : "the log has another history"
  }).pipe(Effect.catch((error) => Effect.succeed(error.message)))

export const makeProjector = ({ log, projections, checkpoints }: ProjectorOptions): Projector => {
  let cells = projections.map(freshCell)

  const start = Effect.fnUntraced(function* () {
    const ignored: Array<{ name: string; why: string }> = []
    for (const [i, projection] of projections.entries()) {
      const restored = checkpoints && (yield* restore(log, checkpoints, projection))
      if (typeof restored === "string") ignored.push({ name: projection.name, why: restored })
      else if (restored) cells[i] = restored
    }
    const before = lowest(cells)
    yield* fold(log, cells)
    return { folded: cells.length === 0 ? 0 : log.head() - before, ignored }
  })

  const rebuild = Effect.fnUntraced(function* () {
    const anew = projections.map(freshCell)
    yield* fold(log, anew)
    cells = anew
  })

  const save = (cell: Cell) => checkpoints?.save(cell.projection.name, saveCell(cell, log.site.storeId)) ?? Effect.void

  return {
    start,
    rebuild,
    catchUp: () => fold(log, cells),
    applyNew: (events) => {
      for (const cell of cells) for (const recorded of events) feed(cell, recorded)
    },
    checkpoint: () => Effect.suspend(() => Effect.forEach(cells, save, { discard: true })),
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
