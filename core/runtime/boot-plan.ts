/**
 * What a client's script says, from the catalogue: its disk, a menu, its own disk, or what is missing. Pure.
 *
 * | boot option    | says                                                                                             |
 * | -------------- | ------------------------------------------------------------------------------------------------ |
 * | `menu`         | images to choose from beside the linked one: `win11,debian@2`                                     |
 * | `menu-timeout` | seconds until the linked one is chosen                                                           |
 * | `hook`         | `all`: the firmware shows every disk to the guest; else the first, and the guest finds the others |
 * | `gateway`      | `keep` or `clear`; else it is cleared where client and server are in one subnet                   |
 * | `fallback`     | `local`: the computer's own disk, after some failures                                            |
 * | `filename`     | the boot loader in an EFI system partition                                                       |
 */
import type { Catalogue, ClientEntry, LinkEntry } from "../domain/catalogue.ts"
import { effectiveOptions } from "../domain/group-links.ts"
import { findTarget, linkVersion } from "../domain/lookup.ts"
import { fail, ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import type { BootPlan } from "./boot-script.ts"
import { bootLink, canStandIn } from "./next-boot.ts"

export interface BootFacts {
  /** Address that the client reaches the server at. */
  readonly server: string
  readonly iscsiPort: number | undefined
  /** URL of the client's script. */
  readonly script: string
  readonly sameSubnet: boolean
  /** Somebody chose the linked image, or the computer's own disk, from the menu just now. */
  readonly chosen?: "disk" | "local"
}

export interface Planned {
  readonly plan: BootPlan
  /** What its disk stands on; only for a disk. */
  readonly on?: { readonly imageId: string; readonly version: number }
}

const optionsOf = (catalogue: Catalogue, client: ClientEntry): ReadonlyMap<string, string> =>
  new Map(effectiveOptions(catalogue, client).map(({ key, value }) => [key, value]))

export const refusedPlan = (
  catalogue: Catalogue,
  client: ClientEntry,
  error: ImagelinkError,
  { script }: Pick<BootFacts, "script">,
): BootPlan => {
  const fallback = optionsOf(catalogue, client).get("fallback") === "local"
  return { kind: "refused", client: client.name, error: error.toJSON(), fallback, script }
}

/** Images that the menu offers, the linked one first. Others only where they can stand in for it. */
export const menuImages = (catalogue: Catalogue, client: ClientEntry): ReadonlyArray<string> => {
  const link = client.links.get(0)
  if (link === undefined) return []
  const linked = catalogue.images.get(link.imageId)!.name
  const listed = optionsOf(catalogue, client).get("menu") ?? ""
  const more = listed.split(",").flatMap((text) => {
    const target = findTarget(catalogue, text.trim())
    if (target instanceof ImagelinkError || !canStandIn(link)) return []
    return [target.pinned === null ? target.image.name : `${target.image.name}@${target.pinned}`]
  })
  return [...new Set([linked, ...more])]
}

export const planBoot = (catalogue: Catalogue, client: ClientEntry, facts: BootFacts): Planned => {
  const { script, chosen } = facts
  const { name, nextBoot } = client
  if (chosen === "local" || (nextBoot?.kind === "local" && chosen === undefined))
    return { plan: { kind: "local", client: name, script } }
  const link = client.links.get(0)
  const refuse = (error: ImagelinkError): Planned => ({ plan: refusedPlan(catalogue, client, error, facts) })
  if (link === undefined) return refuse(fail("LINK_NOT_FOUND", { client: name, slot: 0 }))
  const asked = nextBoot?.kind === "menu" || (nextBoot === null && optionsOf(catalogue, client).has("menu"))
  if (asked && chosen === undefined) return { plan: menuPlan(catalogue, client, script) }
  if (nextBoot?.kind === "image" && !canStandIn(link))
    return refuse(fail("NEXT_BOOT_REFUSED", { client: name, image: nextBoot.image.name }))
  if (facts.iscsiPort === undefined) return refuse(fail("ISCSI_NOT_SERVED", {}))
  return diskPlan(catalogue, client, bootLink(client, 0, link), { ...facts, iscsiPort: facts.iscsiPort })
}

const menuPlan = (catalogue: Catalogue, client: ClientEntry, script: string): BootPlan => {
  const said = Number(optionsOf(catalogue, client).get("menu-timeout"))
  const fits = Number.isInteger(said) && said > 0 && said <= limits.bootMenuSecondsMax
  const timeoutSeconds = fits ? said : limits.bootMenuSecondsDefault
  return { kind: "menu", client: client.name, images: menuImages(catalogue, client), timeoutSeconds, script }
}

const diskPlan = (
  catalogue: Catalogue,
  client: ClientEntry,
  link: LinkEntry,
  facts: BootFacts & { readonly iscsiPort: number },
): Planned => {
  const options = optionsOf(catalogue, client)
  const image = catalogue.images.get(link.imageId)
  if (image === undefined) {
    const gone = fail("IMAGE_NOT_FOUND", { name: catalogue.removed.get(link.imageId)?.name ?? link.imageId })
    return { plan: refusedPlan(catalogue, client, gone, facts) }
  }
  const version = linkVersion(image, link)
  const gateway = options.get("gateway")
  const filename = options.get("filename")
  const { server, iscsiPort, script } = facts
  const plan: BootPlan = {
    kind: "disk",
    client: client.name,
    mac: client.mac,
    image: `${image.name}@${version}`,
    server,
    iscsiPort,
    bootId: "",
    moreSlots: options.get("hook") === "all" ? [...client.links.keys()].filter((s) => s > 0).sort((a, b) => a - b) : [],
    withoutGateway: gateway === "clear" || (gateway !== "keep" && facts.sameSubnet),
    ...(filename === undefined ? {} : { filename }),
    fallback: options.get("fallback") === "local",
    script,
  }
  return { plan, on: { imageId: image.id, version } }
}
