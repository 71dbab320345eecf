/**
 * The message of DHCP (RFC 2131 §2 figure 1, on BOOTP's RFC 951): decode and encode side by side, without I/O.
 *
 *       0  1 op  1 htype  1 hlen  1 hops
 *       4  4 xid
 *       8  2 secs      2 flags (0x8000: answer by broadcast)
 *      12  4 ciaddr    4 yiaddr    4 siaddr    4 giaddr
 *      28 16 chaddr
 *      44 64 sname   128 file
 *     236  4 magic cookie 99.130.83.99
 *     240  … options: code, length, value; 0 pads, 255 ends (RFC 2132 §2)
 *
 * **Details** An option that comes several times is one, its values joined (RFC 3396 §5); so is one that goes on in `file` and `sname`
 * where option 52 says that they hold options (RFC 2131 §4.1, RFC 3396 §4: first options, then file, then sname). A missing end is forgiven: iPXE leaves it out in what
 * it encapsulates. Numbers are big-endian. Values that come out are copies, because sockets use their buffers again.
 *
 * **Gotchas** `encode` writes options in the order of the map, but the message type first and the relay's option 82 last (RFC 3046 §2.2).
 */
import { readU16, readU32, writeU16, writeU32 } from "../../core/bytes.ts"
import { limits } from "../../core/limits.ts"
import type { Address } from "./address.ts"
import { OPTION } from "./options.ts"

export const BOOTREQUEST = 1
export const BOOTREPLY = 2

export interface DhcpMessage {
  readonly op: number
  readonly htype: number
  readonly hops: number
  readonly xid: number
  readonly secs: number
  readonly broadcast: boolean
  readonly ciaddr: Address
  readonly yiaddr: Address
  readonly siaddr: Address
  readonly giaddr: Address
  /** As many bytes as hlen says, at most 16. */
  readonly chaddr: Uint8Array
  readonly sname: string
  readonly file: string
  readonly options: ReadonlyMap<number, Uint8Array>
}

export type Decoded =
  | { readonly ok: true; readonly message: DhcpMessage }
  | { readonly ok: false; readonly why: string }

const COOKIE = 0x63825363
const OPTIONS_AT = 240
const SNAME_AT = 44
const SNAME_BYTES = 64
const FILE_AT = 108
const FILE_BYTES = 128
/** RFC 951 §3: BOOTP's 64 bytes of vendor area; some relays and clients drop what is shorter. */
const MESSAGE_BYTES_MIN = 300

/** Never throws. */
export const decode = (bytes: Uint8Array): Decoded => {
  const no = (why: string): Decoded => ({ ok: false, why })
  if (bytes.length > limits.dhcpMessageBytesMax) return no("it is too long")
  if (bytes.length < OPTIONS_AT)
    return no(bytes.length < 236 ? "it is too short" : "it has no options: BOOTP is not served")
  if (readU32(bytes, 236) !== COOKIE) return no("it has no magic cookie: BOOTP is not served")
  const hlen = bytes[2]!
  if (hlen > 16) return no(`its hardware address has ${hlen} bytes`)
  const options = new Map<number, Uint8Array>()
  if (!readOptions(bytes, OPTIONS_AT, bytes.length, options)) return no("an option is cut short")
  const overload = options.get(OPTION.overload)?.[0] ?? 0
  if ((overload & 1) !== 0 && !readOptions(bytes, FILE_AT, FILE_AT + FILE_BYTES, options))
    return no("an option in its file field is cut short")
  if ((overload & 2) !== 0 && !readOptions(bytes, SNAME_AT, SNAME_AT + SNAME_BYTES, options))
    return no("an option in its sname field is cut short")
  const message: DhcpMessage = {
    op: bytes[0]!,
    htype: bytes[1]!,
    hops: bytes[3]!,
    xid: readU32(bytes, 4),
    secs: readU16(bytes, 8),
    broadcast: (bytes[10]! & 0x80) !== 0,
    ciaddr: readU32(bytes, 12),
    yiaddr: readU32(bytes, 16),
    siaddr: readU32(bytes, 20),
    giaddr: readU32(bytes, 24),
    chaddr: copyOf(bytes, 28, 28 + hlen),
    sname: (overload & 2) !== 0 ? "" : fieldText(bytes, SNAME_AT, SNAME_BYTES),
    file: (overload & 1) !== 0 ? "" : fieldText(bytes, FILE_AT, FILE_BYTES),
    options,
  }
  return { ok: true, message }
}

