/**
 * Persistent reservations that outlive the server (APTPL), one small file for each disk.
 *
 * **Details** The file names the generation it was made for, so a new boot does not find what the one before registered. A file that does not read
 * is taken for none: whoever had a reservation asks for it again.
 */
import type { VolumeFolder } from "../../core/storage/volume.ts"
import type { Keeper } from "../scsi/unit.ts"

interface Kept {
  readonly unit: string
  readonly state: string
}

const nameOf = (identityKey: string): string => `${identityKey.replaceAll(/[^A-Za-z0-9-]/gu, "-")}.json`

export const folderKeeper = (folder: VolumeFolder): Keeper => ({
  async save(identityKey, unit, state) {
    const name = nameOf(identityKey)
    if (state === undefined) await folder.remove(name)
    else await folder.replaceFile(name, Buffer.from(JSON.stringify({ unit, state } satisfies Kept)))
  },

  async load(identityKey, unit) {
    const bytes = await folder.readFile(nameOf(identityKey))
    if (bytes === undefined) return undefined
    try {
      const kept = JSON.parse(Buffer.from(bytes).toString("utf8")) as Partial<Kept>
      return kept.unit === unit ? kept.state : undefined
    } catch {
      return undefined
    }
  },
})
