/**
 * What follows from a qcow2 header: how large the tables are and what part of the disk each describes.
 *
 * **Details** A *unit* is what has a state of its own: a cluster or, with extended L2 entries, one of its 32 subclusters. An L2 table is
 * read in *slices*, so that one read in a file with 2 MiB clusters does not fetch 2 MiB of table.
 */
import { limits } from "imagelink/plugin"
import { feature, type Header } from "./header.ts"

const SUBCLUSTERS = 32

export interface Geometry {
  readonly version: 2 | 3
  readonly clusterBits: number
  readonly clusterBytes: number
  readonly extended: boolean
  readonly entryBytes: 8 | 16
  readonly unitBytes: number
  readonly unitsPerCluster: number
  /** Part of the disk that one L2 table describes. */
  readonly tableSpanBytes: number
  readonly sliceBytes: number
  /** Part of the disk that one slice describes. */
  readonly sliceSpanBytes: number
  readonly externalData: boolean
  /** Length of the image file, and of the file that holds clusters. */
  readonly fileBytes: number
  readonly dataBytes: number
}

export const geometryOf = (
  { version, clusterBits, incompatible }: Header,
  fileBytes: number,
  dataBytes: number,
): Geometry => {
  const clusterBytes = 2 ** clusterBits
  const extended = incompatible.includes(feature.extendedL2)
  const entryBytes = extended ? 16 : 8
  const unitsPerCluster = extended ? SUBCLUSTERS : 1
  const sliceBytes = Math.min(clusterBytes, limits.qcow2SliceBytesMax)
  return {
    version,
    clusterBits,
    clusterBytes,
    extended,
    entryBytes,
    unitsPerCluster,
    unitBytes: clusterBytes / unitsPerCluster,
    tableSpanBytes: (clusterBytes / entryBytes) * clusterBytes,
    sliceBytes,
    sliceSpanBytes: (sliceBytes / entryBytes) * clusterBytes,
    externalData: incompatible.includes(feature.externalData),
    fileBytes,
    dataBytes,
  }
}
