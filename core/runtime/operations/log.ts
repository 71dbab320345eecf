/**
 * The events themselves, filtered and followed.
 *
 * **Details** A follower pulls pages and waits only when it has read all there is, so a slow one costs no memory and misses nothing. What
 * `onItem` answers is awaited, which is how a slow reader over the socket holds it back.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { schemaVersions } from "../../domain/event-versions.ts"
import { fail, ImagelinkError } from "../../errors.ts"
import { limits } from "../../limits.ts"
import type { EventLog, RecordedBytes } from "../../log/event-log.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import { type HistoryFilter, historyFilter, matches } from "../../projections/client-history.ts"
import { readPage } from "../../projections/read.ts"
import type { Parts } from "../parts.ts"
import type { Input, Operations } from "../site.ts"

export const logOperations = (parts: Parts): Operations<"log"> => {
  const { log } = parts
  return {
    log: async (input, { onItem, signal }) => {
      const filter = await filterOf(parts, input)
      let position = input.after ?? 0
      for (;;) {
        while (position < log.head() && !signal?.aborted) {
          const page = await Effect.runPromise(log.pageBytes(position, limits.pageEventsMax))
          if (page.length === 0) break
          for (const { bytes } of await wanted(log, position, page, filter)) {
            const taken = onItem?.(Buffer.from(bytes).toString("utf8"))
            if (taken) await taken
            if (signal?.aborted) return { position }
          }
          position = page.at(-1)!.position
        }
        if (!input.follow || signal?.aborted || !(await moved(log, position, signal))) return { position }
      }
    },
  }
}

/** The filter that is asked for; undefined for none. @throws CLIENT_NOT_FOUND IMAGE_NOT_FOUND GROUP_NOT_FOUND USAGE */
const filterOf = async ({ views }: Parts, input: Input<"log">): Promise<HistoryFilter | undefined> => {
  const { client, image, group } = input
  const type = input.type === undefined ? undefined : typeOf(input.type)
  if (client === undefined && image === undefined && group === undefined)
    return type === undefined ? undefined : { type }
  const filter = historyFilter(await views.state(catalogueProjection), { client, image, group, type })
  if (filter instanceof ImagelinkError) throw filter
  return filter
}

/** The event type as it is spelled, from any case. A misspelt one would find nothing in silence. */
const typeOf = (asked: string): string => {
  const known = Object.keys(schemaVersions)
  const type = known.find((name) => name.toLowerCase() === asked.toLowerCase())
  if (type !== undefined) return type
  throw fail("USAGE", {
    why: `there is no event type ${JSON.stringify(asked)}; known are ${known.join(", ")}`,
    see: "imagelink log --help",
  })
}

/** A page's events that match. They are matched in their current shape and answered as they are stored. */
const wanted = async (
  log: EventLog,
  after: number,
  page: ReadonlyArray<RecordedBytes>,
  filter: HistoryFilter | undefined,
): Promise<ReadonlyArray<RecordedBytes>> => {
  if (filter === undefined) return page
  const events = await Effect.runPromise(readPage(log, after, page.length))
  return page.filter((_, i) => matches(events[i]!, filter))
}

/** Waits for an event after `position`: true once there is one, false when the log closed or the wait was cancelled. */
const moved = (log: EventLog, position: number, signal: AbortSignal | undefined): Promise<boolean> =>
  Effect.runPromise(
    Effect.map(Stream.runHead(log.follow(position)), (event) => event._tag === "Some"),
    { signal },
  ).catch((e) => {
    if (signal?.aborted) return false
    throw e
  })
