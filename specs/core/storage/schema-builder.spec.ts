import { expect, it } from "vitest"
import type { Schema } from "../../../core/storage/schema-builder.ts"
import {
  boolean,
  check,
  integer,
  issueLines,
  literal,
  object,
  optional,
  string,
} from "../../../core/storage/schema-builder.ts"

const lines = (schema: Schema<unknown>, value: unknown) => {
  const result = schema["~standard"].validate(value)
  return result.issues === undefined ? result.value : issueLines(result.issues)
}

it("is a Standard Schema, version 1", () => {
  expect(string()["~standard"]).toMatchObject({ version: 1, vendor: "imagelink" })
})

it("takes text from its shortest to its longest length and not one past", () => {
  const schema = string({ min: 2, max: 3 })
  expect(lines(schema, "ab")).toBe("ab")
  expect(lines(schema, "abc")).toBe("abc")
  expect(lines(schema, "a")).toEqual(["must have at least 2 characters"])
  expect(lines(schema, "abcd")).toEqual(["must have at most 3 characters"])
  expect(lines(schema, "")).toEqual(["must not be empty"])
  expect(lines(string(), "")).toBe("")
  expect(lines(string(), 7)).toEqual(["must be text, not 7"])
  expect(lines(string(), null)).toEqual(["must be text, not null"])
})

it("takes whole numbers that are exact, inside their bounds", () => {
  const schema = integer({ min: 0, max: 9 })
  expect(lines(schema, 0)).toBe(0)
  expect(lines(schema, 9)).toBe(9)
  expect(lines(schema, -1)).toEqual(["must be from 0 to 9, not -1"])
  expect(lines(schema, 10)).toEqual(["must be from 0 to 9, not 10"])
  expect(lines(schema, 1.5)).toEqual(["must be a whole number, not 1.5"])
  expect(lines(schema, Number.NaN)).toEqual(["must be a whole number, not NaN"])
  expect(lines(schema, "1")).toEqual(["must be a whole number, not a string"])
  expect(lines(integer(), 2 ** 53 - 1)).toBe(2 ** 53 - 1)
  expect(lines(integer(), 2 ** 53)).toEqual(["must be a whole number, not 9007199254740992"])
})

it("takes booleans and literals as they are, and nothing that looks like them", () => {
  expect(lines(boolean(), false)).toBe(false)
  expect(lines(boolean(), 0)).toEqual(["must be true or false, not 0"])
  expect(lines(literal("http", 1), 1)).toBe(1)
  expect(lines(literal("http", 1), "1")).toEqual(['must be "http" or 1'])
})

it("reports all issues at once, each with its path", () => {
  const schema = object({
    url: string({ min: 1 }),
    retries: optional(integer({ min: 0, max: 9 }), 3),
    auth: object({ user: string(), token: string() }),
  })
  expect(lines(schema, { url: "", retries: 12, auth: { user: 1, pass: "x" }, ulr: "" })).toEqual([
    "url must not be empty",
    "retries must be from 0 to 9, not 12",
    "auth.user must be text, not 1",
    "auth.token is missing",
    "auth.pass is not a key here; known: user, token",
    "ulr is not a key here; known: url, retries, auth",
  ])
})

it("fills in what may be left out, also where it is given as undefined, but not where it is null", () => {
  const schema = object({ a: optional(integer(), 3), b: optional(string()) })
  expect(lines(schema, {})).toEqual({ a: 3, b: undefined })
  expect(lines(schema, { a: undefined, b: "x" })).toEqual({ a: 3, b: "x" })
  expect(lines(schema, { a: null })).toEqual(["a must be a whole number, not null"])
})

it("refuses what is no plain object, and keys that an object only inherits", () => {
  const schema = object({ constructor: string() })
  expect(lines(schema, {})).toEqual(["constructor is missing"])
  expect(lines(schema, JSON.parse('{"constructor":"x","__proto__":{"polluted":1}}'))).toEqual([
    "__proto__ is not a key here; known: constructor",
  ])
  for (const [value, named] of [
    [null, "null"],
    [[], "a list"],
    ["x", "a string"],
    [undefined, "nothing"],
  ])
    expect(lines(schema, value)).toEqual([`must be an object, not ${named}`])
})

it("answers a new object and leaves its input alone", () => {
  const input = Object.freeze({ a: 1 })
  const answer = lines(object({ a: integer() }), input)
  expect(answer).toEqual({ a: 1 })
  expect(answer).not.toBe(input)
})

it("checks one thing more only once the rest is right", () => {
  const even = check(integer({ min: 0 }), (n) => (n % 2 === 0 ? undefined : "must be even"))
  expect(lines(even, 2)).toBe(2)
  expect(lines(even, 3)).toEqual(["must be even"])
  expect(lines(even, -1)).toEqual([`must be from 0 to ${Number.MAX_SAFE_INTEGER}, not -1`])
})

it("names a path whose steps are objects, as other libraries give them", () => {
  expect(issueLines([{ message: "is bad", path: [{ key: "a" }, 0, "b"] }])).toEqual(["a.0.b is bad"])
})
