/** Times as an operator writes them: a moment (`2026-11-22T14:05Z`, or the day it begins, UTC) or how long ago (`90m`, `2h`, `3d`). */
import { fail } from "../../core/errors.ts"
import type { Moment } from "../../core/runtime/site/operation.ts"

const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const

/** A date and time that name no zone are UTC, as everything that is printed; a date alone is so already. */
const withoutZone = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?$/

export const parseSince = (text: string, now: number): number => {
  const [, amount, unit] = /^(\d+)([smhdw])$/.exec(text) ?? []
  if (amount !== undefined) return now - Number(amount) * unitMs[unit as keyof typeof unitMs]
  const at = /^\d+$/.test(text) ? Number.NaN : Date.parse(withoutZone.test(text) ? `${text.replace(" ", "T")}Z` : text)
  if (Number.isNaN(at))
    throw fail("USAGE", {
      why: `${JSON.stringify(text)} is not a time`,
      see: "imagelink history --help (2026-11-22T14:05Z, 90m, 2h, 3d)",
    })
  return at
}

/** A position, as digits. @throws USAGE */
export const parsePosition = (text: string): number => {
  const position = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(position))
    throw fail("USAGE", { why: `a position is a whole number from 0 on, not ${text}`, see: "imagelink links --help" })
  return position
}

/** A moment that is a position or a time: digits alone are a position. */
export const parseMoment = (text: string, now: number): Moment =>
  /^\d+$/.test(text) ? { position: parsePosition(text) } : { at: parseSince(text, now) }
