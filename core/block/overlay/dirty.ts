/**
 * Which sectors of the working map differ from the durable one, and the copies of them that a flush carries over.
 *
 * **Details** Sectors are remembered by number, 16 bits for each page, so that pages may leave memory before they are flushed. So are the
 * sectors in which data became zero and its space is to be given back (give-back.ts).
 */
import { PAGE_SECTORS, SECTOR } from "./geometry.ts"

/** Sectors of a page in which data grains became zero, and the page as the durable map has it now. */
export interface FreedPage {
  readonly number: number
  /** One bit for each sector. */
  readonly sectors: number
  readonly bytes: Uint8Array
}

/** Bytes for one place of the durable file. */
export interface MapPiece {
  readonly offset: number
  readonly bytes: Uint8Array
}

export class MapChanges {
  /** Page number → bit for each changed sector. */
  readonly pages: Map<number, number>
  readonly directory: Set<number>
  /** Page number → bit for each sector with space to give back. */
  readonly freed: Map<number, number>
  readonly pieces: Array<MapPiece> = []
  readonly directoryPieces: Array<MapPiece> = []
  readonly freedPages: Array<FreedPage> = []

  constructor(pages: Map<number, number>, directory: Set<number>, freed: Map<number, number>) {
    this.pages = pages
    this.directory = directory
    this.freed = freed
  }

  /** Every page that has something here. */
  numbers(): ReadonlyArray<number> {
    return [...new Set([...this.pages.keys(), ...this.freed.keys()])]
  }

  /** Adds a page as it is now: its changed sectors, neighbours together, and what it has to give back. */
  addPage(number: number, offset: number, bytes: Buffer): void {
    const freed = this.freed.get(number)
    if (freed !== undefined) this.freedPages.push({ number, sectors: freed, bytes })
    const sectors = this.pages.get(number) ?? 0
    for (let s = 0; s < PAGE_SECTORS; s++) {
      if ((sectors & (1 << s)) === 0) continue
      let end = s + 1
      while (end < PAGE_SECTORS && (sectors & (1 << end)) !== 0) end++
      this.pieces.push({ offset: offset + s * SECTOR, bytes: bytes.subarray(s * SECTOR, end * SECTOR) })
      s = end
    }
  }
}

export class DirtySectors {
  #pages = new Map<number, number>()
  #directory = new Set<number>()
  #freed = new Map<number, number>()

  addSectors(page: number, first: number, last: number): void {
    addBits(this.#pages, page, bitsOf(first, last))
  }

  addFreed(page: number, first: number, last: number): void {
    addBits(this.#freed, page, bitsOf(first, last))
  }

  /** What could not be given back this time. */
  putBackFreed({ number, sectors }: FreedPage): void {
    addBits(this.#freed, number, sectors)
  }

  addDirectory(sector: number): void {
    this.#directory.add(sector)
  }

  take(): MapChanges {
    const changes = new MapChanges(this.#pages, this.#directory, this.#freed)
    this.#pages = new Map()
    this.#directory = new Set()
    this.#freed = new Map()
    return changes
  }

  putBack(changes: MapChanges): void {
    for (const [page, bits] of changes.pages) addBits(this.#pages, page, bits)
    for (const [page, bits] of changes.freed) addBits(this.#freed, page, bits)
    for (const sector of changes.directory) this.#directory.add(sector)
  }
}

/** Bits `first` to `last`. */
const bitsOf = (first: number, last: number): number => ((1 << (last + 1)) - 1) & ~((1 << first) - 1)

const addBits = (to: Map<number, number>, page: number, bits: number): void => {
  to.set(page, (to.get(page) ?? 0) | bits)
}
