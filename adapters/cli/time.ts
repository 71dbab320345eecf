/** Times as an operator writes them: a moment (`2026-11-22T14:05Z`) or how long ago (`90m`, `2h`, `3d`). */
import { fail } from "../../core/errors.ts"

const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const

export const parseSince = (text: string, now: number): number => {
  const [, amount, unit] = /^(\d+)([smhdw])$/.exec(text) ?? []
  if (amount !== undefined) return now - Number(amount) * unitMs[unit as keyof typeof unitMs]
  const at = Date.parse(text)
  if (Number.isNaN(at))
    throw fail("USAGE", {
      why: `${JSON.stringify(text)} is not a time`,
      see: "imagelink history --help (2026-11-22T14:05Z, 90m, 2h, 3d)",
    })
  return at
}
