/**
 * The text format of login and text PDUs: `key=value` pairs, each ended by a NUL (RFC 7143 §6.1).
 *
 * **Details** Keys are case-sensitive and at most 63 characters of the standard set. A value is kept as it came; what it must be, its key says
 * (keys.ts). Text that spans PDUs (C bit) is joined before it is parsed, because a pair may be cut anywhere.
 *
 * **Gotchas** Some initiators leave out the last NUL, or send more than one; both are taken.
 */
import { limits } from "../../core/limits.ts"

export type Pair = readonly [key: string, value: string]

const keyForm = /^[A-Za-z0-9][A-Za-z0-9.\-+@_]{0,62}$/u

/** The pairs in order; undefined when it is not text of this form. */
export const parseText = (bytes: Uint8Array): ReadonlyArray<Pair> | undefined => {
  const pairs: Array<Pair> = []
  for (const item of Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8").split("\0")) {
    if (item === "") continue
    const equals = item.indexOf("=")
    if (equals <= 0) return undefined
    const key = item.slice(0, equals)
    if (!keyForm.test(key)) return undefined
    pairs.push([key, item.slice(equals + 1)])
  }
  return pairs
}

export const encodeText = (pairs: ReadonlyArray<Pair>): Buffer =>
  Buffer.from(pairs.map(([key, value]) => `${key}=${value}\0`).join(""), "utf8")

/** Gathers text over several PDUs, bounded. */
export class TextGatherer {
  private parts: Array<Uint8Array> = []
  private bytes = 0

  /** False: more than may be gathered. */
  add(part: Uint8Array): boolean {
    this.bytes += part.length
    if (this.bytes > limits.iscsiTextBytesMax) return false
    if (part.length > 0) this.parts.push(Buffer.from(part))
    return true
  }
  get isEmpty(): boolean {
    return this.parts.length === 0
  }
  take(): Uint8Array {
    const all = Buffer.concat(this.parts)
    this.parts = []
    this.bytes = 0
    return all
  }
}

/** A numerical value: decimal or 0x hex (§6.1); undefined when it is none, or above 2^53. */
export const parseNumber = (value: string): number | undefined => {
  if (!/^(?:0[xX][0-9a-fA-F]+|[0-9]+)$/u.test(value)) return undefined
  const n = Number(value)
  return Number.isSafeInteger(n) ? n : undefined
}

/** A binary value: hex after 0x, or base64 after 0b (§6.1); also what `parseNumber` takes is none. */
export const parseBinary = (value: string): Buffer | undefined => {
  if (/^0[xX](?:[0-9a-fA-F]{2})+$/u.test(value)) return Buffer.from(value.slice(2), "hex")
  if (/^0[xX](?:[0-9a-fA-F]{2})*[0-9a-fA-F]$/u.test(value)) return Buffer.from(`0${value.slice(2)}`, "hex")
  if (/^0[bB][A-Za-z0-9+/]+={0,2}$/u.test(value)) return Buffer.from(value.slice(2), "base64")
  return undefined
}

export const hexBinary = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString("hex")}`
