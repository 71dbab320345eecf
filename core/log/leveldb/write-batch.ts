/**
 * Reads a WriteBatch, the record of LevelDB's write-ahead log, far enough to know its keys.
 *
 *     ┌────────────────┬─────────────┬─ count times ────────────────────────────────────────────┐
 *     │ sequence (u64) │ count (u32) │ 1, key, value   (put)      or      0, key     (delete)    │
 *     └────────────────┴─────────────┴───────────────────────────────────────────────────────────┘
 *       little-endian (db/write_batch.cc); key and value are strings behind a varint length
 */
import { Cursor, Malformed, u32le, u64le } from "./coding.ts"

const headerBytes = 12

export interface BatchHeader {
  /** Sequence of the first operation; the next batch's is this plus `count`. */
  readonly sequence: number
  readonly count: number
}

/** Calls `onKey` for every operation in order; the key is a view into `record`. @throws Malformed */
export const readWriteBatch = (
  record: Uint8Array,
  onKey: (key: Uint8Array, kind: "put" | "delete") => void,
): BatchHeader => {
  if (record.length < headerBytes) throw new Malformed("it is shorter than a batch's header")
  const count = u32le(record, 8)
  const cursor = new Cursor(record, headerBytes)
  for (let i = 0; i < count; i++) {
    const tag = cursor.u8()
    if (tag > 1) throw new Malformed(`it has an operation of unknown tag ${tag}`)
    onKey(cursor.string(), tag === 1 ? "put" : "delete")
    if (tag === 1) cursor.string()
  }
  if (!cursor.atEnd) throw new Malformed("bytes follow its last operation")
  return { sequence: u64le(record, 0), count }
}
