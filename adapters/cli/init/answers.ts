/** The five answers that `imagelink init` asks an operator for, each judged by what this machine has. */
import { isIPv4 } from "node:net"
import { networkInterfaces } from "node:os"
import { fail } from "../../../core/errors.ts"

export interface Answers {
  /** Undefined: this machine only. */
  readonly interface: string | undefined
  readonly address: string
  readonly dhcp: "full" | "proxy" | "off"
  /** Undefined: only what is recorded for a client is given. */
  readonly range: string | undefined
  /** Undefined: the server looks for one. */
  readonly bootFiles: string | undefined
}

export interface Card {
  readonly name: string
  readonly address: string
  /** `10.0.0.1/24` */
  readonly cidr: string
}

/** The interfaces that have an IPv4 address, each with its first. */
export const cards = (found = networkInterfaces()): ReadonlyArray<Card> =>
  Object.entries(found).flatMap(([name, addresses = []]) => {
    const first = addresses.find((a) => a.family === "IPv4" && !a.internal)
    return first === undefined ? [] : [{ name, address: first.address, cidr: first.cidr ?? `${first.address}/32` }]
  })

export const refuse = (why: string) => fail("USAGE", { why, see: "imagelink init --help" })

/** @throws USAGE */
export const cardOf = (name: string, known: ReadonlyArray<Card>): Card => {
  const card = known.find((c) => c.name === name)
  if (card !== undefined) return card
  const names = known.map((c) => `${c.name} (${c.address})`).join(", ") || "none"
  throw refuse(`there is no interface ${name} with an IPv4 address; there are: ${names}`)
}

const number = (address: string) => address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0)

/** Two addresses of the interface's network, `10.0.0.100-10.0.0.199`. @throws USAGE */
export const rangeIn = (cidr: string, text: string): string => {
  const ends = text.split("-").map((end) => end.trim())
  const [network = "", prefix = "32"] = cidr.split("/")
  const networkOf = (address: string) => Math.floor(number(address) / 2 ** (32 - Number(prefix)))
  const fits =
    ends.length === 2 &&
    ends.every((end) => isIPv4(end) && networkOf(end) === networkOf(network)) &&
    number(ends[0]!) <= number(ends[1]!)
  if (!fits) throw refuse(`dhcp-range: expected two addresses of ${cidr} like A-B, got ${JSON.stringify(text)}`)
  return ends.join("-")
}

/** @throws USAGE */
export const dhcpMode = (text: string): Answers["dhcp"] => {
  if (text === "full" || text === "proxy" || text === "off") return text
  throw refuse(`dhcp: expected full, proxy or off, got ${JSON.stringify(text)}`)
}
