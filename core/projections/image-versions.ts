/** The images and their versions: what each is read from, whether its checksums held, and how many links use it. */
import { isKnownEvent } from "../domain/event-versions.ts"
import type { DomainEvent, EventData, ImageRef } from "../domain/events.ts"
import { compareNatural } from "../domain/natural.ts"
import { type Projection, sortKeys } from "./projection.ts"

type Added = EventData<"ImageAdded">
type Checked = EventData<"ImageChecked">

export interface VersionRow {
  readonly number: number
  readonly parent: number | null
  readonly format: string
  readonly sizeBytes: string
  readonly storage: Added["storage"]
  readonly files: Added["files"]
  readonly checked: "unverified" | "verified" | "mismatch"
  /** Of the newest check; null while unverified. */
  readonly checksums: Checked["checksums"] | null
  readonly mismatches: Checked["mismatches"] | null
  readonly note: string | null
  /** When it came to be, UTC milliseconds. */
  readonly at: number
}

export interface ImageRow {
  readonly id: string
  readonly name: string
  readonly current: number
  /** Links, of any client and slot, that point to it. */
  readonly links: number
  /** Version N is at index N - 1. */
  readonly versions: ReadonlyArray<VersionRow>
}

export interface ImageVersions {
  readonly images: Map<string, ImageRow>
}

const added = (state: ImageVersions, data: Added, at: number): void => {
  const { image, version, format, sizeBytes, storage, files, note = null } = data
  const unchecked = { checked: "unverified", checksums: null, mismatches: null } as const
  const row: VersionRow = { number: version, parent: null, format, sizeBytes, storage, files, note, at, ...unchecked }
  state.images.set(image.id, { id: image.id, name: image.name, current: version, links: 0, versions: [row] })
}

const checked = (state: ImageVersions, data: Checked): void => {
  const image = state.images.get(data.image.id)
  if (!image) return
  const { version, result, checksums, mismatches, files } = data
  const versions = image.versions.map((v) =>
    v.number === version ? { ...v, checked: result, checksums, mismatches, files: files ?? v.files } : v,
  )
  state.images.set(image.id, { ...image, versions })
}

const relocated = (state: ImageVersions, data: EventData<"ImageRelocated">): void => {
  const image = state.images.get(data.image.id)
  if (!image) return
  const found = { checked: "verified", mismatches: { count: 0, clusters: [] } } as const
  const versions = image.versions.map((v) => (v.number === data.version ? { ...v, ...data.to, ...found } : v))
  state.images.set(image.id, { ...image, versions })
}

const count = (state: ImageVersions, ref: ImageRef | undefined, by: 1 | -1): void => {
  const image = ref && state.images.get(ref.id)
  if (image) state.images.set(image.id, { ...image, links: image.links + by })
}

const applyKnown = (state: ImageVersions, event: DomainEvent, at: number): void => {
  if (event.type === "ImageAdded") added(state, event.data, at)
  else if (event.type === "ImageChecked") checked(state, event.data)
  else if (event.type === "ImageRelocated") relocated(state, event.data)
  else if (event.type === "ImageRemoved") state.images.delete(event.data.image.id)
  else if (event.type === "ClientLinked") {
    count(state, event.data.from?.image, -1)
    count(state, event.data.to.image, 1)
  } else if (event.type === "ClientUnlinked") count(state, event.data.from.image, -1)
  else if (event.type === "ClientRemoved") for (const { link } of event.data.links) count(state, link.image, -1)
}

/** All images in natural order of their names. */
export const imageRows = (state: ImageVersions): Array<ImageRow> =>
  [...state.images.values()].sort((a, b) => compareNatural(a.name, b.name))

export const imageVersions: Projection<ImageVersions> = {
  name: "image-versions",
  version: 1,
  initial: () => ({ images: new Map() }),
  apply: (state, recorded) => {
    if (!isKnownEvent(recorded)) return false
    applyKnown(state, recorded, recorded.at)
    return true
  },
  encode: (state) => sortKeys([...state.images.values()]),
  decode: (json) => ({ images: new Map((json as ReadonlyArray<ImageRow>).map((image) => [image.id, image])) }),
}
