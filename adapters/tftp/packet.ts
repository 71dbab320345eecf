/**
 * The packets of TFTP: encode and decode side by side, without I/O.
 *
 *     RRQ 1, WRQ 2 (RFC 1350 §5, RFC 2347)              DATA 3 (RFC 1350 §5)
 *     0  2  opcode                                      0  2  opcode
 *     2  …  file name  0  mode  0                       2  2  block number
 *        …  option  0  value  0, any number of times    4  …  0 to blksize bytes
 *
 *     ACK 4 (RFC 1350 §5)      ERROR 5 (RFC 1350 §5)    OACK 6 (RFC 2347)
 *     0  2  opcode             0  2  opcode             0  2  opcode
 *     2  2  block number       2  2  error code         2  …  option  0  value  0, any number of times
 *                              4  …  message  0
 *
 * **Details** Option names are compared without case, so they come out in lower case; one that comes twice counts once, as first given
 * (RFC 2347 lets each come once). What follows the last whole pair is left out: some firmware pads its requests. Decoded DATA is a view of the
 * input; encoded packets are fresh buffers, unless one is handed in.
 */
import { readU16, writeU16 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"

export const OPCODE = { RRQ: 1, WRQ: 2, DATA: 3, ACK: 4, ERROR: 5, OACK: 6 } as const

/** RFC 1350 appendix, "Error Codes"; 8 is RFC 2347's. */
export const ERROR_CODE = {
  notDefined: 0,
  fileNotFound: 1,
  accessViolation: 2,
  diskFull: 3,
  illegalOperation: 4,
  unknownTransferId: 5,
  fileExists: 6,
  noSuchUser: 7,
  optionRefused: 8,
} as const

const DATA_HEADER_BYTES = 4

export type TftpOption = readonly [name: string, value: string]

export interface Request {
  readonly type: "RRQ" | "WRQ"
  readonly file: string
  /** In lower case. */
  readonly mode: string
  readonly options: ReadonlyArray<TftpOption>
}
export interface ErrorPacket {
  readonly type: "ERROR"
  readonly code: number
  readonly message: string
}
export interface OackPacket {
  readonly type: "OACK"
  readonly options: ReadonlyArray<TftpOption>
}
export type Packet =
  | Request
  | { readonly type: "DATA"; readonly blockNumber: number; readonly data: Uint8Array }
  | { readonly type: "ACK"; readonly blockNumber: number }
  | ErrorPacket
  | OackPacket

/** Bytes that are no packet. `opcode` is undefined where not even that is whole. */
export interface Unknown {
  readonly type: "unknown"
  readonly opcode: number | undefined
  readonly why: string
}

const unknown = (opcode: number | undefined, why: string): Unknown => ({ type: "unknown", opcode, why })

/** Never throws. */
export const decode = (bytes: Uint8Array): Packet | Unknown => {
  if (bytes.length < 2) return unknown(undefined, "shorter than an opcode")
  const opcode = readU16(bytes, 0)
  switch (opcode) {
    case OPCODE.RRQ:
    case OPCODE.WRQ:
      return decodeRequest(opcode, bytes)
    case OPCODE.DATA:
      if (bytes.length < 4) return unknown(opcode, "no block number")
      return { type: "DATA", blockNumber: readU16(bytes, 2), data: bytes.subarray(4) }
    case OPCODE.ACK:
      return bytes.length < 4 ? unknown(opcode, "no block number") : { type: "ACK", blockNumber: readU16(bytes, 2) }
    case OPCODE.ERROR:
      if (bytes.length < 4) return unknown(opcode, "no error code")
      // The closing NUL is missing in some firmware's; the code is what counts.
      return { type: "ERROR", code: readU16(bytes, 2), message: text(bytes, 4, endOfText(bytes, 4) ?? bytes.length) }
    case OPCODE.OACK:
      return { type: "OACK", options: decodeOptions(bytes, 2) }
    default:
      return unknown(opcode, `there is no opcode ${opcode}`)
  }
}

/** The block that is acknowledged; -1 where this is no ACK. Without a packet of its own, for there is one for each block. */
export const ackedBlock = (bytes: Uint8Array): number =>
  bytes.length >= 4 && readU16(bytes, 0) === OPCODE.ACK ? readU16(bytes, 2) : -1

/** RFC 2347: a request is at most 512 octets. */
const decodeRequest = (opcode: 1 | 2, bytes: Uint8Array): Request | Unknown => {
  if (bytes.length > limits.tftpRequestBytesMax) return unknown(opcode, "the request is too long")
  const fileEnd = endOfText(bytes, 2)
  if (fileEnd === undefined) return unknown(opcode, "the file name has no end")
  const modeEnd = endOfText(bytes, fileEnd + 1)
  if (modeEnd === undefined) return unknown(opcode, "the mode has no end")
  return {
    type: opcode === OPCODE.RRQ ? "RRQ" : "WRQ",
    file: text(bytes, 2, fileEnd),
    mode: text(bytes, fileEnd + 1, modeEnd).toLowerCase(),
    options: decodeOptions(bytes, modeEnd + 1),
  }
}

const decodeOptions = (bytes: Uint8Array, from: number): ReadonlyArray<TftpOption> => {
  const options = new Map<string, string>()
  for (let at = from; at < bytes.length; ) {
    const nameEnd = endOfText(bytes, at)
    const valueEnd = nameEnd === undefined ? undefined : endOfText(bytes, nameEnd + 1)
    if (nameEnd === undefined || valueEnd === undefined) break
    const name = text(bytes, at, nameEnd).toLowerCase()
    if (name !== "" && !options.has(name)) options.set(name, text(bytes, nameEnd + 1, valueEnd))
    at = valueEnd + 1
  }
  return [...options]
}

/** Place of the NUL that ends what begins at `from`. */
const endOfText = (bytes: Uint8Array, from: number): number | undefined => {
  const at = from > bytes.length ? -1 : bytes.indexOf(0, from)
  return at < 0 ? undefined : at
}

/** RFC 1350 says netascii; names beyond ASCII come as UTF-8 where they come at all. */
const text = (bytes: Uint8Array, from: number, to: number): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString("utf8")

export const encode = (packet: Packet): Buffer => {
  switch (packet.type) {
    case "RRQ":
    case "WRQ":
      return Buffer.concat([u16(OPCODE[packet.type]), strings(packet.file, packet.mode, ...packet.options.flat())])
    case "DATA":
      return dataPacket(packet.blockNumber, packet.data, 0, packet.data.length)
    case "ACK":
      return u16(OPCODE.ACK, packet.blockNumber)
    case "ERROR":
      return Buffer.concat([u16(OPCODE.ERROR, packet.code), strings(packet.message)])
    case "OACK":
      return Buffer.concat([u16(OPCODE.OACK), strings(...packet.options.flat())])
  }
}

/** DATA with `[from, to)` of `bytes`. */
export const dataPacket = (blockNumber: number, bytes: Uint8Array, from: number, to: number): Buffer => {
  const packet = Buffer.allocUnsafe(DATA_HEADER_BYTES + to - from)
  putData(packet, 0, blockNumber, bytes, from, to)
  return packet
}

/** Without a view of its own of what is copied. */
const { copy } = Buffer.prototype

/** The same at a place of memory that has room for it; how long it is. */
export const putData = (
  memory: Uint8Array,
  at: number,
  blockNumber: number,
  bytes: Uint8Array,
  from: number,
  to: number,
): number => {
  writeU16(memory, at, OPCODE.DATA)
  writeU16(memory, at + 2, blockNumber)
  copy.call(bytes, memory, at + DATA_HEADER_BYTES, from, to)
  return DATA_HEADER_BYTES + to - from
}

const u16 = (...values: ReadonlyArray<number>): Buffer => {
  const bytes = Buffer.allocUnsafe(2 * values.length)
  for (const [i, value] of values.entries()) writeU16(bytes, 2 * i, value)
  return bytes
}
const strings = (...values: ReadonlyArray<string>): Buffer => Buffer.from(values.map((v) => `${v}\0`).join(""), "utf8")
