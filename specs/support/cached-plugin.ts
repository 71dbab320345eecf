/** A storage plugin seen through the tiers above it, as a storage plugin: so that the same suite runs on both. */
import { ReadCache } from "../../core/block/cache.ts"
import { openVersion } from "../../core/block/version.ts"
import { limits } from "../../core/limits.ts"
import { openConfigured } from "../../core/storage/open-volume.ts"
import type { StoragePlugin } from "../../core/storage/plugin.ts"
import type { Volume } from "../../core/storage/volume.ts"

const CLUSTER = limits.clusterBytes

/** `cached`: through a read cache of two clusters. `in RAM`: every cluster is brought into the RAM tier when it is opened. */
export const throughTier = <Config>(plugin: StoragePlugin<Config>, tier: "cached" | "in-ram"): StoragePlugin => {
  const { sibling: _, folder: __, ...rest } = plugin
  return {
    ...rest,
    kind: `${plugin.kind}-${tier}`,
    manifest: { ...plugin.manifest, writable: false },
    open: async (config, context) => {
      const below = await openConfigured(plugin as StoragePlugin, config, context)
      const cache = new ReadCache({ bytes: 2 * CLUSTER, ramBytes: tier === "in-ram" ? 16 * CLUSTER : 0 })
      const { sizeBytes } = below
      const device = openVersion({ id: "image@1", contentId: "image@1", cache, below, sizeBytes })
      if (tier === "in-ram") for (let cluster = 0; cluster * CLUSTER < sizeBytes; cluster++) await device.keep(cluster)
      const volume: Volume = {
        sizeBytes,
        read: (...request) => device.read(...request),
        readSync: (...request) => device.readSync(...request),
        extents: (...request) => device.extents(...request),
        identity: () => below.identity(),
        async close() {
          await device.close()
          await below.close()
        },
      }
      return volume
    },
  }
}
