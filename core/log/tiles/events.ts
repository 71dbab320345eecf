/** Reads the log's exact bytes page by page, for whoever hashes them. */
import assert from "node:assert"
import * as Effect from "effect/Effect"
import { limits } from "../../limits.ts"
import type { EventLog, RecordedBytes } from "../event-log.ts"

/** What is needed of a log to hash it. */
export type EventSource = Pick<EventLog, "site" | "head" | "pageBytes">

/** Calls `onPage` with the events in `(after, last]`, in order; `last` is not past the head. @throws STORE_DAMAGED */
export const eachEvent = async (
  log: EventSource,
  after: number,
  last: number,
  onPage: (events: ReadonlyArray<RecordedBytes>) => Promise<void>,
): Promise<void> => {
  for (let at = after; at < last; ) {
    const page = await Effect.runPromise(log.pageBytes(at, Math.min(limits.pageEventsMax, last - at)))
    assert(page.length > 0, "a log has the events up to its head")
    await onPage(page)
    at += page.length
  }
}
