/**
 * What is read from where images are stored, by the kind of storage: every read that memory could not answer.
 *
 * **Details** Reads are those of the guest's bytes, by clusters that the cache loads; what else a format reads to find them is in their time.
 */
import { TierReads } from "../block/latency.ts"
import type { LayerSource } from "../block/layers/volume.ts"

export interface StorageReads {
  /** The same source; its reads are counted under this kind. */
  watch(kind: string, source: LayerSource): LayerSource
  all(): ReadonlyMap<string, TierReads>
}

/** `now`: milliseconds, from any origin, with fractions. */
export const makeStorageReads = (now: () => number): StorageReads => {
  const kinds = new Map<string, TierReads>()
  const readsOf = (kind: string): TierReads => {
    // What lies in the data folder is read as a file.
    const name = kind === "data" ? "file" : kind
    const known = kinds.get(name) ?? new TierReads()
    kinds.set(name, known)
    return known
  }
  return {
    watch(kind, source) {
      const reads = readsOf(kind)
      const { readSync, extents } = source
      return {
        sizeBytes: source.sizeBytes,
        async read(into, at, offset, length, signal) {
          const start = now()
          await source.read(into, at, offset, length, signal)
          reads.latency.observe(now() - start, 1)
          reads.add(length)
        },
        ...(readSync === undefined
          ? {}
          : {
              readSync(into: Uint8Array, at: number, offset: number, length: number) {
                if (!readSync.call(source, into, at, offset, length)) return false
                reads.add(length)
                return true
              },
            }),
        ...(extents === undefined ? {} : { extents: extents.bind(source) }),
      }
    },
    all: () => kinds,
  }
}
