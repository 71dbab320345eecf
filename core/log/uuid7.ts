/**
 * UUID version 7 (RFC 9562 §5.7): a time-ordered identifier from a clock and random bytes, both given.
 *
 *     0                   1                   2                   3
 *    |                unix_ts_ms (48 bits, big-endian)               |
 *    |  unix_ts_ms   |  ver 7 |       rand_a (12 bits)               |
 *    |var 10|                 rand_b (62 bits)                       |
 *
 * Not done: the monotonic counters of §6.2. Order within a millisecond means nothing here, because the log orders by position.
 */
import assert from "node:assert"

const millisecondsMax = 2 ** 48 - 1

/** Random bytes that `uuid7` takes. */
export const uuid7RandomBytes = 10

/** Makes the identifier of `milliseconds` (UTC, since 1970) and ten random bytes. */
export const uuid7 = (milliseconds: number, random: Uint8Array): string => {
  assert(
    Number.isInteger(milliseconds) && milliseconds >= 0 && milliseconds <= millisecondsMax,
    "a UUIDv7 holds 48 bits of time",
  )
  assert(random.length === uuid7RandomBytes, "a UUIDv7 takes ten random bytes")
  const hex = Array.from(random, (b) => b.toString(16).padStart(2, "0")).join("")
  const time = milliseconds.toString(16).padStart(12, "0")
  const variant = (0x8 | ((random[2]! >>> 4) & 0x3)).toString(16)
  // rand_a takes 12 bits of the first two bytes; the variant's two bits displace the top of the third
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex.slice(1, 4)}-${variant}${hex.slice(5, 8)}-${hex.slice(8, 20)}`
}

/** The milliseconds that an identifier was made with. */
export const uuid7Time = (uuid: string): number => Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16)
