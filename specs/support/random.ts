/** Seeded randomness (mulberry32), so that a failing case is found again from its seed. */
export interface Random {
  /** A whole number from 0 to `n - 1`. */
  below(n: number): number
  pick<T>(from: ReadonlyArray<T>): T
  chance(probability: number): boolean
}

export const random = (seed: number): Random => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const below = (n: number) => Math.floor(next() * n)
  return { below, pick: (from) => from[below(from.length)]!, chance: (probability) => next() < probability }
}
