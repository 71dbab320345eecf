/**
 * An event of the iSCSI target as a line of the server's log.
 *
 * **Gotchas** The second half of a boot id opens the disk (core/decisions/012-boot-ids.md), and logs are read by many: a target's name is cut there,
 * unless all of it is asked for (`--log-level debug`).
 */
import type { IscsiEvent } from "./portal.ts"

interface Line {
  readonly level: "error" | "info" | "debug"
  readonly text: string
}

/** `…:pc-001:<half of the boot id>…` */
const cut = (name: string): string => name.replace(/(:[a-z2-7]{24})[a-z2-7]{24}$/iu, "$1…")

const status = (n: number): string => n.toString(16).padStart(4, "0")

export const describeIscsiEvent = (e: IscsiEvent, whole = false): Line => {
  const shown = whole ? (name: string) => name : cut
  const who = `iscsi ${e.connection} ${e.peer}`
  switch (e.type) {
    case "connected":
      return { level: "debug", text: `${who} connected` }
    case "opened": {
      const user = e.user === undefined ? "" : ` (CHAP ${e.user})`
      const again = e.reinstated ? ", in place of its session before" : ""
      return {
        level: "info",
        text: `${who} ${e.initiator}${user} opened ${shown(e.target)}: ${e.units.join("; ")}${again}`,
      }
    }
    case "discovery":
      return { level: "info", text: `${who} ${e.initiator} looks for targets` }
    case "not-ready":
      return {
        level: "error",
        text: `${who} ${shown(e.target)} LUN ${e.lun} is not ready: ${e.error.message} [${e.error.code}]; ${e.error.reason}; fix: ${e.error.fix}`,
      }
    case "linked":
      return { level: "info", text: `${who} ${shown(e.target)} has LUN ${e.lun} from now on: ${e.description}` }
    case "taken-away":
      return { level: "info", text: `${who} ${shown(e.target)} LUN ${e.lun} was taken away` }
    case "ready":
      return { level: "info", text: `${who} ${shown(e.target)} LUN ${e.lun} is ready: ${e.description}` }
    case "refused": {
      const code = e.code === undefined ? "" : ` [${e.code}]`
      const more = e.unsaid === 0 ? "" : ` (and ${e.unsaid} more)`
      return {
        level: "info",
        text: `${who} ${e.initiator ?? "an initiator"} refused ${shown(e.target ?? "a login")} with ${status(e.status)}: ${e.why}${code}${more}`,
      }
    }
    case "redirected":
      return {
        level: "info",
        text: `${who} ${e.initiator ?? "an initiator"} was sent from ${shown(e.target ?? "its target")} to ${e.portal} with ${status(e.status)}`,
      }
    case "closed":
      return {
        level: e.target === undefined ? "debug" : "info",
        text: `${who} closed${e.target === undefined ? "" : ` ${shown(e.target)}`}: ${e.why}`,
      }
    case "error":
      return { level: "error", text: `${who} ${e.message}` }
  }
}
