/**
 * What a plugin may answer: each function names the first fault of an answer, or `undefined`.
 *
 * They take `unknown`, because a plugin may be plain JavaScript and its types prove nothing.
 */
import { limits } from "../limits.ts"

const record = (value: unknown): Record<string, unknown> | undefined =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined

const optionalParts = ["readSync", "write", "writeSync", "flush", "punch", "extents", "identity"] as const

/** What is wrong with a volume that `open` answered. */
export const volumeFault = (value: unknown): string | undefined => {
  const volume = record(value)
  if (volume === undefined) return "open did not answer a volume"
  for (const name of ["read", "close"])
    if (typeof volume[name] !== "function") return `the volume has no function ${name}`
  for (const name of optionalParts)
    if (volume[name] !== undefined && typeof volume[name] !== "function")
      return `the volume's ${name} is not a function`
  const { sizeBytes } = volume
  if (!Number.isSafeInteger(sizeBytes) || (sizeBytes as number) < 0)
    return `sizeBytes is ${String(sizeBytes)}, not a whole number of bytes`
  if (volume.write !== undefined && volume.flush === undefined) return "the volume has write but no flush"
  if (volume.writeSync !== undefined && volume.write === undefined) return "the volume has writeSync but no write"
  return undefined
}

/** What is wrong with the extents answered for `[offset, offset + length)`. */
export const extentFault = (value: unknown, offset: number, length: number, max: number): string | undefined => {
  if (!Array.isArray(value)) return "the answer is not a list"
  if (value.length === 0) return "the answer is empty"
  if (value.length > max) return `${value.length} extents were answered, at most ${max} were asked for`
  let expected = offset
  for (const entry of value) {
    const extent = record(entry)
    if (extent === undefined) return "an entry is not an extent"
    if (extent.kind !== "data" && extent.kind !== "zero" && extent.kind !== "absent")
      return `${JSON.stringify(extent.kind)} is not a kind of extent`
    const { offset: from, length: run } = extent as { offset: unknown; length: unknown }
    if (!Number.isSafeInteger(from) || !Number.isSafeInteger(run))
      return "an extent's offset or length is not a whole number"
    if ((run as number) <= 0) return `the extent at ${String(from)} has length ${String(run)}`
    if (from !== expected)
      return `an extent begins at ${String(from)}, but ${expected} comes next: extents adjoin and do not overlap`
    expected += run as number
  }
  return expected > offset + length ? `the extents end at ${expected}, past the end of the request` : undefined
}

/** What is wrong with an identity. It goes into the log, so it stays small. */
export const identityFault = (value: unknown): string | undefined => {
  const identity = record(value)
  if (identity === undefined || Array.isArray(value)) return "the answer is not an object of strings"
  const entries = Object.entries(identity)
  if (entries.length === 0) return "the answer is empty"
  if (entries.length > limits.identityKeysMax) return `more than ${limits.identityKeysMax} keys`
  for (const [key, text] of entries) {
    if (typeof text !== "string") return `${key} is not a string`
    if (key.length + text.length > limits.identityCharsMax)
      return `${key} is longer than ${limits.identityCharsMax} characters`
  }
  return undefined
}
