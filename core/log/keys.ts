/**
 * Keys of the event store: events under their position, and an index of commands that sorts below them.
 *
 *     !cmd:<uuid>        what a command appended: `{"command","count","first","fingerprint"}`
 *     00000000000001     event 1: 14 hex digits, so that the order of keys is the order of positions, up to 2^53
 *
 * `!` (0x21) sorts below `0` (0x30), so the largest key of the database, and of every table that holds an event, is an event's. The scan
 * before opening relies on that.
 */
const digits = 14

export const eventKey = (position: number): string => position.toString(16).padStart(digits, "0")

export const commandKey = (command: string): string => `!cmd:${command}`

/** Every event's key is at or above this; no other key is. */
export const eventKeyMin = eventKey(0)

const pattern = /^[0-9a-f]{14}$/

/** Position of an event's key; undefined for any other key. */
export const positionOf = (key: string): number | undefined =>
  pattern.test(key) ? Number.parseInt(key, 16) : undefined

const isDigit = (c: number): boolean => (c >= 0x30 && c <= 0x39) || (c >= 0x61 && c <= 0x66)

/** The same for a key as bytes. */
export const positionOfBytes = (key: Uint8Array): number | undefined => {
  if (key.length !== digits) return undefined
  let position = 0
  for (let i = 0; i < digits; i++) {
    const c = key[i]!
    if (!isDigit(c)) return undefined
    position = position * 16 + (c <= 0x39 ? c - 0x30 : c - 0x57)
  }
  return position
}
