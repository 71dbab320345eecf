/** Waiting that a stop ends at once. */
import type { Sleep } from "./pace.ts"

/** `later` calls back after some time, unless it is called off. */
export const makeSleep =
  (later: (run: () => void, millis: number) => () => void): Sleep =>
  (millis, signal) =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve()
      const callOff = later(finish, Math.max(0, millis))
      function finish() {
        callOff()
        signal.removeEventListener("abort", finish)
        resolve()
      }
      signal.addEventListener("abort", finish, { once: true })
    })
