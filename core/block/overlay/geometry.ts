/**
 * Sizes and places of an overlay's map, in memory and in its files.
 *
 *     grain     4 KiB of the disk: the unit of allocation, 2 bits of state
 *     sector    512 bytes of a map file, the states of 1024 grains (4 MiB of disk): the unit of writing, and of one checksum
 *     page      16 sectors, 16,384 grains (64 MiB of disk): the unit of loading, 4 KiB in memory, 8 KiB in the file
 *     leaf      256 pages (16 GiB of disk) of the table in memory
 *
 * A map file (`working`, `durable`) is:
 *
 *     offset 0                directory: one bit for each page that exists, 2048 bits in a sector
 *     pagesOffset(size)       page 0, page 1, ... each at its own place; the file is sparse
 *
 * A disk of 4 TiB has 65,536 pages: 16 KiB of directory, 8 KiB of bits in memory, and map space only where something was written.
 */
import assert from "node:assert"
import { limits } from "../../limits.ts"

export const GRAIN = limits.grainBytes
export const GRAIN_BITS = 12
export const SECTOR = 512
export const SECTOR_GRAINS = 1024
export const SECTOR_GRAIN_BITS = 10
export const PAGE_SECTORS = 16
export const PAGE_GRAINS = PAGE_SECTORS * SECTOR_GRAINS
/** Bytes of disk that one page covers. */
export const PAGE_SPAN = PAGE_GRAINS * GRAIN
/** Bytes of a page in memory: 2 bits for each grain. */
export const PAGE_STATE_BYTES = PAGE_GRAINS / 4
/** Bytes of a page in a map file. */
export const PAGE_FILE_BYTES = PAGE_SECTORS * SECTOR
export const LEAF_BITS = 8
export const LEAF_PAGES = 1 << LEAF_BITS
export const LEAF_MASK = LEAF_PAGES - 1
/** Directory bits in one sector. */
export const SECTOR_PAGES = 2048
/** Bytes of payload in a sector: 1024 two-bit states, or 2048 bits. */
export const PAYLOAD_BYTES = 256

assert(GRAIN === 1 << GRAIN_BITS)
assert(
  SECTOR_GRAINS === 1 << SECTOR_GRAIN_BITS && SECTOR_GRAINS / 4 === PAYLOAD_BYTES && SECTOR_PAGES / 8 === PAYLOAD_BYTES,
)
assert(limits.imageBytesMax / PAGE_SPAN < 2 ** 31, "a page number is a small integer")

/** State of a grain. `HOT` is `DATA` that this process wrote or read, so that the operating system holds it; it is `DATA` on disk. */
export const ABSENT = 0
export const DATA = 1
export const ZERO = 2
export const HOT = 3

export const pagesOf = (sizeBytes: number): number => Math.ceil(sizeBytes / PAGE_SPAN)
export const directorySectorsOf = (sizeBytes: number): number => Math.ceil(pagesOf(sizeBytes) / SECTOR_PAGES)
/** Where page 0 lies in a map file. Whole pages of directory keep every page on 8 KiB. */
export const pagesOffset = (sizeBytes: number): number =>
  Math.ceil(directorySectorsOf(sizeBytes) / PAGE_SECTORS) * PAGE_FILE_BYTES
export const pageOffset = (sizeBytes: number, page: number): number => pagesOffset(sizeBytes) + page * PAGE_FILE_BYTES
export const mapFileBytes = (sizeBytes: number): number => pageOffset(sizeBytes, pagesOf(sizeBytes))
