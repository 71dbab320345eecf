/** An event of the NBD server as a line of the server's log. */
import type { NbdEvent } from "./connection.ts"

export const describeNbdEvent = (
  e: NbdEvent,
): { readonly level: "error" | "info" | "debug"; readonly text: string } => {
  const who = `nbd ${e.connection} ${e.peer}`
  switch (e.type) {
    case "connected":
      return { level: "debug", text: `${who} connected` }
    case "opened":
      return { level: "info", text: `${who} opened ${e.export}: ${e.description}` }
    case "refused":
      return { level: "info", text: `${who} refused ${e.export}: ${e.message} [${e.code}]` }
    case "closed":
      return {
        level: e.export === undefined ? "debug" : "info",
        text: `${who} closed${e.export === undefined ? "" : ` ${e.export}`}: ${e.why}`,
      }
    case "error":
      return { level: "error", text: `${who} ${e.message}` }
  }
}
