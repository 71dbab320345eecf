/** How events about versions and super clients change the catalogue. */
import assert from "node:assert"
import type { Catalogue, ImageEntry, LinkEntry, VersionEntry } from "./catalogue.ts"
import type { EventData, ImageRef } from "./events.ts"

export const emptyImage = ({ id, name }: ImageRef): ImageEntry => ({
  id,
  name,
  versions: [],
  current: 0,
  draft: null,
  superClient: null,
  aside: [],
  tier: { kind: "file", hot: false },
})

export const firstVersion = (read: Pick<VersionEntry, "format" | "sizeBytes" | "storage" | "files">): VersionEntry => ({
  number: 1,
  parent: null,
  over: null,
  ...read,
  changes: null,
  check: null,
  retired: false,
})

export const imageOf = (catalogue: Catalogue, { image: { id, name } }: { readonly image: ImageRef }): ImageEntry => {
  const image = catalogue.images.get(id)
  if (image === undefined) assert.fail(`an event names the image ${name}, which is not there`)
  return image
}

/** A link whose next boot is nothing special. */
export const disarmed = ({ armed, ...link }: LinkEntry): LinkEntry => link

const linkOf = (
  catalogue: Catalogue,
  { client, slot }: Pick<EventData<"SuperClientSet">, "client" | "slot">,
): { readonly links: Map<number, LinkEntry>; readonly link: LinkEntry } => {
  const links = catalogue.clients.get(client.id)?.links
  const link = links?.get(slot)
  assert(links && link, `an event names ${client.name} slot ${slot}, which has no link`)
  return { links, link }
}

export const imageSealed = (catalogue: Catalogue, data: EventData<"ImageSealed">): void => {
  const image = imageOf(catalogue, data)
  const { format, sizeBytes, storage, files } = data
  image.versions.push(firstVersion({ format, sizeBytes, storage, files }))
  image.current = 1
  image.draft = null
}

/** The slot of a client that is not super any more begins afresh, on what its link stands for. */
const endSuper = (catalogue: Catalogue, position: number, image: ImageEntry, data: EventData<"SuperClientSet">) => {
  const { links, link } = linkOf(catalogue, data)
  links.set(data.slot, {
    ...disarmed(link),
    version: link.pinned ?? image.current,
    epoch: position,
    superVersion: null,
  })
  image.superClient = null
}

export const imageCommitted = (catalogue: Catalogue, data: EventData<"ImageCommitted">, position: number): void => {
  const image = imageOf(catalogue, data)
  const { version: number, parent, format, sizeBytes, storage, files } = data
  assert(number === image.versions.length + 1, `ImageCommitted makes ${image.name}@${number} out of turn`)
  const read = { over: parent, format, sizeBytes, storage, files, changes: null }
  image.versions.push({ number, parent, ...read, check: null, retired: false })
  image.current = number
  endSuper(catalogue, position, image, { ...data, version: parent, resumes: null })
}

export const versionRetired = (catalogue: Catalogue, data: EventData<"ImageVersionRetired">): void => {
  const { versions } = imageOf(catalogue, data)
  versions[data.version - 1] = { ...versions[data.version - 1]!, retired: true }
}

export const versionFlattened = (catalogue: Catalogue, data: EventData<"ImageVersionFlattened">): void => {
  const { versions } = imageOf(catalogue, data)
  const { over, storage, format, files, changes } = data
  versions[data.version - 1] = { ...versions[data.version - 1]!, over, storage, format, files, changes }
}

/** A resumed overlay keeps its own epoch, by which its folder is found. */
export const superClientSet = (catalogue: Catalogue, data: EventData<"SuperClientSet">, position: number): void => {
  const image = imageOf(catalogue, data)
  const { links, link } = linkOf(catalogue, data)
  const { version, resumes, slot } = data
  links.set(slot, { ...disarmed(link), epoch: resumes ?? position, superVersion: version })
  image.superClient = { clientId: data.client.id, slot }
  image.aside = image.aside.filter((a) => a.epoch !== resumes)
}

export const superClientCleared = (
  catalogue: Catalogue,
  data: EventData<"SuperClientCleared">,
  position: number,
): void => {
  const image = imageOf(catalogue, data)
  const { client, slot, version, overlay, kept } = data
  endSuper(catalogue, position, image, { ...data, resumes: null })
  if (kept) image.aside = [...image.aside, { clientId: client.id, slot, epoch: overlay, version }]
}
