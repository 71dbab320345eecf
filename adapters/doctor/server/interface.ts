/** The network interface that DHCP serves, or else the address that is listened on: there, switched on, with the address that PCs are told. */
import { networkInterfaces } from "node:os"
import { fail } from "../../../core/errors.ts"
import type { Check } from "../check.ts"
import { isLoopback, isWildcard } from "../exam.ts"
import { type Found, failed, pass } from "../finding.ts"
import { namesIn, readText } from "../system/proc.ts"

/** net/if.h */
const IFF_UP = 1

const addressesOf = (name: string): ReadonlyArray<string> =>
  (networkInterfaces()[name] ?? []).filter(({ family }) => family === "IPv4").map(({ address }) => address)

const allAddresses = (): ReadonlyArray<string> =>
  Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address))

const list = (words: ReadonlyArray<string>): string => (words.length === 0 ? "none" : words.join(", "))

export const networkInterface: Check = {
  name: "interface",
  side: "server",
  run: async ({ config }) => {
    const { address, dhcp } = config
    return [dhcp === undefined ? ofMachine(address) : ofInterface(dhcp.interface, address)]
  },
}

const ofMachine = (address: string): Found => {
  if (isWildcard(address)) return pass(address, "every address of this machine")
  const all = allAddresses()
  if (all.includes(address) || isLoopback(address)) return pass(address, "an address of this machine")
  return failed(address, fail("ADDRESS_MISSING", { address, where: "this machine", has: list(all) }))
}

const ofInterface = (name: string, address: string): Found => {
  const sys = `/sys/class/net/${name}`
  const there = [...new Set([...namesIn("/sys/class/net"), ...Object.keys(networkInterfaces())])]
  if (!there.includes(name)) return failed(name, fail("INTERFACE_MISSING", { interface: name, there: list(there) }))
  const down = (why: string) => failed(name, fail("INTERFACE_DOWN", { interface: name, why }))
  const flags = readText(`${sys}/flags`)
  if (flags !== undefined && (Number(flags) & IFF_UP) === 0) return down("it is switched off")
  if (readText(`${sys}/carrier`)?.trim() === "0") return down("it has no link")
  const has = addressesOf(name)
  if (has.includes(address) || isWildcard(address)) return pass(name, `up, with ${address}`)
  return failed(name, fail("ADDRESS_MISSING", { address, where: name, has: list(has) }))
}
