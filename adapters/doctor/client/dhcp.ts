/**
 * DHCP as a PC meets it: an offer of ours that leads to a boot, and nobody else's that leads away from it.
 *
 * | mode   | what has to be heard                                                                |
 * | ------ | ----------------------------------------------------------------------------------- |
 * | full   | our offer with an address; from no other server any                                 |
 * | proxy  | our offer with a boot program; an address from another server, and no boot program  |
 */
import { fail } from "../../../core/errors.ts"
import { withoutModel } from "../../../core/runtime/machine-model.ts"
import type { ClientRow } from "../../../core/runtime/site/clients.ts"
import type { Check } from "../check.ts"
import { type Exam, isWildcard, NO_SERVER, served } from "../exam.ts"
import { type Found, failed, pass, skip } from "../finding.ts"
import { type Ask, asks, type Hearing, type Offer, ownOffer } from "./offers.ts"

const NO_ADDRESS = "0.0.0.0"
const titles: Readonly<Record<Ask, string>> = { bios: "BIOS", uefi: "UEFI", ipxe: "iPXE" }

export const dhcp: Check = {
  name: "dhcp",
  side: "client",
  async run(exam) {
    if (exam.running === undefined) return [skip("dhcp", NO_SERVER)]
    const at = served(exam, "dhcp")
    if (at === undefined) return [skip("dhcp", "the server does not serve it")]
    const client = await exam.client()
    const hearing = await exam.hearing()
    if (hearing.silent !== undefined) return [skip("dhcp", hearing.silent)]
    const ours = isWildcard(at.address) ? exam.config.address : at.address
    const mode = exam.config.dhcp?.mode ?? modeIn(hearing, ours)
    const own = asks.map((ask) => judge(exam, hearing, { ask, ours, client }))
    return [...own, ...bootServer(hearing), ...others(hearing, ours, mode)]
  },
}

/** Where the settings do not say it, ours does by what it offers. */
const modeIn = (hearing: Hearing, ours: string): "full" | "proxy" =>
  asks.some((ask) => ownOffer(hearing, ask, ours)?.address === NO_ADDRESS) ? "proxy" : "full"

interface Judging {
  readonly ask: Ask
  readonly ours: string
  readonly client: ClientRow | undefined
}

const judge = ({ running }: Exam, hearing: Hearing, { ask, ours, client }: Judging): Found => {
  const name = client?.name ?? "a computer that nobody registered"
  const who = `${name} (${titles[ask]})`
  const offer = ownOffer(hearing, ask, ours)
  if (offer === undefined) return failed(who, fail("DHCP_SILENT", { who, where: hearing.where }))
  const wrong = (why: string) => failed(who, fail("DHCP_OFFER_WRONG", { who, why }))
  if (offer.file === "") {
    const lacks = ask === "ipxe" ? running?.listeners.http : (running?.listeners.tftp ?? running?.listeners.http)
    return wrong(lacks === undefined ? "it names no boot file, for nothing serves one" : "it names no boot file")
  }
  const address = offer.address === NO_ADDRESS ? "" : `${offer.address}${keptText(offer, client)}, `
  return pass(
    who,
    `${address}${withoutModel(offer.file)}${ask === "ipxe" || offer.next === "" ? "" : ` from ${offer.next}`}`,
  )
}

const bootServer = ({ bootServer: said, where }: Hearing): ReadonlyArray<Found> => {
  const who = "UEFI firmware at the boot server's port 4011"
  if (said === undefined) return []
  if (said === "silent") return [failed("boot server", fail("DHCP_SILENT", { who, where }))]
  if (said.file === "") return [failed("boot server", fail("DHCP_OFFER_WRONG", { who, why: "it names no boot file" }))]
  return [pass("boot server", `port 4011 names ${said.file}`)]
}

/** A PC with a session keeps the address that it has, whatever is recorded by now. */
const keptText = ({ address }: Offer, client: ClientRow | undefined): string =>
  client?.address == null || client.address === address ? "" : ` (which it uses now; ${client.address} is recorded)`

const others = (hearing: Hearing, ours: string, mode: "full" | "proxy"): ReadonlyArray<Found> => {
  const all = asks.flatMap((ask) => hearing.offers[ask]).filter(({ server }) => server !== ours)
  const servers = [...Map.groupBy(all, ({ server }) => server)]
  const found = servers.flatMap(([other, offers]) => {
    const address = offers.find((o) => o.address !== NO_ADDRESS)?.address
    const file = offers.find((o) => o.file !== "")?.file
    if (mode === "proxy" && file === undefined)
      return address === undefined ? [] : [pass(`server ${other}`, `gives the addresses: ${address}`)]
    const gives = [address ?? "no address", ...(file === undefined ? [] : [`the boot file ${file}`])].join(" and ")
    return [failed(`server ${other}`, fail("DHCP_OTHER_SERVER", { other, ours, gives }))]
  })
  if (mode === "proxy" && !all.some(({ address }) => address !== NO_ADDRESS))
    return [...found, failed("addresses", fail("DHCP_NO_ADDRESS", { where: hearing.where }))]
  return found.length > 0 ? found : [pass("others", `no other DHCP server on ${hearing.where}`)]
}
