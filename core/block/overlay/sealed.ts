/**
 * Reads what a retired generation holds from its folder, without opening it for anybody: for a commit, also one that a crash cut short.
 *
 * | the generation                     | is read from the    | why                                                                   |
 * | ---------------------------------- | ------------------- | --------------------------------------------------------------------- |
 * | frozen by its overlay              | working map         | freezing brought its durable map up to it; both are compared          |
 * | retired, and then the server died  | working map         | the durable one is brought up to what this run of the host acknowledged |
 * | retired, and then the host died    | durable map         | that is what was promised                                             |
 * | retired, after a sync that failed  | durable map         | the same                                                              |
 *
 * **Details** Both maps are read once, side by side, and checked; the runs are in memory from then on.
 *
 * **Gotchas** Nobody may have it open meanwhile. Tables that were written from its runs before a power loss may name more than it holds after
 * one: a commit that is taken up again writes them again.
 */
import { fail } from "../../errors.ts"
import type { VolumeFolder, WritableVolume } from "../../storage/volume.ts"
import type { Extent } from "../device.ts"
import { type OverlayHeader, readHeader, tagOf } from "./header.ts"
import type { MapContents } from "./map.ts"
import { DATA_FILE, DURABLE_FILE, openFile, WORKING_FILE } from "./open.ts"
import { type OwnBytes, ownBytes } from "./own.ts"
import { OwnMapBuilder } from "./own-map.ts"
import { catchUp } from "./recover.ts"
import { MapDamage, type ScanParts, scanMap } from "./scan.ts"

export interface OwnExtents extends OwnBytes {
  readonly header: OverlayHeader
  /** The runs in order, from the first grain to the last. */
  extents(): Iterable<Extent>
}

/**
 * What a keep or super generation holds, all of it checked. One that this run of the host wrote to (`hostBootId`) is first brought to what was
 * acknowledged, as its overlay does when it is opened again. @throws OVERLAY_DAMAGED IO_ERROR NO_SPACE
 */
export const readOwnExtents = async (folder: VolumeFolder, hostBootId: string | undefined): Promise<OwnExtents> => {
  const volumes: Array<WritableVolume> = []
  const open = async (name: string) => {
    const volume = await openFile(folder, name)
    volumes.push(volume)
    return volume
  }
  try {
    const header = await readHeader(folder)
    if (header === undefined) throw new MapDamage("its header is not there")
    const builder = new OwnMapBuilder(header.sizeBytes)
    const page: ScanParts["page"] = (number, sectors, at) => builder.page(number, sectors, at)
    const isOfThisRun = header.hostBootId !== "" && header.hostBootId === hostBootId
    const { dataGrains, zeroGrains } = await (isOfThisRun
      ? settled(folder, header, open, page)
      : promised(header, open, page))
    const { extents, lastState } = builder.finish()
    return { header, extents, ...ownBytes(header.sizeBytes, dataGrains, zeroGrains, lastState) }
  } catch (e) {
    if (e instanceof MapDamage) throw fail("OVERLAY_DAMAGED", { path: folder.path, why: e.message }, { underlying: e })
    throw e
  } finally {
    await Promise.allSettled(volumes.map((volume) => volume.close()))
  }
}

type Open = (name: string) => Promise<WritableVolume>

/** What was acknowledged; the durable map says it too when this settles. */
const settled = async (
  folder: VolumeFolder,
  header: OverlayHeader,
  open: Open,
  page: ScanParts["page"],
): Promise<MapContents> => {
  const files = { data: await open(DATA_FILE), working: await open(WORKING_FILE), durable: await open(DURABLE_FILE) }
  return catchUp(folder, header, files, page)
}

const promised = async (header: OverlayHeader, open: Open, page: ScanParts["page"]): Promise<MapContents> =>
  scanMap(await open(DURABLE_FILE), header.sizeBytes, tagOf(header), { ...(page && { page }) })
