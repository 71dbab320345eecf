/** What clients boot: the last boots from the projection that holds them, those on their way, and the script of the next. */
import { findClient } from "../../domain/lookup.ts"
import { ImagelinkError } from "../../errors.ts"
import { limits } from "../../limits.ts"
import { bootHistory, bootRows } from "../../projections/boot-history.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import { previewScript } from "../boot-preview.ts"
import type { LiveBoot } from "../live-boot.ts"
import type { Parts } from "../parts.ts"
import type { Operations } from "../site.ts"

export const bootOperations = ({ views, serving }: Parts): Operations<"boots" | "boots.live" | "client.script"> => ({
  boots: async ({ client: key }) => {
    if (key === undefined) return bootRows(await views.state(bootHistory))
    const client = findClient(await views.state(catalogueProjection), key)
    if (client instanceof ImagelinkError) throw client
    return bootRows(await views.state(bootHistory), client.id)
  },
  "boots.live": async ({ client: key, follow = false }, { onItem, signal = new AbortController().signal }) => {
    const client = key === undefined ? undefined : findClient(await views.state(catalogueProjection), key)
    if (client instanceof ImagelinkError) throw client
    const live = serving?.liveBoots
    const list = () => (live?.list() ?? []).filter(({ mac }) => client === undefined || mac === client.mac)
    if (live === undefined || !follow) return list()
    const news = newTroubles(list())
    while (!signal.aborted) {
      for (const one of news(list())) await onItem?.(one)
      await live.sleep(limits.bootsLookMillis, signal)
    }
    return []
  },
  "client.script": async ({ client: key }) => {
    const catalogue = await views.state(catalogueProjection)
    const client = findClient(catalogue, key)
    if (client instanceof ImagelinkError) throw client
    const script = await previewScript(catalogue, client, serving?.stacks, serving?.bootServer?.())
    return { client: client.name, script }
  },
})

const troubleOf = ({ stuck, error }: LiveBoot): string => [stuck ?? "", error?.text ?? ""].join("\n")

/** Answers, list by list, who is in a trouble that they were not in the time before. */
const newTroubles = (first: ReadonlyArray<LiveBoot>): ((now: ReadonlyArray<LiveBoot>) => ReadonlyArray<LiveBoot>) => {
  const byMac = (list: ReadonlyArray<LiveBoot>) => new Map(list.map((live) => [live.mac, troubleOf(live)]))
  let before = byMac(first)
  return (now) => {
    const found = now.filter((live) => troubleOf(live) !== NO_TROUBLE && troubleOf(live) !== before.get(live.mac))
    before = byMac(now)
    return found
  }
}

const NO_TROUBLE = "\n"
