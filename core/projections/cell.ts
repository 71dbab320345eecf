/**
 * A projection at work: its state, how far it is, and what it could not read.
 *
 * **Details** An event below the position is skipped, so whatever is fed twice counts once; one beyond the next is a programmer's mistake.
 * A projection that must not go on past an unknown event stops there and keeps the error; the others go on.
 */
import assert from "node:assert"
import { isKnownEvent } from "../domain/event-versions.ts"
import { type ImagelinkError, isImagelinkError } from "../errors.ts"
import type { Recorded } from "../log/event-log.ts"
import { type Checkpoint, encodeCheckpoint } from "./checkpoint-file.ts"
import type { Projection } from "./projection.ts"

// biome-ignore lint/suspicious/noExplicitAny: cells of all states stand in one list; `stateOf` gives a state back under its own type
export type AnyProjection = Projection<any>

export interface Cell {
  readonly projection: AnyProjection
  state: unknown
  position: number
  /** Command id of the event at `position`. */
  command: string
  /** Unknown events skipped, by type and schema version. */
  readonly unknown: Map<string, { readonly type: string; readonly schemaVersion: number; count: number }>
  /** Why it goes no further. */
  stopped: ImagelinkError | undefined
}

export const freshCell = (projection: AnyProjection): Cell => ({
  projection,
  state: projection.initial(),
  position: 0,
  command: "",
  unknown: new Map(),
  stopped: undefined,
})

const countUnknown = (cell: Cell, type: string, schemaVersion: number, by: number): void => {
  const key = `${type} v${schemaVersion}`
  const entry = cell.unknown.get(key)
  if (entry) entry.count += by
  else cell.unknown.set(key, { type, schemaVersion, count: by })
}

export const feed = (cell: Cell, recorded: Recorded): void => {
  if (cell.stopped || recorded.position <= cell.position) return
  assert(recorded.position === cell.position + 1, "a projection is given every event, in order")
  try {
    if (!cell.projection.apply(cell.state, recorded)) countUnknown(cell, recorded.type, recorded.schemaVersion, 1)
  } catch (error) {
    if (!isImagelinkError(error)) throw error
    cell.stopped = error
    return
  }
  cell.position = recorded.position
  cell.command = recorded.command
}

export const saveCell = (cell: Cell, storeId: string): Uint8Array => {
  const { projection, position, command, state } = cell
  const counted = [...cell.unknown].sort(([a], [b]) => (a < b ? -1 : 1))
  const unknown = counted.map(([, { type, schemaVersion, count }]) => [type, schemaVersion, count] as const)
  const { name, version } = projection
  return encodeCheckpoint({ name, version, storeId, position, command, unknown, state: projection.encode(state) })
}

/** The cell of a checkpoint, or why it must be folded anew. Whether the log still has this history is the projector's to check. */
export const restoreCell = (projection: AnyProjection, checkpoint: Checkpoint, storeId: string): Cell | string => {
  const { name, version, position, command, unknown, state } = checkpoint
  if (name !== projection.name) return `it is of ${name}`
  if (version !== projection.version) return `it is of version ${version}`
  if (checkpoint.storeId !== storeId) return "it is of another store"
  if (unknown.some(([type, schemaVersion]) => isKnownEvent({ type, schemaVersion })))
    return "it skipped events that are known now"
  const cell: Cell = { ...freshCell(projection), state: projection.decode(state), position, command }
  for (const [type, schemaVersion, count] of unknown) countUnknown(cell, type, schemaVersion, count)
  return cell
}
