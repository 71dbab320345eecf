/**
 * How fast an image is brought into RAM while clients read: a few loads at once, fewer while a client waits for one, and never a long turn.
 *
 * **Details** After `ramFillMillis` of work, and at latest after `ramFillTurnClusters`, whoever else has something to do has a turn. While a client's read
 * waits for a load of its own, one load of the fill goes on and the others wait for it: so the fill ends, and a client finds at most that one before it.
 */
import { setImmediate as turn } from "node:timers/promises"
import type { InFlight } from "../block/in-flight.ts"
import { limits } from "../limits.ts"

export interface Pace {
  /** Before a load. */
  turn(): Promise<void>
  /** After it. */
  done(): void
}

export const makePace = (waiting: InFlight, monotonic: () => number = () => performance.now()): Pace => {
  let loading = 0
  let since = 0
  let began = monotonic()
  let turning: Promise<void> | undefined

  const others = async () => {
    await turn()
    since = 0
    began = monotonic()
    turning = undefined
  }

  return {
    async turn() {
      if (since++ >= limits.ramFillTurnClusters || monotonic() - began > limits.ramFillMillis) turning ??= others()
      while (turning !== undefined) await turning
      while (waiting.count > 0 && loading > 0) await waiting.idle()
      loading++
    },
    done() {
      loading--
    },
  }
}