/** Byte by byte, because most values have a few, and a view to copy from costs more than they do. */
const copyOf = (bytes: Uint8Array, from: number, to: number): Uint8Array => {
  const copy = new Uint8Array(to - from)
  copyInto(copy, 0, bytes, from, to)
  return copy
}

const copyInto = (out: Uint8Array, at: number, bytes: Uint8Array, from: number, to: number): void => {
  for (let i = from; i < to; i++) out[at + i - from] = bytes[i]!
}

/** Adds what is in `[at, end)`; false when an option reaches past the end. */
const readOptions = (bytes: Uint8Array, from: number, end: number, into: Map<number, Uint8Array>): boolean => {
  for (let at = from; at < end; ) {
    const code = bytes[at]!
    if (code === OPTION.end) return true
    if (code === OPTION.pad) {
      at++
      continue
    }
    const length = at + 1 < end ? bytes[at + 1]! : Number.POSITIVE_INFINITY
    const next = at + 2 + length
    if (next > end) return false
    const before = into.get(code)
    const value = copyOf(bytes, at + 2, next)
    into.set(code, before === undefined ? value : new Uint8Array(Buffer.concat([before, value])))
    at = next
  }
  return true
}

const fieldText = (bytes: Uint8Array, at: number, length: number): string => {
  if (bytes[at] === 0) return ""
  const end = bytes.indexOf(0, at)
  const to = end < 0 || end > at + length ? at + length : end
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, to - at).toString("latin1")
}

/** Bytes that an option's value takes, split where it is longer than 255 (RFC 3396 §4). */
const encodedBytes = (value: Uint8Array): number => value.length + 2 * Math.max(1, Math.ceil(value.length / 255))

const writeOption = (out: Uint8Array, at: number, code: number, value: Uint8Array): number => {
  let from = 0
  do {
    const length = Math.min(255, value.length - from)
    out[at] = code
    out[at + 1] = length
    copyInto(out, at + 2, value, from, from + length)
    at += 2 + length
    from += length
  } while (from < value.length)
  return at
}

type Option = readonly [code: number, value: Uint8Array]

/** What fits, in the order in which it is written: the type, the others as the map has them, the relay's option. */
const fitting = ({ options }: DhcpMessage, bytesMax: number): ReadonlyArray<Option> => {
  const [type, relay] = [options.get(OPTION.messageType), options.get(OPTION.relayAgent)]
  const chosen: Array<Option> = type === undefined ? [] : [[OPTION.messageType, type]]
  let room = bytesMax - OPTIONS_AT - 1
  for (const value of [type, relay]) if (value !== undefined) room -= encodedBytes(value)
  for (const option of options) {
    const bytes = encodedBytes(option[1])
    if (option[0] === OPTION.messageType || option[0] === OPTION.relayAgent || bytes > room) continue
    room -= bytes
    chosen.push(option)
  }
  if (relay !== undefined) chosen.push([OPTION.relayAgent, relay])
  return chosen
}

/**
 * The bytes, at most `bytesMax` of them. What does not fit is left out, last first; the type and the relay's option always fit.
 */
export const encode = (message: DhcpMessage, bytesMax: number = limits.dhcpReplyBytesDefault): Buffer => {
  const options = fitting(message, bytesMax)
  let used = OPTIONS_AT + 1
  for (const [, value] of options) used += encodedBytes(value)
  const out = Buffer.allocUnsafe(Math.max(used, MESSAGE_BYTES_MIN)).fill(0)
  out[0] = message.op
  out[1] = message.htype
  out[2] = message.chaddr.length
  out[3] = message.hops
  writeU32(out, 4, message.xid)
  writeU16(out, 8, message.secs)
  writeU16(out, 10, message.broadcast ? 0x8000 : 0)
  writeU32(out, 12, message.ciaddr)
  writeU32(out, 16, message.yiaddr)
  writeU32(out, 20, message.siaddr)
  writeU32(out, 24, message.giaddr)
  copyInto(out, 28, message.chaddr, 0, message.chaddr.length)
  // The last byte stays zero: both fields are null-terminated strings (RFC 2131 §2).
  if (message.sname !== "") out.write(message.sname, SNAME_AT, SNAME_BYTES - 1, "latin1")
  if (message.file !== "") out.write(message.file, FILE_AT, FILE_BYTES - 1, "latin1")
  writeU32(out, 236, COOKIE)
  let at = OPTIONS_AT
  for (const [code, value] of options) at = writeOption(out, at, code, value)
  out[at] = OPTION.end
  return out
}
