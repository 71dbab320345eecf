/**
 * One VHDX file of a chain: its blocks, and what lies below those that it lacks.
 *
 *     state of a block         a disk of its own    a differencing disk
 *     0 not present            zeros                the parent
 *     1 undefined  3 unmapped  zeros                zeros
 *     2 zero                   zeros                zeros
 *     6 fully present          data                 data
 *     7 partially present      (damage)             bit set: data, clear: the parent
 *
 * MS-VHDX 2.4 and 2.5. An entry has 64 bits, little-endian: the state in bits 0 to 2, the place in MiB from bit 20 on. Behind the entries of each
 * chunk (2^23 sectors) there is one for the chunk's sector bitmap, a block of 1 MiB with the lowest bit of each byte first.
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
import { MiB, type Region } from "./headers.ts"
import type { Metadata } from "./metadata.ts"

const CHUNK_SECTORS = 2 ** 23
const ENTRY_BYTES = 8
const NOT_PRESENT = 0
const FULLY_PRESENT = 6
const PARTIALLY_PRESENT = 7

interface Entry {
  readonly state: number
  readonly at: number
}

export interface VhdxLayerOptions {
  readonly volume: Volume
  /** For messages. */
  readonly path: string
  readonly bat: Region
  readonly metadata: Metadata
  readonly budget: TableBudget
  /** Of a differencing disk. */
  readonly parent?: DiskLayer
}

export class VhdxLayer implements DiskLayer {
  readonly sizeBytes: number
  readonly #options: VhdxLayerOptions
  readonly #table: TablePages
  readonly #bitmaps: TablePages
  /** Payload blocks of a chunk. */
  readonly #ratio: number

  constructor(options: VhdxLayerOptions) {
    const { volume, budget, metadata } = options
    this.#options = options
    this.sizeBytes = metadata.sizeBytes
    this.#table = new TablePages(volume, budget, limits.formatTablePageBytes)
    this.#bitmaps = new TablePages(volume, budget, limits.formatTableSmallPageBytes)
    this.#ratio = (CHUNK_SECTORS * metadata.sectorBytes) / metadata.blockBytes
  }

  /** Judges the entries of a table of reasonable length; the rest are judged when they are used. @throws IMAGE_DAMAGED */
  async judge(): Promise<void> {
    const { bat, path, volume } = this.#options
    const damaged = (why: string) => fail("IMAGE_DAMAGED", { path, format: "vhdx", why })
    const entries = this.#entries()
    if (entries * ENTRY_BYTES > bat.length)
      throw damaged(`its block allocation table has place for ${bat.length / ENTRY_BYTES} of ${entries} entries`)
    const length = Math.min(entries * ENTRY_BYTES, limits.formatTableJudgedBytesMax)
    const some = new Uint8Array(Math.min(length, limits.scanBytes))
    for (let from = 0; from < length; from += some.length) {
      const bytes = some.subarray(0, Math.min(some.length, length - from))
      await volume.read(bytes, 0, bat.at + from, bytes.length)
      for (let at = 0; at < bytes.length; at += ENTRY_BYTES) {
        const why = this.#faultOf((from + at) / ENTRY_BYTES, decode(bytes, at))
        if (why !== undefined) throw damaged(why)
      }
    }
  }

