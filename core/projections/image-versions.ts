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
  /** The version that its bytes are read over: its parent, until it is flattened. */
  readonly over: number | null
  readonly format: string
  readonly sizeBytes: string
  readonly storage: Added["storage"]
  readonly files: Added["files"]
  readonly checked: "unverified" | "verified" | "mismatch"
  /** When all of it was last read, UTC milliseconds; null while unverified. */
  readonly checkedAt: number | null
  /** Of the newest check; null while unverified. */
  readonly checksums: Checked["checksums"] | null
  readonly mismatches: Checked["mismatches"] | null
  readonly note: string | null
  readonly retired: boolean
  /** Guest bytes that its file holds and makes zero since it was flattened; null where it was not. */
  readonly flattened: EventData<"ImageVersionFlattened">["layer"] | null
  /** Guest bytes that its layer holds and makes zero; null where it is read as it was added. */
  readonly layer: EventData<"ImageCommitted">["layer"] | null
  /** When it came to be, UTC milliseconds. */
  readonly at: number
}

export interface ImageRow {
  readonly id: string
  readonly name: string
  /** 0 while it is a draft. */
  readonly current: number
  /** Bytes of the draft that it is until it is sealed; null afterwards. */
  readonly draftBytes: string | null
  readonly superClient: { readonly id: string; readonly name: string; readonly slot: number } | null
  readonly tier: EventData<"ImagePlaced">["to"]
  /** Links, of any client and slot, that point to it. */
  readonly links: number
  /** Version N is at index N - 1. */
  readonly versions: ReadonlyArray<VersionRow>
}

export interface ImageVersions {
  readonly images: Map<string, ImageRow>
}

const unchecked = { checked: "unverified", checkedAt: null, checksums: null, mismatches: null } as const

type Read = Pick<VersionRow, "format" | "sizeBytes" | "storage" | "files">

const firstRow = ({ format, sizeBytes, storage, files }: Read, note: string | null, at: number): VersionRow => {
  const read = { format, sizeBytes, storage, files, ...unchecked }
  return { number: 1, parent: null, over: null, ...read, note, at, retired: false, flattened: null, layer: null }
}

const emptyRow = ({ id, name }: ImageRef): ImageRow => {
  const nobody = { draftBytes: null, superClient: null, tier: { kind: "file", hot: false }, links: 0 }
  return { id, name, current: 0, ...nobody, versions: [] }
}

const added = (state: ImageVersions, data: Added, at: number): void => {
  const versions = [firstRow(data, data.note ?? null, at)]
  state.images.set(data.image.id, { ...emptyRow(data.image), current: 1, versions })
}

const created = (state: ImageVersions, { image, sizeBytes }: EventData<"ImageCreated">): void => {
  state.images.set(image.id, { ...emptyRow(image), draftBytes: sizeBytes })
}

const sealed = (state: ImageVersions, data: EventData<"ImageSealed">, at: number): void =>
  edit(state, data.image, () => ({ current: 1, draftBytes: null, versions: [firstRow(data, null, at)] }))

const committed = (state: ImageVersions, data: EventData<"ImageCommitted">, at: number): void =>
  edit(state, data.image, ({ versions }) => {
    const { version: number, parent, format, sizeBytes, storage, files, layer, note = null } = data
    const read = { format, sizeBytes, storage, files, ...unchecked }
    const row: VersionRow = { number, parent, over: parent, ...read, note, at, retired: false, flattened: null, layer }
    return { current: number, superClient: null, versions: [...versions, row] }
  })

const retired = (state: ImageVersions, data: EventData<"ImageVersionRetired">): void =>
  edit(state, data.image, ({ versions }) => ({
    versions: versions.map((v) => (v.number === data.version ? { ...v, retired: true } : v)),
  }))

const flattened = (state: ImageVersions, data: EventData<"ImageVersionFlattened">): void =>
  edit(state, data.image, ({ versions }) => {
    const { version, over, storage, format, files, layer } = data
    const read = { over, storage, format, files, flattened: layer }
    return { versions: versions.map((v) => (v.number === version ? { ...v, ...read } : v)) }
  })

const superOf = ({ client: { id, name }, slot }: EventData<"SuperClientSet">) => ({ id, name, slot })

const renamed = (state: ImageVersions, { client, to: { name } }: EventData<"ClientChanged">): void => {
  for (const { id, superClient } of state.images.values())
    if (superClient?.id === client.id) edit(state, { id }, () => ({ superClient: { ...superClient, name } }))
}

const edit = (
  state: ImageVersions,
  { id }: Pick<ImageRef, "id">,
  change: (row: ImageRow) => Partial<ImageRow>,
): void => {
  const row = state.images.get(id)
  if (row) state.images.set(id, { ...row, ...change(row) })
}

const checked = (state: ImageVersions, data: Checked, at: number): void => {
  const image = state.images.get(data.image.id)
  if (!image) return
  const { version, result: checked, checksums, mismatches, files, partial = false } = data
  const versions = image.versions.map((v) =>
    v.number === version
      ? { ...v, checked, checkedAt: partial ? v.checkedAt : at, checksums, mismatches, files: files ?? v.files }
      : v,
  )
  state.images.set(image.id, { ...image, versions })
}

const relocated = (state: ImageVersions, data: EventData<"ImageRelocated">, at: number): void => {
  const image = state.images.get(data.image.id)
  if (!image) return
  const found = { checked: "verified", checkedAt: at, mismatches: { count: 0, clusters: [] } } as const
  const versions = image.versions.map((v) => (v.number === data.version ? { ...v, ...data.to, ...found } : v))
  state.images.set(image.id, { ...image, versions })
}

const count = (state: ImageVersions, ref: ImageRef | undefined, by: 1 | -1): void => {
  const image = ref && state.images.get(ref.id)
  if (image) state.images.set(image.id, { ...image, links: image.links + by })
}

const applyKnown = (state: ImageVersions, event: DomainEvent, at: number): void => {
  if (event.type === "ImageAdded") added(state, event.data, at)
  else if (event.type === "ImageChecked") checked(state, event.data, at)
  else if (event.type === "ImageRelocated") relocated(state, event.data, at)
  else if (event.type === "ImageCreated") created(state, event.data)
  else if (event.type === "ImageSealed") sealed(state, event.data, at)
  else if (event.type === "ImageCommitted") committed(state, event.data, at)
  else if (event.type === "ImageRolledBack") edit(state, event.data.image, () => ({ current: event.data.to }))
  else if (event.type === "ImageVersionRetired") retired(state, event.data)
  else if (event.type === "ImageVersionFlattened") flattened(state, event.data)
  else if (event.type === "ImagePlaced") edit(state, event.data.image, () => ({ tier: event.data.to }))
  else if (event.type === "SuperClientSet") edit(state, event.data.image, () => ({ superClient: superOf(event.data) }))
  else if (event.type === "ClientChanged") renamed(state, event.data)
  else if (event.type === "SuperClientCleared") edit(state, event.data.image, () => ({ superClient: null }))
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
  version: 3,
  initial: () => ({ images: new Map() }),
  apply: (state, recorded) => {
    if (!isKnownEvent(recorded)) return false
    applyKnown(state, recorded, recorded.at)
    return true
  },
  encode: (state) => sortKeys([...state.images.values()]),
  decode: (json) => ({ images: new Map((json as ReadonlyArray<ImageRow>).map((image) => [image.id, image])) }),
}
