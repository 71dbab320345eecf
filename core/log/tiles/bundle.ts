/**
 * An entry bundle (C2SP tlog-tiles, "Log entries"): up to 256 entries, one behind the other, each behind its length.
 *
 *     ┌──────────────┬─────────────────┬──────────────┬───
 *     │ length (u16) │ canonical bytes │ length (u16) │ …      big-endian
 *     └──────────────┴─────────────────┴──────────────┴───
 */
import assert from "node:assert"
import { readU16, writeU16 } from "../../bytes.ts"

const lengthBytes = 2
const entryBytesMax = 65_535

export const encodeBundle = (entries: ReadonlyArray<Uint8Array>): Uint8Array => {
  const out = new Uint8Array(entries.reduce((sum, entry) => sum + lengthBytes + entry.length, 0))
  let at = 0
  for (const entry of entries) {
    assert(entry.length <= entryBytesMax, "an entry's length fits its two bytes")
    writeU16(out, at, entry.length)
    out.set(entry, at + lengthBytes)
    at += lengthBytes + entry.length
  }
  return out
}

/** The entries as views; undefined when the bytes are no bundle. */
export const decodeBundle = (bytes: Uint8Array): ReadonlyArray<Uint8Array> | undefined => {
  const { entries, rest } = readEntries(bytes)
  return rest === 0 ? entries : undefined
}

/** The entries as far as the bytes are a bundle, as views, and how many bytes are left then. */
export const readEntries = (
  bytes: Uint8Array,
): { readonly entries: ReadonlyArray<Uint8Array>; readonly rest: number } => {
  const entries: Array<Uint8Array> = []
  let at = 0
  while (at + lengthBytes <= bytes.length) {
    const end = at + lengthBytes + readU16(bytes, at)
    if (end > bytes.length) break
    entries.push(bytes.subarray(at + lengthBytes, end))
    at = end
  }
  return { entries, rest: bytes.length - at }
}
