/**
 * Reads a LevelDB log file (a write-ahead log or a MANIFEST) frame by frame and tells a torn tail from damage.
 *
 * LevelDB's own reader drops what it cannot read and says nothing; this one never drops. From log_format.md: a file is blocks of 32 KiB,
 * a record is one FULL frame or FIRST, MIDDLE…, LAST, and no frame crosses a block. Less than 7 bytes at a block's end are zeros.
 *
 *     0                4        6      7                   7 + length
 *     ┌────────────────┬────────┬──────┬───────────────────┐
 *     │ masked CRC-32C │ length │ type │ payload           │     little-endian; the CRC is of type and payload
 *     └────────────────┴────────┴──────┴───────────────────┘
 *
 * | what is found                                             | verdict                                                    |
 * |-----------------------------------------------------------|------------------------------------------------------------|
 * | a frame that the file's end cuts short                    | torn tail: the writer died while writing it                |
 * | a record whose last frames are missing at the file's end  | torn tail                                                  |
 * | zeros from a frame's start to the file's end              | torn tail: the size was durable before the bytes           |
 * | a whole frame whose CRC is wrong, wherever it is          | damage                                                     |
 * | a length past the block, an unknown type, a wrong order   | damage                                                     |
 * | a length past the file's end, but the frame is whole, or  | damage to the length, which the CRC does not cover         |
 * | a whole frame comes later                                 |                                                            |
 * | anything after zeros, or in the zeros at a block's end    | damage                                                     |
 *
 * A torn tail was never acknowledged, unless `head` says otherwise (scan.ts).
 */
import { closeSync, openSync, readSync } from "node:fs"
import { fail, type ImagelinkError } from "../../errors.ts"
import { Malformed, maskedCrc, u32le } from "./coding.ts"

const blockBytes = 32 * 1024
const headerBytes = 7
const windowBytes = 32 * blockBytes

// Types of a frame; 3 (MIDDLE) needs no word of its own
const full = 1
const first = 2
const last = 4

/** How a log file ended. `goodBytes` is the end of its last whole record. */
export interface LogEnd {
  readonly goodBytes: number
  readonly sizeBytes: number
  readonly torn: boolean
}

/**
 * Calls `onRecord` with every whole record and its offset, in order. The record is valid during the call only.
 * `Malformed` thrown by `onRecord` is reported as damage at that record. @throws STORE_DAMAGED
 */
export const readLogFile = (path: string, onRecord: (record: Uint8Array, offset: number) => void): LogEnd => {
  const reader = new FrameReader(path, onRecord)
  const fd = openSync(path, "r")
  try {
    return reader.run(fd)
  } finally {
    closeSync(fd)
  }
}

const allZero = (b: Uint8Array, from: number, to: number): boolean => {
  for (let i = from; i < to; i++) if (b[i] !== 0) return false
  return true
}

/**
 * Whether the frame at `at`, whose length reaches past the file's end at `to`, was written whole: its checksum holds over what is there, or
 * a whole frame follows, which no torn write leaves behind.
 */
const isWholeDespiteLength = (b: Uint8Array, at: number, to: number): boolean => {
  if (maskedCrc(b.subarray(at + headerBytes - 1, to)) === u32le(b, at)) return true
  for (let from = at + headerBytes; from + headerBytes <= to; from++) {
    const type = b[from + 6]!
    const end = from + headerBytes + (b[from + 4]! | (b[from + 5]! << 8))
    if (type < full || type > last || end > to) continue
    if (maskedCrc(b.subarray(from + headerBytes - 1, end)) === u32le(b, from)) return true
  }
  return false
}

class FrameReader {
  readonly path: string
  readonly onRecord: (record: Uint8Array, offset: number) => void
  /** Fragments of the record being put together, copied out of the window. */
  fragments: Array<Uint8Array> | undefined
  recordAt = 0
  goodBytes = 0
  /** Where zeros began: nothing but zeros may follow. */
  zerosFrom: number | undefined
  torn = false

  constructor(path: string, onRecord: (record: Uint8Array, offset: number) => void) {
    this.path = path
    this.onRecord = onRecord
  }

  damage(offset: number, why: string): ImagelinkError {
    return fail("STORE_DAMAGED", { file: this.path, offset, why })
  }

  run(fd: number): LogEnd {
    const window = new Uint8Array(windowBytes)
    let base = 0
    for (;;) {
      const read = readFully(fd, window, base)
      for (let at = 0; at < read; at += blockBytes) this.block(window, at, Math.min(at + blockBytes, read), base)
      base += read
      if (read < windowBytes) break
    }
    const torn = this.torn || this.zerosFrom !== undefined || this.fragments !== undefined
    return { goodBytes: this.goodBytes, sizeBytes: base, torn }
  }

  /** Frames of `window[from, to)`; the block is short when the file ends in it. `base` is the window's offset in the file. */
  block(window: Uint8Array, from: number, to: number, base: number): void {
    const short = to - from < blockBytes
    let at = from
    while (to - at >= headerBytes) {
      if (this.zerosFrom !== undefined || allZero(window, at, at + headerBytes)) {
        this.zeros(window, at, to, base)
        return
      }
      const length = window[at + 4]! | (window[at + 5]! << 8)
      const end = at + headerBytes + length
      if (end > to) {
        if (!short) throw this.damage(base + at, "a frame's length reaches past its 32 KiB block")
        if (isWholeDespiteLength(window, at, to)) throw this.damage(base + at, "a frame's length is wrong")
        this.torn = true
        return
      }
      const body = window.subarray(at + headerBytes - 1, end)
      if (maskedCrc(body) !== u32le(window, at)) throw this.damage(base + at, "a frame does not match its checksum")
      this.frame(body[0]!, body.subarray(1), base + at, base + end)
      at = end
    }
    // Too little for a frame: the block's padding, or at the file's end the beginning of a header
    if (short) this.torn ||= at < to
    if ((!short || this.zerosFrom !== undefined) && !allZero(window, at, to)) {
      throw this.damage(base + at, "the padding at a block's end is not zero")
    }
  }

  zeros(window: Uint8Array, at: number, to: number, base: number): void {
    this.zerosFrom ??= base + at
    if (!allZero(window, at, to))
      throw this.damage(this.zerosFrom, "zeros stand where a frame should be, and data follows")
  }

  frame(type: number, payload: Uint8Array, offset: number, end: number): void {
    const begins = type === full || type === first
    if (type < full || type > last) throw this.damage(offset, `a frame is of unknown type ${type}`)
    if (begins && this.fragments) throw this.damage(this.recordAt, "a record has no end")
    if (!begins && !this.fragments) throw this.damage(offset, "a record has no beginning")
    if (begins) this.recordAt = offset
    if (type === full) {
      this.record(payload, end)
      return
    }
    if (begins) this.fragments = []
    this.fragments!.push(payload.slice())
    if (type !== last) return
    const whole = Buffer.concat(this.fragments!)
    this.fragments = undefined
    this.record(whole, end)
  }

  record(record: Uint8Array, end: number): void {
    try {
      this.onRecord(record, this.recordAt)
    } catch (e) {
      if (e instanceof Malformed) throw this.damage(this.recordAt, `a record in it makes no sense: ${e.message}`)
      throw e
    }
    this.goodBytes = end
  }
}

/** Fills `into` from `offset`; fewer bytes only at the file's end. */
const readFully = (fd: number, into: Uint8Array, offset: number): number => {
  let at = 0
  while (at < into.length) {
    const read = readSync(fd, into, at, into.length - at, offset + at)
    if (read === 0) break
    at += read
  }
  return at
}
