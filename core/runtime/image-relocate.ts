/**
 * The job that proves a file at another place to be the same disk: its size, and every recorded checksum.
 *
 * **Details** Nothing is recorded here, and the place known so far is not looked at: most likely its file is gone, which is why it is asked.
 */
import { computeChecksums } from "../block/checksums.ts"
import type { VersionEntry } from "../domain/catalogue.ts"
import { fail } from "../errors.ts"
import type { JobContext } from "../jobs.ts"
import type { ImageOpener } from "../storage/opener.ts"
import type { StorageLocation } from "../storage/plugin.ts"
import type { VolumeFolder } from "../storage/volume.ts"
import { loadTable } from "./image-check.ts"
import { changed, filesDifference, mismatch, type VersionRef } from "./version-ref.ts"

/**
 * The files as they are at the new place, in the recorded format.
 *
 * @throws IMAGE_UNVERIFIED IMAGE_DIFFERS CRC_MISMATCH IMAGE_CHANGED CANCELLED STORE_DAMAGED, and what opening an image throws
 */
export const provenFiles = async (
  opener: ImageOpener,
  sidecars: VolumeFolder,
  ref: VersionRef,
  location: StorageLocation,
  job: JobContext,
): Promise<VersionEntry["files"]> => {
  const { imageName: image, version } = ref
  const recorded = await loadTable(sidecars, ref)
  if (recorded === undefined) throw fail("IMAGE_UNVERIFIED", { image, version: version.number })
  const opened = await opener.open(location, version.format)
  const files = opened.files.map((f) => ({ path: f.path, sizeBytes: String(f.sizeBytes), identity: f.identity }))
  const there: VersionRef = { ...ref, version: { ...version, storage: location, files } }
  const path = files[0]!.path
  let read: Uint32Array
  try {
    if (opened.sizeBytes !== Number(version.sizeBytes)) {
      const why = `its disk has ${opened.sizeBytes} bytes, and the image ${version.sizeBytes}`
      throw fail("IMAGE_DIFFERS", { image, version: version.number, path, why })
    }
    const onProgress = (done: number, total: number) => job.progress({ done, total, unit: "bytes" })
    read = await computeChecksums(opened.disk, { signal: job.signal, onProgress })
  } finally {
    await opened.disk.close()
  }
  if (filesDifference(files, await opener.identify(location, files)) !== undefined)
    throw changed(there, "it changed while it was read")
  const bad = recorded.findIndex((checksum, cluster) => checksum !== read[cluster])
  if (bad >= 0) throw mismatch(there, bad)
  return files
}
