/**
 * Who may open which disk over a protocol without a login of its own (NBD).
 *
 * **Details** Loopback opens everything. Another peer is the client whose address it has: it opens that client's disks and the images that
 * the client is linked to. The same rule decides what a listing shows.
 */
import type { DiskName, Peer } from "../block/lease.ts"
import type { Catalogue, ClientEntry, ImageEntry } from "../domain/catalogue.ts"
import { findClient, findImage, findVersion } from "../domain/lookup.ts"
import { compareNatural } from "../domain/natural.ts"
import { fail, ImagelinkError } from "../errors.ts"

const orThrow = <A>(answer: A | ImagelinkError): A => {
  if (answer instanceof ImagelinkError) throw answer
  return answer
}

/**
 * A client without a recorded address may come from any, if it shows a boot id: that is a key, which was given to it.
 *
 * @throws CLIENT_NOT_FOUND EXPORT_DENIED
 */
export const admitClient = (
  catalogue: Catalogue,
  name: string,
  slot: number,
  peer: Peer,
  boot?: string,
): ClientEntry => {
  const client = orThrow(findClient(catalogue, name))
  const hasKey = client.address === null && boot !== undefined
  if (!peer.loopback && client.address !== peer.address && !hasKey)
    throw fail("EXPORT_DENIED", { name: `client/${name}/${slot}`, peer: peer.address })
  return client
}

/** @throws IMAGE_NOT_FOUND IMAGE_VERSION_NOT_FOUND EXPORT_DENIED */
export const admitImage = (catalogue: Catalogue, name: string, version: number | undefined, peer: Peer): ImageEntry => {
  const image = orThrow(findImage(catalogue, name))
  if (!peer.loopback && !linkedImages(catalogue, peer).has(image.id))
    throw fail("EXPORT_DENIED", { name: `image/${name}`, peer: peer.address })
  if (version !== undefined) orThrow(findVersion(image, version))
  return image
}

const linkedImages = (catalogue: Catalogue, peer: Peer): ReadonlySet<string> => {
  const client = catalogue.clientsByAddress.get(peer.address)
  return new Set(client === undefined ? [] : Array.from(client.links.values(), (link) => link.imageId))
}

const byName = <A extends { readonly name: string }>(a: A, b: A) => compareNatural(a.name, b.name)

export const listDisks = (catalogue: Catalogue, peer: Peer): ReadonlyArray<DiskName> => {
  const mine = catalogue.clientsByAddress.get(peer.address)
  const clients = peer.loopback ? [...catalogue.clients.values()].sort(byName) : mine === undefined ? [] : [mine]
  const seen = linkedImages(catalogue, peer)
  const images = [...catalogue.images.values()].filter((i) => peer.loopback || seen.has(i.id)).sort(byName)
  return [...clients.flatMap((c) => clientDisks(catalogue, c)), ...images.flatMap(imageDisks)]
}

const clientDisks = (catalogue: Catalogue, client: ClientEntry): ReadonlyArray<DiskName> =>
  [...client.links]
    .sort(([a], [b]) => a - b)
    .map(([slot, link]) => ({
      name: `client/${client.name}/${slot}`,
      description: `own disk over ${catalogue.images.get(link.imageId)!.name}, writes ${link.overlay === "keep" ? "kept" : "discarded at reset"}`,
    }))

const imageDisks = (image: ImageEntry): ReadonlyArray<DiskName> =>
  image.draft !== null
    ? [{ name: `image/${image.name}`, description: "to be written and sealed" }]
    : image.versions
        .filter((v) => !v.retired)
        .map((v) => ({ name: `image/${image.name}@${v.number}`, description: `version ${v.number}, read-only` }))
