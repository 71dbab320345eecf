/**
 * Seeded randomness for the specs: the same seed, the same numbers (xorshift32, Marsaglia 2003).
 */
export interface Random {
  /** A whole number in [0, below). */
  readonly below: (below: number) => number
  readonly bytes: (count: number) => Uint8Array
}

export const random = (seed: number): Random => {
  let state = (seed * 2654435761) >>> 0 || 1
  const next = (): number => {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state
  }
  const below = (limit: number): number => Math.floor((next() / 4294967296) * limit)
  return { below, bytes: (count) => Uint8Array.from({ length: count }, () => below(256)) }
}
