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

type Show = (text: string) => void | Promise<void>

export const log = async (options: LogOptions): Promise<void> => {
  const after = parsePosition(options.after)
  const show: Show = (text) => printFlowing(options.json ? text : eventLine(describe(JSON.parse(text) as Recorded)))
  if (options.follow) await followEvents(options, after, show, untilUnread(interruptible()))
  else await withSite(options, false, (site) => read(options, site, { after, following: false, show }))
}

interface Reading {
  readonly after: number
  readonly following: boolean
  readonly show: Show
  readonly printed?: (position: number) => void
  readonly signal?: AbortSignal
}

type Filter = Omit<LogOptions, "after" | "follow">

/** Prints the events after a position and answers the position it read to. */
const read = async (options: Filter, site: Site, reading: Reading): Promise<number> => {
  const { after, following, show, printed, signal } = reading
  const input = {
    after,
    ...(options.type === undefined ? {} : { type: options.type }),
    ...(options.client === undefined ? {} : { client: options.client }),
    ...(options.image === undefined ? {} : { image: options.image }),
    ...(options.group === undefined ? {} : { group: options.group }),
    ...(following ? { follow: true } : {}),
  }
  const onItem = (text: string) => {
    printed?.((JSON.parse(text) as Recorded).position)
    return show(text)
  }
  const answer = await site.call("log", input, { ...callOptions(options), onItem, ...(signal ? { signal } : {}) })
  return answer.position
}

/** What ends when a server stops or another command has the store: a follower waits and carries on. */
const passing = new Set(["SERVER_NOT_REACHABLE", "DATA_IN_USE", "CLOSED", "STORE_READ_ONLY"])

/** Asks again and again until the signal ends. Where there was no site to ask from the start, that is thrown. */
const untilEnded = async (
  options: CommonOptions,
  signal: AbortSignal,
  ask: (site: Site) => Promise<unknown>,
): Promise<void> => {
  let found = false
  const asked = (site: Site) => {
    found = true
    return ask(site)
  }
  while (!signal.aborted) {
    try {
      await withSite(options, false, asked)
    } catch (e) {
      if (signal.aborted) return
      if (!isImagelinkError(e) || !passing.has(e.code) || !found) throw e
    }
    await sleep(limits.followPollMillis, undefined, { signal }).catch(() => {})
  }
}

/** Shows the events after a position, and the new ones until the signal ends. */
export const followEvents = (options: Filter, after: number, show: Show, signal: AbortSignal): Promise<void> => {
  let position = after
  const printed = (at: number) => {
    position = at
  }
  return untilEnded(options, signal, async (site) => {
    position = await read(options, site, { after: position, following: site.via === "server", show, printed, signal })
  })
}

/** Asks a running server until the signal ends; while none runs, nobody. */
export const followServer = (
  options: CommonOptions,
  signal: AbortSignal,
  ask: (site: Site) => Promise<unknown>,
): Promise<void> => untilEnded(options, signal, async (site) => site.via === "server" && ask(site))

/** The signal, which also ends when nobody reads the output any more. */
export const untilUnread = (signal: AbortSignal): AbortSignal => {
  const unread = new AbortController()
  for (const event of ["close", "error"]) process.stdout.on(event, () => unread.abort())
  return AbortSignal.any([signal, unread.signal])
}
