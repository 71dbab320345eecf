/**
 * Reads the tables of one sealed layer, without the files that it names: what a version's flattened map is made from.
 *
 * **Gotchas** A layer has its bytes at their own offsets in a data file, or all moved by the same distance in this one (flat.ts); of any other file
 * no run can be told.
 */
import { type Extent, type FormatContext, fail, type LayerTables, type Volume } from "imagelink/plugin"
import { ABSENT, DATA, ZERO } from "./entry.ts"
import { geometryOf } from "./geometry.ts"
import type { Header } from "./header.ts"
import { ClusterMap, newRun } from "./map.ts"
import { dataFileName, readHeader, readL1 } from "./open.ts"
import { refusalsOf } from "./refusals.ts"

/** @throws IMAGE_DAMAGED IMAGE_FORMAT_UNSUPPORTED IMAGE_DEPENDENCY_REFUSED */
export const openTables = async (
  image: Volume,
  { path, signal }: Pick<FormatContext, "path" | "signal">,
): Promise<LayerTables> => {
  const refuse = refusalsOf(path)
  const { header, extensions } = await readHeader(image, refuse, signal)
  const dataFile = dataFileName(header, extensions, refuse)
  // The data file is as long as the disk; whether it is there is its opener's business.
  const geometry = geometryOf(header, image.sizeBytes, dataFile === undefined ? image.sizeBytes : header.sizeBytes)
  // flat.ts has the disk behind the header.
  const dataOffset = dataFile === undefined ? geometry.clusterBytes : 0
  const map = new ClusterMap(image, geometry, await readL1(image, header, geometry, refuse, signal))
  const runs = () => runsOf(map, header, dataOffset, path)
  return { sizeBytes: header.sizeBytes, dataFile, dataOffset, runs, close: () => image.close() }
}

async function* runsOf(
  map: ClusterMap,
  { sizeBytes }: Header,
  dataOffset: number,
  path: string,
): AsyncGenerator<Extent> {
  const run = newRun()
  for (let offset = 0; offset < sizeBytes; offset += run.length) {
    await map.find(run, offset, sizeBytes - offset)
    const { kind, length, why } = run
    if (kind === DATA && run.host !== offset + dataOffset)
      throw fail("MEDIUM_ERROR", { offset, length, what: `${path} (its bytes are not where a layer has them)` })
    if (kind === DATA) yield { offset, length, kind: "data" }
    else if (kind === ZERO) yield { offset, length, kind: "zero" }
    else if (kind !== ABSENT) throw fail("MEDIUM_ERROR", { offset, length, what: `${path} (${why})` })
  }
}
