/**
 * The stored form of an event: a checksum and the exact canonical bytes of its envelope.
 *
 *     ┌──────────────────────────┬──────────────────────────────────────────────┐
 *     │ CRC-32C of the rest (u32)│ canonical JSON (RFC 8785), 1 to 65,535 bytes │
 *     └──────────────────────────┴──────────────────────────────────────────────┘
 *       4 bytes, big-endian        what `log --json` prints and the Merkle leaf hashes
 *
 * **Details** The checksum is ours because LevelDB's own are not looked at on every read. The position is in the key and in the
 * envelope, and both must agree, so that a record under another's key is noticed too.
 *
 * **Gotchas** `decode*` answer views and objects that hold on to the buffer they were given for as long as they live.
 */
import { crc32c, readU32, writeU32 } from "../bytes.ts"
import { fail, type ImagelinkError } from "../errors.ts"
import { limits } from "../limits.ts"
import { canonicalJson } from "./canonical.ts"
import type { Recorded } from "./event-log.ts"

const checksumBytes = 4

/** Puts the checksum in front of `text`. */
export const seal = (text: string): Uint8Array => {
  const out = Buffer.allocUnsafe(checksumBytes + Buffer.byteLength(text, "utf8"))
  out.write(text, checksumBytes, "utf8")
  writeU32(out, 0, crc32c(out.subarray(checksumBytes)))
  return out
}

/** The same for bytes that are canonical already. */
export const sealBytes = (json: Uint8Array): Uint8Array => {
  const out = Buffer.allocUnsafe(checksumBytes + json.length)
  out.set(json, checksumBytes)
  writeU32(out, 0, crc32c(json))
  return out
}

/** The bytes behind the checksum, as a view; undefined when they do not match it. */
export const unseal = (value: Uint8Array): Uint8Array | undefined => {
  if (value.length <= checksumBytes) return undefined
  const bytes = value.subarray(checksumBytes)
  return crc32c(bytes) === readU32(value, 0) ? bytes : undefined
}

/** The stored value of an event. @throws EVENT_TOO_LARGE */
export const encodeRecord = (event: Recorded): Uint8Array => {
  const value = seal(canonicalJson(event))
  const bytes = value.length - checksumBytes
  if (bytes > limits.eventBytesMax) {
    throw fail("EVENT_TOO_LARGE", { type: event.type, bytes, max: limits.eventBytesMax })
  }
  return value
}

const damaged = (file: string, position: number, why: string): ImagelinkError =>
  fail("STORE_DAMAGED", { file, why: `event ${position} ${why}` })

const asBuffer = (bytes: Uint8Array): Buffer =>
  bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength)

/** The canonical bytes of the event stored under `position`; `file` is named in the refusal. @throws STORE_DAMAGED */
export const decodeBytes = (file: string, position: number, value: Uint8Array): Uint8Array => {
  const bytes = unseal(value)
  if (bytes === undefined) throw damaged(file, position, "does not match its checksum")
  return bytes
}

/** Parses the JSON of the event that should be at `position`. @throws SyntaxError */
export type ParseEnvelope = (text: string, position: number) => unknown

const parseWhole: ParseEnvelope = (text) => JSON.parse(text)

/** The event stored under `position`, in the shape it was written in. @throws STORE_DAMAGED */
export const decodeRecord = (
  file: string,
  position: number,
  value: Uint8Array,
  parseEnvelope: ParseEnvelope = parseWhole,
): Recorded => {
  const event = parse(decodeBytes(file, position, value), position, parseEnvelope) as Recorded | undefined
  if (event === undefined) throw damaged(file, position, "is not JSON")
  if (event.position !== position) throw damaged(file, position, `is stored as if it were event ${event.position}`)
  return event
}

/** The object in `bytes`, or undefined. */
export const parse = (bytes: Uint8Array, position = 0, parseText = parseWhole): object | undefined => {
  try {
    const value: unknown = parseText(asBuffer(bytes).toString("utf8"), position)
    return typeof value === "object" && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
