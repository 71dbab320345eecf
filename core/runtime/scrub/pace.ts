/** A bounded rate: after so many bytes, so much time must have passed. Time that was lost elsewhere is not made up for. */
export type Sleep = (millis: number, signal: AbortSignal) => Promise<void>

export type Pace = (bytes: number, signal: AbortSignal) => Promise<void>

export const makePace = (bytesPerSecond: number, now: () => number, sleep: Sleep): Pace => {
  let free = Number.NEGATIVE_INFINITY
  return async (bytes, signal) => {
    free = Math.max(free, now()) + (bytes * 1000) / bytesPerSecond
    await sleep(free - now(), signal)
  }
}
