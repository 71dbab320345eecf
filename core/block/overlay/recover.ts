/**
 * Brings the two maps of a keep or super overlay together before it is served again.
 *
 * | since the header was written | what is believed | what is done                                                          |
 * | ---------------------------- | ---------------- | --------------------------------------------------------------------- |
 * | the same run of the host     | working          | data synced, then the durable map is brought up to the working one    |
 * | a power loss, or not known   | durable          | the working map is made anew from it, and then the header names this run |
 * | a sync failed                | durable          | the same: the header was made to say "not known" then                  |
 *
 * **Details** Nobody uses the overlay yet, so neither needs the copies that flush.ts takes. A crash in either leaves the header as it was,
 * and the next open does the same again. The old working map is removed rather than changed: its pages may say what the data file never got.
 */
import { limits } from "../../limits.ts"
import type { VolumeFolder, WritableVolume } from "../../storage/volume.ts"
import { directorySectorsOf, mapFileBytes, PAGE_FILE_BYTES, pageOffset, SECTOR } from "./geometry.ts"
import { distrustWorking, type OverlayHeader } from "./header.ts"
import { eachPageRun } from "./scan.ts"

/** Makes the durable map equal to the working one; nothing is promised that is not on disk first. */
export const catchUp = async (
  folder: VolumeFolder,
  header: OverlayHeader,
  directory: Uint8Array,
  files: { readonly data: WritableVolume; readonly working: WritableVolume; readonly durable: WritableVolume },
): Promise<void> => {
  const { sizeBytes } = header
  const { data, working, durable } = files
  const sync = (volume: WritableVolume) =>
    volume.flush().catch(async (e) => {
      await distrustWorking(folder, header)
      throw e
    })
  const ours = Buffer.alloc(limits.scanBytes)
  const theirs = Buffer.alloc(limits.scanBytes)
  await sync(data)
  const carry = async (offset: number, length: number): Promise<boolean> => {
    await working.read(ours, 0, offset, length)
    await durable.read(theirs, 0, offset, length)
    if (ours.compare(theirs, 0, length, 0, length) === 0) return false
    await durable.write(ours, 0, offset, length)
    return true
  }
  await eachPageRun(sizeBytes, directory, async (first, count) => {
    await carry(pageOffset(sizeBytes, first), count * PAGE_FILE_BYTES)
  })
  // As in flush.ts: pages are on disk, whole, before the directory says that they exist.
  await sync(durable)
  if (await carry(0, directorySectorsOf(sizeBytes) * SECTOR)) await sync(durable)
}

/** A new working map with what the durable one says; `directory` is the durable map's. */
export const rebuildWorking = async (
  folder: VolumeFolder,
  name: string,
  sizeBytes: number,
  directory: Uint8Array,
  durable: WritableVolume,
): Promise<WritableVolume> => {
  await durable.flush()
  await folder.remove(name)
  const working = await folder.open(name, { create: { sizeBytes: mapFileBytes(sizeBytes) } })
  const buffer = Buffer.alloc(limits.scanBytes)
  const carry = async (offset: number, length: number) => {
    await durable.read(buffer, 0, offset, length)
    await working.write(buffer, 0, offset, length)
  }
  try {
    await eachPageRun(sizeBytes, directory, (first, count) =>
      carry(pageOffset(sizeBytes, first), count * PAGE_FILE_BYTES),
    )
    await carry(0, directorySectorsOf(sizeBytes) * SECTOR)
    return working
  } catch (e) {
    await working.close()
    throw e
  }
}
