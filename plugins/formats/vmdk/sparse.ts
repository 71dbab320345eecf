/**
 * A sparse extent: its grains by directory and table, plain or compressed, and what lies below those that it lacks.
 *
 *     directory entry ─► grain table entry ─► grain        either is 0: not here, the parent shows through
 *                                             1, where the header allows it: zeros
 *
 * Virtual Disk Format 5.0, "Grain Directory", "Grain Table", "Stream-Optimized Compressed". Entries are sector numbers of 32 bits, little-endian.
 * A compressed grain begins with its marker:  │ sector on the disk (8) │ length (4) │ a zlib stream, filled up to a sector
 *
 * **Details** Unpacked grains are kept as pages within the same budget as tables, so a reader of small pieces unpacks each once.
 */
import { promisify } from "node:util"
import { inflate } from "node:zlib"
import {
  type DiskLayer,
  fail,
  type Lookup,
  layerBelow,
  limits,
  lookUp,
  type Run,
  type TableBudget,
  TablePages,
  type Volume,
} from "imagelink/plugin"
import { SECTOR, type SparseHeader } from "./header.ts"

const unpack = promisify(inflate) as (
  packed: Uint8Array,
  options: { readonly maxOutputLength: number },
) => Promise<Buffer>

const ENTRY_BYTES = 4
const MARKER_BYTES = 12
/** DEFLATE makes what it cannot compress longer by 5 bytes in 16 KiB or so; zlib adds 6 (RFC 1950, RFC 1951 §3.2.4). */
const PACKED_SLACK_BYTES = 4096

export interface SparseOptions {
  readonly volume: Volume
  /** For messages. */
  readonly path: string
  readonly header: SparseHeader & { readonly directoryAt: number }
  readonly sizeBytes: number
  /** Where on the disk it begins. */
  readonly startsAt: number
  readonly budget: TableBudget
  readonly parent?: DiskLayer
}

export class SparseExtent {
  readonly #options: SparseOptions
  readonly #directory: TablePages
  readonly #tables: TablePages
  readonly #unpacked: TablePages

  constructor(options: SparseOptions) {
    const { volume, budget, header, sizeBytes } = options
    this.#options = options
    // Grain tables lie side by side, but among the grains where a file was written in one go.
    const pageBytes = header.compressed ? limits.formatTableSmallPageBytes : limits.formatTablePageBytes
    this.#directory = new TablePages(volume, budget, limits.formatTablePageBytes)
    this.#tables = new TablePages(volume, budget, pageBytes)
    const grains: Volume = {
      sizeBytes: Math.ceil(sizeBytes / header.grainBytes) * header.grainBytes,
      read: (into, _at, inside) => this.#unpack(into, inside),
      close: async () => {},
    }
    this.#unpacked = new TablePages(grains, budget, header.grainBytes)
  }

