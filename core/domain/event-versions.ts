/**
 * Which events this version knows, without their schemas: the part of events.ts that a fold needs at run time.
 *
 * **Details** Folding reads what the log has already checked, so catalogue and projections never load the schema library; that keeps
 * the start of the command line short. The compiler holds this table and events.ts together.
 */
import type { DomainEvent, EventType, eventShapes } from "./events.ts"

export const schemaVersions = {
  ImageAdded: 1,
  ImageChecked: 1,
  ImageRelocated: 1,
  ImageRemoved: 1,
  ClientRegistered: 1,
  ClientChanged: 1,
  ClientRemoved: 1,
  ClientLinked: 1,
  ClientUnlinked: 1,
  OverlayReset: 1,
  OverlayResetArmed: 1,
  ImageCreated: 1,
  ImageSealed: 1,
  ImageCommitted: 1,
  ImageRolledBack: 1,
  ImageVersionRetired: 1,
  ImageVersionFlattened: 1,
  ImagePlaced: 1,
  SuperClientSet: 1,
  SuperClientCleared: 1,
  ClientNextBootSet: 1,
  ClientBooted: 1,
  GroupChanged: 1,
  LogRestored: 1,
} as const satisfies { [T in EventType]: (typeof eventShapes)[T][0] }

/** What a fold needs of a recorded event. The log's `Recorded` is one. */
export interface Positioned {
  readonly position: number
  readonly type: string
  readonly schemaVersion: number
  readonly data: unknown
}

/** An event of a type and shape known here. The log upcasts older shapes, so any other version is a newer one. */
export const isKnownEvent = <E extends { readonly type: string; readonly schemaVersion: number }>(
  event: E,
): event is E & DomainEvent =>
  Object.hasOwn(schemaVersions, event.type) && schemaVersions[event.type as EventType] === event.schemaVersion
