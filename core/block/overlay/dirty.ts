/**
 * Which sectors of the working map differ from the durable one, and the copies of them that a flush carries over.
 *
 * **Details** Sectors are remembered by number, 16 bits for each page, so that pages may leave memory before they are flushed.
 */
import { PAGE_SECTORS, SECTOR } from "./geometry.ts"

/** Bytes for one place of the durable file. */
export interface MapPiece {
  readonly offset: number
  readonly bytes: Uint8Array
}

export class MapChanges {
  /** Page number → bit for each changed sector. */
  readonly pages: Map<number, number>
  readonly directory: Set<number>
  readonly pieces: Array<MapPiece> = []

  constructor(pages: Map<number, number>, directory: Set<number>) {
    this.pages = pages
    this.directory = directory
  }

  /** Adds the changed sectors of a page, neighbours together. */
  addPage(offset: number, bytes: Buffer, sectors: number): void {
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

  addSectors(page: number, first: number, last: number): void {
    const bits = ((1 << (last + 1)) - 1) & ~((1 << first) - 1)
    this.#pages.set(page, (this.#pages.get(page) ?? 0) | bits)
  }

  addDirectory(sector: number): void {
    this.#directory.add(sector)
  }

  take(): MapChanges {
    const changes = new MapChanges(this.#pages, this.#directory)
    this.#pages = new Map()
    this.#directory = new Set()
    return changes
  }

  putBack(changes: MapChanges): void {
    for (const [page, bits] of changes.pages) this.#pages.set(page, (this.#pages.get(page) ?? 0) | bits)
    for (const sector of changes.directory) this.#directory.add(sector)
  }
}
