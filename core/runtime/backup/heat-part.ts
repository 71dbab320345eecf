/**
 * The heat's part of a backup: what was learnt of each image's clients, so that a restored server knows its hot zone from the first boot on.
 *
 * **Details** It is in no event. A file of heat is replaced as it learns, so its copy is named after its bytes: what the backup before names is not
 * written over. One that is damaged teaches nothing, and is left out.
 */
import { join } from "node:path"
import { decodeHeat } from "../../block/heat/heat-file.ts"
import type { Catalogue } from "../../domain/catalogue.ts"
import { fail } from "../../errors.ts"
import type { VolumeFolder } from "../../storage/volume.ts"
import { HEAT, heatName } from "../heat-store.ts"
import { copyWhole, writeWhole } from "./copy-file.ts"
import { isThere } from "./log-part.ts"
import { type BackupFile, type Manifest, sha256 } from "./manifest.ts"

export interface HeatPart {
  readonly files: ReadonlyArray<{ readonly file: BackupFile; readonly isNew: boolean }>
  /** Images whose heat is damaged, in words. */
  readonly leftOut: ReadonlyArray<string>
}

const hashChars = 12
const pattern = new RegExp(`^${HEAT}/(.{36})-[0-9a-f]{${hashChars}}\\.heat$`)

export const copyHeat = async (
  dir: string,
  data: VolumeFolder,
  { images }: Pick<Catalogue, "images">,
  prior: ReadonlyMap<string, BackupFile>,
): Promise<HeatPart> => {
  const files: Array<HeatPart["files"][number]> = []
  const leftOut: Array<string> = []
  for (const { id, name } of images.values()) {
    const bytes = await data.folder(HEAT).readFile(heatName(id))
    if (bytes === undefined) continue
    const decoded = decodeHeat(bytes)
    if (!decoded.ok) {
      leftOut.push(`heat of image ${name}: ${decoded.why}`)
      continue
    }
    const hash = sha256(bytes)
    const file = { path: `${HEAT}/${id}-${hash.slice(0, hashChars)}.heat`, sizeBytes: bytes.length, sha256: hash }
    const isNew = prior.get(file.path)?.sha256 !== hash || !isThere(dir, file)
    if (isNew) await writeWhole(join(dir, file.path), bytes)
    files.push({ file, isNew })
  }
  return { files, leftOut }
}

/** Puts it back into a data folder. @throws BACKUP_DAMAGED */
export const restoreHeat = async (backup: string, { files }: Manifest, data: string): Promise<void> => {
  for (const { path, sha256: expected } of files) {
    const [, id] = pattern.exec(path) ?? []
    if (id === undefined) continue
    const copied = await copyWhole(join(backup, path), join(data, HEAT, heatName(id)))
    if (copied.sha256 !== expected) throw fail("BACKUP_DAMAGED", { dir: backup, why: `${path} changed meanwhile` })
  }
}
