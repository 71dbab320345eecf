/**
 * Which backups were made of this store, so that damage can be told together with where a good copy is.
 *
 *     backups.json   [{ dir, madeAt }], newest last
 *
 * **Details** A hint and no record: a folder that is gone, or holds another site's backup by now, is passed over, and a lost file only means that no
 * copy is named.
 */
import { statSync } from "node:fs"
import { join } from "node:path"
import { limits } from "../../limits.ts"
import type { VolumeFolder } from "../../storage/volume.ts"
import { type BackupFile, type Manifest, readManifest } from "./manifest.ts"

const fileName = "backups.json"

interface KnownBackup {
  readonly dir: string
  /** UTC milliseconds. */
  readonly madeAt: number
}

/** A copy of one file of a version. */
export interface BackupCopy {
  readonly path: string
  readonly madeAt: number
}

export const rememberBackup = async (data: VolumeFolder, { dir, madeAt }: KnownBackup): Promise<void> => {
  const others = (await knownBackups(data)).filter((known) => known.dir !== dir)
  const kept = [...others, { dir, madeAt }].slice(-limits.backupsKnownMax)
  await data.replaceFile(fileName, Buffer.from(`${JSON.stringify(kept)}\n`))
}

const knownBackups = async (data: VolumeFolder): Promise<ReadonlyArray<KnownBackup>> => {
  const bytes = await data.readFile(fileName)
  if (bytes === undefined) return []
  try {
    const known: unknown = JSON.parse(Buffer.from(bytes).toString())
    return Array.isArray(known) ? known.filter(isKnown) : []
  } catch {
    return []
  }
}

const isKnown = (known: unknown): known is KnownBackup => {
  const { dir, madeAt } = (known ?? {}) as Record<string, unknown>
  return typeof dir === "string" && typeof madeAt === "number"
}

export interface WantedCopy {
  readonly storeId: string
  readonly imageId: string
  readonly version: number
  /** Of the file, as the log has it. */
  readonly path: string
}

/** Answers where the newest backup that has them keeps the files that are asked for, one after the other; each manifest is read once. */
export const openBackups = async (data: VolumeFolder): Promise<(wanted: WantedCopy) => BackupCopy | undefined> => {
  const newestFirst = [...(await knownBackups(data))].reverse()
  const manifests = newestFirst.flatMap(({ dir }) => {
    const manifest = manifestIn(dir)
    return manifest === undefined ? [] : [{ dir, manifest }]
  })
  return (wanted) => {
    for (const { dir, manifest } of manifests) {
      if (manifest.site.storeId !== wanted.storeId) continue
      const file = manifest.files.find((one) => isWanted(one, wanted))
      if (file === undefined || !isThere(join(dir, file.path), file.sizeBytes)) continue
      return { path: join(dir, file.path), madeAt: manifest.madeAt }
    }
    return undefined
  }
}

const manifestIn = (dir: string): Manifest | undefined => {
  try {
    return readManifest(dir)
  } catch {
    return undefined
  }
}

const isWanted = ({ image }: BackupFile, { imageId, version, path }: WantedCopy): boolean =>
  image !== undefined && image.id === imageId && image.version === version && image.path === path

const isThere = (path: string, sizeBytes: number): boolean => {
  const found = statSync(path, { throwIfNoEntry: false })
  return found?.isFile() === true && found.size === sizeBytes
}
