/**
 * The messages of the NBD transmission phase: constants, and each message's encode and decode side by side.
 *
 * No I/O. Sections are those of the protocol description, NetworkBlockDevice/nbd doc/proto.md.
 *
 *     request ("Request message")      simple reply                 structured reply chunk
 *     0   4  0x25609513                0   4  0x67446698            0   4  0x668e33ef
 *     4   2  command flags             4   4  error                 4   2  flags (1: last chunk)
 *     6   2  type                      8   8  cookie                6   2  type
 *     8   8  cookie                    16  …  data of a READ        8   8  cookie
 *     16  8  offset                                                 16  4  length
 *     24  4  length                                                 20  …  payload
 *     28  …  payload of a WRITE
 *
 * **Details** These run once per request, so they allocate nothing: decoding fills an object the caller keeps, encoding writes into
 * a buffer the caller sized. A cookie is opaque and kept as two 32-bit halves.
 */
import { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from "../../core/bytes.ts"

export const REQUEST_MAGIC = 0x25609513
export const SIMPLE_REPLY_MAGIC = 0x67446698
export const CHUNK_MAGIC = 0x668e33ef

export const REQUEST_BYTES = 28
export const SIMPLE_REPLY_BYTES = 16
export const CHUNK_HEADER_BYTES = 20
/** A READ's whole answer in one chunk: header, offset, then the data. */
export const OFFSET_DATA_BYTES = CHUNK_HEADER_BYTES + 8

/** "Request types". */
export const CMD_READ = 0
export const CMD_WRITE = 1
export const CMD_DISC = 2
export const CMD_FLUSH = 3
export const CMD_TRIM = 4
export const CMD_CACHE = 5
export const CMD_WRITE_ZEROES = 6
export const CMD_BLOCK_STATUS = 7

/** "Command flags". */
export const CMD_FLAG_FUA = 1
export const CMD_FLAG_NO_HOLE = 2
export const CMD_FLAG_DF = 4
export const CMD_FLAG_REQ_ONE = 8
export const CMD_FLAG_FAST_ZERO = 16

/** "Transmission flags". */
export const FLAG_HAS_FLAGS = 1 << 0
export const FLAG_READ_ONLY = 1 << 1
export const FLAG_SEND_FLUSH = 1 << 2
export const FLAG_SEND_FUA = 1 << 3
export const FLAG_ROTATIONAL = 1 << 4
export const FLAG_SEND_TRIM = 1 << 5
export const FLAG_SEND_WRITE_ZEROES = 1 << 6
export const FLAG_SEND_DF = 1 << 7
export const FLAG_CAN_MULTI_CONN = 1 << 8
export const FLAG_SEND_CACHE = 1 << 10
export const FLAG_SEND_FAST_ZERO = 1 << 11

/** "Structured reply flags" and "Structured reply types". Errors have bit 15 set. */
export const REPLY_FLAG_DONE = 1
export const REPLY_NONE = 0
export const REPLY_OFFSET_DATA = 1
export const REPLY_OFFSET_HOLE = 2
export const REPLY_BLOCK_STATUS = 5
export const REPLY_ERROR = 0x8001
export const REPLY_ERROR_OFFSET = 0x8002
export const REPLY_ERROR_BIT = 0x8000

/** "`base:allocation` metadata context". */
export const BASE_ALLOCATION = "base:allocation"
export const STATE_HOLE = 1
export const STATE_ZERO = 2

export interface Request {
  flags: number
  type: number
  cookieHigh: number
  cookieLow: number
  /** Infinity above 2^53 - 1, which no disk reaches. */
  offset: number
  length: number
}

export const emptyRequest = (): Request => ({ flags: 0, type: 0, cookieHigh: 0, cookieLow: 0, offset: 0, length: 0 })

/** Fills `into` from the 28 bytes at `at`; false when the magic is not a request's. */
export const decodeRequest = (into: Request, b: Uint8Array, at: number): boolean => {
  if (readU32(b, at) !== REQUEST_MAGIC) return false
  into.flags = readU16(b, at + 4)
  into.type = readU16(b, at + 6)
  into.cookieHigh = readU32(b, at + 8)
  into.cookieLow = readU32(b, at + 12)
  into.offset = readU64(b, at + 16)
  into.length = readU32(b, at + 24)
  return true
}

export const encodeRequest = (r: Request, b: Uint8Array, at: number): void => {
  writeU32(b, at, REQUEST_MAGIC)
  writeU16(b, at + 4, r.flags)
  writeU16(b, at + 6, r.type)
  writeU32(b, at + 8, r.cookieHigh)
  writeU32(b, at + 12, r.cookieLow)
  writeU64(b, at + 16, r.offset)
  writeU32(b, at + 24, r.length)
}

/** Who a reply is for. */
export interface Cookie {
  readonly cookieHigh: number
  readonly cookieLow: number
}

export const encodeSimpleReply = (to: Cookie, error: number, b: Uint8Array, at: number): void => {
  writeU32(b, at, SIMPLE_REPLY_MAGIC)
  writeU32(b, at + 4, error)
  writeU32(b, at + 8, to.cookieHigh)
  writeU32(b, at + 12, to.cookieLow)
}

/** The header of a chunk. Ours are always the last of their reply. */
export const encodeChunkHeader = (to: Cookie, type: number, length: number, b: Uint8Array, at: number): void => {
  writeU32(b, at, CHUNK_MAGIC)
  writeU16(b, at + 4, REPLY_FLAG_DONE)
  writeU16(b, at + 6, type)
  writeU32(b, at + 8, to.cookieHigh)
  writeU32(b, at + 12, to.cookieLow)
  writeU32(b, at + 16, length)
}

/** What stands before a READ's data when it is answered by one OFFSET_DATA chunk. */
export const encodeOffsetData = (to: Cookie, offset: number, length: number, b: Uint8Array, at: number): void => {
  encodeChunkHeader(to, REPLY_OFFSET_DATA, length + 8, b, at)
  writeU64(b, at + CHUNK_HEADER_BYTES, offset)
}

/** ERROR, or ERROR_OFFSET when `offset` says where: error, u16 length, text, then the offset. */
export const encodeErrorChunk = (to: Cookie, error: number, text: string, offset: number | undefined): Buffer => {
  const words = Buffer.from(text).subarray(0, 4096)
  const length = 6 + words.length + (offset === undefined ? 0 : 8)
  const b = Buffer.alloc(CHUNK_HEADER_BYTES + length)
  encodeChunkHeader(to, offset === undefined ? REPLY_ERROR : REPLY_ERROR_OFFSET, length, b, 0)
  writeU32(b, 20, error)
  writeU16(b, 24, words.length)
  b.set(words, 26)
  if (offset !== undefined) writeU64(b, 26 + words.length, offset)
  return b
}
export const decodeErrorChunk = (payload: Uint8Array): { readonly error: number; readonly text: string } => {
  const words = Math.min(readU16(payload, 4), payload.length - 6)
  return { error: readU32(payload, 0), text: Buffer.from(payload.subarray(6, 6 + words)).toString() }
}

/** One descriptor of BLOCK_STATUS. */
export interface Descriptor {
  readonly length: number
  readonly state: number
}

/** BLOCK_STATUS: u32 context id, then u32 length and u32 state of each run. */
export const encodeBlockStatus = (to: Cookie, context: number, runs: ReadonlyArray<Descriptor>): Buffer => {
  const length = 4 + 8 * runs.length
  const b = Buffer.alloc(CHUNK_HEADER_BYTES + length)
  encodeChunkHeader(to, REPLY_BLOCK_STATUS, length, b, 0)
  writeU32(b, 20, context)
  runs.forEach((run, i) => {
    writeU32(b, 24 + 8 * i, run.length)
    writeU32(b, 28 + 8 * i, run.state)
  })
  return b
}
export const decodeBlockStatus = (payload: Uint8Array): { context: number; runs: ReadonlyArray<Descriptor> } => ({
  context: readU32(payload, 0),
  runs: Array.from({ length: Math.floor((payload.length - 4) / 8) }, (_, i) => ({
    length: readU32(payload, 4 + 8 * i),
    state: readU32(payload, 8 + 8 * i),
  })),
})

/** The header of a reply, as a client meets it. */
export interface Reply {
  kind: "simple" | "chunk" | "unknown"
  cookieHigh: number
  cookieLow: number
  /** Of a simple reply. */
  error: number
  /** Of a chunk. */
  flags: number
  type: number
  length: number
}

export const emptyReply = (): Reply => ({
  kind: "unknown",
  cookieHigh: 0,
  cookieLow: 0,
  error: 0,
  flags: 0,
  type: 0,
  length: 0,
})

/** Fills `into` and answers the header's length; 0 when fewer than that many bytes are in `[at, end)`. */
export const decodeReply = (into: Reply, b: Uint8Array, at: number, end: number): number => {
  if (end - at < SIMPLE_REPLY_BYTES) return 0
  const magic = readU32(b, at)
  into.cookieHigh = readU32(b, at + 8)
  into.cookieLow = readU32(b, at + 12)
  if (magic === SIMPLE_REPLY_MAGIC) {
    into.kind = "simple"
    into.error = readU32(b, at + 4)
    return SIMPLE_REPLY_BYTES
  }
  into.kind = magic === CHUNK_MAGIC ? "chunk" : "unknown"
  if (into.kind === "unknown") return SIMPLE_REPLY_BYTES
  if (end - at < CHUNK_HEADER_BYTES) return 0
  into.flags = readU16(b, at + 4)
  into.type = readU16(b, at + 6)
  into.length = readU32(b, at + 16)
  return CHUNK_HEADER_BYTES
}
