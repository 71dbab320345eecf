/**
 * Marks: checkpoints along the log, so that any past state is near one.
 *
 *     position  0 ── 25,000 ── 50,000 ── 75,000 ── … ── head
 *                 each a file `<projection>-at-<position>`, made when a fold passes it
 *
 * **Details** They stand at whole multiples of one distance: `markEventsMin` events, doubled until at most `marksMax` fit in the log. When
 * it doubles, those in between are removed, so the space they take is bounded and the fold from the nearest one stays a small part of
 * the log. A mark is a checkpoint like any other and never needed: one that is damaged, foreign, or of another history or version is
 * removed when it is met, and made again by the fold that passes it. One that cannot be saved is left out.
 */
import * as Effect from "effect/Effect"
import type { ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import { type AnyProjection, type Cell, freshCell, saveCell } from "./cell.ts"
import { type CheckpointStore, type ProjectedLog, restore } from "./restore.ts"

export interface MarkStore extends CheckpointStore {
  /** The names of all checkpoints. */
  list(): Effect.Effect<ReadonlyArray<string>, ImagelinkError>
  /** Removing one that is not there is fine. */
  remove(name: string): Effect.Effect<void, ImagelinkError>
}

export interface Marks {
  /** Events from mark to mark, for the log as long as it is. */
  every(): number
  /** Saves a cell that stands on a mark's position, unless that mark is there. */
  make(cell: Cell): Effect.Effect<void>
  /** Encodes such a cell at once and answers what saves it, for where nothing may be awaited. */
  take(cell: Cell): Effect.Effect<void>
  /** The cell of the newest good mark at or before a position; a fresh one when there is none. */
  nearest(projection: AnyProjection, position: number): Effect.Effect<Cell>
  /** Removes all marks of a projection. @throws what the store does */
  clear(projection: AnyProjection): Effect.Effect<void, ImagelinkError>
}

/** The distance of marks in a log of `head` events. */
export const markDistance = (head: number): number => {
  let every: number = limits.markEventsMin
  while (head / every > limits.marksMax) every *= 2
  return every
}

export const markName = (projection: AnyProjection, position: number): string => `${projection.name}-at-${position}`

export const isMarkName = (name: string): boolean => /-at-\d+$/.test(name)

const positionsOf = (names: ReadonlyArray<string>, projection: AnyProjection): Array<number> => {
  const prefix = `${projection.name}-at-`
  return names.flatMap((n) => (n.startsWith(prefix) && isMarkName(n) ? [Number(n.slice(prefix.length))] : []))
}

export const makeMarks = (log: ProjectedLog, store: MarkStore, distance = markDistance): Marks => {
  const every = () => distance(log.head())
  const listed = (projection: AnyProjection) => Effect.map(store.list(), (names) => positionsOf(names, projection))
  const removeAll = (projection: AnyProjection, positions: ReadonlyArray<number>) =>
    Effect.forEach(positions, (position) => store.remove(markName(projection, position)), { discard: true })

  const save = Effect.fnUntraced(function* (
    projection: AnyProjection,
    position: number,
    encode: () => Uint8Array | undefined,
  ) {
    const there = yield* listed(projection)
    const bytes = there.includes(position) ? undefined : encode()
    if (bytes === undefined) return
    yield* store.save(markName(projection, position), bytes)
    yield* removeAll(
      projection,
      there.filter((p) => p % every() !== 0),
    )
  })
  const encoded = (cell: Cell) => saveCell(cell, log.site.storeId)

  /** Lists before it encodes, because most marks are there; somebody else may have folded the cell on meanwhile. */
  const make = (cell: Cell) => {
    const { projection, position } = cell
    const still = () => (cell.position === position ? encoded(cell) : undefined)
    return Effect.ignore(save(projection, position, still))
  }

  const take = (cell: Cell) => {
    const bytes = encoded(cell)
    return Effect.ignore(save(cell.projection, cell.position, () => bytes))
  }

  const nearest = Effect.fnUntraced(function* (projection: AnyProjection, position: number) {
    const there = yield* listed(projection)
    const before = there.filter((p) => p <= position).sort((a, b) => b - a)
    for (const at of before) {
      const cell = yield* restore(log, store, projection, markName(projection, at))
      if (typeof cell === "object" && cell.position === at) return cell
      yield* Effect.ignore(store.remove(markName(projection, at)))
    }
    return freshCell(projection)
  })

  return {
    every,
    make: (cell) => Effect.suspend(() => make(cell)),
    take,
    nearest: (projection, position) =>
      Effect.catch(nearest(projection, position), () => Effect.succeed(freshCell(projection))),
    clear: (projection) => Effect.flatMap(listed(projection), (positions) => removeAll(projection, positions)),
  }
}
