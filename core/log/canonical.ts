/**
 * Canonical JSON (RFC 8785): one plain value, one sequence of bytes.
 *
 * **Details** The scheme leans on ECMAScript on purpose, so most of it is `JSON.stringify`: §3.2.2.2 strings with the shortest escapes,
 * §3.2.2.3 numbers as `Number::toString` (-0 is "0"), §3.2.1 no whitespace. What is left to do here is to sort the members by UTF-16
 * code units (§3.2.3), and to refuse what has no canonical form.
 *
 * **Gotchas** Refused by assertion, because a caller's schema must have stopped it: NaN and infinities (§3.2.2.3), lone surrogates
 * (§3.2.2.2), undefined, bigint, functions, symbols, and any object that is not plain (a Date, a Map, a class). `toJSON` is not honoured.
 */
import assert from "node:assert"

/** Nesting allowed in a value; more than any event needs, and it turns a cycle into a clear refusal. */
const depthMax = 64

/** What stands for itself between quotes: no quote, backslash or control character, no surrogate. */
const plain = /^[ !#-[\]-\ud7ff\ue000-\uffff]*$/

const string = (s: string): string => {
  if (plain.test(s)) return `"${s}"`
  assert(s.isWellFormed(), "a string with a lone surrogate has no canonical form")
  return JSON.stringify(s)
}

const number = (n: number): string => {
  assert(Number.isFinite(n), `${n} has no canonical form`)
  return String(n)
}

const array = (values: ReadonlyArray<unknown>, depth: number): string => {
  let out = "["
  for (let i = 0; i < values.length; i++) out += (i === 0 ? "" : ",") + write(values[i], depth + 1)
  return `${out}]`
}

const object = (o: object, depth: number): string => {
  const prototype = Object.getPrototypeOf(o)
  assert(prototype === Object.prototype || prototype === null, "only plain objects have a canonical form")
  const members = o as Record<string, unknown>
  // §3.2.3: Array.prototype.sort without a comparator compares UTF-16 code units
  const keys = Object.keys(members).sort()
  let out = "{"
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!
    out += `${i === 0 ? "" : ","}${string(key)}:${write(members[key], depth + 1)}`
  }
  return `${out}}`
}

const write = (value: unknown, depth: number): string => {
  assert(depth <= depthMax, `a value nested deeper than ${depthMax} has no canonical form here`)
  switch (typeof value) {
    case "string":
      return string(value)
    case "number":
      return number(value)
    case "boolean":
      return value ? "true" : "false"
    case "object":
      if (value === null) return "null"
      return Array.isArray(value) ? array(value, depth) : object(value, depth)
    default:
      assert.fail(`${typeof value} has no canonical form`)
  }
}

/** The canonical form as text. */
export const canonicalJson = (value: unknown): string => write(value, 0)

/** The canonical form as UTF-8 (§3.2.4). */
export const canonicalBytes = (value: unknown): Uint8Array => Buffer.from(canonicalJson(value), "utf8")
