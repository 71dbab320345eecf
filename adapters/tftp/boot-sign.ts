/** What the boot tracker is told of TFTP: boot programs on their way, and what goes wrong with them. */
import type { BootSign } from "../../core/runtime/boot-signs.ts"
import { describeTftpEvent, type TftpEvent } from "./events.ts"

/** Of `10.0.0.51:2070` or `[fd00::51]:2070`. */
const addressOf = (client: string): string =>
  client.slice(0, client.lastIndexOf(":")).replace(/^\[/u, "").replace(/\]$/u, "")

/** Firmware that only asks for the size ends its transfer; that is no problem. */
export const tftpBootSign = (e: TftpEvent): BootSign | undefined => {
  switch (e.type) {
    case "started":
      return { type: "fetching", address: addressOf(e.client), over: "tftp" }
    case "done":
    case "unconfirmed":
      return { type: "fetched", address: addressOf(e.client), over: "tftp" }
    case "refused":
    case "failed":
    case "timeout":
      return { type: "problem", address: addressOf(e.client), text: describeTftpEvent(e).text }
    default:
      return undefined
  }
}
