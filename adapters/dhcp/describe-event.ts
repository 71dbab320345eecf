/** A line of the server's log for what DHCP did. */
import { addressText } from "./address.ts"
import type { DhcpEvent } from "./server.ts"

export interface Line {
  readonly level: "error" | "info" | "debug"
  readonly text: string
}

export const describeDhcpEvent = (e: DhcpEvent): Line => {
  switch (e.type) {
    case "answered":
      return { level: e.what === "offer" ? "debug" : "info", text: `dhcp ${e.mac}: ${e.what} to ${e.to}` }
    case "malformed":
      return { level: "debug", text: `dhcp: a message is not taken: ${e.why}` }
    case "ignored":
      return { level: "debug", text: `dhcp ${e.mac}: not answered: ${e.why}` }
    case "chose":
      return { level: "debug", text: `dhcp: ${e.mac} takes ${addressText(e.address)} of another server` }
    case "full":
      return {
        level: "error",
        text: `dhcp ${e.mac}: no address is left; fix: a larger --dhcp-range, or register the machine`,
      }
    case "taken":
      return {
        level: "error",
        text:
          `dhcp ${e.name}: its address ${addressText(e.address)} is still used by ${e.holder}, so it gets none yet; ` +
          "fix: shut that machine down, or give the client another address",
      }
    case "declined":
      return { level: "error", text: declinedText(e.mac, addressText(e.address), e.registered) }
    case "otherServer":
      return {
        level: "error",
        text: `dhcp: ${addressText(e.server)} answers on this network too; fix: stop it, or serve with --dhcp proxy beside it`,
      }
    case "notWritten":
      return { level: "error", text: `dhcp ${e.mac}: its lease could not be written, so it is not given: ${e.why}` }
    case "broken":
      return { level: "error", text: `dhcp: ${e.why}` }
  }
}

const declinedText = (mac: string, address: string, registered: string | undefined): string =>
  registered === undefined
    ? `dhcp ${mac}: another machine uses ${address}; it is not lent for a while`
    : `dhcp ${registered}: another machine uses its address ${address}, so it is taken from it; fix: find that machine, then imagelink client set ${registered} --ip ${address}`
