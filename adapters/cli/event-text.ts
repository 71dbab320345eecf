/** An event in one line for people: `PC-101 linked: win11@1, follows, discard`. */

import type { NewEvent, Recorded } from "../../core/log/event-log.ts"
import { describe } from "../../core/projections/client-history.ts"

/** What an event that is not recorded yet (a dry run's) lacks. */
const unrecorded = { position: 0, at: 0, command: "", actor: { kind: "cli", name: "" }, server: "" } as const

export const eventText = (event: NewEvent | Recorded): string => {
  const line = describe({ ...unrecorded, ...event })
  const of = line.client === null ? (line.image ?? "") : `${line.client}${line.slot ? ` slot ${line.slot}` : ""}`
  const change = line.from === null ? (line.to ?? "") : `${line.from} → ${line.to ?? "nothing"}`
  return `${of} ${line.what}${change === "" ? "" : `: ${change}`}`.trim()
}
