/** An event of the iSCSI target as a line of the server's log. */
import type { IscsiEvent } from "./portal.ts"

interface Line {
  readonly level: "error" | "info" | "debug"
  readonly text: string
}

const status = (n: number): string => n.toString(16).padStart(4, "0")

export const describeIscsiEvent = (e: IscsiEvent): Line => {
  const who = `iscsi ${e.connection} ${e.peer}`
  switch (e.type) {
    case "connected":
      return { level: "debug", text: `${who} connected` }
    case "opened": {
      const user = e.user === undefined ? "" : ` (CHAP ${e.user})`
      const again = e.reinstated ? ", in place of its session before" : ""
      return { level: "info", text: `${who} ${e.initiator}${user} opened ${e.target}: ${e.units.join("; ")}${again}` }
    }
    case "discovery":
      return { level: "info", text: `${who} ${e.initiator} looks for targets` }
    case "not-ready":
      return {
        level: "error",
        text: `${who} ${e.target} LUN ${e.lun} is not ready: ${e.error.message} [${e.error.code}]; ${e.error.reason}; fix: ${e.error.fix}`,
      }
    case "linked":
      return { level: "info", text: `${who} ${e.target} has LUN ${e.lun} from now on: ${e.description}` }
    case "taken-away":
      return { level: "info", text: `${who} ${e.target} LUN ${e.lun} was taken away` }
    case "ready":
      return { level: "info", text: `${who} ${e.target} LUN ${e.lun} is ready: ${e.description}` }
    case "refused": {
      const code = e.code === undefined ? "" : ` [${e.code}]`
      const more = e.unsaid === 0 ? "" : ` (and ${e.unsaid} more)`
      return {
        level: "info",
        text: `${who} ${e.initiator ?? "an initiator"} refused ${e.target ?? "a login"} with ${status(e.status)}: ${e.why}${code}${more}`,
      }
    }
    case "redirected":
      return {
        level: "info",
        text: `${who} ${e.initiator ?? "an initiator"} was sent from ${e.target ?? "its target"} to ${e.portal} with ${status(e.status)}`,
      }
    case "closed":
      return {
        level: e.target === undefined ? "debug" : "info",
        text: `${who} closed${e.target === undefined ? "" : ` ${e.target}`}: ${e.why}`,
      }
    case "error":
      return { level: "error", text: `${who} ${e.message}` }
  }
}
