/**
 * How far the first reading of an image came: kept while it runs, so that the next one goes on there.
 *
 *     sidecars/<image id>-v1.part   SHA-256 of the files' identities, 32 bytes │ a checksum file of the bytes that were read (block/checksums.ts)
 *
 * **Details** It is written when the reading is stopped, and whenever an eighth more was read, for whom nobody stopped in order; it goes when the sidecar is there.
 * About files that are others by now it says nothing, so there is none where storage tells no more of a file than its size. What is damaged is as none, and where it cannot be
 * written the reading goes on without.
 */
import { createHash } from "node:crypto"
import { decodeChecksums, encodeChecksums, type PartRead } from "../block/checksums.ts"
import { limits } from "../limits.ts"
import type { ImageFile } from "../storage/open-image.ts"
import type { VolumeFolder, VolumeIdentity } from "../storage/volume.ts"
import type { VersionRef } from "./version-ref.ts"

const HASH_BYTES = 32

const partName = (imageId: string): string => `${imageId}-v1.part`

/** `files`: those that are read, as they are now. Undefined where nobody could tell that they changed. */
export const openCheckPart = async (
  sidecars: VolumeFolder,
  { imageId, version }: VersionRef,
  files: ReadonlyArray<ImageFile>,
): Promise<PartRead | undefined> => {
  if (!files.every((file) => isTelling(file.identity))) return undefined
  const identity = createHash("sha256")
    .update(JSON.stringify(files.map((file) => file.identity)))
    .digest()
  const table = tableIn(await sidecars.readFile(partName(imageId)), identity, imageId)
  let saved = table.length * limits.clusterBytes
  return {
    table,
    isDue: (doneBytes) => doneBytes - saved >= Math.max(limits.checkPartBytes, saved / 8),
    async save(whole, doneBytes) {
      const read = whole.subarray(0, Math.ceil(doneBytes / limits.clusterBytes))
      const checksums = encodeChecksums({ imageId, version: version.number, sizeBytes: doneBytes, table: read })
      await sidecars.replaceFile(partName(imageId), Buffer.concat([identity, checksums])).catch(() => undefined)
      saved = doneBytes
    },
  }
}

export const removeCheckPart = (sidecars: VolumeFolder, imageId: string): Promise<void> =>
  sidecars.remove(partName(imageId))

const isTelling = (identity: VolumeIdentity): boolean => Object.keys(identity).some((key) => key !== "sizeBytes")

const tableIn = (bytes: Uint8Array | undefined, identity: Buffer, imageId: string): Uint32Array => {
  const none = new Uint32Array(0)
  if (bytes === undefined || !identity.equals(bytes.subarray(0, HASH_BYTES))) return none
  const decoded = decodeChecksums(bytes.subarray(HASH_BYTES))
  return decoded.ok && decoded.checksums.imageId === imageId ? decoded.checksums.table : none
}
