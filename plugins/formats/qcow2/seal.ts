/**
 * Writes the qcow2 file of a layer: tables over a data file that is there already, so that sealing costs metadata and not bytes.
 *
 *     cluster 0   1 …       then                      then              then
 *     ┌────────┬──────────┬─────────────────────────┬─────────────────┬────────────────┐
 *     │ header │ L1 table │ L2 tables, in order, of │ refcount blocks │ refcount table │
 *     │ (last) │          │ what the layer has      │                 │                │
 *     └────────┴──────────┴─────────────────────────┴─────────────────┴────────────────┘
 *
 * **Details** Version 3 with extended L2 entries: a cluster is 32 grains, a subcluster is a grain. Data is at its own offset in the external data file
 * (specification, "Header", incompatible bit 2), a zero grain is a zero bit and an absent one nothing at all, so the parent shows through.
 * Two L2 tables are held at a time. The header comes last: until it is there the file is no qcow2 file.
 *
 * **Gotchas** The raw external data bit stays clear: it conflicts with backing files, and the data file alone is not the disk. qemu looks for
 * the data file in the folder it runs in, not beside the image; a parent's path it takes relative to the image.
 */
import assert from "node:assert"
import type { SealInput } from "imagelink/plugin"
import { layerHeader } from "./layer-header.ts"
import { LayerTables } from "./layer-tables.ts"
import { writeRefcounts } from "./refcounts.ts"
import type { SealTarget } from "./seal-target.ts"

const SUBCLUSTERS = 32
const CLUSTER_BITS_MIN = 14
const CLUSTER_BITS_MAX = 21

export const sealLayer = async (input: SealInput, into: SealTarget): Promise<void> => {
  const clusterBytes = clusterBytesOf(input)
  const tables = new LayerTables(clusterBytes, input.sizeBytes)
  await writeTables(input, tables, into)
  const refcounts = await writeRefcounts(into, clusterBytes, tables.end)
  await into.write(tables.l1, tables.l1Offset)
  const l1 = { offset: tables.l1Offset, entries: tables.l1Entries }
  await into.write(layerHeader(input, { clusterBytes, l1, refcounts }), 0)
}

export const clusterBytesOf = ({ sizeBytes, grainBytes }: Pick<SealInput, "sizeBytes" | "grainBytes">): number => {
  const clusterBits = Math.log2(grainBytes * SUBCLUSTERS)
  // Extended L2 entries need clusters of 16 KiB (specification, "Header", cluster_bits), and 2 MiB is the most that qemu reads.
  const fits = Number.isInteger(clusterBits) && clusterBits >= CLUSTER_BITS_MIN && clusterBits <= CLUSTER_BITS_MAX
  assert(fits, "a grain is a power of two from 512 bytes to 64 KiB")
  assert(Number.isSafeInteger(sizeBytes) && sizeBytes > 0, "a layer has a size")
  return 2 ** clusterBits
}

const writeTables = async (input: SealInput, tables: LayerTables, into: SealTarget): Promise<void> => {
  try {
    for (const { offset, end, kind } of checkedExtents(input)) {
      for (let at = offset; at < end; ) {
        if (!tables.covers(at)) await tables.turnTo(at, into)
        at = tables.mark(at, end, kind)
      }
    }
    await tables.writeLast(into)
  } finally {
    // Whatever happens: nothing is written any more to a file that is closed then.
    await tables.written()
  }
}

function* checkedExtents(input: SealInput) {
  const { sizeBytes, grainBytes } = input
  let last = 0
  for (const { offset, length, kind } of input.extents()) {
    const end = offset + length
    const whole = offset % grainBytes === 0 && (length % grainBytes === 0 || end === sizeBytes)
    assert(whole && length > 0, `the extent at ${offset} is not whole grains`)
    assert(offset >= last && end <= sizeBytes, `the extent at ${offset} is out of order, or past the end`)
    last = end
    if (kind !== "absent") yield { offset, end, kind }
  }
}
