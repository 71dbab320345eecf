/** What the boot tracker is told of HTTP: boot programs that UEFI fetched. Scripts are told of where they are rendered. */
import type { BootSign } from "../../core/runtime/boot-signs.ts"
import { describeHttpEvent, type HttpEvent } from "./events.ts"

const isProgram = (what: string): boolean => what.startsWith("GET ") && !/\.ipxe(\?|$)/iu.test(what)

/** IPv4 in an IPv6 socket is written as IPv4. */
const addressOf = (client: string): string => client.replace(/^::ffff:/iu, "")

export const httpBootSign = (e: HttpEvent): BootSign | undefined => {
  if (e.type === "sent" && isProgram(e.what)) return { type: "fetched", address: addressOf(e.client), over: "http" }
  if ((e.type === "refused" || e.type === "failed") && isProgram(e.what))
    return { type: "problem", address: addressOf(e.client), text: describeHttpEvent(e).text }
  return undefined
}
