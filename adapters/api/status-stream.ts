/** Live status as server-sent events: whole, and then what changes; whoever was cut off goes on by the id that it saw last. */
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { limits } from "../../core/limits.ts"
import type { StatusFeed } from "../../core/runtime/status-feed.ts"
import { asError } from "./calls.ts"
import { EventStream } from "./event-stream.ts"

export const statusStream = (feed: StatusFeed, after: string | undefined, gone: AbortSignal) => {
  const stream = new EventStream(limits.apiHeartbeatMillis)
  void follow(stream, feed, after, gone)
    .catch((e: unknown) => stream.send("error", JSON.stringify(asError(e).toJSON())))
    .finally(() => stream.end())
  return HttpServerResponse.raw(stream.body, {
    contentType: "text/event-stream",
    headers: { "cache-control": "no-store" },
  })
}

/** Who reads slowly is told less often, and misses nothing: each time what is different by then. */
const follow = async (
  stream: EventStream,
  feed: StatusFeed,
  after: string | undefined,
  gone: AbortSignal,
): Promise<void> => {
  let seen = after
  while (!gone.aborted && !stream.body.destroyed) {
    const told = await feed.since(seen)
    if (told !== undefined) {
      await stream.send(told.name, JSON.stringify(told.event), told.id)
      seen = told.id
    }
    await pause(gone)
  }
}

const pause = (gone: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      gone.removeEventListener("abort", done)
      resolve()
    }
    const timer = setTimeout(done, limits.statusLookMillis)
    gone.addEventListener("abort", done)
    if (gone.aborted) done()
  })
