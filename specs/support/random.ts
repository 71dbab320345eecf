/** Seeded randomness (mulberry32): the same seed is the same run, on every machine. */
export interface Random {
  /** An integer in `[0, below)`. */
  int(below: number): number
  /** The same. */
  below(n: number): number
  chance(probability: number): boolean
  pick<A>(list: ReadonlyArray<A>): A
}

export const random = (seed: number): Random => {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  return {
    int: (below) => Math.floor(next() * below),
    below: (n) => Math.floor(next() * n),
    chance: (probability) => next() < probability,
    pick: (list) => list[Math.floor(next() * list.length)]!,
  }
}

/** Fills `[from, to)` with bytes that depend on nothing but `seed`. */
export const patterned = (length: number, seed: number): Buffer => {
  const bytes = Buffer.alloc(length)
  let x = Math.imul(seed, 2654435761) >>> 0
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0
    bytes[i] = x >>> 24
  }
  return bytes
}
