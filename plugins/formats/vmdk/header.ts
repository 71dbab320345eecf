/**
 * The header of a sparse extent: how large it is, how its grains are found, and where its descriptor is, if it has one.
 *
 * Virtual Disk Format 5.0, "Hosted Sparse Extents" and "Stream-Optimized Compressed"; little-endian, without padding, places in sectors.
 *
 *      0    4       8      12           20            28            36              44           48     56    64       72    73   77
 *      │KDMV│version│flags │capacity (8)│grain size (8)│descriptor at│its size (8)   │entries a GT│RGD (8)│GD (8)│overhead│dirty│"\n \r\n"│algorithm
 *
 * flags: bit 0 the line feeds below are checked, 1 redundant tables, 2 zeroed grains, 16 compressed grains, 17 markers
 */
import { limits } from "imagelink/plugin"

export const SECTOR = 512
export const headerBytes = 512
const GD_AT_END = 0xffff_ffff_ffff_ffffn

const CHECKS_NEWLINES = 1
const ZEROED_GRAINS = 4
const COMPRESSED = 1 << 16
const MARKERS = 1 << 17
const DEFLATE = 1

export interface SparseHeader {
  readonly capacityBytes: number
  readonly grainBytes: number
  /** Entries of one grain table. */
  readonly tableEntries: number
  /** Undefined when the grain directory is named by the footer, at the end of the file. */
  readonly directoryAt: number | undefined
  readonly zeroedGrains: boolean
  readonly compressed: boolean
  /** Length 0: it has none, and is part of a disk that another file describes. */
  readonly descriptor: { readonly at: number; readonly length: number }
}

/** What is wrong instead. `unknown` is whole, but nothing that is read here. */
export type Refusal = { readonly damaged: string } | { readonly unknown: string }
export const isRefusal = (answer: object): answer is Refusal => "damaged" in answer || "unknown" in answer

export const decodeHeader = (bytes: Buffer): SparseHeader | Refusal => {
  const magic = bytes.toString("latin1", 0, 4)
  if (magic === "COWD") return { unknown: "it is an ESXi host sparse extent (COWD)" }
  if (magic !== "KDMV") return { damaged: "its sparse extent does not begin as one" }
  const version = bytes.readUInt32LE(4)
  if (version < 1 || version > 3) return { unknown: `its sparse extent is of version ${version}` }
  const flags = bytes.readUInt32LE(8)
  if ((flags & CHECKS_NEWLINES) !== 0 && bytes.toString("latin1", 73, 77) !== "\n \r\n")
    return { damaged: "it was copied as if it were text, which changes line feeds" }
  const compressed = (flags & COMPRESSED) !== 0
  if (compressed && ((flags & MARKERS) === 0 || bytes.readUInt16LE(77) !== DEFLATE))
    return { unknown: "its grains are compressed in another way than DEFLATE with markers" }
  const grainBytes = place(bytes, 20)
  const grainBytesMax = compressed ? limits.vmdkPackedGrainBytesMax : limits.vmdkGrainBytesMax
  if (grainBytes < SECTOR || grainBytes > grainBytesMax || (grainBytes & (grainBytes - 1)) !== 0)
    return { damaged: `it cannot have grains of ${grainBytes} bytes` }
  const tableEntries = bytes.readUInt32LE(44)
  if (tableEntries < 1 || tableEntries > limits.vmdkTableEntriesMax)
    return { damaged: `it cannot have grain tables of ${tableEntries} entries` }
  const capacityBytes = place(bytes, 12)
  if (capacityBytes === 0 || capacityBytes > limits.imageBytesMax)
    return { damaged: `its sparse extent cannot have ${capacityBytes} bytes` }
  return {
    capacityBytes,
    grainBytes,
    tableEntries,
    directoryAt: bytes.readBigUInt64LE(56) === GD_AT_END ? undefined : place(bytes, 56),
    zeroedGrains: (flags & ZEROED_GRAINS) !== 0,
    compressed,
    descriptor: { at: place(bytes, 28), length: place(bytes, 36) },
  }
}

/** A number of sectors, in bytes; one that is not exact is larger than any file. */
const place = (bytes: Buffer, at: number): number => Number(bytes.readBigUInt64LE(at)) * SECTOR
