/**
 * A clock for what works and waits in the background: short waits pass at once, and are counted; a long one lasts until `pass` is called.
 */
import type { Sleep } from "../../core/runtime/scrub/pace.ts"

export interface SteppedClock {
  readonly now: () => number
  readonly sleep: Sleep
  /** Lets time pass; who waited long enough goes on. */
  pass(millis: number): void
  /** Settles once somebody waits for long. */
  idle(): Promise<void>
  /** Called before each short wait. */
  onShort: (millis: number) => void | Promise<void>
}

const LONG = 300_000

export const steppedClock = (start: number): SteppedClock => {
  let time = start
  let waiting: { readonly until: number; readonly wake: () => void } | undefined
  const idlers: Array<() => void> = []
  const clock: SteppedClock = {
    onShort: () => {},
    now: () => Math.floor(time),
    async sleep(millis, signal) {
      if (signal.aborted) return
      if (millis < LONG) {
        await clock.onShort(millis)
        time += Math.max(0, millis)
        return new Promise((resolve) => setImmediate(resolve))
      }
      await new Promise<void>((resolve) => {
        waiting = { until: time + millis, wake: resolve }
        signal.addEventListener("abort", () => resolve(), { once: true })
        for (const idler of idlers.splice(0)) idler()
      })
      waiting = undefined
    },
    pass(millis) {
      time += millis
      if (waiting !== undefined && waiting.until <= time) {
        waiting.wake()
        waiting = undefined
      }
    },
    idle: () => (waiting === undefined ? new Promise((resolve) => idlers.push(resolve)) : Promise.resolve()),
  }
  return clock
}
