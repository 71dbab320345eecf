/**
 * TransportIDs of iSCSI initiator ports (SPC-4 §7.6.4.6).
 *
 *      0  01 (format) | 5 (protocol)      2  additional length      4  `<name>,i,0x<ISID>`, NUL, padded to whole words
 */
import { readU16, writeU16 } from "../../core/bytes.ts"

const INITIATOR_PORT = 0x45

export const transportId = (port: string): Buffer => {
  const text = Buffer.from(port, "utf8")
  const padded = Math.max(20, (text.length + 1 + 3) & ~3)
  const b = Buffer.alloc(4 + padded)
  b[0] = INITIATOR_PORT
  writeU16(b, 2, padded)
  b.set(text, 4)
  return b
}

/** The initiator port; undefined when it is another protocol's, or not of the form that names a port. */
export const parseTransportId = (b: Uint8Array): string | undefined => {
  if (b.length < 24 || b[0] !== INITIATOR_PORT || readU16(b, 2) !== b.length - 4) return undefined
  const text = Buffer.from(b.subarray(4)).toString("utf8")
  const end = text.indexOf("\0")
  const port = end < 0 ? text : text.slice(0, end)
  const [, name, isid] = /^(.+),i,0x([0-9a-f]{12})$/iu.exec(port) ?? []
  return name === undefined ? undefined : `${name},i,0x${isid!.toLowerCase()}`
}
