/** The site as numbers: its log, clients and links, who runs, what the cache and the overlays hold. */
import { limits } from "../../limits.ts"
import { catalogueProjection } from "../../projections/catalogue.ts"
import type { LiveBoot } from "../live-boot.ts"
import type { Parts } from "../parts.ts"
import type { Serving } from "../serving.ts"
import type { Sessions } from "../sessions.ts"
import { protocolMetrics, tierMetrics } from "./block-metrics.ts"
import { Tally } from "./tally.ts"
import type { Metric, Sample } from "./text.ts"

export interface SiteMetricsOptions {
  readonly parts: Pick<Parts, "log" | "views">
  readonly serving: Pick<Serving, "disks" | "memory" | "reads">
  readonly sessions: Pick<Sessions, "protocols">
  readonly live: () => ReadonlyArray<LiveBoot>
}

const gauge = (name: string, help: string, value: number | ReadonlyArray<Sample>): Metric => ({
  ...{ name: `imagelink_${name}`, type: "gauge", help },
  samples: typeof value === "number" ? [{ value }] : value,
})

const counter = (name: string, help: string, value: number): Metric => ({
  ...{ name: `imagelink_${name}`, type: "counter", help, samples: [{ value }] },
})

export const siteMetrics = async ({
  parts,
  serving,
  sessions,
  live,
}: SiteMetricsOptions): Promise<ReadonlyArray<Metric>> => {
  const { log, views } = parts
  const { clients, images } = await views.state(catalogueProjection)
  const counts = [clients.size, images.size] as const
  let links = 0
  // Not from the link table: whoever scrapes first would wait until it is folded.
  for (const client of clients.values()) links += client.links.size
  return [
    gauge("log_position", "Position of the newest event of the log.", log.head()),
    gauge("log_writable", "Whether the log takes events: 1, or 0.", log.refusesWrites() === undefined ? 1 : 0),
    gauge("clients", "Registered clients.", counts[0]),
    gauge("images", "Images.", counts[1]),
    gauge("links", "Links of clients, those that groups give included.", links),
    gauge("computers", "Computers that were heard of lately, by where they stand.", states(live())),
    ...cacheMetrics(serving.memory),
    ...layerMapMetrics(serving.memory),
    ...overlayMetrics(serving),
    ...protocolMetrics(sessions),
    ...tierMetrics(serving.memory.cache, serving.reads),
  ]
}

const states = (live: ReadonlyArray<LiveBoot>): ReadonlyArray<Sample> => {
  const tally = new Tally()
  for (const { state } of live) tally.add({ state })
  return tally.samples()
}

const cacheMetrics = ({ cache }: Serving["memory"]): ReadonlyArray<Metric> => {
  const { hits, misses, loads, mismatches, evictions, bytes, ramBytes } = cache.stats
  return [
    gauge("cache_bytes", "What the read cache holds.", bytes),
    gauge("cache_size_bytes", "What the read cache can hold.", cache.slots * limits.clusterBytes),
    gauge("ram_tier_bytes", "What images placed in RAM take.", ramBytes),
    counter("cache_hits_total", "Clusters that were read from memory.", hits),
    counter("cache_misses_total", "Clusters that were not in memory.", misses),
    counter("cache_loads_total", "Clusters that were read from storage; callers share a load.", loads),
    counter("cache_mismatches_total", "Clusters that were not what their checksum says.", mismatches),
    counter("cache_evictions_total", "Clusters that others took the place of.", evictions),
  ]
}

const layerMapMetrics = ({ layerMaps }: Serving["memory"]): ReadonlyArray<Metric> => [
  gauge("layer_map_bytes", "Memory of the maps of committed versions.", layerMaps.bytes),
  counter(
    "layer_map_pages_derived_total",
    "Pages of those maps that were put together from their layers.",
    layerMaps.stats.derived,
  ),
]

const overlayMetrics = ({ disks, memory }: SiteMetricsOptions["serving"]): ReadonlyArray<Metric> => {
  const open = disks.overlays()
  const bytes = open.reduce((sum, overlay) => sum + overlay.bytes, 0)
  return [
    gauge("overlays", "Overlays that are open.", open.length),
    gauge("overlay_bytes", "What clients wrote that use their disks now.", bytes),
    gauge("overlay_map_bytes", "Memory of the overlays' maps.", memory.overlayMaps.bytes),
  ]
}
