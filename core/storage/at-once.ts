/**
 * Reads of what the host has of an open file in memory (core/decisions/025): at once, instead of by a thread that costs five times the copy.
 *
 * **Details** Long reads, and what is more than some of them in one turn of the event loop, are not taken: whoever reads all of a file would keep the loop to himself, for what is
 * there at once needs no turn.
 */
import type { Host } from "../host.ts"
import { limits } from "../limits.ts"

/** What was copied in this turn of the loop, of all files. */
let copiedBytes = 0
const nextTurn = (): void => {
  copiedBytes = 0
}

const mayCopy = (bytes: number): boolean => {
  if (bytes > limits.readAtOnceBytesMax) return false
  if (copiedBytes === 0) setImmediate(nextTurn)
  copiedBytes += bytes
  return copiedBytes <= limits.readAtOnceTurnBytesMax
}

/** How many bytes from `offset` on are in `into` at `at` now; the rest, which is often all, takes an ordinary read. */
export const readAtOnce = (
  readCached: Host["readCached"],
  fd: number,
  into: Uint8Array,
  at: number,
  length: number,
  offset: number,
): number => (readCached === undefined || !mayCopy(length) ? 0 : Math.max(0, readCached(fd, into, at, length, offset)))
