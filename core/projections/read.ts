/**
 * Reading the log past events that this version does not know.
 *
 * **Details** A log answers a page that holds an unknown event with EVENT_UNKNOWN. A projection counts such an event and goes on, so that
 * page is read again one by one, and the unknown ones as they are stored.
 */
import * as Effect from "effect/Effect"
import type { ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import type { EventLog, Recorded, Take } from "../log/event-log.ts"

export type ReadableLog = Pick<EventLog, "head" | "page" | "pageBytes" | "each">

const asStored = (log: ReadableLog, after: number): Effect.Effect<ReadonlyArray<Recorded>, ImagelinkError> =>
  Effect.map(log.pageBytes(after, 1), (page) =>
    page.map(({ bytes }) => JSON.parse(Buffer.from(bytes).toString("utf8")) as Recorded),
  )

const orElse = (
  page: Effect.Effect<ReadonlyArray<Recorded>, ImagelinkError>,
  instead: () => Effect.Effect<ReadonlyArray<Recorded>, ImagelinkError>,
) => Effect.catch(page, (error) => (error.code === "EVENT_UNKNOWN" ? instead() : Effect.fail(error)))

const oneByOne = (log: ReadableLog, after: number, max: number) =>
  Effect.gen(function* () {
    const events: Array<Recorded> = []
    while (events.length < max) {
      const position = after + events.length
      const one = yield* orElse(log.page(position, 1), () => asStored(log, position))
      if (one.length === 0) break
      events.push(...one)
    }
    return events
  })

/** A page of the log; unknown events in it are in the shape they are stored in. @throws STORE_DAMAGED */
export const readPage = (
  log: ReadableLog,
  after: number,
  max: number,
): Effect.Effect<ReadonlyArray<Recorded>, ImagelinkError> =>
  orElse(log.page(after, max), () => oneByOne(log, after, max))

/** Gives every event in `(after, last]` to `take` until it answers false; unknown ones in the shape they are stored in. @throws STORE_DAMAGED */
export const readEach = (
  log: ReadableLog,
  after: number,
  last: number,
  take: Take,
): Effect.Effect<void, ImagelinkError> => {
  let position = after
  let more = true
  const taken: Take = (events) => {
    position = events[events.length - 1]!.position
    more = take(events)
    return more
  }
  const aroundUnknown = Effect.suspend(() => {
    const count = Math.min(limits.pageEventsMax, last - position)
    return Effect.flatMap(oneByOne(log, position, count), (events) => (taken(events) ? rest : Effect.void))
  })
  const rest: Effect.Effect<void, ImagelinkError> = Effect.suspend(() =>
    Effect.catch(log.each(position, last, taken), (error) =>
      error.code === "EVENT_UNKNOWN" ? aroundUnknown : Effect.fail(error),
    ),
  )
  return rest
}
