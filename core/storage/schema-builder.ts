/**
 * A small Standard Schema builder, so that a plugin can describe its config without bringing a library.
 *
 *     const config = object({ url: string({ min: 1 }), retries: optional(integer({ min: 0, max: 9 }), 3) })
 *
 * **Details** All issues are reported at once, each with its path. `object` refuses keys it does not know, because a misspelt key
 * that is silently ignored is worse than a refusal. Validation is synchronous, never changes its input and answers a new value.
 *
 * Not done: arrays, unions of objects, transformations. A plugin that needs those brings any library that speaks Standard Schema.
 */
import type { StandardIssue, StandardResult, StandardSchemaV1 } from "./schema.ts"

/** A schema of this builder: a Standard Schema whose validation is synchronous. */
export interface Schema<T> extends StandardSchemaV1<unknown, T> {
  readonly "~standard": {
    readonly version: 1
    readonly vendor: "imagelink"
    readonly validate: (value: unknown) => StandardResult<T>
  }
}

/** A schema that also says what an absent key means. Only `object` looks at `absent`. */
export interface OptionalSchema<T> extends Schema<T> {
  readonly absent: T
}

/** The type that a schema answers. */
export type Infer<S> = S extends StandardSchemaV1<unknown, infer T> ? T : never

const schema = <T>(validate: (value: unknown) => StandardResult<T>): Schema<T> => ({
  "~standard": { version: 1, vendor: "imagelink", validate },
})
const refuse = (message: string): { readonly issues: ReadonlyArray<StandardIssue> } => ({ issues: [{ message }] })

/** Names a value for a refusal, without printing what may be long or secret. */
const got = (value: unknown): string => {
  if (value === null) return "null"
  if (value === undefined) return "nothing"
  if (Array.isArray(value)) return "a list"
  if (typeof value === "number" || typeof value === "boolean") return String(value)
  return typeof value === "object" ? "an object" : `a ${typeof value}`
}

/** Text of `min` to `max` UTF-16 units. */
export const string = ({ min = 0, max = 4096 }: { readonly min?: number; readonly max?: number } = {}) =>
  schema<string>((value) => {
    if (typeof value !== "string") return refuse(`must be text, not ${got(value)}`)
    if (value.length < min)
      return refuse(value.length === 0 ? "must not be empty" : `must have at least ${min} characters`)
    return value.length > max ? refuse(`must have at most ${max} characters`) : { value }
  })

/** A whole number that a double holds exactly, from `min` to `max`. */
export const integer = ({
  min = Number.MIN_SAFE_INTEGER,
  max = Number.MAX_SAFE_INTEGER,
}: {
  readonly min?: number
  readonly max?: number
} = {}) =>
  schema<number>((value) => {
    if (!Number.isSafeInteger(value)) return refuse(`must be a whole number, not ${got(value)}`)
    const number = value as number
    return number < min || number > max ? refuse(`must be from ${min} to ${max}, not ${number}`) : { value: number }
  })

export const boolean = () =>
  schema<boolean>((value) =>
    typeof value === "boolean" ? { value } : refuse(`must be true or false, not ${got(value)}`),
  )

/** One of the given values. */
export const literal = <const T extends ReadonlyArray<string | number | boolean>>(...values: T) =>
  schema<T[number]>((value) =>
    values.includes(value as T[number])
      ? { value: value as T[number] }
      : refuse(`must be ${values.map((v) => JSON.stringify(v)).join(" or ")}`),
  )

/** A key that may be left out; it then reads as `absent`. */
export function optional<T>(of: Schema<T>, absent: T): OptionalSchema<T>
export function optional<T>(of: Schema<T>): OptionalSchema<T | undefined>
export function optional<T>(of: Schema<T>, absent?: T): OptionalSchema<T | undefined> {
  return { ...of, absent }
}

/** A schema and one more test: `why` answers what is wrong with a value, or undefined. */
export const check = <T>(of: Schema<T>, why: (value: T) => string | undefined): Schema<T> =>
  schema<T>((input) => {
    const result = of["~standard"].validate(input)
    if (result.issues !== undefined) return result
    const wrong = why(result.value)
    return wrong === undefined ? result : refuse(wrong)
  })

type Shape = Readonly<Record<string, Schema<unknown>>>

/** An object of exactly these keys. */
export const object = <const S extends Shape>(shape: S): Schema<{ readonly [K in keyof S]: Infer<S[K]> }> =>
  schema((input) => {
    if (typeof input !== "object" || input === null || Array.isArray(input))
      return refuse(`must be an object, not ${got(input)}`)
    const given = input as Record<string, unknown>
    const issues: Array<StandardIssue> = []
    const entries: Array<[string, unknown]> = []
    for (const [key, of] of Object.entries(shape)) {
      const there = Object.hasOwn(given, key) && given[key] !== undefined
      if (!there && "absent" in of) {
        entries.push([key, of.absent])
        continue
      }
      const result = there ? of["~standard"].validate(given[key]) : refuse("is missing")
      if (result.issues === undefined) entries.push([key, result.value])
      else for (const issue of result.issues) issues.push({ ...issue, path: [key, ...(issue.path ?? [])] })
    }
    for (const key of Object.keys(given))
      if (!Object.hasOwn(shape, key))
        issues.push({ message: `is not a key here; known: ${Object.keys(shape).join(", ")}`, path: [key] })
    return issues.length > 0 ? { issues } : { value: Object.fromEntries(entries) as { [K in keyof S]: Infer<S[K]> } }
  })

/** One line per issue, as an operator reads it: `retries must be from 0 to 9, not 12`. */
export const issueLines = (issues: ReadonlyArray<StandardIssue>): ReadonlyArray<string> =>
  issues.map(({ message, path = [] }) => {
    const keys = path.map((step) => String(typeof step === "object" ? step.key : step))
    return keys.length === 0 ? message : `${keys.join(".")} ${message}`
  })
