/** `imagelink client show`: a client's links and settings, now or then; and where it stands, if a server runs. */

import type { ClientSetting } from "../../../core/runtime/client-settings.ts"
import type { SessionShown } from "../../../core/runtime/sessions.ts"
import type { ClientLive, ClientShown, EffectiveLink } from "../../../core/runtime/site/clients.ts"
import { bootLines } from "../boot-timeline.ts"
import { eventLine } from "../event-text.ts"
import { asked, type MomentOptions, momentOf, sayAsOf } from "../moment.ts"
import { bytes, type Column, print, printJson, table, time } from "../output.ts"
import { callOptions, withSite } from "../site.ts"
import { clientLine } from "../status-text.ts"

const linkColumns: ReadonlyArray<Column<EffectiveLink>> = [
  { title: "SLOT", align: "right", value: (l) => String(l.slot) },
  { title: "IMAGE", value: (l) => `${l.image}@${l.version}` },
  { title: "LINK", value: (l) => (l.follows ? "follows" : "pinned") },
  { title: "OVERLAY", value: (l) => l.overlay },
  { title: "EPOCH", align: "right", value: (l) => String(l.epoch) },
  { title: "FROM", value: (l) => l.source },
]

const settingColumns: ReadonlyArray<Column<ClientSetting>> = [
  { title: "SETTING", value: (s) => s.key },
  { title: "VALUE", value: (s) => s.value },
  { title: "FROM", value: (s) => s.source },
]

const sessionColumns: ReadonlyArray<Column<SessionShown>> = [
  { title: "SESSION", value: (s) => s.protocol },
  { title: "SLOT", align: "right", value: (s) => String(s.slot ?? "-") },
  { title: "ADDRESS", value: (s) => s.address },
  { title: "SINCE", value: (s) => time(s.since) },
  { title: "READ", align: "right", value: (s) => bytes(s.readBytes) },
  { title: "WRITTEN", align: "right", value: (s) => bytes(s.writtenBytes) },
  // It calls itself as it likes.
  { title: "INITIATOR", value: (s) => (s.initiator ?? "-").replaceAll(/\p{C}/gu, "?") },
]

const printLive = ({ sessions, ...row }: ClientLive): void => {
  print(clientLine({ ...row, sessions: sessions.length }, Date.now()))
  if (sessions.length > 0) print(table(sessionColumns, sessions))
}

const printShown = ({ client, lastBoot, live, lastChanges }: ClientShown): void => {
  const { name, mac, address, id, links, groups, settings } = client
  print(`${name}  ${mac}, ${address ?? "no address"}, id ${id}`)
  if (groups.length > 0) print(`in ${groups.map((group) => `group:${group}`).join(", ")}`)
  if (live !== null) printLive(live)
  print(links.length === 0 ? "not linked" : table(linkColumns, links))
  print(table(settingColumns, settings))
  if (lastBoot !== null) print(`last boot:\n${bootLines(lastBoot)}`)
  print("last changes:")
  for (const line of lastChanges) print(eventLine(line))
}

export const showClient = (options: MomentOptions, client: string): Promise<void> => {
  const moment = momentOf(options)
  return withSite(options, false, async (site) => {
    const answer = await site.call("client.show", { client, ...moment }, callOptions(options))
    if (asked(options)) sayAsOf(answer)
    if (options.json) printJson(answer)
    else printShown(answer)
  })
}
