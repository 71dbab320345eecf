/** What a changing command prints: one line an event for people, the events as JSON for programs. */

import type { Changed } from "../../../core/runtime/site/operation.ts"
import { eventText } from "../event-text.ts"
import type { CommonOptions } from "../options.ts"
import { count, print, printJson } from "../output.ts"

const LINES_MAX = 12

export const printChanged = (options: CommonOptions, result: Changed, more: () => void = () => {}): void => {
  if (options.json) {
    printJson(result)
    return
  }
  const lines = result.events.map((e) => eventText(e))
  if (lines.length === 0) print("nothing to change: it is so already")
  if (result.dryRun && lines.length > 0) print(`would append ${count(lines.length, "event")}:`)
  for (const line of lines.slice(0, LINES_MAX)) print(`${result.dryRun ? "  " : ""}${line}`)
  if (lines.length > LINES_MAX) print(`… and ${lines.length - LINES_MAX} more (${summary(result)})`)
  if (result.repeated) print("(this command id was carried out before; nothing was appended again)")
  more()
}

const summary = (result: Changed): string => {
  const counts = new Map<string, number>()
  for (const e of result.events) counts.set(e.type, (counts.get(e.type) ?? 0) + 1)
  return [...counts].map(([type, n]) => `${n} ${type}`).join(", ")
}
