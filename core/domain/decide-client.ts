/** Deciders of ChangeClient and RemoveClients: what becomes of a client that is registered. */
import { isDeepStrictEqual } from "node:util"
import * as Result from "effect/Result"
import { fail, ImagelinkError } from "../errors.ts"
import type { Catalogue, ClientEntry } from "./catalogue.ts"
import type { Body } from "./commands.ts"
import { leaveGroups } from "./decide-group.ts"
import { forEach, kept, superActive } from "./decide-link.ts"
import { accept, type Decision, event, refuse } from "./decision.ts"
import type { DomainEvent } from "./events.ts"
import { clientRef, findClient, findClients, linkState } from "./lookup.ts"
import { isClientName, nameKey, parseAddress, parseMac } from "./names.ts"
import { changeOptions, type Options } from "./options.ts"

type Change = Body<"ChangeClient">

const newName = (catalogue: Catalogue, client: ClientEntry, { name }: Change): string | ImagelinkError => {
  if (name === undefined) return client.name
  if (!isClientName(name)) return fail("CLIENT_NAME_INVALID", { name })
  const holder = catalogue.clientsByName.get(nameKey(name))
  return holder && holder !== client ? fail("CLIENT_NAME_TAKEN", { name, holder: holder.mac }) : name
}

const newMac = (catalogue: Catalogue, client: ClientEntry, given: Change): string | ImagelinkError => {
  if (given.mac === undefined) return client.mac
  const mac = parseMac(given.mac)
  if (mac === undefined) return fail("CLIENT_MAC_INVALID", { mac: given.mac })
  const holder = catalogue.clientsByMac.get(mac)
  return holder && holder !== client ? fail("CLIENT_MAC_TAKEN", { mac, holder: holder.name }) : mac
}

const newAddress = (catalogue: Catalogue, client: ClientEntry, given: Change): string | null | ImagelinkError => {
  if (given.address === undefined) return client.address
  if (given.address === null) return null
  const address = parseAddress(given.address)
  if (address === undefined) return fail("CLIENT_ADDRESS_INVALID", { address: given.address })
  const holder = catalogue.clientsByAddress.get(address)
  return holder && holder !== client ? fail("CLIENT_ADDRESS_TAKEN", { address, holder: holder.name }) : address
}

/** Options as events record them: not at all where there are none. */
const some = (options: Options): { options?: Options } => (Object.keys(options).length === 0 ? {} : { options })

/** Its links and overlays stay, because they belong to the id. A name that differs in case only is another name. */
export const changeClient = (catalogue: Catalogue, command: Change): Decision => {
  const client = findClient(catalogue, command.client)
  if (client instanceof ImagelinkError) return refuse(client)
  const name = newName(catalogue, client, command)
  if (name instanceof ImagelinkError) return refuse(name)
  const mac = newMac(catalogue, client, command)
  if (mac instanceof ImagelinkError) return refuse(mac)
  const address = newAddress(catalogue, client, command)
  if (address instanceof ImagelinkError) return refuse(address)
  const options = changeOptions(client.options ?? {}, command.options)
  if (options instanceof ImagelinkError) return refuse(options)
  const from = { name: client.name, mac: client.mac, address: client.address, ...some(client.options ?? {}) }
  const to = { name, mac, address, ...some(options) }
  if (isDeepStrictEqual(from, to)) return accept()
  return accept(event("ClientChanged", { client: clientRef(client), from, to }))
}

/** A client that keeps writes goes with `discardKept` only, since they go with it. */
export const removeClients = (catalogue: Catalogue, command: Body<"RemoveClients">): Decision => {
  const clients = findClients(catalogue, command.clients)
  if (clients instanceof ImagelinkError) return refuse(clients)
  const removed = forEach(clients, (client) => removeOne(catalogue, client, command.discardKept === true))
  return Result.map(removed, (events) => [...leaveGroups(catalogue, clients), ...events])
}

export const removeOne = (
  catalogue: Catalogue,
  client: ClientEntry,
  discardKept: boolean,
): DomainEvent | ImagelinkError => {
  const slots = [...client.links].sort(([a], [b]) => a - b)
  const links = slots.map(([slot, link]) => ({ slot, link: linkState(catalogue, link) }))
  for (const [slot, link] of slots) if (link.superVersion !== null) return superActive(catalogue, client, slot, link)
  const aside = [...catalogue.images.values()].find((i) => i.aside.some((a) => a.clientId === client.id))
  if (aside && !discardKept) {
    const { slot, version } = aside.aside.find((a) => a.clientId === client.id)!
    return fail("OVERLAY_KEPT", { client: client.name, slot, image: aside.name, version })
  }
  const keeps = links.find(({ link }) => link.overlay === "keep")
  if (keeps && !discardKept) return kept(client, keeps.slot, keeps.link)
  return event("ClientRemoved", { client: clientRef(client), address: client.address, links })
}
