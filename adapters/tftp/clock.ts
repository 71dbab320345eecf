/** Time, as it comes in: milliseconds that never go back, and a call at a later one. */
export interface Clock {
  now(): number
  /** What it answers takes the call back. */
  later(run: () => void, millis: number): () => void
}

export const systemClock: Clock = {
  now: () => performance.now(),
  later(run, millis) {
    const timer = setTimeout(run, millis)
    return () => clearTimeout(timer)
  },
}
