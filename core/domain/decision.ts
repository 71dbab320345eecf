/** What deciders share: the answer's type, and how an event is made. */
import * as Result from "effect/Result"
import { ImagelinkError } from "../errors.ts"
import { schemaVersions } from "./event-versions.ts"
import type { DomainEvent, EventData, EventType } from "./events.ts"

/** The events that a command comes to, none if it changes nothing; or why it is refused. */
export type Decision = Result.Result<ReadonlyArray<DomainEvent>, ImagelinkError>

export const accept = (...events: ReadonlyArray<DomainEvent>): Decision => Result.succeed(events)
export const acceptAll = (events: ReadonlyArray<DomainEvent>): Decision => Result.succeed(events)
export const refuse = (error: ImagelinkError): Decision => Result.fail(error)

/** An event in the current shape of its type. */
export const event = <T extends EventType>(type: T, data: EventData<T>): DomainEvent =>
  ({ type, schemaVersion: schemaVersions[type], data }) as DomainEvent

/** One error for several clients: the first one's words, and a line for each. */
export const together = (refused: ReadonlyArray<ImagelinkError>): ImagelinkError =>
  refused.length === 1
    ? refused[0]!
    : new ImagelinkError({ ...refused[0]!.toJSON(), details: refused.map((e) => e.message) })
