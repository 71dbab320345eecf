/**
 * The caches that are open in this process, by folder: all images with one folder share one cache and its budget.
 *
 * **Details** The largest budget that an open image asks for counts. A cache closes with its last image. A folder that cannot be used (read-only, full, somebody
 * else's) is no reason to refuse an image: then blocks are kept in memory.
 */
import type { BlockCache } from "./block-cache.ts"
import { type DiskCache, type DiskCacheOptions, openDiskCache } from "./disk-cache.ts"
import { memoryCache } from "./memory-cache.ts"

export interface CacheHold {
  readonly cache: BlockCache
  release(): Promise<void>
}

interface Shared {
  readonly opening: Promise<DiskCache>
  holds: number
}

const open = new Map<string, Shared>()
/** Folders whose cache is closing: it opens again afterwards. */
const closing = new Map<string, Promise<void>>()

export const holdCache = async (
  folder: string | undefined,
  bytesMax: number,
  options: DiskCacheOptions,
): Promise<CacheHold> => {
  const inMemory = () => ({ cache: memoryCache(), release: async () => undefined })
  if (folder === undefined) return inMemory()
  while (closing.has(folder)) await closing.get(folder)
  const shared = open.get(folder) ?? { opening: openDiskCache(folder, bytesMax, options), holds: 0 }
  open.set(folder, shared)
  shared.holds++
  let released = false
  const release = async () => {
    if (released) return
    released = true
    shared.holds--
    if (shared.holds > 0) return
    open.delete(folder)
    const closed = shared.opening.then((cache) => cache.close()).catch(() => undefined)
    closing.set(folder, closed)
    await closed
    if (closing.get(folder) === closed) closing.delete(folder)
  }
  try {
    const cache = await shared.opening
    cache.grow(bytesMax)
    return { cache, release }
  } catch {
    await release()
    return inMemory()
  }
}
