/** An event in one line for people: `PC-101 linked: win11@1, follows, discard`. */

import type { NewEvent, Recorded } from "../../core/log/event-log.ts"
import { describe, type HistoryLine } from "../../core/projections/client-history.ts"

/** What an event that is not recorded yet (a dry run's) lacks. */
const unrecorded = { position: 0, at: 0, command: "", actor: { kind: "cli", name: "" }, server: "" } as const

type Said = Pick<HistoryLine, "client" | "slot" | "image" | "group" | "what" | "from" | "to">

const said = (line: Said): string => {
  const whole = line.group === null ? (line.image ?? "") : `group:${line.group}`
  const of = line.client === null ? whole : `${line.client}${line.slot ? ` slot ${line.slot}` : ""}`
  const change = line.from === null ? (line.to ?? "") : `${line.from} → ${line.to ?? "nothing"}`
  return `${of} ${line.what}${change === "" ? "" : `: ${change}`}`.trim()
}

export const eventText = (event: NewEvent | Recorded): string => said(describe({ ...unrecorded, ...event }))

/** A recorded event with its position, time and actor in front. */
export const eventLine = (line: Pick<HistoryLine, "position" | "at" | "actor"> & Said): string =>
  `${String(line.position).padStart(8)}  ${new Date(line.at).toISOString()}  ${line.actor.kind}:${line.actor.name}  ${said(line)}`
