/**
 * `imagelink log`: the events, as lines for people or as stored, and with `--follow` the new ones until Ctrl-C.
 *
 * **Details** A running server streams them over its socket. Without one, a follower looks for new events twice a second and holds
 * nothing open meanwhile, so that it is in no other command's way; when a server comes or goes, it carries on where it was.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { isImagelinkError } from "../../../core/errors.ts"
import { limits } from "../../../core/limits.ts"
import type { Recorded } from "../../../core/log/event-log.ts"
import { describe } from "../../../core/projections/client-history.ts"
import type { Site } from "../../../core/runtime/site.ts"
import { eventLine } from "../event-text.ts"
import type { CommonOptions } from "../options.ts"
import { printFlowing } from "../output.ts"
import { callOptions, interruptible, withSite } from "../site.ts"
import { parsePosition } from "../time.ts"

interface LogOptions extends CommonOptions {
  readonly after: string
  readonly type?: string
  readonly client?: string
  readonly image?: string
  readonly group?: string
  readonly follow?: boolean
}

export const log = async (options: LogOptions): Promise<void> => {
  const after = parsePosition(options.after)
  if (options.follow) await follow(options, after, untilUnread(interruptible()))
  else await withSite(options, false, (site) => read(options, site, after, false))
}

/** Prints the events after a position and answers the position it read to. */
const read = async (
  options: LogOptions,
  site: Site,
  after: number,
  following: boolean,
  printed: (position: number) => void = () => {},
  signal?: AbortSignal,
): Promise<number> => {
  const input = {
    after,
    ...(options.type === undefined ? {} : { type: options.type }),
    ...(options.client === undefined ? {} : { client: options.client }),
    ...(options.image === undefined ? {} : { image: options.image }),
    ...(options.group === undefined ? {} : { group: options.group }),
    ...(following ? { follow: true } : {}),
  }
  const onItem = (text: string) => {
    const event = JSON.parse(text) as Recorded
    printed(event.position)
    return printFlowing(options.json ? text : eventLine(describe(event)))
  }
  const answer = await site.call("log", input, { ...callOptions(options), onItem, ...(signal ? { signal } : {}) })
  return answer.position
}

/** What ends when a server stops or another command has the store: a follower waits and carries on. */
const passing = new Set(["SERVER_NOT_REACHABLE", "DATA_IN_USE", "CLOSED", "STORE_READ_ONLY"])

const follow = async (options: LogOptions, after: number, signal: AbortSignal): Promise<void> => {
  let position = after
  let began = false
  const printed = (at: number) => {
    position = at
  }
  while (!signal.aborted) {
    try {
      const once = (site: Site) => read(options, site, position, site.via === "server", printed, signal)
      position = await withSite(options, false, once)
      began = true
    } catch (e) {
      if (signal.aborted) return
      if (!isImagelinkError(e) || !passing.has(e.code) || (!began && position === after)) throw e
    }
    await sleep(limits.followPollMillis, undefined, { signal }).catch(() => {})
  }
}

/** The signal, which also ends when nobody reads the output any more. */
const untilUnread = (signal: AbortSignal): AbortSignal => {
  const unread = new AbortController()
  for (const event of ["close", "error"]) process.stdout.on(event, () => unread.abort())
  return AbortSignal.any([signal, unread.signal])
}
