/**
 * Puts the sealed files of a backup (layers of committed versions, and disks that were written to first) back into the data folder.
 *
 * **Details** They go where the log says they are, with the modification time that it knows them by, before anybody opens the folder. The
 * pointers from a layer to its parent are made again, because a backup has none.
 */
import { join } from "node:path"
import type { Catalogue } from "../../domain/catalogue.ts"
import { fail } from "../../errors.ts"
import type { Progress } from "../../jobs.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import { copyWhole } from "../backup/copy-file.ts"
import type { Manifest } from "../backup/manifest.ts"
import type { Parts } from "../parts.ts"

/** @throws BACKUP_DAMAGED CANCELLED */
export const copySealed = async (
  backup: string,
  manifest: Manifest,
  data: string,
  { signal, onProgress }: { readonly signal: AbortSignal; readonly onProgress: (p: Progress) => void },
): Promise<void> => {
  const files = manifest.files.filter(({ mtimeMs }) => mtimeMs !== undefined)
  const total = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  let done = 0
  const onBytes = (count: number) => {
    done += count
    onProgress({ done, total: Math.max(total, done), unit: "bytes", note: "layers" })
  }
  for (const { path, sha256, mtimeMs } of files) {
    const copied = await copyWhole(join(backup, path), join(data, path), { signal, onBytes, mtimeMs: Number(mtimeMs) })
    if (copied.sha256 !== sha256)
      throw fail("BACKUP_DAMAGED", { dir: backup, why: `${path} changed while it was restored` })
  }
}

export const pointLayers = async ({ views, layers }: Parts): Promise<void> => {
  for (const { id, versions } of (await views.state(catalogueProjection)).images.values())
    await layers.repointAll(id, versions)
}

/** What the log says is in the data folder, and the backup does not have. */
export const withoutFiles = ({ images }: Catalogue, { files }: Manifest): ReadonlyArray<string> => {
  const there = new Set(files.map(({ path }) => path))
  return [...images.values()].flatMap(({ name, versions, draft }) => {
    const lost = versions.filter(({ storage, retired, changes, files: [first, ...others] }) => {
      if (storage.kind !== "data" || retired || first === undefined) return false
      const { file } = storage.config as { readonly file: string }
      const beside = [...others, ...(changes?.files ?? [])].map(({ path }) => path)
      return [file, ...beside].some((path) => !there.has(path))
    })
    return [
      ...lost.map(({ number }) => `${name}@${number} has no files: the backup was made without them (backup --images)`),
      ...(draft === null ? [] : [`${name} has no file: it was not sealed, and what was written to it is in no backup`]),
    ]
  })
}
