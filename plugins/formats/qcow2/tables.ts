/**
 * Reads the tables of one sealed layer, without the files that it names: what a version's flattened map is made from.
 *
 * **Gotchas** Only a layer with an external data file has its bytes at their own offsets; any other file is refused.
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
  if (dataFile === undefined) throw refuse.damaged("it is no layer: its bytes are not in a data file of their own")
  // The data file is as long as the disk; whether it is there is its opener's business.
  const geometry = geometryOf(header, image.sizeBytes, header.sizeBytes)
  const map = new ClusterMap(image, geometry, await readL1(image, header, geometry, refuse, signal))
  return { sizeBytes: header.sizeBytes, dataFile, runs: () => runsOf(map, header, path), close: () => image.close() }
}

async function* runsOf(map: ClusterMap, { sizeBytes }: Header, path: string): AsyncGenerator<Extent> {
  const run = newRun()
  for (let offset = 0; offset < sizeBytes; offset += run.length) {
    await map.find(run, offset, sizeBytes - offset)
    const { kind, length, why } = run
    if (kind === DATA) yield { offset, length, kind: "data" }
    else if (kind === ZERO) yield { offset, length, kind: "zero" }
    else if (kind !== ABSENT) throw fail("MEDIUM_ERROR", { offset, length, what: `${path} (${why})` })
  }
}
