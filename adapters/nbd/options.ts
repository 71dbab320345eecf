/**
 * The messages of the NBD handshake: constants, and each message's encode and decode side by side.
 *
 * No I/O. Sections are those of the protocol description, NetworkBlockDevice/nbd doc/proto.md.
 *
 *     greeting ("Newstyle negotiation")            option ("Newstyle negotiation")
 *     0   8  NBDMAGIC                              0   8  IHAVEOPT
 *     8   8  IHAVEOPT                              8   4  option
 *     16  2  handshake flags                       12  4  length
 *     client answers 4 bytes of flags              16  …  data
 *
 *     option reply ("Fixed newstyle negotiation")  answer to EXPORT_NAME ("Newstyle negotiation")
 *     0   8  0x0003e889045565a9                    0   8  size
 *     8   4  option                                8   2  transmission flags
 *     12  4  reply type                            10  124 zeroes, unless NO_ZEROES was agreed
 *     16  4  length
 *     20  …  data
 *
 * **Details** Decoded options hold copies of nothing but strings; encoded messages are fresh buffers of the caller's.
 */
import { Reader, ShortInput, writeU16, writeU32, writeU64 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"

export const NBDMAGIC = Buffer.from("NBDMAGIC", "latin1")
export const IHAVEOPT = Buffer.from("IHAVEOPT", "latin1")
export const OPTION_REPLY_MAGIC = Buffer.from("0003e889045565a9", "hex")

/** "Handshake flags" and "Client flags": the same two bits. */
export const FLAG_FIXED_NEWSTYLE = 1
export const FLAG_NO_ZEROES = 2

/** "Option types". */
export const OPT_EXPORT_NAME = 1
export const OPT_ABORT = 2
export const OPT_LIST = 3
export const OPT_STARTTLS = 5
export const OPT_INFO = 6
export const OPT_GO = 7
export const OPT_STRUCTURED_REPLY = 8
export const OPT_LIST_META_CONTEXT = 9
export const OPT_SET_META_CONTEXT = 10
export const OPT_EXTENDED_HEADERS = 11

/** "Option reply types". Errors have bit 31 set. */
export const REP_ACK = 1
export const REP_SERVER = 2
export const REP_INFO = 3
export const REP_META_CONTEXT = 4
export const REP_ERR_UNSUP = 0x8000_0001
export const REP_ERR_POLICY = 0x8000_0002
export const REP_ERR_INVALID = 0x8000_0003
export const REP_ERR_UNKNOWN = 0x8000_0006
export const REP_ERR_SHUTDOWN = 0x8000_0007
export const REP_ERR_TOO_BIG = 0x8000_0009

export const INFO_EXPORT = 0
export const INFO_NAME = 1
export const INFO_DESCRIPTION = 2
export const INFO_BLOCK_SIZE = 3

export const GREETING_BYTES = 18
export const CLIENT_FLAGS_BYTES = 4
export const OPTION_HEADER_BYTES = 16
export const OPTION_REPLY_HEADER_BYTES = 20
export const ZEROES_BYTES = 124

// --- From server to client ----------------------------------------------------------------------------------------

export const encodeGreeting = (flags: number): Buffer => {
  const b = Buffer.concat([NBDMAGIC, IHAVEOPT, Buffer.alloc(2)])
  writeU16(b, 16, flags)
  return b
}

/** The handshake flags, or why this is not a server we can talk to. */
export const decodeGreeting = (bytes: Uint8Array): { readonly flags: number } | { readonly kind: "unknown" } => {
  const r = new Reader(bytes)
  const known = NBDMAGIC.equals(r.take(8)) && IHAVEOPT.equals(r.take(8))
  return known ? { flags: r.u16() } : { kind: "unknown" }
}

export interface OptionReply {
  readonly option: number
  readonly type: number
  readonly data: Uint8Array
}

export const encodeOptionReply = (option: number, type: number, data: Uint8Array = Buffer.alloc(0)): Buffer => {
  const b = Buffer.alloc(OPTION_REPLY_HEADER_BYTES + data.length)
  b.set(OPTION_REPLY_MAGIC)
  writeU32(b, 8, option)
  writeU32(b, 12, type)
  writeU32(b, 16, data.length)
  b.set(data, OPTION_REPLY_HEADER_BYTES)
  return b
}

/** The first reply in `bytes`: "more" when it is not all there. */
export const decodeOptionReply = (bytes: Uint8Array): OptionReply | "more" | { readonly kind: "unknown" } => {
  if (bytes.length < OPTION_REPLY_HEADER_BYTES) return "more"
  const r = new Reader(bytes)
  if (!OPTION_REPLY_MAGIC.equals(r.take(8))) return { kind: "unknown" }
  const option = r.u32()
  const type = r.u32()
  const length = r.u32()
  return r.left < length ? "more" : { option, type, data: r.take(length) }
}

/** REP_SERVER: u32 length of name, name, description. */
export const encodeServer = (name: string, description: string): Buffer => {
  const n = Buffer.from(name)
  return Buffer.concat([u32(n.length), n, Buffer.from(description)])
}
export const decodeServer = (data: Uint8Array): { readonly name: string; readonly description: string } => {
  const r = new Reader(data)
  const name = Buffer.from(r.take(r.u32())).toString()
  return { name, description: Buffer.from(r.take(r.left)).toString() }
}

/** What a client learns about an export, in every form it may ask for. */
export interface ExportInfo {
  /** As LIST shows it. */
  readonly name: string
  readonly description: string
  readonly sizeBytes: number
  readonly transmissionFlags: number
  /** "Size constraints": smallest unit, unit that runs well, largest payload. */
  readonly minimumBytes: number
  readonly preferredBytes: number
  readonly payloadBytesMax: number
}

/** REP_INFO: u16 type, then by type. Answers undefined for types we have nothing to say about. */
export const encodeInfo = (type: number, info: ExportInfo): Buffer | undefined => {
  switch (type) {
    case INFO_EXPORT: {
      const b = Buffer.alloc(12)
      writeU16(b, 0, type)
      writeU64(b, 2, info.sizeBytes)
      writeU16(b, 10, info.transmissionFlags)
      return b
    }
    case INFO_NAME:
      return Buffer.concat([u16(type), Buffer.from(info.name)])
    case INFO_DESCRIPTION:
      return Buffer.concat([u16(type), Buffer.from(info.description)])
    case INFO_BLOCK_SIZE:
      return Buffer.concat([u16(type), u32(info.minimumBytes), u32(info.preferredBytes), u32(info.payloadBytesMax)])
    default:
      return undefined
  }
}

export type Info =
  | { readonly kind: "export"; readonly sizeBytes: number; readonly transmissionFlags: number }
  | { readonly kind: "name" | "description"; readonly text: string }
  | {
      readonly kind: "blockSize"
      readonly minimumBytes: number
      readonly preferredBytes: number
      readonly payloadBytesMax: number
    }
  | { readonly kind: "unknown"; readonly type: number }

export const decodeInfo = (data: Uint8Array): Info => {
  const r = new Reader(data)
  const type = r.u16()
  switch (type) {
    case INFO_EXPORT:
      return { kind: "export", sizeBytes: r.u64(), transmissionFlags: r.u16() }
    case INFO_NAME:
      return { kind: "name", text: Buffer.from(r.take(r.left)).toString() }
    case INFO_DESCRIPTION:
      return { kind: "description", text: Buffer.from(r.take(r.left)).toString() }
    case INFO_BLOCK_SIZE:
      return { kind: "blockSize", minimumBytes: r.u32(), preferredBytes: r.u32(), payloadBytesMax: r.u32() }
    default:
      return { kind: "unknown", type }
  }
}

/** REP_META_CONTEXT: u32 id, name. */
export const encodeMetaContext = (id: number, name: string): Buffer => Buffer.concat([u32(id), Buffer.from(name)])
export const decodeMetaContext = (data: Uint8Array): { readonly id: number; readonly name: string } => {
  const r = new Reader(data)
  return { id: r.u32(), name: Buffer.from(r.take(r.left)).toString() }
}

/** The old answer to EXPORT_NAME, which has no header. */
export const encodeExportName = (info: ExportInfo, noZeroes: boolean): Buffer => {
  const b = Buffer.alloc(10 + (noZeroes ? 0 : ZEROES_BYTES))
  writeU64(b, 0, info.sizeBytes)
  writeU16(b, 8, info.transmissionFlags)
  return b
}

// --- From client to server ----------------------------------------------------------------------------------------

export type Option =
  | { readonly kind: "exportName"; readonly name: string }
  | { readonly kind: "abort" }
  | { readonly kind: "list" }
  | { readonly kind: "startTls" }
  | { readonly kind: "infoOrGo"; readonly go: boolean; readonly name: string; readonly wants: ReadonlyArray<number> }
  | { readonly kind: "structuredReply" }
  | {
      readonly kind: "metaContext"
      readonly set: boolean
      readonly name: string
      readonly queries: ReadonlyArray<string>
    }
  /** A known option whose data break its section. */
  | { readonly kind: "malformed"; readonly why: string; readonly tooBig?: true }
  | { readonly kind: "unknown" }

export const encodeOption = (option: number, data: Uint8Array = Buffer.alloc(0)): Buffer =>
  Buffer.concat([IHAVEOPT, u32(option), u32(data.length), data])

export const encodeInfoOrGo = (name: string, wants: ReadonlyArray<number>): Buffer => {
  const n = Buffer.from(name)
  return Buffer.concat([u32(n.length), n, u16(wants.length), ...wants.map(u16)])
}

export const encodeMetaQueries = (name: string, queries: ReadonlyArray<string>): Buffer => {
  const n = Buffer.from(name)
  const each = queries.map((q) => Buffer.concat([u32(Buffer.byteLength(q)), Buffer.from(q)]))
  return Buffer.concat([u32(n.length), n, u32(queries.length), ...each])
}

/** Never throws: what it cannot read is `malformed`. */
export const decodeOption = (option: number, data: Uint8Array): Option => {
  try {
    return decode(option, new Reader(data))
  } catch (e) {
    if (e instanceof ShortInput) return { kind: "malformed", why: "the option's data end too early" }
    if (e instanceof Unfit) return { kind: "malformed", why: e.message, ...(e.tooBig ? { tooBig: true } : {}) }
    throw e
  }
}

const decode = (option: number, r: Reader): Option => {
  switch (option) {
    case OPT_EXPORT_NAME:
      return { kind: "exportName", name: text(r, r.left) }
    case OPT_ABORT:
      return { kind: "abort" }
    case OPT_LIST:
      return bare(r, { kind: "list" })
    case OPT_STARTTLS:
      return bare(r, { kind: "startTls" })
    case OPT_STRUCTURED_REPLY:
      return bare(r, { kind: "structuredReply" })
    case OPT_INFO:
    case OPT_GO: {
      const name = text(r, r.u32())
      const wants = Array.from({ length: r.u16() }, () => r.u16())
      return bare(r, { kind: "infoOrGo", go: option === OPT_GO, name, wants })
    }
    case OPT_LIST_META_CONTEXT:
    case OPT_SET_META_CONTEXT: {
      const name = text(r, r.u32())
      const count = r.u32()
      if (count * 4 > r.left) throw new ShortInput("fewer queries than announced")
      const queries = Array.from({ length: count }, () => text(r, r.u32()))
      return bare(r, { kind: "metaContext", set: option === OPT_SET_META_CONTEXT, name, queries })
    }
    default:
      return { kind: "unknown" }
  }
}

class Unfit extends Error {
  readonly tooBig: boolean
  constructor(why: string, tooBig = false) {
    super(why)
    this.tooBig = tooBig
  }
}

/** Nothing may follow what was read. */
const bare = (r: Reader, option: Option): Option => {
  if (r.left > 0) throw new Unfit(`${r.left} bytes too many in the option's data`)
  return option
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** A string as "Conventions" has it: UTF-8, no NUL, at most 4096 bytes. */
const text = (r: Reader, length: number): string => {
  const bytes = r.take(length)
  if (length > limits.nbdNameBytesMax) throw new Unfit(`a string is at most ${limits.nbdNameBytesMax} bytes`, true)
  if (bytes.includes(0)) throw new Unfit("a string holds no NUL")
  try {
    return utf8.decode(bytes)
  } catch {
    throw new Unfit("a string is UTF-8")
  }
}

const u16 = (v: number): Buffer => {
  const b = Buffer.alloc(2)
  writeU16(b, 0, v)
  return b
}
const u32 = (v: number): Buffer => {
  const b = Buffer.alloc(4)
  writeU32(b, 0, v)
  return b
}
