/** What most overlay specs begin with: a base of known bytes, a folder in memory, and the options that bind them. */
import { ReadCache } from "../../core/block/cache.ts"
import { MapBudget } from "../../core/block/overlay/budget.ts"
import type { GenerationPolicy } from "../../core/block/overlay/header.ts"
import type { OverlayOptions } from "../../core/block/overlay/open.ts"
import { openVersion } from "../../core/block/version.ts"
import { type Behaviour, MemoryFolder, MemoryVolume } from "./memory-volume.ts"
import { patterned } from "./random.ts"

export const overlaySetup = (
  more: {
    readonly sizeBytes?: number
    readonly policy?: GenerationPolicy
    readonly base?: Behaviour
    readonly files?: (name: string) => Behaviour
    readonly mapPages?: number
  } = {},
) => {
  const sizeBytes = more.sizeBytes ?? 1024 * 1024
  const known = patterned(Math.min(sizeBytes, 1024 * 1024), 42)
  const below = new MemoryVolume(sizeBytes, more.base ?? {})
  below.put(known, 0, 0, known.length)
  const cache = new ReadCache({ bytes: 4 * 65_536 })
  const base = openVersion({ id: "i@1", contentId: "i@1", cache, below, sizeBytes })
  const folder = new MemoryFolder("overlays/g", more.files ?? (() => ({})))
  const options = {
    folder,
    base,
    binding: { generation: "g", clientId: "c", slot: 0, imageId: "i", version: 1, policy: more.policy ?? "discard" },
    client: "PC-001",
    hostBootId: "boot-1",
    budget: new MapBudget((more.mapPages ?? 100) * 4096),
  } satisfies OverlayOptions
  return { known, below, base, folder, options, volume: (name: string) => folder.volumes.get(name)! }
}
