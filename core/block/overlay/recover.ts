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
 * Where a page of the working map is damaged, those before it may have been carried over: they are right about their own grains.
 */
import { limits } from "../../limits.ts"
import type { VolumeFolder, WritableVolume } from "../../storage/volume.ts"
import { directorySectorsOf, mapFileBytes, PAGE_FILE_BYTES, pageOffset, SECTOR } from "./geometry.ts"
import { distrustWorking, type OverlayHeader, tagOf } from "./header.ts"
import type { MapContents } from "./map.ts"
import { pageRuns, type ScanParts, scanMap } from "./scan.ts"

/**
 * Checks and counts the working map and makes the durable one equal to it, in one reading of both; nothing is promised that is not on
 * disk first. @throws MapDamage
 */
export const catchUp = async (
  folder: VolumeFolder,
  header: OverlayHeader,
  files: { readonly data: WritableVolume; readonly working: WritableVolume; readonly durable: WritableVolume },
  page?: ScanParts["page"],
): Promise<MapContents> => {
  const { sizeBytes } = header
  const { data, working, durable } = files
  const sync = (volume: WritableVolume) =>
    volume.flush().catch(async (e) => {
      await distrustWorking(folder, header)
      throw e
    })
  await sync(data)
  const contents = await scanMap(working, sizeBytes, tagOf(header), {
    beside: durable,
    differs: (bytes, at, offset, length) => durable.write(bytes, at, offset, length),
    ...(page && { page }),
  })
  // As in flush.ts: pages are on disk, whole, before the directory says that they exist.
  await sync(durable)
  if (await carryDirectory(working, durable, sizeBytes)) await sync(durable)
  return contents
}

/** Whether the durable one had to be changed. */
const carryDirectory = async (
  working: WritableVolume,
  durable: WritableVolume,
  sizeBytes: number,
): Promise<boolean> => {
  const length = directorySectorsOf(sizeBytes) * SECTOR
  const [ours, theirs] = [Buffer.alloc(length), Buffer.alloc(length)]
  await working.read(ours, 0, 0, length)
  await durable.read(theirs, 0, 0, length)
  if (ours.equals(theirs)) return false
  await durable.write(ours, 0, 0, length)
  return true
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
    for (const { first, count } of pageRuns(sizeBytes, directory))
      await carry(pageOffset(sizeBytes, first), count * PAGE_FILE_BYTES)
    await carry(0, directorySectorsOf(sizeBytes) * SECTOR)
    return working
  } catch (e) {
    await working.close()
    throw e
  }
}
