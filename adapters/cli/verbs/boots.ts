/**
 * `imagelink boots`: what clients really got, each as a timeline, and who is on its way. `imagelink client script`: what one would be told.
 *
 * **Details** With `--follow` a boot is shown when it is recorded, and one that goes no further when that is known; who is on its way only a running
 * server can tell. With `--json`, boots that are recorded are events as `imagelink log` prints them, and the others `{"live": …}`.
 */
import type { EventData } from "../../../core/domain/events.ts"
import type { Recorded } from "../../../core/log/event-log.ts"
import type { LiveBoot } from "../../../core/runtime/live-boot.ts"
import { bootLines, isOnTheWay, liveLines } from "../boot-timeline.ts"
import type { CommonOptions } from "../options.ts"
import { print, printFlowing, printJson } from "../output.ts"
import { actor, callOptions, interruptible, withSite } from "../site.ts"
import { followEvents, followServer, untilUnread } from "./log.ts"

/** As a file that iPXE could load, so without a line of ours. */
export const script = (options: CommonOptions, client: string): Promise<void> =>
  withSite(options, false, async (site) => {
    const answer = await site.call("client.script", { client }, callOptions(options))
    if (options.json) printJson(answer)
    else print(answer.script.trimEnd())
  })

interface BootsOptions extends CommonOptions {
  readonly client?: string
  readonly follow?: boolean
}

export const boots = async (options: BootsOptions): Promise<void> => {
  const asked = options.client === undefined ? {} : { client: options.client }
  let position = 0
  await withSite(options, false, async (site) => {
    const rows = await site.call("boots", asked, callOptions(options))
    position = rows.at(-1)?.position ?? 0
    const live = (await site.call("boots.live", asked, { actor: actor() })).filter(isOnTheWay)
    for (const row of rows) await printFlowing(options.json ? JSON.stringify(row) : bootLines(row))
    if (rows.length === 0 && live.length === 0 && !options.json && !options.follow) print("no boots recorded")
    if (live.length > 0 && !options.json) print("on the way:")
    for (const one of live) await showLive(options, one)
  })
  if (options.follow) await follow(options, asked, position)
}

const showLive = (options: BootsOptions, live: LiveBoot): void | Promise<void> =>
  printFlowing(options.json ? JSON.stringify({ live }) : liveLines(live, Date.now()))

const follow = async (options: BootsOptions, asked: { readonly client?: string }, position: number): Promise<void> => {
  const signal = untilUnread(interruptible())
  const show = (text: string) => {
    const { position: at, at: when, data } = JSON.parse(text) as Recorded
    const boot = data as EventData<"ClientBooted">
    return printFlowing(options.json ? text : bootLines({ ...boot, position: at, at: when }))
  }
  const recorded = followEvents({ ...options, type: "ClientBooted" }, position, show, signal)
  const stuck = followServer(options, signal, (site) =>
    site.call(
      "boots.live",
      { ...asked, follow: true },
      { ...callOptions(options), signal, onItem: (live) => showLive(options, live) },
    ),
  )
  await Promise.all([recorded, stuck])
}
