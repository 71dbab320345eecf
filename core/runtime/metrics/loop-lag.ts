/**
 * How late the event loop comes to what is due: what every client waits for when the process is busy.
 *
 * **Details** Measured by Node itself (perf_hooks), which counts its own interval of 10 ms in; it is taken off here. What is told is of the time since
 * the last minute that was read, so that a peak fades and reading often loses nothing.
 */
import { monitorEventLoopDelay } from "node:perf_hooks"
import { limits } from "../../limits.ts"
import type { Metric } from "./text.ts"

const RESOLUTION_MILLIS = 10

export interface LoopLag {
  metrics(): ReadonlyArray<Metric>
  close(): void
}

export const makeLoopLag = (monotonic: () => number): LoopLag => {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MILLIS })
  delay.enable()
  let since = monotonic()
  return {
    metrics() {
      const samples = ["0.5", "0.99", "1"].map((quantile) => ({
        labels: { quantile },
        value: lateSeconds(delay, Number(quantile)),
      }))
      if (monotonic() - since >= limits.metricsLagMillis) {
        delay.reset()
        since = monotonic()
      }
      const help = "How late the event loop was, at these quantiles, over the last minute that was read."
      return [{ name: "imagelink_event_loop_lag_seconds", type: "gauge", help, samples }]
    },
    close: () => void delay.disable(),
  }
}

/** Zero before anything was measured. */
const lateSeconds = (delay: ReturnType<typeof monitorEventLoopDelay>, quantile: number): number => {
  if (delay.count === 0) return 0
  const nanos = quantile === 1 ? delay.max : delay.percentile(quantile * 100)
  return Math.max(0, nanos / 1e9 - RESOLUTION_MILLIS / 1000)
}
