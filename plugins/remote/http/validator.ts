/**
 * What tells one state of an object from the next: a strong ETag, or a time of change that is strong enough.
 *
 * **Details** RFC 9110 §8.8.3: a weak ETag (`W/`) says "as good as", not "byte for byte", and must not be used for ranges (§13.1.5). §8.8.2.2: a
 * Last-Modified is strong where the answer's Date is at least a second later, because nothing can have changed twice in a second that has passed.
 */
import type { IncomingHttpHeaders } from "node:http"
import type { Validator } from "../source.ts"

export const validatorOf = (headers: IncomingHttpHeaders): Validator | undefined => {
  const { etag } = headers
  if (etag !== undefined && /^"[\x21\x23-\x7e\x80-\xff]*"$/.test(etag)) return { kind: "etag", text: etag }
  const modified = headers["last-modified"]
  if (modified === undefined) return undefined
  const [changed, answered] = [Date.parse(modified), Date.parse(headers.date ?? "")]
  return answered - changed >= 1000 ? { kind: "modified", text: modified } : undefined
}

/** Why an answer is of another object than the one that was opened; undefined when it is the same, or does not say. */
export const changedFrom = (expected: Validator | undefined, headers: IncomingHttpHeaders): string | undefined => {
  if (expected === undefined) return undefined
  const now = expected.kind === "etag" ? headers.etag : headers["last-modified"]
  if (now === undefined || now === expected.text) return undefined
  const name = expected.kind === "etag" ? "ETag" : "Last-Modified"
  return `its ${name} was ${expected.text} and is ${now.slice(0, 200)}`
}
