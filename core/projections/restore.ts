/** A projection's cell from a checkpoint, where there is a good one of the history that the log has. */
import * as Effect from "effect/Effect"
import type { ImagelinkError } from "../errors.ts"
import type { EventLog } from "../log/event-log.ts"
import { type AnyProjection, type Cell, restoreCell } from "./cell.ts"
import { decodeCheckpoint } from "./checkpoint-file.ts"
import { type ReadableLog, readPage } from "./read.ts"

/** A log as a projector needs it. */
export type ProjectedLog = ReadableLog & Pick<EventLog, "site" | "headCommand">

/** Where checkpoints are kept, by name. A `save` replaces the whole file or leaves the old one. */
export interface CheckpointStore {
  load(name: string): Effect.Effect<Uint8Array | undefined, ImagelinkError>
  save(name: string, bytes: Uint8Array): Effect.Effect<void, ImagelinkError>
}

/** Whether the log holds, at a cell's position, the event that the cell last folded. */
const onHistory = (log: ProjectedLog, cell: Cell): Effect.Effect<boolean, ImagelinkError> => {
  if (cell.position === 0) return Effect.succeed(true)
  if (cell.position > log.head()) return Effect.succeed(false)
  if (cell.position === log.head()) return Effect.succeed(cell.command === log.headCommand())
  return Effect.map(readPage(log, cell.position - 1, 1), (page) => page[0]?.command === cell.command)
}

/** The cell that the checkpoint `name` gives a projection, or why it gives none; undefined when there is no such checkpoint. */
export const restore = (
  log: ProjectedLog,
  store: CheckpointStore,
  projection: AnyProjection,
  name: string = projection.name,
): Effect.Effect<Cell | string | undefined> =>
  Effect.gen(function* () {
    const bytes = yield* store.load(name)
    if (bytes === undefined) return undefined
    const checkpoint = decodeCheckpoint(bytes)
    if (typeof checkpoint === "string") return checkpoint
    const cell = restoreCell(projection, checkpoint, log.site.storeId)
    if (typeof cell === "string") return cell
    return (yield* onHistory(log, cell)) ? cell : "the log has another history"
  }).pipe(Effect.catch((error) => Effect.succeed(error.message)))