  *find(offset: number, length: number): Lookup<Run> {
    const { metadata, volume, path, parent } = this.#options
    const { blockBytes, sectorBytes } = metadata
    const block = Math.floor(offset / blockBytes)
    const inside = offset - block * blockBytes
    const run = Math.min(length, blockBytes - inside)
    const entry = yield* this.#entry(block + Math.floor(block / this.#ratio))
    const why = this.#blockFault(block, entry)
    if (why !== undefined) throw fail("IO_ERROR", { offset, length: run, what: path, why })
    if (entry.state < FULLY_PRESENT) {
      const blocks = yield* this.#alike(block, entry.state)
      const all = Math.min(length, blocks * blockBytes - inside)
      return entry.state === NOT_PRESENT ? yield* layerBelow(parent, offset, all) : { kind: "zero", length: all }
    }
    if (entry.state === FULLY_PRESENT) return { kind: "data", volume, at: entry.at + inside, length: run }
    const bitmapAt = yield* this.#bitmapOf(block, offset, run)
    const last = Math.ceil((inside + run) / sectorBytes)
    const first = Math.floor(inside / sectorBytes)
    const { set, end } = yield* bitRun(this.#bitmaps, bitmapAt, first, last, "lowest first")
    const alike = Math.min(end * sectorBytes - inside, run)
    return set
      ? { kind: "data", volume, at: entry.at + inside, length: alike }
      : yield* layerBelow(parent, offset, alike)
  }

  /** Where the bits of a block begin in the file. */
  *#bitmapOf(block: number, offset: number, length: number): Lookup<number> {
    const { blockBytes, sectorBytes } = this.#options.metadata
    const chunk = Math.floor(block / this.#ratio)
    const entry = yield* this.#entry(chunk * (this.#ratio + 1) + this.#ratio)
    const why =
      entry.state === FULLY_PRESENT
        ? this.#bitmapFault(chunk, entry)
        : `block ${block} is there in part, and the bitmap that says which is not`
    if (why !== undefined) throw fail("IO_ERROR", { offset, length, what: this.#options.path, why })
    return entry.at + ((block % this.#ratio) * blockBytes) / sectorBytes / 8
  }

  /** How many blocks from this one on are in its state, as far as its chunk and the page go. */
  *#alike(block: number, state: number): Lookup<number> {
    const at = this.#options.bat.at + (block + Math.floor(block / this.#ratio)) * ENTRY_BYTES
    const page = yield* this.#table.page(at)
    const place = at % this.#table.pageBytes
    const most = Math.min(this.#ratio - (block % this.#ratio), (page.length - place) / ENTRY_BYTES)
    let count = 1
    while (count < most && (page[place + count * ENTRY_BYTES]! & 7) === state) count++
    return count
  }

  *#entry(index: number): Lookup<Entry> {
    const at = this.#options.bat.at + index * ENTRY_BYTES
    const page = yield* this.#table.page(at)
    return decode(page, at % this.#table.pageBytes)
  }

  /** MS-VHDX 2.5: a differencing disk's table ends with a chunk's bitmap, another's with its last block. */
  #entries(): number {
    const blocks = Math.ceil(this.sizeBytes / this.#options.metadata.blockBytes)
    if (this.#options.parent !== undefined) return Math.ceil(blocks / this.#ratio) * (this.#ratio + 1)
    return blocks + Math.floor((blocks - 1) / this.#ratio)
  }

  #faultOf(index: number, entry: Entry): string | undefined {
    const chunk = Math.floor(index / (this.#ratio + 1))
    const within = index - chunk * (this.#ratio + 1)
    if (within === this.#ratio) return this.#bitmapFault(chunk, entry)
    const block = chunk * this.#ratio + within
    // A differencing disk's last chunk has entries for blocks past its end.
    return block * this.#options.metadata.blockBytes < this.sizeBytes ? this.#blockFault(block, entry) : undefined
  }

  #blockFault(block: number, { state, at }: Entry): string | undefined {
    const { volume, metadata, parent } = this.#options
    if (state === 4 || state === 5) return `block ${block} is in state ${state}, which is reserved`
    if (state < FULLY_PRESENT) return undefined
    if (state === PARTIALLY_PRESENT && parent === undefined) return `block ${block} is there in part, with no parent`
    const end = at + Math.min(metadata.blockBytes, this.sizeBytes - block * metadata.blockBytes)
    if (at >= MiB && end <= volume.sizeBytes) return undefined
    return `block ${block} is said to end at byte ${end}, and the file at ${volume.sizeBytes}: it was cut short, or its table is damaged`
  }

  #bitmapFault(chunk: number, { state, at }: Entry): string | undefined {
    if (this.#options.parent === undefined || state !== FULLY_PRESENT) return undefined
    if (at >= MiB && at + MiB <= this.#options.volume.sizeBytes) return undefined
    return `the bitmap of chunk ${chunk} is said to be at byte ${at}`
  }
}

const decode = (page: Uint8Array, at: number): Entry => {
  const low = (page[at]! | (page[at + 1]! << 8) | (page[at + 2]! << 16) | (page[at + 3]! << 24)) >>> 0
  const high = (page[at + 4]! | (page[at + 5]! << 8) | (page[at + 6]! << 16) | (page[at + 7]! << 24)) >>> 0
  return { state: low & 7, at: high * 2 ** 32 + ((low & 0xfff0_0000) >>> 0) }
}
