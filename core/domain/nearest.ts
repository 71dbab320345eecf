/** "Did you mean": the candidate a few typing slips away from what was typed. */
import { compareNatural } from "./natural.ts"

/**
 * Edit distance with adjacent letters swapped counting once (optimal string alignment), or `max + 1` as soon as it must be more than
 * `max`.
 */
const distance = (a: string, b: string, max: number): number => {
  if (Math.abs(a.length - b.length) > max) return max + 1
  let beforeLast: Array<number> = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    let least = i
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let d = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) d = Math.min(d, beforeLast[j - 2]! + 1)
      row.push(d)
      least = Math.min(least, d)
    }
    if (least > max) return max + 1
    beforeLast = last
    last = row
  }
  return last[b.length]!
}

/** Slips we still call a slip: one in three letters, at most three. */
const slipsMax = (length: number): number => Math.min(3, Math.max(1, Math.floor(length / 3)))

/** The nearest candidate, without regard to case; of equally near ones the first in natural order. Undefined when none is near. */
export const nearest = (name: string, candidates: Iterable<string>): string | undefined => {
  const wanted = name.toLowerCase()
  let best: string | undefined
  let bestDistance = slipsMax(wanted.length)
  for (const candidate of candidates) {
    const d = distance(wanted, candidate.toLowerCase(), bestDistance)
    if (d > bestDistance) continue
    if (d < bestDistance || best === undefined || compareNatural(candidate, best) < 0) best = candidate
    bestDistance = d
  }
  return best
}
