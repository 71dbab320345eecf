/**
 * The port of the event log: one ordered, append-only log per site, the only source of truth.
 *
 * **Positions** are dense from 1; 0 means "before the first". They do not depend on how a store keeps its records.
 *
 * **Append** is atomic: all events of a command or none. When the effect succeeds the events are on disk (synced) and the head
 * is recorded. A command id appends once: repeating it answers what was appended the first time, and `repeated: true`.
 *
 * **Follow** pulls pages; a wake-up only says that the head moved, so a slow follower costs no memory and misses nothing.
 */
import type { Effect } from "effect/Effect"
import type { Stream } from "effect/Stream"
import type { ImagelinkError } from "../errors.ts"

export interface Actor {
  /** `cli`: a person at this machine; `server`: the server itself; `api`: a token's bearer. */
  readonly kind: "cli" | "server" | "api"
  readonly name: string
}

/** An event as the domain makes it: what happened, without the envelope. */
export interface NewEvent<Type extends string = string, Data = unknown> {
  readonly type: Type
  readonly schemaVersion: number
  readonly data: Data
}

/** An event as the log holds it. Times are UTC milliseconds; `wall` is present only where the clock was behind `at`. */
export interface Recorded<Type extends string = string, Data = unknown> extends NewEvent<Type, Data> {
  readonly position: number
  readonly command: string
  readonly at: number
  readonly wall?: number
  readonly actor: Actor
  readonly server: string
}

/** The same with the exact canonical bytes that the store keeps and the Merkle leaf hashes. */
export interface RecordedBytes {
  readonly position: number
  readonly bytes: Uint8Array
}

export interface AppendRequest {
  /** UUID; shared by all events of the command. */
  readonly command: string
  /** Hash of what was asked, so that another command under the same id is refused rather than answered. */
  readonly fingerprint: string
  /** Wall clock, UTC milliseconds. The log records `max(at, at of the previous event)`. */
  readonly at: number
  readonly actor: Actor
  /** The head the events were decided on. */
  readonly expectedPosition: number
  readonly events: ReadonlyArray<NewEvent>
}

export interface Appended {
  readonly events: ReadonlyArray<Recorded>
  /** Head after the append; unchanged when nothing was appended. */
  readonly position: number
  readonly repeated: boolean
}

export interface SiteIdentity {
  readonly name: string
  readonly storeId: string
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array
  readonly createdAt: number
}

/** What is done with a run of events; answers whether more are wanted. */
export type Take = (events: ReadonlyArray<Recorded>) => boolean

export interface EventLog {
  readonly site: SiteIdentity
  /** Position of the newest event; 0 for an empty log. */
  readonly head: () => number
  /** Command id of the newest event; empty for an empty log. */
  readonly headCommand: () => string
  /** Why the log takes no events any more; undefined while it does. */
  readonly refusesWrites: () => string | undefined
  /** @throws LOG_CONFLICT COMMAND_REUSED EVENT_TOO_LARGE STORE_READ_ONLY */
  append(request: AppendRequest): Effect<Appended, ImagelinkError>
  /** What a command id appended, or undefined. */
  findCommand(
    id: string,
  ): Effect<{ readonly fingerprint: string; readonly events: ReadonlyArray<Recorded> } | undefined, ImagelinkError>
  /** Up to `max` events with `position > after`, in order, upcast to their current shape. @throws STORE_DAMAGED EVENT_UNKNOWN */
  page(after: number, max: number): Effect<ReadonlyArray<Recorded>, ImagelinkError>
  /** The same as stored bytes. */
  pageBytes(after: number, max: number): Effect<ReadonlyArray<RecordedBytes>, ImagelinkError>
  /**
   * Gives every event in `(after, last]` to `take`, in order and upcast, some hundreds at a time, until it answers false: the way to read
   * much of the log. What is behind the head is not waited for. @throws STORE_DAMAGED EVENT_UNKNOWN
   */
  each(after: number, last: number, take: Take): Effect<void, ImagelinkError>
  /** Every event after `after`, then every new one, for ever. */
  follow(after: number): Stream<Recorded, ImagelinkError>
}
