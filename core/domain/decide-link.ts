/** Deciders of the commands about links (LinkClients, UnlinkClients, ResetOverlays), and the one rule by which a slot is linked. */
import { fail, ImagelinkError } from "../errors.ts"
import type { Catalogue, ClientEntry, LinkEntry } from "./catalogue.ts"
import type { Body } from "./commands.ts"
import { acceptAll, type Decision, event, refuse, together } from "./decision.ts"
import type { ClientRef, DomainEvent, GroupRef, OverlayPolicy } from "./events.ts"
import { groupLink } from "./group-links.ts"
import { clientRef, findClients, findTarget, groupRef, linkState, type Target } from "./lookup.ts"
import { isSlot } from "./names.ts"

export interface LinkOptions {
  readonly overlay?: OverlayPolicy | undefined
  readonly discardKept?: boolean | undefined
  /** The group that the link comes from; left out for a link of the client's own. */
  readonly group?: GroupRef | undefined
}

/**
 * Points a slot at a target: the event, or undefined where that changes nothing, or OVERLAY_KEPT.
 *
 * **Details** The policy stays what it was, else it is `discard`. A kept overlay opens over no other version than the one it was made
 * on, and under no other policy; so another image, version or policy needs `discardKept`. Changing only the pin (`win11` at 1 → `win11@1`)
 * leaves the overlay alone and needs nothing; nor does changing only whose link it is, the client's own or a group's.
 */
export const linkSlot = (
  catalogue: Catalogue,
  client: ClientRef,
  slot: number,
  current: LinkEntry | undefined,
  target: Target,
  options: LinkOptions = {},
): DomainEvent | undefined | ImagelinkError => {
  const { image, pinned, version } = target
  const overlay = options.overlay ?? current?.overlay ?? "discard"
  const from = current ? linkState(catalogue, current) : null
  const source = options.group === undefined ? {} : { group: options.group }
  const same = from !== null && from.image.id === image.id && from.pinned === pinned && from.overlay === overlay
  if (same && from.group?.id === options.group?.id) return undefined
  if (current && current.superVersion !== null) return superActive(catalogue, client, slot, current)
  if (same) {
    const { group, ...link } = from
    return event("ClientLinked", { client: clientRef(client), slot, to: { ...link, ...source }, from })
  }
  const renewed = from !== null && (from.image.id !== image.id || from.version !== version || from.overlay !== overlay)
  if (renewed && from.overlay === "keep" && options.discardKept !== true) {
    return kept(client, slot, from)
  }
  const to = { image: { id: image.id, name: image.name }, pinned, version, overlay, ...source }
  return event("ClientLinked", { client: clientRef(client), slot, to, from })
}

/** The refusal to take a super client's disk away. */
export const superActive = (catalogue: Catalogue, client: ClientRef, slot: number, link: LinkEntry): ImagelinkError => {
  const image = catalogue.images.get(link.imageId)!.name
  return fail("SUPER_CLIENT_ACTIVE", { client: client.name, slot, image })
}

/** Takes a slot off its image: the event, or OVERLAY_KEPT. */
export const unlinkSlot = (
  catalogue: Catalogue,
  client: ClientRef,
  slot: number,
  link: LinkEntry,
  discardKept = false,
): DomainEvent | ImagelinkError => {
  if (link.superVersion !== null) return superActive(catalogue, client, slot, link)
  const from = linkState(catalogue, link)
  if (link.overlay === "keep" && !discardKept) return kept(client, slot, from)
  return event("ClientUnlinked", { client: clientRef(client), slot, from })
}

/** The refusal to strand what a slot keeps. */
export const kept = (
  client: ClientRef,
  slot: number,
  { image, version }: ReturnType<typeof linkState>,
): ImagelinkError => fail("OVERLAY_KEPT", { client: client.name, slot, image: image.name, version })

const slotInvalid = (slot: number) => refuse(fail("SLOT_INVALID", { slot: String(slot) }))

/** Decides client by client; all of them, or the refusals of those that cannot. */
export const forEach = (
  clients: ReadonlyArray<ClientEntry>,
  one: (client: ClientEntry) => DomainEvent | undefined | ImagelinkError,
): Decision => {
  const events: Array<DomainEvent> = []
  const refused: Array<ImagelinkError> = []
  for (const client of clients) {
    const decided = one(client)
    if (decided instanceof ImagelinkError) refused.push(decided)
    else if (decided) events.push(decided)
  }
  return refused.length > 0 ? refuse(together(refused)) : acceptAll(events)
}

export const linkClients = (catalogue: Catalogue, command: Body<"LinkClients">): Decision => {
  const { slot } = command
  if (!isSlot(slot)) return slotInvalid(slot)
  const target = findTarget(catalogue, command.image)
  if (target instanceof ImagelinkError) return refuse(target)
  const clients = findClients(catalogue, command.clients)
  if (clients instanceof ImagelinkError) return refuse(clients)
  return forEach(clients, (client) => linkSlot(catalogue, client, slot, client.links.get(slot), target, command))
}

/**
 * Takes the client's own link away, so that a group's shows again, if one of its groups sets the slot.
 *
 * **Details** Unlinking what is not linked changes nothing; what a group gives is not the client's to take away. A slot that keeps its
 * writes is unlinked with `discardKept` only, since they go with it.
 */
export const unlinkClients = (catalogue: Catalogue, command: Body<"UnlinkClients">): Decision => {
  const { slot } = command
  if (!isSlot(slot)) return slotInvalid(slot)
  const clients = findClients(catalogue, command.clients)
  if (clients instanceof ImagelinkError) return refuse(clients)
  return forEach(clients, (client) => {
    const link = client.links.get(slot)
    if (link === undefined) return undefined
    const { discardKept } = command
    if (link.group !== undefined)
      return fail("LINK_FROM_GROUP", { client: client.name, slot, group: groupRef(catalogue, link.group).name })
    const beneath = groupLink(catalogue, client.id, slot)
    if (beneath === undefined) return unlinkSlot(catalogue, client, slot, link, discardKept)
    const { target, overlay, group } = beneath
    return linkSlot(catalogue, client, slot, link, target, { overlay, discardKept, group })
  })
}

/** Gives slots a fresh overlay over the version they stand for now. Every time anew, because what was written since is not in the log. */
export const resetOverlays = (catalogue: Catalogue, command: Body<"ResetOverlays">): Decision => {
  const { slot } = command
  if (!isSlot(slot)) return slotInvalid(slot)
  const clients = findClients(catalogue, command.clients)
  if (clients instanceof ImagelinkError) return refuse(clients)
  if (command.discardSuper && command.atNextBoot)
    return refuse(fail("COMMAND_INVALID", { why: "a super client's overlay is reset at once, not at its next boot" }))
  return forEach(clients, (client) => resetSlot(catalogue, client, slot, command))
}

const resetSlot = (
  catalogue: Catalogue,
  client: ClientEntry,
  slot: number,
  { discardSuper, atNextBoot }: Body<"ResetOverlays">,
): DomainEvent | ImagelinkError => {
  const link = client.links.get(slot)
  const image = link && catalogue.images.get(link.imageId)
  if (!link || !image) return fail("LINK_NOT_FOUND", { client: client.name, slot })
  if (link.superVersion !== null && !discardSuper) return superActive(catalogue, client, slot, link)
  // A kept overlay that follows stayed behind until now; the fresh one begins on the current version.
  const version = link.superVersion ?? link.pinned ?? image.current
  const data = { client: clientRef(client), slot, link: { ...linkState(catalogue, link), version } }
  return atNextBoot ? event("OverlayResetArmed", data) : event("OverlayReset", data)
}
