/**
 * The images' part of a backup: which files there are to copy, and the copying.
 *
 * **Details** A version's files are copied exactly if each is still the one that was recorded, before and after it is read. What a version is read
 * from decides the folder's name, so a relocated version is copied anew beside the old copy, which the manifest before still names.
 * Only local files are copied; where another plugin keeps the bytes, that is said. What is sealed in the data folder (layers, and disks that were
 * written to first) keeps its path there, and its modification time. Retired versions have no files any more.
 */
import { createHash } from "node:crypto"
import { dirname, relative } from "node:path"
import { join } from "node:path/posix"
import type { Catalogue, ImageEntry, VersionEntry } from "../../domain/catalogue.ts"
import { compareNatural } from "../../domain/natural.ts"
import { fail, isImagelinkError } from "../../errors.ts"
import { canonicalBytes } from "../../log/canonical.ts"
import { type ImageOpener, inData } from "../../storage/opener.ts"
import type { BackupImage } from "../site/backup.ts"
import { difference } from "../version-ref.ts"
import { type CopyOptions, copyWhole, identityOf } from "./copy-file.ts"
import { isThere } from "./log-part.ts"
import { type BackupFile, type ImageFileOf, isDataPath, isInside, type Manifest } from "./manifest.ts"

export interface WantedFile {
  /** In the backup. */
  readonly path: string
  readonly image: ImageFileOf
  readonly sizeBytes: number
  readonly identity: Readonly<Record<string, string>>
  /** Of a file of the data folder. */
  readonly mtimeMs?: string
}

export interface WantedImages {
  readonly files: ReadonlyArray<WantedFile>
  /** Versions that cannot be copied, in words. */
  readonly leftOut: ReadonlyArray<string>
}

type PathOf = ImageOpener["pathOf"]

/** Every file of every version that is not retired. */
export const wantedImages = ({ images }: Pick<Catalogue, "images">, pathOf: PathOf): WantedImages => {
  const files: Array<WantedFile> = []
  const leftOut: Array<string> = []
  for (const image of images.values()) {
    for (const version of image.versions.filter(({ retired }) => !retired)) {
      const { kind } = version.storage
      const wanted = kind === "data" ? sealedFiles(image, version, pathOf) : wantedFiles(image, version)
      if (typeof wanted === "string") leftOut.push(`image ${image.name}@${version.number}: ${wanted}`)
      else files.push(...wanted)
    }
  }
  return { files, leftOut }
}

const wantedFiles = (image: ImageEntry, version: VersionEntry): ReadonlyArray<WantedFile> | string => {
  const { storage, files, number } = version
  if (storage.kind !== "file") return `its bytes are kept by the storage plugin ${storage.kind}, not in local files`
  const place = createHash("sha256").update(canonicalBytes({ storage, files })).digest("hex").slice(0, 12)
  const folder = `images/${image.id}/v${number}-${place}`
  const from = dirname(files[0]!.path)
  const wanted = files.map(({ path, sizeBytes, identity }) => {
    const own = relative(from, path)
    const of = { id: image.id, name: image.name, version: number, path, relative: own }
    return { path: join(folder, own), image: of, sizeBytes: Number(sizeBytes), identity }
  })
  const outside = wanted.find((file) => !isInside(file.image.relative))
  return outside === undefined ? wanted : `${outside.image.path} is not in the folder of its first file`
}

/** Files of the data folder, each under its path there: what it is read from, and the tables that are kept beside that. */
const sealedFiles = (
  image: ImageEntry,
  { storage, files, number, changes }: VersionEntry,
  pathOf: PathOf,
): ReadonlyArray<WantedFile> | string => {
  const { file } = storage.config as { readonly file: string }
  const wanted = [...files, ...(changes?.files ?? [])].map(({ path: name, sizeBytes, identity }, i) => {
    const path = i === 0 ? file : name
    const from = pathOf(inData(path)) ?? path
    const of = { id: image.id, name: image.name, version: number, path: from, relative: path }
    return { path, image: of, sizeBytes: Number(sizeBytes), identity, mtimeMs: identity.mtimeMs ?? "0" }
  })
  const strange = wanted.find(({ path }) => !isDataPath(path))
  return strange === undefined ? wanted : `${strange.path} is not where sealed files are kept`
}

/** Disks that somebody may be writing to: they are copied once they are sealed. */
export const unsealedDrafts = ({ images }: Pick<Catalogue, "images">): ReadonlyArray<string> =>
  [...images.values()]
    .filter(({ draft }) => draft !== null)
    .map(({ name }) => name)
    .sort(compareNatural)
    .map((name) => `image ${name}: it is not sealed, and may be written to`)

export type Outcome = { readonly file: BackupFile; readonly done: BackupImage["done"] } | { readonly failed: string }

/** Copies one file, or keeps the copy that the backup before made of it. @throws CANCELLED NO_SPACE and whatever the backup's folder does */
export const copyImage = async (
  dir: string,
  wanted: WantedFile,
  prior: ReadonlyMap<string, BackupFile>,
  options: CopyOptions,
): Promise<Outcome> => {
  const { path, image, mtimeMs } = wanted
  const sealed = mtimeMs === undefined ? {} : { mtimeMs }
  const known = keptFile(dir, wanted, prior)
  if (known !== undefined) return { file: { ...known, ...sealed }, done: "kept" }
  try {
    await refuseChanged(wanted)
  } catch (e) {
    if (isImagelinkError(e)) return { failed: e.message }
    return { failed: `image ${image.name}@${image.version}: ${(e as Error).message}` }
  }
  const how = mtimeMs === undefined ? {} : { mayLink: true, mtimeMs: Number(mtimeMs) }
  const { done, ...copied } = await copyWhole(image.path, join(dir, path), { ...options, ...how })
  try {
    await refuseChanged(wanted)
  } catch (e) {
    return { failed: `image ${image.name}@${image.version}: while it was copied: ${(e as Error).message}` }
  }
  return { file: { path, ...copied, image, ...sealed }, done }
}

/** The copy that is there already. */
export const keptFile = (
  dir: string,
  { path, sizeBytes }: WantedFile,
  prior: ReadonlyMap<string, BackupFile>,
): BackupFile | undefined => {
  const known = prior.get(path)
  return known !== undefined && known.sizeBytes === sizeBytes && isThere(dir, known) ? known : undefined
}

/** A sealed file is known by its time alone; its size is looked at too. */
const refuseChanged = async ({ image, identity, sizeBytes, mtimeMs }: WantedFile): Promise<void> => {
  const recorded = mtimeMs === undefined ? identity : { ...identity, sizeBytes: String(sizeBytes) }
  const what = difference(recorded, await identityOf(image.path))
  if (what !== undefined) throw fail("IMAGE_CHANGED", { image: image.name, path: image.path, what })
}

export const filesByPath = (manifest: Manifest | undefined): ReadonlyMap<string, BackupFile> =>
  new Map(manifest?.files.map((file) => [file.path, file]))
