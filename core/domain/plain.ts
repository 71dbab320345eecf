/**
 * Whether a value from outside is plain JSON that the log can hold: nothing that has no canonical form (RFC 8785) gets past here.
 *
 * **Gotchas** Nor does a key that JSON would have to escape. V8 mixes such keys up when it parses (seen in Node 24.21): after
 * `{"x":0,"\\":0}` it answers for `{"x":0,"\u0000":0}` the key of before. What was recorded would be right, and read wrong.
 */
import { limits } from "../limits.ts"

const isPlainObject = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

const keyProblem = (key: string): string | undefined => {
  if (!key.isWellFormed()) return "a key in it is not well-formed Unicode"
  return /["\\\x00-\x1f]/.test(key) ? "a key in it has a quote, a backslash or a control character" : undefined
}

const within = (value: unknown, depth: number): string | undefined => {
  if (value === null || typeof value === "boolean") return undefined
  if (typeof value === "string") return value.isWellFormed() ? undefined : "a text in it is not well-formed Unicode"
  if (typeof value === "number") return Number.isFinite(value) ? undefined : "a number in it is not finite"
  if (typeof value !== "object") return `a value in it is ${typeof value}, which JSON has not`
  if (depth === 0) return `it is nested deeper than ${limits.commandDepthMax}`
  if (!Array.isArray(value) && !isPlainObject(value)) return "an object in it is not plain"
  for (const [key, member] of Object.entries(value)) {
    const why = keyProblem(key) ?? within(member, depth - 1)
    if (why !== undefined) return why
  }
  return undefined
}

/** Why a value is not such JSON; undefined if it is. */
export const whyNotPlain = (value: unknown): string | undefined => within(value, limits.commandDepthMax)
