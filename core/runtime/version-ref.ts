/**
 * A recorded version and the file it is read from: found, opened, and compared with what the log says of it.
 *
 * **Details** What identifies a file (device, inode, size, mtime, ctime) is compared as the plugin reports it: of the image's file, and of every
 * other that the image is read from. A version is opened only over the recorded files; their names are looked at again whenever a disk is
 * opened. Errors about a file name the image.
 */
import type { Catalogue, VersionEntry } from "../domain/catalogue.ts"
import { fail, ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import type { OpenedImage } from "../storage/open-image.ts"
import type { ImageOpener, OpenedLayer } from "../storage/opener.ts"
import type { VolumeIdentity } from "../storage/volume.ts"

export interface VersionRef {
  readonly imageId: string
  readonly imageName: string
  readonly version: VersionEntry
  /** What it is read over: its parent, that one's parent, and so on to version 1, without those that were merged into it. None for version 1. */
  readonly below: ReadonlyArray<VersionEntry>
}

/** @throws IMAGE_NOT_FOUND IMAGE_VERSION_NOT_FOUND */
export const versionRef = (catalogue: Catalogue, imageId: string, version: number): VersionRef => {
  const image = catalogue.images.get(imageId)
  if (image === undefined) throw fail("IMAGE_NOT_FOUND", { name: catalogue.removed.get(imageId)?.name ?? imageId })
  const entry = image.versions[version - 1]
  if (entry?.retired) throw fail("IMAGE_VERSION_RETIRED", { image: image.name, version })
  if (entry !== undefined)
    return { imageId, imageName: image.name, version: entry, below: ancestors(image.versions, entry) }
  throw fail("IMAGE_VERSION_NOT_FOUND", { name: image.name, version, newest: image.versions.length })
}

const ancestors = (versions: ReadonlyArray<VersionEntry>, { over }: VersionEntry): ReadonlyArray<VersionEntry> => {
  const found: Array<VersionEntry> = []
  for (let at = over; at !== null; at = found.at(-1)!.over) found.push(versions[at - 1]!)
  return found
}

/** The version that this one is read over, or undefined for one that is read from its own files alone. */
export const parentRef = (ref: VersionRef): VersionRef | undefined => {
  const [version, ...below] = ref.below
  return version && { ...ref, version, below }
}

/** What all that is below it is read over: version 1, or one that was flattened whole. */
export const baseRef = (ref: VersionRef): VersionRef => {
  const version = ref.below.at(-1) ?? ref.version
  return { ...ref, version, below: [] }
}

const pathOf = ({ version }: VersionRef): string => version.files[0]?.path ?? version.storage.kind

export const changed = (ref: VersionRef, what: string): ImagelinkError =>
  fail("IMAGE_CHANGED", { image: ref.imageName, path: pathOf(ref), what })

/** A copy's time: through seconds in floating point it comes out a millisecond early, and some archives keep whole seconds only. */
const isCopied = (key: string, recorded = "", now = ""): boolean => {
  if (key !== "mtimeMs") return false
  const [was, is] = [Number(recorded), Number(now)]
  return Math.abs(was - is) <= 1 || is === was - (was % 1000)
}

/** What differs, in words; undefined when nothing does. */
export const difference = (recorded: VolumeIdentity, now: VolumeIdentity): string | undefined => {
  const keys = Object.keys(recorded).filter(
    (key) => recorded[key] !== now[key] && !isCopied(key, recorded[key], now[key]),
  )
  return keys.length === 0 ? undefined : `${keys.join(", ")} changed`
}

type Files = ReadonlyArray<{ readonly path: string; readonly identity: VolumeIdentity }>
type Identities = ReadonlyArray<VolumeIdentity | undefined>

/** What differs between the files of an image and these identities, in order. One that is not to be had differs from nothing. */
export const filesDifference = (files: Files, now: Identities): string | undefined => {
  for (const [i, { path, identity }] of files.entries()) {
    const what = difference(identity, now[i] ?? identity)
    if (what !== undefined) return i === 0 ? what : `${path}, which it is read from: ${what}`
  }
  return undefined
}

/** What differs between the recorded files and these identities. */
export const sinceRecorded = (ref: VersionRef, now: Identities): string | undefined =>
  filesDifference(ref.version.files, now)

/** Says which image an error about a file is about. */
const naming = async <A>(ref: VersionRef, work: () => Promise<A>): Promise<A> => {
  try {
    return await work()
  } catch (e) {
    if (!(e instanceof ImagelinkError)) throw e
    if (e.code === "IMAGE_FILE_NOT_FOUND")
      throw fail(e.code, { path: missingOf(ref, e), image: ref.imageName }, { underlying: e })
    if (e.code !== "IMAGE_ACCESS_DENIED") throw e
    throw new ImagelinkError({ ...e.toJSON(), message: `image ${ref.imageName}: ${e.message}` }, { underlying: e })
  }
}

/** Which of its files an error is about: the longest of their paths that it names. */
const missingOf = (ref: VersionRef, { message }: ImagelinkError): string =>
  ref.version.files
    .map((file) => file.path)
    .filter((path) => message.includes(path))
    .reduce((longest, path) => (path.length > longest.length ? path : longest), "") || pathOf(ref)

/** Opens whatever is at the place of a version that has nothing below it. @throws IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED IMAGE_NOT_A_DISK IO_ERROR */
export const openAsItIs = (opener: ImageOpener, ref: VersionRef): Promise<OpenedImage> =>
  naming(ref, () => opener.open(ref.version.storage, ref.version.format))

/** Opens the layer of a committed version, by itself, touched or not. @throws IMAGE_CHANGED IMAGE_FILE_NOT_FOUND IMAGE_DAMAGED */
export const openLayerAsItIs = async (opener: ImageOpener, ref: VersionRef): Promise<OpenedLayer> => {
  const layer = await naming(ref, () => opener.openLayer(ref.version.storage, ref.version.format))
  if (layer.sizeBytes === Number(ref.version.sizeBytes)) return layer
  await layer.close()
  throw changed(ref, "its size changed")
}

/** Opens the recorded layer of a committed version. @throws what `openLayerAsItIs` throws */
export const openLayer = async (opener: ImageOpener, ref: VersionRef): Promise<OpenedLayer> => {
  const layer = await openLayerAsItIs(opener, ref)
  const what = sinceRecorded(ref, layer.identities)
  if (what === undefined) return layer
  await layer.close()
  throw changed(ref, what)
}

/** Opens the recorded files, and no others. @throws IMAGE_CHANGED and what `openAsItIs` throws */
export const openRecorded = async (opener: ImageOpener, ref: VersionRef): Promise<OpenedImage> => {
  const image = await openAsItIs(opener, ref)
  const identities = image.files.map((file) => file.identity)
  const what = sinceRecorded(ref, identities)
  if (what === undefined) return image
  await image.disk.close()
  throw changed(ref, what)
}

/** What identifies the version's files now. */
export const identify = (opener: ImageOpener, ref: VersionRef): Promise<Identities> =>
  naming(ref, () => opener.identify(ref.version.storage, ref.version.files))

/** @throws IMAGE_CHANGED IMAGE_FILE_NOT_FOUND IMAGE_ACCESS_DENIED */
export const refuseIfChanged = async (opener: ImageOpener, ref: VersionRef): Promise<void> => {
  const what = sinceRecorded(ref, await identify(opener, ref))
  if (what !== undefined) throw changed(ref, what)
}

/** The error of a cluster that is not what was recorded. */
export const mismatch = (ref: VersionRef, cluster: number): ImagelinkError => {
  const { imageName, version } = ref
  const offset = cluster * limits.clusterBytes
  const length = Math.min(limits.clusterBytes, Number(version.sizeBytes) - offset)
  return fail("CRC_MISMATCH", { image: imageName, version: version.number, offset, length, path: pathOf(ref) })
}
