/** Time and chance as the plugin uses them: a parameter everywhere, so that retries and deadlines can be tested without waiting. */
export interface Clock {
  /** Milliseconds that never go back. */
  now(): number
  /** UTC milliseconds, for signatures. */
  utc(): number
  /** Calls `run` once, later; the answer calls it off. */
  after(millis: number, run: () => void): () => void
  /** In [0, 1). */
  random(): number
}

export const systemClock: Clock = {
  now: () => performance.now(),
  utc: Date.now,
  after(millis, run) {
    const timer = setTimeout(run, millis)
    return () => clearTimeout(timer)
  },
  random: Math.random,
}

/** Settles after a while, or as soon as `signal` aborts. */
export const pause = (clock: Clock, millis: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const done = () => {
      cancel()
      signal.removeEventListener("abort", done)
      resolve()
    }
    const cancel = clock.after(millis, done)
    signal.addEventListener("abort", done, { once: true })
  })
