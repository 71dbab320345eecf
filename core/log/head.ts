/**
 * The `head` file: how far the log was acknowledged, kept outside LevelDB so that LevelDB losing something can be noticed.
 *
 * It is two slots of 512 bytes, written in turn; the valid one with the higher sequence counts. A write torn anywhere spoils one slot,
 * and the other still says where the log was one append before.
 *
 *     0    4    8                16               24             60                   508   512
 *     ┌────┬────┬────────────────┬────────────────┬──────────────┬────────────────────┬─────┐
 *     │ILHD│ 1  │ sequence (u64) │ position (u64) │ command id   │ zeros              │ CRC │   × 2
 *     └────┴────┴────────────────┴────────────────┴──────────────┴────────────────────┴─────┘
 *      magic fmt  all big-endian; CRC is CRC-32C of the 508 bytes before
 *
 * The command id is that of the event at `position`, 36 ASCII characters, or zeros at position 0. It says which history the position
 * is of, so that a projection's checkpoint can be known to be at the head without opening the database.
 *
 * **Details** A write is not synced: the events were, and after a power loss an older head only means a weaker check. It is synced
 * when the log closes. The file is preallocated and synced when the store is made, so that its size never changes.
 */
import { closeSync, fsyncSync, openSync, readSync, renameSync, writeFileSync, writeSync } from "node:fs"
import { dirname } from "node:path"
import { crc32c, readU32, readU64, writeU32, writeU64 } from "../bytes.ts"
import { fail } from "../errors.ts"
import { syncPath } from "./sync.ts"

const slotBytes = 512
const crcAt = slotBytes - 4
const magic = 0x494c4844
const format = 1

const commandAt = 24
const commandBytes = 36

interface Slot {
  readonly sequence: number
  readonly position: number
  /** Empty at position 0. */
  readonly command: string
}

const encodeSlot = (slot: Slot, out: Uint8Array): void => {
  out.fill(0)
  writeU32(out, 0, magic)
  writeU32(out, 4, format)
  writeU64(out, 8, slot.sequence)
  writeU64(out, 16, slot.position)
  out.set(Buffer.from(slot.command, "latin1").subarray(0, commandBytes), commandAt)
  writeU32(out, crcAt, crc32c(out.subarray(0, crcAt)))
}

const decodeSlot = (b: Uint8Array): Slot | undefined => {
  if (crc32c(b.subarray(0, crcAt)) !== readU32(b, crcAt)) return undefined
  if (readU32(b, 0) !== magic || readU32(b, 4) !== format) return undefined
  const command = Buffer.from(b.subarray(commandAt, commandAt + commandBytes)).toString("latin1")
  return { sequence: readU64(b, 8), position: readU64(b, 16), command: command.replaceAll("\0", "") }
}

/** A new head file's bytes: both slots at position 0. */
export const emptyHead = (): Uint8Array => {
  const out = new Uint8Array(2 * slotBytes)
  encodeSlot({ sequence: 0, position: 0, command: "" }, out.subarray(0, slotBytes))
  encodeSlot({ sequence: 1, position: 0, command: "" }, out.subarray(slotBytes))
  return out
}

/** An open head file. Even sequences live in the first slot, odd ones in the second. */
export interface Head {
  readonly position: () => number
  /** Command id of the event there; empty at position 0. */
  readonly command: () => string
  /** Overwrites the older slot, synchronously and without a sync. */
  write(position: number, command: string): void
  /** The same in two steps, so that an append need not wait for the first: the answer does the writing. One at a time. */
  prepare(position: number, command: string): () => void
  sync(): void
  close(): void
}

const newest = (path: string, bytes: Uint8Array, read: number): Slot => {
  const slots = [0, 1]
    .filter((i) => read >= (i + 1) * slotBytes)
    .map((i) => decodeSlot(bytes.subarray(i * slotBytes, (i + 1) * slotBytes)))
    .filter((slot) => slot !== undefined)
  const [first, second] = slots
  if (first === undefined) {
    throw fail("STORE_DAMAGED", { file: path, why: "neither of its two copies of the log's head is readable" })
  }
  return second !== undefined && second.sequence > first.sequence ? second : first
}

/** Reads and keeps open the head file at `path`; with `write: false` nothing can be written. @throws STORE_DAMAGED */
export const openHead = (path: string, options: { readonly write: boolean }): Head => {
  const fd = openForHead(path, options.write ? "r+" : "r")
  const slot = new Uint8Array(slotBytes)
  let at: Slot
  try {
    const bytes = new Uint8Array(2 * slotBytes)
    at = newest(path, bytes, readSync(fd, bytes, 0, bytes.length, 0))
  } catch (e) {
    closeSync(fd)
    throw e
  }
  const prepare = (position: number, command: string) => {
    const next = { sequence: at.sequence + 1, position, command }
    encodeSlot(next, slot)
    return () => {
      const written = writeSync(fd, slot, 0, slotBytes, (next.sequence % 2) * slotBytes)
      if (written !== slotBytes) throw new Error(`only ${written} of ${slotBytes} bytes were written to ${path}`)
      at = next
    }
  }
  return {
    position: () => at.position,
    command: () => at.command,
    prepare,
    write: (position, command) => prepare(position, command)(),
    sync: () => fsyncSync(fd),
    close: () => closeSync(fd),
  }
}

/** Makes the file anew, whole or not at all, for a log of which this is the newest event. */
export const replaceHead = (path: string, position: number, command: string): void => {
  const temporary = `${path}.new`
  writeFileSync(temporary, emptyHead())
  const head = openHead(temporary, { write: true })
  try {
    if (position > 0) head.write(position, command)
    head.sync()
  } finally {
    head.close()
  }
  renameSync(temporary, path)
  syncPath(dirname(path))
}

const openForHead = (path: string, flags: string): number => {
  try {
    return openSync(path, flags)
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e
    throw fail("STORE_DAMAGED", {
      file: path,
      why: "the file that records how far the log was acknowledged is missing",
    })
  }
}
