/**
 * One VHD file of a chain: its blocks, and what lies below those that it lacks.
 *
 *     fixed          the file's first bytes are the disk
 *     dynamic        BAT entry ─► block: sector bitmap, data        no entry: zeros
 *     differencing   BAT entry ─► bit set: data, clear: the parent  no entry: the parent
 *
 * Virtual Hard Disk Image Format Specification 1.0, "Block Allocation Table and Data Blocks", "Implementing a Differencing Hard Disk". An entry is
 * the sector at which the block's bitmap begins; the data follow it. Bits go from the highest of each byte down.
 *
 * **Details** A dynamic disk's bitmap is not looked at, as no known reader does: a sector that was never written holds nothing of the guest's.
 * A parent that is shorter than its child is followed by zeros.
 */
import {
  bitRun,
  type DiskLayer,
  fail,
  type Lookup,
  layerBelow,
  limits,
  type Run,
  type TableBudget,
  TablePages,
  type Volume,
} from "imagelink/plugin"
import type { Header } from "./header.ts"

export const fixedLayer = (volume: Volume, sizeBytes: number): DiskLayer => ({
  sizeBytes,
  *find(offset, length) {
    return { kind: "data", volume, at: offset, length }
  },
})

const SECTOR = 512
const UNUSED = 0xffff_ffff
const ENTRY_BYTES = 4

export interface BlockLayerOptions {
  readonly volume: Volume
  /** For messages. */
  readonly path: string
  readonly sizeBytes: number
  readonly header: Header
  readonly budget: TableBudget
  /** Of a differencing disk. */
  readonly parent?: DiskLayer
}

export class BlockLayer implements DiskLayer {
  readonly sizeBytes: number
  readonly #options: BlockLayerOptions
  readonly #table: TablePages
  readonly #bitmaps: TablePages
  readonly #bitmapBytes: number

  constructor(options: BlockLayerOptions) {
    const { volume, budget, header } = options
    this.sizeBytes = options.sizeBytes
    this.#options = options
    this.#table = new TablePages(volume, budget, limits.formatTablePageBytes)
    this.#bitmaps = new TablePages(volume, budget, limits.formatTableSmallPageBytes)
    this.#bitmapBytes = Math.ceil(header.blockBytes / SECTOR / 8 / SECTOR) * SECTOR
  }

  /** Judges the entries that a table of reasonable length has; the rest are judged when they are used. @throws IMAGE_DAMAGED */
  async judge(): Promise<void> {
    const { header, path, volume } = this.#options
    const blocks = Math.ceil(this.sizeBytes / header.blockBytes)
    const length = Math.min(blocks * ENTRY_BYTES, limits.formatTableJudgedBytesMax)
    const some = new Uint8Array(Math.min(length, limits.scanBytes))
    for (let from = 0; from < length; from += some.length) {
      const bytes = some.subarray(0, Math.min(some.length, length - from))
      await volume.read(bytes, 0, header.tableAt + from, bytes.length)
      for (let at = 0; at < bytes.length; at += ENTRY_BYTES) {
        const why = this.#fault((from + at) / ENTRY_BYTES, readU32(bytes, at))
        if (why !== undefined) throw fail("IMAGE_DAMAGED", { path, format: "vhd", why })
      }
    }
  }

  *find(offset: number, length: number): Lookup<Run> {
    const { header, volume, path, parent } = this.#options
    const { blockBytes } = header
    const block = Math.floor(offset / blockBytes)
    const inside = offset - block * blockBytes
    const run = Math.min(length, blockBytes - inside)
    const at = header.tableAt + block * ENTRY_BYTES
    const page = yield* this.#table.page(at)
    const place = at % this.#table.pageBytes
    const sector = readU32(page, place)
    if (sector === UNUSED)
      return yield* layerBelow(parent, offset, Math.min(length, unusedFrom(page, place) * blockBytes - inside))
    const why = this.#fault(block, sector)
    if (why !== undefined) throw fail("IO_ERROR", { offset, length: run, what: path, why })
    const data = sector * SECTOR + this.#bitmapBytes
    if (parent === undefined) return { kind: "data", volume, at: data + inside, length: run }
    const last = Math.ceil((inside + run) / SECTOR)
    const first = Math.floor(inside / SECTOR)
    const { set, end } = yield* bitRun(this.#bitmaps, sector * SECTOR, first, last, "highest first")
    const alike = Math.min(end * SECTOR - inside, run)
    return set ? { kind: "data", volume, at: data + inside, length: alike } : yield* layerBelow(parent, offset, alike)
  }

  #fault(block: number, sector: number): string | undefined {
    const { volume, header } = this.#options
    if (sector === UNUSED) return undefined
    const used = Math.min(header.blockBytes, this.sizeBytes - block * header.blockBytes)
    const end = sector * SECTOR + this.#bitmapBytes + used
    if (sector > 0 && end <= volume.sizeBytes) return undefined
    return `block ${block} is said to end at byte ${end}, and the file at ${volume.sizeBytes}: it was cut short, or its table is damaged`
  }
}

/** How many entries from here on are of blocks that are not there, as far as the page goes. */
const unusedFrom = (page: Uint8Array, at: number): number => {
  let end = at
  while (end + ENTRY_BYTES <= page.length && readU32(page, end) === UNUSED) end += ENTRY_BYTES
  return (end - at) / ENTRY_BYTES
}

const readU32 = (page: Uint8Array, at: number): number =>
  ((page[at]! << 24) | (page[at + 1]! << 16) | (page[at + 2]! << 8) | page[at + 3]!) >>> 0
