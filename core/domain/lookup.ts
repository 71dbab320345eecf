/** Finding things in the catalogue as people name them, with the error that says what they may have meant. */
import { fail, ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import type { Catalogue, ClientEntry, ImageEntry, LinkEntry } from "./catalogue.ts"
import type { ClientRef, EventData, GroupRef } from "./events.ts"
import type { GroupEntry } from "./groups.ts"
import { nameKey, parseGroupReference, parseImageReference, parseMac, readsAsMac } from "./names.ts"
import { compareNatural } from "./natural.ts"
import { nearest } from "./nearest.ts"
import { expandRange } from "./numbered.ts"

/** What a link points to: `version` is the one that `pinned` names, or the image's current one. */
export interface Target {
  readonly image: ImageEntry
  readonly pinned: number | null
  readonly version: number
}

export const clientRef = (client: ClientRef): ClientRef => ({ id: client.id, name: client.name, mac: client.mac })

/**
 * The version a link stands for now. A super client is on the one that it was set on; a kept overlay stays on the version it was made on,
 * whatever became current since.
 */
export const linkVersion = (
  image: Pick<ImageEntry, "current">,
  link: Pick<LinkEntry, "pinned" | "version" | "overlay" | "superVersion">,
): number => link.superVersion ?? link.pinned ?? (link.overlay === "keep" ? link.version : image.current)

/** A link as events record it. */
export const linkState = (catalogue: Catalogue, link: LinkEntry): EventData<"ClientLinked">["to"] => {
  const image = catalogue.images.get(link.imageId)!
  return {
    image: { id: image.id, name: image.name },
    pinned: link.pinned,
    version: linkVersion(image, link),
    overlay: link.overlay,
    ...(link.group === undefined ? {} : { group: groupRef(catalogue, link.group) }),
  }
}

/** A group by id, also one that is removed: while its command is folded, links of its members still name it. */
export const groupRef = (catalogue: Catalogue, id: string): GroupRef => {
  const { name } = (catalogue.groups.get(id) ?? catalogue.removed.get(id))!
  return { id, name }
}

const near = (name: string | undefined) => (name === undefined ? {} : { near: name })

/** An image by name, in any case. */
export const findImage = (catalogue: Catalogue, name: string): ImageEntry | ImagelinkError => {
  const image = catalogue.imagesByName.get(nameKey(name))
  if (image) return image
  const names = Array.from(catalogue.images.values(), (i) => i.name)
  return fail("IMAGE_NOT_FOUND", { name, ...near(nearest(name, names)) })
}

/** An image's version, as a pin. */
export const findVersion = (image: ImageEntry, version: number): Target | ImagelinkError => {
  if (image.draft) return fail("IMAGE_NOT_SEALED", { image: image.name })
  const newest = image.versions.length
  if (version < 1 || version > newest) return fail("IMAGE_VERSION_NOT_FOUND", { name: image.name, version, newest })
  if (image.versions[version - 1]!.retired) return fail("IMAGE_VERSION_RETIRED", { image: image.name, version })
  return { image, pinned: version, version }
}

/** `NAME` (follows) or `NAME@V` (pinned). */
export const findTarget = (catalogue: Catalogue, reference: string): Target | ImagelinkError => {
  const parsed = parseImageReference(reference)
  const image = findImage(catalogue, parsed?.name ?? reference)
  if (image instanceof ImagelinkError) return image
  if (parsed?.version !== undefined) return findVersion(image, parsed.version)
  if (image.draft) return fail("IMAGE_NOT_SEALED", { image: image.name })
  return { image, pinned: null, version: image.current }
}

/** A group by name in any case, with or without `group:` in front. */
export const findGroup = (catalogue: Catalogue, key: string): GroupEntry | ImagelinkError => {
  const name = parseGroupReference(key) ?? key
  const group = catalogue.groupsByName.get(nameKey(name))
  if (group) return group
  const names = Array.from(catalogue.groups.values(), (g) => g.name)
  return fail("GROUP_NOT_FOUND", { group: name, ...near(nearest(name, names)) })
}

/** A group's clients, in natural order of their names. */
export const membersOf = (catalogue: Catalogue, group: Pick<GroupEntry, "members">): ReadonlyArray<ClientEntry> =>
  Array.from(group.members, (id) => catalogue.clients.get(id)!).sort((a, b) => compareNatural(a.name, b.name))

/** A client by name in any case, or by MAC in any usual spelling. */
export const findClient = (catalogue: Catalogue, key: string): ClientEntry | ImagelinkError => {
  const mac = parseMac(key)
  const client = mac === undefined ? catalogue.clientsByName.get(nameKey(key)) : catalogue.clientsByMac.get(mac)
  if (client) return client
  const names = readsAsMac(key) ? catalogue.clientsByMac.keys() : Array.from(catalogue.clients.values(), (c) => c.name)
  return fail("CLIENT_NOT_FOUND", { client: key, ...near(nearest(mac ?? key, names)) })
}

/**
 * Clients by name, MAC, range or group (`group:lab-2`), each once however often it is named, in the order they were first named.
 *
 * **Details** When several are missing, the error is the first one's and its `details` name them all.
 * @throws nothing; answers CLIENT_NOT_FOUND, GROUP_NOT_FOUND or COMMAND_INVALID
 */
export const findClients = (
  catalogue: Catalogue,
  keys: ReadonlyArray<string>,
): ReadonlyArray<ClientEntry> | ImagelinkError => {
  const found = new Set<ClientEntry>()
  const missing: Array<string> = []
  let named = 0
  for (const key of keys) {
    const expanded = expandRange(key, limits.commandClientsMax - named)
    if ("why" in expanded) return fail("COMMAND_INVALID", { why: expanded.why })
    named += expanded.names.length
    for (const name of expanded.names) {
      if (parseGroupReference(name) !== undefined) {
        const group = findGroup(catalogue, name)
        if (group instanceof ImagelinkError) return group
        for (const client of membersOf(catalogue, group)) found.add(client)
        continue
      }
      const mac = parseMac(name)
      const client = mac === undefined ? catalogue.clientsByName.get(nameKey(name)) : catalogue.clientsByMac.get(mac)
      if (client) found.add(client)
      else missing.push(name)
    }
  }
  if (missing.length === 0) return [...found]
  const first = findClient(catalogue, missing[0]!) as ImagelinkError
  if (missing.length === 1) return first
  return new ImagelinkError({ ...first.toJSON(), details: missing.map((name) => `there is no client ${name}`) })
}