  /**
   * Judges the directory, and grain tables of at most `bytesMax`; the rest are judged when they are used.
   * Answers how many bytes of tables it judged. @throws IMAGE_DAMAGED
   */
  async judge(bytesMax: number): Promise<number> {
    const { header, volume, path, sizeBytes } = this.#options
    const damaged = (why: string) => fail("IMAGE_DAMAGED", { path, format: "vmdk", why })
    const { grainBytes, tableEntries, directoryAt } = header
    const tables = Math.ceil(sizeBytes / (grainBytes * tableEntries))
    if (directoryAt + tables * ENTRY_BYTES > volume.sizeBytes)
      throw damaged(`its grain directory is said to be at byte ${directoryAt}`)
    let judged = 0
    for (let table = 0; table < tables && judged < bytesMax; table++) {
      const at = await lookUp(this.#tableAt(table))
      judged += ENTRY_BYTES
      if (at === 0) continue
      const entries = Math.min(tableEntries, Math.ceil(sizeBytes / grainBytes) - table * tableEntries)
      const why = this.#tableFault(table, at) ?? (await this.#grainsFault(table * tableEntries, at, entries))
      if (why !== undefined) throw damaged(why)
      judged += entries * ENTRY_BYTES
    }
    return judged
  }

  /** `offset` is on the disk. */
  *find(offset: number, length: number): Lookup<Run> {
    const { header, volume, path, startsAt, parent } = this.#options
    const grain = Math.floor((offset - startsAt) / header.grainBytes)
    const within = offset - startsAt - grain * header.grainBytes
    const table = Math.floor(grain / header.tableEntries)
    const tableAt = yield* this.#tableAt(table)
    const index = grain % header.tableEntries
    const { entry, alike } =
      tableAt === 0
        ? { entry: 0, alike: header.tableEntries - index }
        : yield* this.#entries(table, tableAt, index, offset)
    const run = Math.min(length, alike * header.grainBytes - within)
    if (entry === 0) return yield* layerBelow(parent, offset, run)
    if (entry === 1 && header.zeroedGrains) return { kind: "zero", length: run }
    const why = this.#grainFault(grain, entry)
    if (why !== undefined) throw fail("IO_ERROR", { offset, length: run, what: path, why })
    if (!header.compressed) return { kind: "data", volume, at: entry * SECTOR + within, length: run }
    const read: Volume["read"] = async (into, at, from, count) => {
      const unpacked = await this.#unpacked.load(grain)
      const inside = from - startsAt - grain * header.grainBytes
      into.set(unpacked.subarray(inside, inside + count), at)
    }
    return { kind: "packed", length: run, read }
  }

  *#tableAt(table: number): Lookup<number> {
    const at = this.#options.header.directoryAt + table * ENTRY_BYTES
    const page = yield* this.#directory.page(at)
    return readU32(page, at % this.#directory.pageBytes) * SECTOR
  }

  /** The entry at `index`, and of how many grains from there on it speaks: those that have none, as far as table and page go. */
  *#entries(table: number, tableAt: number, index: number, offset: number): Lookup<{ entry: number; alike: number }> {
    const why = this.#tableFault(table, tableAt)
    if (why !== undefined) throw fail("IO_ERROR", { offset, what: this.#options.path, why })
    const at = tableAt + index * ENTRY_BYTES
    const page = yield* this.#tables.page(at)
    const place = at % this.#tables.pageBytes
    const entry = readU32(page, place)
    const most = Math.min(this.#options.header.tableEntries - index, (page.length - place) / ENTRY_BYTES)
    let alike = 1
    if (entry === 0) while (alike < most && readU32(page, place + alike * ENTRY_BYTES) === 0) alike++
    return { entry, alike }
  }

  #tableFault(table: number, at: number): string | undefined {
    const { volume, header } = this.#options
    const end = at + header.tableEntries * ENTRY_BYTES
    return end <= volume.sizeBytes ? undefined : this.#cut(`grain table ${table}`, end)
  }

  async #grainsFault(first: number, tableAt: number, entries: number): Promise<string | undefined> {
    const { pageBytes } = this.#tables
    let page: Uint8Array | undefined
    for (let i = 0; i < entries; i++) {
      const at = tableAt + i * ENTRY_BYTES
      if (page === undefined || at % pageBytes === 0) page = await lookUp(this.#tables.page(at))
      const why = this.#grainFault(first + i, readU32(page, at % pageBytes))
      if (why !== undefined) return why
    }
    return undefined
  }

  #grainFault(grain: number, entry: number): string | undefined {
    const { header, volume, sizeBytes } = this.#options
    if (entry === 0 || (entry === 1 && header.zeroedGrains)) return undefined
    const used = Math.min(header.grainBytes, sizeBytes - grain * header.grainBytes)
    const end = entry * SECTOR + (header.compressed ? MARKER_BYTES : used)
    return end <= volume.sizeBytes ? undefined : this.#cut(`grain ${grain}`, end)
  }

  #cut(what: string, end: number): string {
    return `${what} is said to end at byte ${end}, and the file at ${this.#options.volume.sizeBytes}: it was cut short, or its tables are damaged`
  }

  /** Fills `into` with the grain that begins at `inside` of this extent. */
  async #unpack(into: Uint8Array, inside: number): Promise<void> {
    const { header, volume, path, startsAt } = this.#options
    const grain = inside / header.grainBytes
    const bad = (why: string, underlying?: unknown) =>
      fail("IO_ERROR", { offset: startsAt + inside, length: into.length, what: path, why }, { underlying })
    const table = Math.floor(grain / header.tableEntries)
    const at = (await lookUp(this.#entryOf(table, grain))) * SECTOR
    const marker = Buffer.alloc(MARKER_BYTES)
    await volume.read(marker, 0, at, MARKER_BYTES)
    const length = marker.readUInt32LE(8)
    if (Number(marker.readBigUInt64LE(0)) * SECTOR !== inside)
      throw bad(`the marker of grain ${grain} belongs to another grain`)
    if (
      length === 0 ||
      length > header.grainBytes + PACKED_SLACK_BYTES ||
      at + MARKER_BYTES + length > volume.sizeBytes
    )
      throw bad(`grain ${grain} is said to be packed into ${length} bytes`)
    const packed = Buffer.alloc(length)
    await volume.read(packed, 0, at + MARKER_BYTES, length)
    const unpacked = await unpack(packed, { maxOutputLength: header.grainBytes }).catch((thrown: unknown) => {
      throw bad(`grain ${grain} does not unpack`, thrown)
    })
    // The last grain may be packed up to the end of the extent only.
    const used = Math.min(header.grainBytes, this.#options.sizeBytes - inside)
    if (unpacked.length < used) throw bad(`grain ${grain} unpacks to ${unpacked.length} bytes only`)
    into.set(unpacked)
  }

  *#entryOf(table: number, grain: number): Lookup<number> {
    const { header, startsAt } = this.#options
    const tableAt = yield* this.#tableAt(table)
    const offset = startsAt + grain * header.grainBytes
    return (yield* this.#entries(table, tableAt, grain % header.tableEntries, offset)).entry
  }
}

const readU32 = (page: Uint8Array, at: number): number =>
  (page[at]! | (page[at + 1]! << 8) | (page[at + 2]! << 16) | (page[at + 3]! << 24)) >>> 0
