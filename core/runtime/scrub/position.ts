/**
 * Where a scrub is, kept across restarts: a version of terabytes takes days at a rate that nobody notices, longer than some servers run.
 *
 *     scrub.json   one JSON object: which version as it was (key), the next cluster, what was bad so far, SHA-256 of all that
 *
 * **Details** It is no record of anything: one that is lost, damaged, or of a version that changed since only makes the scrub begin with the version
 * whose check is oldest.
 */
import { createHash } from "node:crypto"
import type { VersionRow } from "../../projections/image-versions.ts"
import type { VolumeFolder } from "../../storage/volume.ts"

export const positionFile = "scrub.json"

export interface Bad {
  count: number
  /** The first of them. */
  readonly clusters: Array<number>
}

export interface Position {
  /** See `positionKey`. */
  readonly key: string
  next: number
  readonly bad: Bad
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex")

/** Another one as soon as the version was checked, relocated, or accepted with other files. */
export const positionKey = (imageId: string, version: VersionRow): string => {
  const { number, storage, files, checksums, checkedAt } = version
  return sha256(JSON.stringify([imageId, number, storage, files, checksums?.sha256, checkedAt]))
}

export const savePosition = (data: VolumeFolder, { key, next, bad }: Position): Promise<void> => {
  const body = { key, next, bad }
  return data.replaceFile(positionFile, Buffer.from(JSON.stringify({ ...body, sha256: sha256(JSON.stringify(body)) })))
}

export const loadPosition = async (data: VolumeFolder): Promise<Position | undefined> => {
  const bytes = await data.readFile(positionFile)
  if (bytes === undefined) return undefined
  try {
    const { sha256: recorded, ...body } = JSON.parse(Buffer.from(bytes).toString()) as Position & { sha256: string }
    return sha256(JSON.stringify(body)) === recorded ? body : undefined
  } catch {
    return undefined
  }
}

export const dropPosition = (data: VolumeFolder): Promise<void> => data.remove(positionFile)
