/**
 * What clients asked of their disks, by protocol, and what that took from each storage tier: bytes, requests, and how long they took.
 *
 * **Details** Requests that are answered at once are timed one in sixty-four, which stands for all (core/block/meter.ts), so that counts of a histogram are near those of
 * the requests and not equal to them.
 */
import type { ReadCache } from "../../block/cache.ts"
import { LATENCY_BOUNDS, type Latency, type TierReads } from "../../block/latency.ts"
import * as meter from "../../block/meter.ts"
import type { Sessions } from "../sessions.ts"
import type { StorageReads } from "../tier-reads.ts"
import { histogramSamples } from "./histogram.ts"
import type { Labels, Metric, Sample } from "./text.ts"

const SECONDS = LATENCY_BOUNDS.map((millis) => millis / 1000)

const durations = ({ counts, sumMillis }: Latency, labels: Labels): ReadonlyArray<Sample> =>
  histogramSamples(SECONDS, counts, sumMillis / 1000, labels)

export const protocolMetrics = (sessions: Pick<Sessions, "protocols">): ReadonlyArray<Metric> => {
  const protocols = sessions.protocols()
  const of = (kinds: Readonly<Record<string, number>>, label: string): ReadonlyArray<Sample> =>
    protocols.flatMap(({ protocol, counts }) =>
      Object.entries(kinds).map(([kind, at]) => ({ labels: { protocol, [label]: kind }, value: counts[at]! })),
    )
  return [
    {
      name: "imagelink_block_bytes_total",
      type: "counter",
      help: "Bytes that clients read, wrote, and zeroed or trimmed.",
      samples: of({ read: meter.READ_BYTES, write: meter.WRITTEN_BYTES, zero: meter.ZEROED_BYTES }, "direction"),
    },
    {
      name: "imagelink_block_requests_total",
      type: "counter",
      help: "Requests of clients that were carried out.",
      samples: of({ read: meter.READS, write: meter.WRITES, zero: meter.ZEROES, flush: meter.FLUSHES }, "op"),
    },
    {
      name: "imagelink_block_duration_seconds",
      type: "histogram",
      help: "From when a request was understood to when its answer was ready.",
      samples: protocols.flatMap(({ protocol, latencies }) =>
        (["read", "write", "zero", "flush"] as const).flatMap((op) => durations(latencies[op], { protocol, op })),
      ),
    },
  ]
}

/** Memory that images are placed in, the cache, and each kind of storage. */
export const tierMetrics = (cache: Pick<ReadCache, "cached" | "kept">, reads: StorageReads): ReadonlyArray<Metric> => {
  const tiers: ReadonlyArray<readonly [string, TierReads]> = [
    ["ramdisk", cache.kept],
    ["cache", cache.cached],
    ...reads.all(),
  ]
  return [
    {
      name: "imagelink_tier_read_bytes_total",
      type: "counter",
      help: "Bytes of images that were read, by where they were found.",
      samples: tiers.map(([tier, { bytes }]) => ({ labels: { tier }, value: bytes })),
    },
    {
      name: "imagelink_tier_read_duration_seconds",
      type: "histogram",
      help: "How long a read from there took.",
      samples: tiers.flatMap(([tier, { latency }]) => durations(latency, { tier })),
    },
  ]
}
