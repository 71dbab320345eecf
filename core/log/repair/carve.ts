/**
 * Finds sealed records in bytes of any kind: every event and index entry that still matches its own checksum, whatever became of the file.
 *
 *     … ┌─────────────┬───────────────────────────────┐ …        ┌─────────────┬─────────────────────────┐ …
 *       │ CRC-32C     │ {"actor":{…},"at":…,…}        │          │ CRC-32C     │ {"command":"…",…}       │
 *       └─────────────┴───────────────────────────────┘          └─────────────┴─────────────────────────┘
 *
 * **Details** Canonical JSON has its keys in order, so an event begins with its actor and an index entry with its command; its end is where
 * its braces close; and the checksum before it says whether it is one. No other structure is needed, so no other damage matters.
 */
import { limits } from "../../limits.ts"
import { unseal } from "../envelope.ts"

const checksumBytes = 4
const beginnings = ['{"actor":{', '{"command":"']
const [open, close, quote, backslash] = [0x7b, 0x7d, 0x22, 0x5c]

/** Whether a carved record is an event; else it is an index entry. */
export const isEvent = (json: Uint8Array): boolean => json[2] === beginnings[0]!.charCodeAt(2)

/** Calls `onRecord` with the canonical bytes of every whole record, as views. */
export const carve = (bytes: Buffer, onRecord: (json: Uint8Array) => void): void => {
  const next = beginnings.map((text) => bytes.indexOf(text, checksumBytes))
  for (;;) {
    const at = next.reduce((least, i) => (i >= 0 && (least < 0 || i < least) ? i : least), -1)
    if (at < 0) return
    const end = endOfObject(bytes, at)
    const json = end < 0 ? undefined : unseal(bytes.subarray(at - checksumBytes, end))
    if (json !== undefined) onRecord(json)
    const from = json === undefined ? at + 1 : end
    beginnings.forEach((text, i) => {
      if (next[i]! >= 0 && next[i]! < from) next[i] = bytes.indexOf(text, from)
    })
  }
}

/** Where the object that begins at `at` ends; -1 when it does not within the size of an event. */
const endOfObject = (bytes: Uint8Array, at: number): number => {
  const to = Math.min(bytes.length, at + limits.eventBytesMax)
  let depth = 0
  let inString = false
  for (let i = at; i < to; i++) {
    const c = bytes[i]
    if (inString) {
      if (c === backslash) i++
      else if (c === quote) inString = false
    } else if (c === quote) inString = true
    else if (c === open) depth++
    else if (c === close && --depth === 0) return i + 1
  }
  return -1
}
