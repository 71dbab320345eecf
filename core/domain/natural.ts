/** Natural order of names: `PC-2` before `PC-10`, without regard to case. */

const isDigit = (code: number): boolean => code >= 48 && code <= 57
const lower = (code: number): number => (code >= 65 && code <= 90 ? code + 32 : code)

/** Index past the run of digits, or past the run of zeros, that begins at `from`. */
const pastDigits = (s: string, from: number): number => {
  let i = from
  while (i < s.length && isDigit(s.charCodeAt(i))) i++
  return i
}
const pastZeros = (s: string, from: number, end: number): number => {
  let i = from
  while (i < end && s.charCodeAt(i) === 48) i++
  return i
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/**
 * Compares by runs: digits as numbers of any length, the rest letter by letter. A total order: names that differ only in case or
 * leading zeros are told apart by their code units, so that sorting never depends on what came first.
 */
export const compareNatural = (a: string, b: string): number => {
  let i = 0
  let j = 0
  while (i < a.length && j < b.length) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(j)
    if (isDigit(x) && isDigit(y)) {
      const iEnd = pastDigits(a, i)
      const jEnd = pastDigits(b, j)
      const left = a.slice(pastZeros(a, i, iEnd), iEnd)
      const right = b.slice(pastZeros(b, j, jEnd), jEnd)
      const order = left.length - right.length || compareText(left, right)
      if (order !== 0) return order
      i = iEnd
      j = jEnd
    } else {
      const order = lower(x) - lower(y)
      if (order !== 0) return order
      i++
      j++
    }
  }
  return a.length - i - (b.length - j) || compareText(a, b)
}
