/**
 * Puts the image files of a backup into a folder, `<folder>/<image>/v<N>/…`, and has the restored log read them from there.
 *
 * **Details** A file that is there already and has the right bytes stays: so a restore that was interrupted goes on. Every byte is compared with
 * the recorded checksums before the log says that it is read from there (image.relocate), as for any other move.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { fail, isImagelinkError } from "../../errors.ts"
import type { Progress } from "../../jobs.ts"
import type { Actor } from "../../log/event-log.ts"
import { type CopyOptions, copyWhole, hashFile } from "../backup/copy-file.ts"
import type { BackupFile, ImageFileOf, Manifest } from "../backup/manifest.ts"
import type { Site } from "../site.ts"

type ImageFile = BackupFile & { readonly image: ImageFileOf }

const imageFiles = ({ files }: Manifest): ReadonlyArray<ImageFile> =>
  files.filter((file): file is ImageFile => file.image !== undefined && file.mtimeMs === undefined)

const placeOf = (folder: string, { image }: ImageFile): string =>
  join(folder, image.name, `v${image.version}`, image.relative)

/** Copies them all. @throws FILE_EXISTS BACKUP_DAMAGED CANCELLED */
export const copyImages = async (
  backup: string,
  manifest: Manifest,
  folder: string,
  force: boolean,
  { signal, onProgress }: { readonly signal: AbortSignal; readonly onProgress: (p: Progress) => void },
): Promise<void> => {
  const files = imageFiles(manifest)
  const total = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  let done = 0
  const onBytes = (count: number) => {
    done += count
    onProgress({ done, total: Math.max(total, done), unit: "bytes", note: "images" })
  }
  for (const file of files) {
    const to = placeOf(folder, file)
    if (existsSync(to)) {
      if ((await hashFile(to, { signal, onBytes })).sha256 === file.sha256) continue
      if (!force) throw fail("FILE_EXISTS", { path: to })
    }
    await copyVerified(backup, file, to, { signal, onBytes })
  }
}

const copyVerified = async (backup: string, file: ImageFile, to: string, options: CopyOptions): Promise<void> => {
  const { sha256 } = await copyWhole(join(backup, file.path), to, options)
  if (sha256 !== file.sha256)
    throw fail("BACKUP_DAMAGED", { dir: backup, why: `${file.path} changed while it was restored` })
}

export interface RelocatedImages {
  readonly images: ReadonlyArray<{ readonly image: string; readonly version: number; readonly path: string }>
  /** Versions that stay where they were recorded, and why. */
  readonly notes: ReadonlyArray<string>
}

/** Records the new places. @throws CRC_MISMATCH IMAGE_DIFFERS CANCELLED, and what opening an image throws */
export const relocateImages = async (
  site: Site,
  manifest: Manifest,
  folder: string,
  options: { readonly actor: Actor; readonly signal: AbortSignal; readonly onProgress: (p: Progress) => void },
): Promise<RelocatedImages> => {
  const images: Array<RelocatedImages["images"][number]> = []
  const notes: Array<string> = []
  const seen = new Set<string>()
  for (const file of imageFiles(manifest)) {
    const { id, name, version } = file.image
    const key = `${id}@${version}`
    // the others of a version lie beside its first
    if (seen.has(key)) continue
    seen.add(key)
    const path = placeOf(folder, file)
    try {
      await site.call("image.relocate", { name, version, path }, options)
      images.push({ image: name, version, path })
    } catch (e) {
      if (!isImagelinkError(e) || e.code !== "IMAGE_UNVERIFIED") throw e
      notes.push(`${e.message}: its file is at ${path}, and the log still names ${file.image.path}`)
    }
  }
  return { images, notes }
}
