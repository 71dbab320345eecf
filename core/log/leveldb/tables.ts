/**
 * Checks LevelDB's table files without LevelDB: size, footer, and the checksums of index and filter; and of the data, while that is cheap.
 *
 * From table_format.md and table/format.h, a table is blocks and a footer of 48 bytes:
 *
 *     ┌ data block ┐ ┌ … ┐ ┌ filter ┐ ┌ metaindex ┐ ┌ index ┐ ┌ footer ──────────────────────────────────────────┐
 *     │ bytes, type, CRC (5 bytes)  after every block        │ │ metaindex handle, index handle, zeros to 40, magic │
 *     └───────────────────────────────────────────────────────┘ └─────────────────────────────────────────────────────┘
 *
 * A handle is two varints, offset and size. The blocks lie end to end, and that is demanded here: it leaves no byte of a table unlooked at.
 *
 * **Details** LevelDB looks at none of these checksums when it reads a value: a flipped bit in a filter makes a key silently absent, and one
 * in a data block can fail an assertion in LevelDB, which ends the whole process. So whoever is going to read a table should check it first.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs"
import { fail, type ImagelinkError } from "../../errors.ts"
import { Cursor, Malformed, maskedCrc, u32le } from "./coding.ts"

export const footerBytes = 48
/** Behind every block: its type and its checksum. */
export const trailerBytes = 5
const windowBytes = 256 * 1024
const magic = [0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb]

export interface Handle {
  readonly offset: number
  readonly size: number
}

/** Checks one table of `sizeBytes`; its data blocks too when `data`. @throws STORE_DAMAGED */
export const checkTable = (path: string, sizeBytes: number, data: boolean): void => {
  const fd = openTable(path)
  try {
    const actual = fstatSync(fd).size
    if (actual !== sizeBytes) throw damage(path, `it is ${actual} bytes long, and ${sizeBytes} were written`)
    new TableReader(fd, path, sizeBytes).check(data)
  } catch (e) {
    if (e instanceof Malformed) throw damage(path, e.message)
    throw e
  } finally {
    closeSync(fd)
  }
}

const damage = (file: string, why: string, offset?: number): ImagelinkError =>
  fail("STORE_DAMAGED", offset === undefined ? { file, why } : { file, why, offset })

const openTable = (path: string): number => {
  try {
    return openSync(path, "r")
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e
    throw damage(path, "the MANIFEST names it, and it is missing")
  }
}

export const handle = (cursor: Cursor): Handle => ({ offset: cursor.varint(), size: cursor.varint() })
const endOf = (h: Handle): number => h.offset + h.size + trailerBytes

/** Where the entries of an uncompressed block end and its restart points begin. */
export const entriesEnd = (block: Uint8Array): number => {
  if (block.length < 4) throw new Malformed("a block is too short")
  const end = block.length - 4 - u32le(block, block.length - 4) * 4
  if (end < 0) throw new Malformed("a block is too short")
  return end
}

/** The handles that the values of a block are. */
export const handlesOf = (block: Uint8Array): Array<Handle> =>
  blockValues(block).map((value) => handle(new Cursor(value)))

/** Values of an uncompressed block (table_format.md): entries of shared, unshared, value length, key rest, value; then restart points. */
const blockValues = (block: Uint8Array): Array<Uint8Array> => {
  const cursor = new Cursor(block.subarray(0, entriesEnd(block)))
  const values: Array<Uint8Array> = []
  while (!cursor.atEnd) {
    cursor.varint()
    const [unshared, length] = [cursor.varint(), cursor.varint()]
    cursor.take(unshared)
    values.push(cursor.take(length))
  }
  return values
}

class TableReader {
  readonly fd: number
  readonly path: string
  readonly footerAt: number
  constructor(fd: number, path: string, sizeBytes: number) {
    this.fd = fd
    this.path = path
    this.footerAt = sizeBytes - footerBytes
  }

  check(data: boolean): void {
    const [metaindex, index] = this.footer()
    this.expect(index.offset, endOf(metaindex))
    this.expect(this.footerAt, endOf(index))
    const filters = this.handles(metaindex)
    const blocks = this.handles(index)
    if (filters === undefined || blocks === undefined) return
    let end = 0
    for (const block of blocks) end = this.follow(block, end)
    for (const filter of filters) {
      this.read(filter.offset, filter.size)
      end = this.follow(filter, end)
    }
    this.expect(metaindex.offset, end)
    if (data) this.checkBlocks(blocks)
  }

  expect(offset: number, end: number): void {
    if (offset !== end) throw damage(this.path, "its blocks do not lie end to end", Math.min(offset, end))
  }

  follow(h: Handle, end: number): number {
    this.expect(h.offset, end)
    return endOf(h)
  }

  footer(): readonly [Handle, Handle] {
    if (this.footerAt < 0) throw damage(this.path, "it is too short to be a table")
    const footer = this.bytes(this.footerAt, footerBytes)
    const magicAt = footerBytes - magic.length
    if (magic.some((byte, i) => footer[magicAt + i] !== byte))
      throw damage(this.path, "it does not end as a table", this.footerAt)
    const cursor = new Cursor(footer.subarray(0, magicAt))
    const handles = [handle(cursor), handle(cursor)] as const
    if (footer.subarray(cursor.at, magicAt).some((byte) => byte !== 0)) {
      throw damage(this.path, "its footer is garbled", this.footerAt)
    }
    return handles
  }

  /** The handles that a block's values are; undefined when the block is compressed, which this store's are not. */
  handles(at: Handle): Array<Handle> | undefined {
    const block = this.read(at.offset, at.size)
    if (block === undefined) return undefined
    return handlesOf(block)
  }

  checkBlocks(blocks: ReadonlyArray<Handle>): void {
    let window = new Uint8Array(windowBytes)
    let from = 0
    let to = 0
    for (const block of blocks) {
      const length = block.size + trailerBytes
      if (endOf(block) > to) {
        if (length > window.length) window = new Uint8Array(length)
        from = block.offset
        to = Math.min(from + window.length, this.footerAt)
        this.fill(window.subarray(0, to - from), from)
      }
      this.verify(window.subarray(block.offset - from, block.offset - from + length), block.offset)
    }
  }

  /** A block's bytes once its checksum holds; undefined when they are compressed. */
  read(offset: number, size: number): Uint8Array | undefined {
    const block = this.bytes(offset, size + trailerBytes)
    this.verify(block, offset)
    return block[size] === 0 ? block.subarray(0, size) : undefined
  }

  verify(block: Uint8Array, offset: number): void {
    const crcAt = block.length - 4
    if (maskedCrc(block.subarray(0, crcAt)) !== u32le(block, crcAt)) {
      throw damage(this.path, "a block does not match its checksum", offset)
    }
  }

  bytes(offset: number, length: number): Uint8Array {
    if (offset + length > this.footerAt + footerBytes) throw damage(this.path, "it names bytes past its end", offset)
    const out = new Uint8Array(length)
    this.fill(out, offset)
    return out
  }

  fill(out: Uint8Array, offset: number): void {
    for (let at = 0; at < out.length; ) {
      const read = readSync(this.fd, out, at, out.length - at, offset + at)
      if (read === 0) throw damage(this.path, "it ends too early", offset + at)
      at += read
    }
  }
}
