/**
 * Takes the events out of a LevelDB table that was read as a whole, without LevelDB.
 *
 *     entry of a data block:  shared │ unshared │ length of the value │ rest of the key │ value        (table_format.md; three varints)
 *     key of an event:        14 digits and 8 bytes of LevelDB's own, 22 in all; that of a command's index entry has 49 (keys.ts)
 *
 * **Details** The events of a table lie together, in order, and the key of the first shares nothing with the one before it. So one key is read and the
 * others are counted; every event says itself which one it is. Every block is checked against its checksum.
 */
import { commandKey, eventKey, positionOfBytes } from "../keys.ts"
import { Cursor, Malformed, maskedCrc, u32le } from "./coding.ts"
import { entriesEnd, footerBytes, type Handle, handle, handlesOf, trailerBytes } from "./tables.ts"

const ownBytes = 8
const eventKeyBytes = eventKey(0).length + ownBytes
const commandKeyBytes = commandKey("").length + 36 + ownBytes

export interface TableEvents {
  /** Position of the first. */
  readonly first: number
  /** As stored, as views on the table. */
  readonly values: ReadonlyArray<Buffer>
}

/** @throws Malformed where the table is not as this store's are */
export const tableEvents = (table: Buffer): TableEvents => {
  const footer = new Cursor(table.subarray(-footerBytes))
  handle(footer)
  const blocks = handlesOf(blockAt(table, handle(footer)))
  const found = { first: 0, values: [] as Buffer[] }
  for (const block of blocks) takeEvents(blockAt(table, block), found)
  return found
}

const blockAt = (table: Buffer, { offset, size }: Handle): Buffer => {
  const end = offset + size
  if (end + trailerBytes > table.length) throw new Malformed("it names bytes past its end")
  if (maskedCrc(table.subarray(offset, end + 1)) !== u32le(table, end + 1))
    throw new Malformed("a block does not match its checksum")
  if (table[end] !== 0) throw new Malformed("a block is compressed")
  return table.subarray(offset, end)
}

const takeEvents = (block: Buffer, found: { first: number; values: Array<Buffer> }): void => {
  const end = entriesEnd(block)
  const cursor = new Cursor(block)
  while (cursor.at < end) {
    const [shared, unshared, length] = [cursor.varint(), cursor.varint(), cursor.varint()]
    const keyAt = cursor.at
    const valueAt = keyAt + unshared
    cursor.at = valueAt + length
    if (cursor.at > end) throw new Malformed("it ends too early")
    if (shared + unshared === commandKeyBytes && found.values.length === 0) continue
    if (shared + unshared !== eventKeyBytes) throw new Malformed("a key in it is no event's")
    if (found.values.length === 0) found.first = firstPosition(block.subarray(keyAt, valueAt - ownBytes))
    found.values.push(block.subarray(valueAt, cursor.at))
  }
}

const firstPosition = (key: Uint8Array): number => {
  const position = positionOfBytes(key)
  if (position === undefined) throw new Malformed("a key in it is no event's")
  return position
}
