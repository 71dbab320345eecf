/**
 * The L1 table of a layer, and its L2 tables one after another in two buffers (qcow2 specification, "Extended L2 Entries").
 *
 *     an entry:  bit 63 "ours", the cluster's offset              │ 32 bits: grain is zero │ 32 bits: grain is here
 *
 * **Details** Grains are marked in order. A table is written when the next one is turned to, so that only those of which the layer has something
 * come to be, and of these only the blocks that say something: of a table of 128 KiB a scattered change has one. The rest of its place stays a hole.
 * A cluster of which only zeros are known has no offset. One table is written while the next one is marked.
 */
import { putU32, putU64, u32 } from "./bytes.ts"
import type { SealTarget } from "./seal-target.ts"

const ENTRY_BYTES = 16
const SUBCLUSTERS = 32
/** What a file system gives to a file at once. */
const BLOCK_BYTES = 4096
/** Bit 63, in the first byte. */
const OURS = 0x80

interface Table {
  readonly bytes: Uint8Array
  /** One for each block of it that something was marked in. */
  readonly marked: Uint8Array
}

const emptyTable = (clusterBytes: number): Table => ({
  bytes: new Uint8Array(clusterBytes),
  marked: new Uint8Array(clusterBytes / BLOCK_BYTES),
})

/** It is empty again when this settles. */
const writeBlocks = async ({ bytes, marked }: Table, at: number, into: SealTarget): Promise<void> => {
  for (let first = marked.indexOf(1); first >= 0; first = marked.indexOf(1, first)) {
    let end = first
    while (marked[end] === 1) marked[end++] = 0
    const blocks = bytes.subarray(first * BLOCK_BYTES, end * BLOCK_BYTES)
    await into.write(blocks, at + first * BLOCK_BYTES)
    blocks.fill(0)
  }
}

export class LayerTables {
  readonly l1: Uint8Array
  readonly l1Entries: number
  readonly l1Offset: number
  /** First byte behind the tables that were written. */
  end: number
  readonly #dataOffset: number
  /** Where each table has a place of its own; otherwise they follow one another. */
  readonly #tablesAt: number | undefined
  readonly #clusterBytes: number
  readonly #grainBytes: number
  readonly #spanBytes: number
  /** The table at hand. */
  #table: Table
  /** The one before it. */
  #before: Table
  #writing: Promise<void> = Promise.resolve()
  #index = -1

  /** `places`: of guest byte 0, of the L1 table, and of the first L2 table, where they are in one file with the bytes. */
  constructor(
    clusterBytes: number,
    sizeBytes: number,
    places?: { readonly data: number; readonly l1: number; readonly tables: number },
  ) {
    this.#dataOffset = places?.data ?? 0
    this.#tablesAt = places?.tables
    this.#clusterBytes = clusterBytes
    this.#grainBytes = clusterBytes / SUBCLUSTERS
    this.#spanBytes = (clusterBytes / ENTRY_BYTES) * clusterBytes
    this.#table = emptyTable(clusterBytes)
    this.#before = emptyTable(clusterBytes)
    this.l1Entries = Math.ceil(sizeBytes / this.#spanBytes)
    this.l1 = new Uint8Array(Math.ceil((this.l1Entries * 8) / clusterBytes) * clusterBytes)
    this.l1Offset = places?.l1 ?? clusterBytes
    this.end = this.l1Offset + this.l1.length
  }

  covers(offset: number): boolean {
    return Math.floor(offset / this.#spanBytes) === this.#index
  }

  /** Answers where the table at hand is written, if there is one; `written` says when. */
  async turnTo(offset: number, into: SealTarget): Promise<number | undefined> {
    const written = await this.writeLast(into)
    this.#index = Math.floor(offset / this.#spanBytes)
    return written
  }

  async writeLast(into: SealTarget): Promise<number | undefined> {
    if (this.#index < 0) return undefined
    const at = this.#tablesAt === undefined ? this.end : this.#tablesAt + this.#index * this.#clusterBytes
    putU64(this.l1, this.#index * 8, at)
    this.l1[this.#index * 8]! |= OURS
    await this.#writing
    this.#writing = writeBlocks(this.#table, at, into)
    // Whoever waits for it next hears of it.
    this.#writing.catch(() => undefined)
    ;[this.#table, this.#before] = [this.#before, this.#table]
    this.end = at + this.#clusterBytes
    this.#index = -1
    return at
  }

  /** Settles when all tables that were turned away from are written. */
  written(): Promise<void> {
    return this.#writing
  }

  /** Marks grains from `from` on, at most to the end of their cluster, which must be in the table at hand. Answers how far it came. */
  mark(from: number, end: number, kind: "data" | "zero"): number {
    const start = from - (from % this.#clusterBytes)
    const until = Math.min(end, start + this.#clusterBytes)
    const first = (from - start) / this.#grainBytes
    const count = Math.ceil((until - from) / this.#grainBytes)
    const bits = count === SUBCLUSTERS ? 0xffff_ffff : ((1 << count) - 1) << first
    const entry = ((start % this.#spanBytes) / this.#clusterBytes) * ENTRY_BYTES
    this.#table.marked[Math.floor(entry / BLOCK_BYTES)] = 1
    const { bytes } = this.#table
    if (kind === "data") {
      putU64(bytes, entry, start + this.#dataOffset)
      bytes[entry]! |= OURS
    }
    const word = entry + (kind === "data" ? 12 : 8)
    putU32(bytes, word, u32(bytes, word) | bits)
    return until
  }
}
