/** The composition root's part for those who watch: what a running server counts, and whether it is ready. */

import { makeLoopLag } from "../core/runtime/metrics/loop-lag.ts"
import { processMetrics } from "../core/runtime/metrics/process-metrics.ts"
import type { ServerCounts } from "../core/runtime/metrics/server-counts.ts"
import { type SiteMetricsOptions, siteMetrics } from "../core/runtime/metrics/site-metrics.ts"
import { metricsText } from "../core/runtime/metrics/text.ts"
import type { Watched } from "./api/listen.ts"

export interface WatchedOptions extends SiteMetricsOptions {
  readonly version: string
  /** UTC milliseconds. */
  readonly startedAt: number
  readonly counts: ServerCounts
  /** Everything listens. */
  readonly listens: () => boolean
  /** Listeners that hear nobody any more. */
  readonly deaf: () => ReadonlyArray<string>
}

export const makeWatched = (options: WatchedOptions): Watched & { close(): void } => {
  const { version, startedAt, counts, parts, listens, deaf } = options
  const lag = makeLoopLag(() => performance.now())
  return {
    async metrics() {
      const about = {
        name: "imagelink_info",
        type: "gauge",
        help: "The server's version.",
        samples: [{ labels: { version }, value: 1 }],
      } as const
      const site = await siteMetrics(options)
      return metricsText([about, ...site, ...counts.metrics(), ...lag.metrics(), ...processMetrics(startedAt)])
    },
    unready: () => [
      ...(listens() ? [] : ["not everything listens yet"]),
      ...deaf().map((name) => `${name} hears nobody any more`),
      ...(parts.log.refusesWrites() === undefined ? [] : ["the log takes no events [STORE_READ_ONLY]"]),
    ],
    close: lag.close,
  }
}
